"""The workloads that ship with chaindp: generated transfers, token calls, claims, requests for proofs; real blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chaindp import hookimpl

if TYPE_CHECKING:
    from chaindp.kernels.kernelset import KernelSet
    from chaindp.workload import Workload, WorkloadParams, WorkloadSpec


def _transfers(params: WorkloadParams, kernels: KernelSet) -> Workload:
    from chaindp_workloads.transfers import Transfers

    return Transfers(params, kernels)


def _erc20(params: WorkloadParams, kernels: KernelSet) -> Workload:
    from chaindp_workloads.erc20 import Erc20

    return Erc20(params, kernels)


def _credentials(params: WorkloadParams, kernels: KernelSet) -> Workload:
    from chaindp_workloads.credentials import Credentials

    return Credentials(params, kernels)


def _proofs(params: WorkloadParams, kernels: KernelSet) -> Workload:
    from chaindp_workloads.proofs import Proofs

    return Proofs(params, kernels)


@hookimpl
def chaindp_workloads() -> Sequence[WorkloadSpec]:
    """transfers, erc20, credentials, proofs and mainnet. Generators are imported when a workload is built."""
    from chaindp.workload import WorkloadSpec
    from chaindp_workloads.mainnet import SPEC

    return (
        WorkloadSpec(name="transfers", factory=_transfers, summary="plain value transfers between accounts"),
        WorkloadSpec(name="erc20", factory=_erc20, summary="transfer calls to a compiled ERC-20 token"),
        WorkloadSpec(
            name="credentials",
            factory=_credentials,
            summary="token transfers, and claims with credentials that one STARK a block vouches for",
            proves=True,
        ),
        WorkloadSpec(
            name="proofs",
            factory=_proofs,
            summary="requests for batches of Poseidon2 permutations, which STARKs prove",
            proves=True,
        ),
        SPEC,
    )
