"""Real Ethereum blocks and the official trie and RLP tests, held against this chain's own codec, trie and kernels."""

from chaindp.chain.verify.block import BlockReport, Check, check_block, verify_block, verify_blocks
from chaindp.chain.verify.result import VerifyResult
from chaindp.chain.verify.rlptest import verify_rlptest
from chaindp.chain.verify.trietest import verify_trietest

__all__ = [
    "BlockReport",
    "Check",
    "VerifyResult",
    "check_block",
    "verify_block",
    "verify_blocks",
    "verify_rlptest",
    "verify_trietest",
]
