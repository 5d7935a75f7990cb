"""Which conformance class a kernel has: a built-in one, the one that its spec names, or the general one."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from chaindp.errors import PluginError
from chaindp.kernels import KernelSpec
from chaindp.plugins import describe_error
from chaindp.testing.fri import FriFoldConformance
from chaindp.testing.hashes import Keccak256Conformance, Sha256Conformance
from chaindp.testing.kernel import KernelConformance
from chaindp.testing.lde import LdeConformance
from chaindp.testing.merkle import (
    MerkleOpenConformance,
    MerkleRootConformance,
    MerkleTreeConformance,
    MerkleUpdateConformance,
)
from chaindp.testing.ntt import InttConformance, NttConformance
from chaindp.testing.poseidon2 import Poseidon2Conformance
from chaindp.testing.signatures import EcrecoverConformance
from chaindp.testing.stark import StarkProveConformance
from chaindp.testing.trie import TrieHashConformance

__all__ = ["BUILTIN", "conformance_class"]

BUILTIN: Mapping[str, type[KernelConformance]] = {
    cls.kernel: cls
    for cls in (
        Keccak256Conformance,
        Sha256Conformance,
        Poseidon2Conformance,
        MerkleTreeConformance,
        MerkleRootConformance,
        MerkleUpdateConformance,
        MerkleOpenConformance,
        TrieHashConformance,
        NttConformance,
        InttConformance,
        LdeConformance,
        FriFoldConformance,
        StarkProveConformance,
        EcrecoverConformance,
    )
}
"""Kernel name to its class, for the kernels that ship with chaindp."""


def conformance_class(spec: KernelSpec) -> type[KernelConformance]:
    """The class that tests ``spec``, its ``kernel`` set: built-in, else ``spec.conformance``, else the general one.

    PluginError where ``spec.conformance`` cannot be imported or is no KernelConformance.
    """
    if spec.name in BUILTIN:
        return BUILTIN[spec.name]
    base = _named(spec) if spec.conformance else KernelConformance
    return base if base.kernel == spec.name else type(base.__name__, (base,), {"kernel": spec.name})


def _named(spec: KernelSpec) -> type[KernelConformance]:
    where = f"kernel {spec.name}: its conformance class {spec.conformance!r}"
    module, colon, name = spec.conformance.partition(":")
    if not (module and colon and name):
        raise PluginError(f"{where} is not of the form module:Class")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise PluginError(f"{where} cannot be imported: {describe_error(error)}") from error
    if not (isinstance(found, type) and issubclass(found, KernelConformance)):
        raise PluginError(f"{where} is no chaindp.testing.KernelConformance")
    return found
