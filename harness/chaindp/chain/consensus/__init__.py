"""Consensus: at which instant of the simulated network clock each block is ordered."""

from chaindp.chain.consensus.fixed_slot import FixedSlotParams, OrderedBlocks, order_in_fixed_slots

__all__ = ["FixedSlotParams", "OrderedBlocks", "order_in_fixed_slots"]
