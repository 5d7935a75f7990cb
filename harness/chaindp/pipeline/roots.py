"""What a pass led to, in a form that two passes can be compared by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chaindp.chain.codec.receipts import encode_receipts, logs_bloom
from chaindp.chain.trie import ordered_root
from chaindp.chain.types import Ragged, Receipts
from chaindp.kernels.kernelset import KernelSet
from chaindp.pipeline.passes import PassResult

__all__ = ["Roots", "roots_of", "run_receipts_root"]


@dataclass(frozen=True, slots=True)
class Roots:
    """What a pass led to. Every level must lead to the same."""

    state_root: bytes
    block_hashes: tuple[bytes, ...]
    proof_roots: tuple[bytes, ...]
    proofs: tuple[bytes, ...]
    gas_used: int
    transactions: int
    refused: int


def roots_of(result: PassResult) -> Roots:
    """What a pass led to."""
    return Roots(
        state_root=result.blocks[-1].state_root,
        block_hashes=tuple(block.block_hash for block in result.blocks),
        proof_roots=tuple(block.proof_root for block in result.blocks),
        proofs=tuple(block.proofs.digest for block in result.blocks),
        gas_used=sum(block.gas_used for block in result.blocks),
        transactions=result.transactions,
        refused=sum(block.refused for block in result.blocks),
    )


def run_receipts_root(receipts: Sequence[Receipts], kernels: KernelSet) -> bytes:
    """The root over all receipts of a run as if they were one block's: gas accumulates over the whole run.

    A block's own receipts root depends on where blocks are cut; this one does not, so it compares across block sizes.
    """
    gas = np.concatenate([part.gas_used for part in receipts])
    starts = np.cumsum([0] + [part.count for part in receipts])
    data = [part.log_data for part in receipts]
    sizes = np.cumsum([0] + [int(part.offsets[-1]) for part in data])
    whole = Receipts(
        type=np.concatenate([part.type for part in receipts]),
        status=np.concatenate([part.status for part in receipts]),
        gas_used=gas,
        cumulative_gas=np.cumsum(gas, dtype=np.uint64),
        log_tx=np.concatenate([part.log_tx + start for part, start in zip(receipts, starts, strict=False)]),
        log_address=np.concatenate([part.log_address for part in receipts]),
        log_topic_count=np.concatenate([part.log_topic_count for part in receipts]),
        log_topics=np.concatenate([part.log_topics for part in receipts]),
        log_data=Ragged(
            np.concatenate([part.data[: part.offsets[-1]] for part in data]),
            np.concatenate([np.zeros(1, np.int64)] + [p.offsets[1:] + s for p, s in zip(data, sizes, strict=False)]),
        ),
    )
    return ordered_root(encode_receipts(whole, logs_bloom(whole, kernels)), kernels)
