"""The exported names: what plugins and notebooks build on. A change here is a change of the interface."""

from __future__ import annotations

import subprocess
import sys

import pytest

import chaindp
import chaindp.backend
import chaindp.cores
import chaindp.kernels
import chaindp.testing
import chaindp.workload

SURFACE = {
    "chaindp": ["__version__", "hookimpl", "load"],
    "chaindp.backend": [
        "Backend",
        "BackendOptions",
        "BackendSpec",
        "Capability",
        "Device",
        "DeviceTimes",
        "Finding",
        "Link",
        "Platform",
        "SimulatedTimes",
        "Support",
        "TimeDomain",
        "Tuner",
        "Tuning",
    ],
    "chaindp.cores": [
        "ALWAYS",
        "Built",
        "Core",
        "CoreBackend",
        "Fault",
        "Flavour",
        "Kind",
        "LintMessage",
        "Pattern",
        "Reset",
        "Simulation",
        "Stalls",
        "Trace",
        "Transfer",
        "build",
        "lint",
        "load_configurations",
        "load_core",
        "rtl_hash",
    ],
    "chaindp.kernels": [
        "Args",
        "BUILTIN",
        "ECRECOVER",
        "FRI_FOLD",
        "INTT",
        "KECCAK256",
        "LDE",
        "KernelSpec",
        "MERKLE_OPEN",
        "MERKLE_ROOT",
        "MERKLE_TREE",
        "MERKLE_UPDATE",
        "NTT",
        "POSEIDON2",
        "SHA256",
        "TRIE_HASH",
        "Vector",
        "level_offsets",
        "splice",
        "verify_path",
        "zero_roots",
    ],
    "chaindp.testing": [
        "BackendConformance",
        "Case",
        "EcrecoverConformance",
        "FriFoldConformance",
        "InttConformance",
        "Keccak256Conformance",
        "KernelConformance",
        "LdeConformance",
        "MerkleOpenConformance",
        "MerkleRootConformance",
        "MerkleTreeConformance",
        "MerkleUpdateConformance",
        "NttConformance",
        "Poseidon2Conformance",
        "RaggedHashConformance",
        "Sha256Conformance",
        "StarkProveConformance",
        "TrieHashConformance",
        "conformance_class",
    ],
    "chaindp.workload": [
        "AccessHints",
        "Accounts",
        "Air",
        "BlockInput",
        "CHAIN_ID",
        "Constraints",
        "CredentialsAir",
        "EMPTY_CODE_HASH",
        "Genesis",
        "Holders",
        "IssuerTree",
        "Keys",
        "Poseidon2Air",
        "ProofJob",
        "ProofParameters",
        "ProofStatement",
        "Ragged",
        "StorageCells",
        "TransactionBatch",
        "Workload",
        "WorkloadParams",
        "WorkloadSpec",
        "derive_keys",
        "read_block",
        "sign_transactions",
        "unsigned_batch",
    ],
}


@pytest.mark.parametrize("module", SURFACE)
def test_exported_names(module: str) -> None:
    exported = sys.modules[module].__all__
    assert sorted(exported) == sorted(SURFACE[module])
    for name in exported:
        assert getattr(sys.modules[module], name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        chaindp.laod  # type: ignore[attr-defined]  # noqa: B018


def test_importing_chaindp_is_light() -> None:
    code = "import sys, chaindp, chaindp.cli; print(sorted({'numpy', 'pandas', 'numba', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
