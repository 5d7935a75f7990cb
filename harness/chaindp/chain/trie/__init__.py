"""The hexary Merkle Patricia trie of Ethereum, in columns: batches in, one level-batched hashing pass out."""

from chaindp.chain.trie.forest import EMPTY_ROOT, Fetch, Forest, NodeBatch, Trie
from chaindp.chain.trie.openings import TrieProofs
from chaindp.chain.trie.ordered import ordered_root

__all__ = ["EMPTY_ROOT", "Fetch", "Forest", "NodeBatch", "Trie", "TrieProofs", "ordered_root"]
