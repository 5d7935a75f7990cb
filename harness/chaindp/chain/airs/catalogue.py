"""AIRs by name, as proofs name them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType

from chaindp.chain.airs.air import Air
from chaindp.chain.airs.credential import CredentialAir
from chaindp.chain.airs.credentials import CredentialsAir
from chaindp.chain.airs.keccak import KeccakAir
from chaindp.chain.airs.poseidon2 import Poseidon2Air
from chaindp.chain.airs.transfers import TransfersAir
from chaindp.errors import ChaindpError

__all__ = ["AIRS", "air_named"]

AIRS: Mapping[str, Callable[[str, int], Air]] = MappingProxyType(
    {
        "poseidon2": Poseidon2Air,
        "keccak": KeccakAir,
        "transfers": TransfersAir,
        "credential": CredentialAir,
        "credentials": CredentialsAir,
    }
)
"""First word of a name to what makes the AIR of the field and the number behind it."""

_MOST_DIGITS = 4


@functools.lru_cache(maxsize=64)
def air_named(name: str) -> Air | None:
    """The AIR of a name such as ``poseidon2 koalabear 8``; None where there is none. The name may be anybody's."""
    words = name.split(" ")
    if len(words) != 3 or words[0] not in AIRS or not words[2].isdecimal() or len(words[2]) > _MOST_DIGITS:
        return None
    try:
        air = AIRS[words[0]](words[1], int(words[2]))
    except ChaindpError:
        return None
    # One name for each: no leading zeros.
    return air if air.name == name else None
