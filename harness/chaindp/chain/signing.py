"""Keys and signatures for generated transactions: deterministic, low s, with libsecp256k1 through ``coincurve``."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass

import numpy as np
from coincurve import PrivateKey

from chaindp.chain.codec.transactions import SECP256K1_ORDER, assemble, signing_hashes, unsigned_batch
from chaindp.chain.types import Ragged, TransactionBatch
from chaindp.errors import UsageError
from chaindp.kernels.kernelset import KernelSet

__all__ = ["Keys", "derive_keys", "sign_transactions", "unsigned_batch"]


@dataclass(frozen=True, slots=True)
class Keys:
    """K private keys and the addresses of their accounts, uint8[K,20]."""

    private: tuple[PrivateKey, ...]
    address: np.ndarray


_derived: dict[int, Keys] = {}
_lock = threading.Lock()


def _secret(seed: int, index: int) -> bytes:
    digest = hashlib.sha256(f"chaindp key {seed} {index}".encode()).digest()
    # In [1, n): the bias of the remainder, 2**-128, does not matter for keys that guard nothing.
    return (int.from_bytes(digest, "big") % (SECP256K1_ORDER - 1) + 1).to_bytes(32, "big")


def derive_keys(seed: int, count: int, kernels: KernelSet) -> Keys:
    """The first ``count`` secp256k1 keys of ``seed``, with their addresses (Yellow Paper, appendix F).

    The same on every machine, kept for the life of the process (about 25 us a key the first time). Test keys: anyone
    can derive them. UsageError where ``count`` is negative.
    """
    if count < 0:
        raise UsageError(f"cannot derive {count} keys")
    with _lock:
        keys = _derived.get(seed)
        have = len(keys.private) if keys else 0
        if keys is None or have < count:
            fresh = [PrivateKey(_secret(seed, index)) for index in range(have, count)]
            points = Ragged.from_items([key.public_key.format(compressed=False)[1:] for key in fresh])
            address = kernels.keccak256(points.data, points.offsets)[:, 12:]
            if keys is not None:
                fresh, address = [*keys.private, *fresh], np.concatenate([keys.address, address])
            keys = _derived[seed] = Keys(tuple(fresh), np.ascontiguousarray(address))
    return Keys(keys.private[:count], keys.address[:count])


def sign_transactions(batch: TransactionBatch, keys: Keys, signer: np.ndarray, kernels: KernelSet) -> Ragged:
    """Sign N transactions, row i with key ``signer[i]`` (int64[N]), and return their EIP-2718 envelopes.

    Nonces of the signatures are RFC 6979, so the same columns give the same bytes; s is low (EIP-2).
    UsageError where ``signer`` does not have a key for each row.
    """
    private = keys.private
    if len(signer) != batch.count or (batch.count and not 0 <= int(signer.min()) <= int(signer.max()) < len(private)):
        raise UsageError(f"{batch.count} transactions need as many signers out of {len(private)} keys")
    digests = signing_hashes(batch, kernels).tobytes()
    signatures = b"".join(
        [
            private[key].sign_recoverable(digests[32 * row : 32 * row + 32], hasher=None)
            for row, key in enumerate(signer.tolist())
        ]
    )
    return assemble(batch, np.frombuffer(signatures, dtype=np.uint8).reshape(-1, 65))
