"""Real blocks of Ethereum mainnet: decoding, sender recovery and Merkleization of what people really sent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from chaindp.errors import UsageError
from chaindp.kernels.kernelset import KernelSet
from chaindp.workload import BlockInput, Genesis, Ragged, Workload, WorkloadParams, WorkloadSpec, read_block

__all__ = ["SPEC", "Mainnet"]

SHIPPED = Path(__file__).parent / "data"


def _block_files() -> list[Path]:
    """The shipped blocks; where ``CHAINDP_DATA`` is set, the ones in its ``mainnet`` folder, and nothing else."""
    folder = os.environ.get("CHAINDP_DATA")
    if not folder:
        return list(SHIPPED.glob("*.json.gz"))
    files = list((Path(folder) / "mainnet").glob("*/block.json.gz"))
    if not files:
        raise UsageError(
            f"CHAINDP_DATA: there is no block at {folder}/mainnet/NUMBER/block.json.gz; set it rightly or unset it"
        )
    return files


class Mainnet(Workload):
    """Whole blocks by ascending number, over and over, as long as ``params.txs`` transactions are not exceeded.

    A real block cannot be split or signed anew. So ``txs`` is an upper bound that the last whole block may stay below,
    except that one block always comes; and ``block_txs``, ``accounts``, ``seed``, ``repetition``, ``zipf`` and
    ``conflict`` change nothing: every repetition has the same bytes. The blocks are those that ship with chaindp, the
    same on every machine, unless the environment variable ``CHAINDP_DATA`` names a folder with others.
    """

    name = "mainnet"

    def __init__(self, params: WorkloadParams) -> None:
        """UsageError where there are no blocks or ``txs`` is below 1; InputError where one cannot be read."""
        if params.txs < 1:
            raise UsageError(f"workload mainnet: txs is {params.txs}, at least 1 is needed")
        blocks = sorted(
            (read_block(path) for path in _block_files()), key=lambda block: (block.header.number, block.hash)
        )
        self._txs = params.txs
        self._blocks = [
            BlockInput(
                transactions=block.transactions,
                header_rlp=block.header.rlp(),
                withdrawals=None
                if block.withdrawals is None
                else Ragged.from_items([withdrawal.rlp() for withdrawal in block.withdrawals]),
                block_hash=block.hash,
                senders=block.senders,
            )
            for block in blocks
            if block.transactions.count
        ]
        if not self._blocks:
            raise UsageError("workload mainnet: there is no block with a transaction")

    def genesis(self) -> Genesis | None:
        """None: the state of mainnet is not here, so no block is executed."""
        return None

    def blocks(self) -> Iterator[BlockInput]:
        """The blocks, in order: the same ones each time."""
        left = self._txs
        for index, block in enumerate(cycle(self._blocks)):
            left -= block.transactions.count
            if left < 0 and index > 0:
                return
            yield block


def _factory(params: WorkloadParams, kernels: KernelSet) -> Workload:
    return Mainnet(params)


SPEC = WorkloadSpec(
    name="mainnet",
    factory=_factory,
    summary="real Ethereum blocks, 2015 to 2024, decoded and Merkleized but not executed",
    not_executed="contract code is not part of the block data",
)
"""What ``chaindp_workloads`` registers."""
