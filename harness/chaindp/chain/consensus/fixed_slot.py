"""DP0's consensus: one proposer a slot, slots of fixed length, two rounds of votes (PBFT's prepare and commit).

Block k is proposed by validator k mod n at the start of slot k. A validator that holds the proposal sends its prepare
vote to all; one that holds 2f + 1 prepares sends its commit vote; one that holds 2f + 1 commits has the block ordered.
Validators do not wait for a block before the next slot begins, so slots overlap and only the proposer's uplink, the
latencies and the slot length set the pace (Castro and Liskov, "Practical Byzantine Fault Tolerance", OSDI 1999).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chaindp.chain.network import Network, NetworkParams
from chaindp.errors import UsageError

__all__ = ["VOTE_BYTES", "FixedSlotParams", "OrderedBlocks", "order_in_fixed_slots"]

# Block number, phase, block digest, validator index, 96-byte BLS signature.
VOTE_BYTES = 8 + 1 + 32 + 2 + 96

MAX_SLOT_S = 60.0

_PREPARE, _COMMIT = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedSlotParams:
    """Slot length in seconds, up to a minute. A slot carries one block, which bounds throughput."""

    slot_s: float = 0.02

    def __post_init__(self) -> None:
        if not 0 < self.slot_s <= MAX_SLOT_S:
            raise UsageError(f"a slot of {self.slot_s} s: it must be above 0 and at most {MAX_SLOT_S:g} s long")


@dataclass(frozen=True, slots=True)
class OrderedBlocks:
    """Instants on the network's virtual clock, in seconds, float64[blocks] each, as validator 0 sees them.

    ``proposed``: the start of the block's slot. ``ordered``: 2f + 1 commits are in, for every earlier block too.
    """

    proposed: np.ndarray
    ordered: np.ndarray
    messages: int
    bytes_sent: int


class _Replica:
    """One validator's votes, block by block."""

    def __init__(self, blocks: int) -> None:
        self.has_proposal = [False] * blocks
        self.votes = [[0, 0] for _ in range(blocks)]
        self.sent_commit = [False] * blocks
        self.ordered_at = [float("inf")] * blocks


def order_in_fixed_slots(
    block_bytes: Sequence[int], network_params: NetworkParams, params: FixedSlotParams, seed: int = 0
) -> OrderedBlocks:
    """Run the protocol for blocks of the given sizes (bytes on the wire) until all are ordered everywhere."""
    network = Network(network_params, seed)
    n = network_params.validators
    faults = (n - 1) // 3
    quorum = (n + faults) // 2 + 1  # any two quorums share an honest validator; 2f + 1 where n = 3f + 1
    replicas = [_Replica(len(block_bytes)) for _ in range(n)]
    sent = {"messages": 0, "bytes": 0}

    def send(sender: int, size: int, deliver: object, *args: object) -> None:
        sent["messages"] += n - 1
        sent["bytes"] += size * (n - 1)
        network.broadcast(sender, size, deliver, *args)  # type: ignore[arg-type]

    def propose(block: int) -> None:
        send(block % n, int(block_bytes[block]), receive_proposal, block)

    def receive_proposal(receiver: int, block: int) -> None:
        replicas[receiver].has_proposal[block] = True
        send(receiver, VOTE_BYTES, receive_vote, block, _PREPARE)
        advance(receiver, block)

    def receive_vote(receiver: int, block: int, phase: int) -> None:
        replicas[receiver].votes[block][phase] += 1
        advance(receiver, block)

    def advance(validator: int, block: int) -> None:
        replica = replicas[validator]
        prepares, commits = replica.votes[block]
        if replica.has_proposal[block] and prepares >= quorum and not replica.sent_commit[block]:
            replica.sent_commit[block] = True
            send(validator, VOTE_BYTES, receive_vote, block, _COMMIT)
        if replica.sent_commit[block] and commits >= quorum:
            replica.ordered_at[block] = min(replica.ordered_at[block], network.now)

    for block in range(len(block_bytes)):
        network.at(block * params.slot_s, propose, block)
    network.run()
    return OrderedBlocks(
        proposed=np.arange(len(block_bytes)) * params.slot_s,
        ordered=np.maximum.accumulate(np.array(replicas[0].ordered_at)),
        messages=sent["messages"],
        bytes_sent=sent["bytes"],
    )
