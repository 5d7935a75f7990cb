"""The workloads that ship with chaindp: generated transfers, generated ERC-20 calls, real blocks."""

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


@hookimpl
def chaindp_workloads() -> Sequence[WorkloadSpec]:
    """transfers, erc20 and mainnet. Generators are imported when a workload is built."""
    from chaindp.workload import WorkloadSpec
    from chaindp_workloads.mainnet import SPEC

    return (
        WorkloadSpec(name="transfers", factory=_transfers, summary="plain value transfers between accounts"),
        WorkloadSpec(name="erc20", factory=_erc20, summary="transfer calls to a compiled ERC-20 token"),
        SPEC,
    )
