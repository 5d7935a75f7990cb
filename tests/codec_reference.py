"""Doubles and references for the codec tests: kernels from pycryptodome and coincurve, tries from ``trie``, RLP from
``rlp``.
"""

from __future__ import annotations

from typing import Any

import coincurve
import numpy as np
import rlp
from Crypto.Hash import keccak
from trie import HexaryTrie

from chaindp.backend import Backend, BackendOptions
from chaindp.chain.types import Ragged
from chaindp.kernels.kernelset import KernelSet

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def keccak256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


class ReferenceBackend(Backend):
    """Two kernels, one item at a time, by well-known libraries; ``KernelSet`` composes the trie's from them."""

    def keccak256(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        digests = [keccak256(item) for item in Ragged(data, offsets).items()]
        return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 32)

    def ecrecover(self, digests: np.ndarray, signatures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        addresses = np.zeros((len(digests), 20), dtype=np.uint8)
        ok = np.zeros(len(digests), dtype=bool)
        for i, (digest, signature) in enumerate(zip(digests, signatures, strict=True)):
            try:
                key = coincurve.PublicKey.from_signature_and_message(signature.tobytes(), digest.tobytes(), hasher=None)
            except Exception:
                continue
            addresses[i] = np.frombuffer(keccak256(key.format(compressed=False)[1:])[12:], dtype=np.uint8)
            ok[i] = True
        return addresses, ok


def reference_kernels() -> KernelSet:
    return KernelSet(ReferenceBackend("reference", BackendOptions()), frozenset({"keccak256", "ecrecover"}))


def ordered_root(items: list[bytes]) -> bytes:
    tree = HexaryTrie({})
    for index, item in enumerate(items):
        tree[rlp.encode(index)] = item
    return tree.root_hash


def sign(digest: bytes, secret: bytes) -> bytes:
    """r || s || y parity, low s."""
    return coincurve.PrivateKey(secret).sign_recoverable(digest, hasher=None)


def address_of(secret: bytes) -> bytes:
    return keccak256(coincurve.PrivateKey(secret).public_key.format(compressed=False)[1:])[12:]


def minimal(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def transaction(kind: int, signature: bytes | None, fields: dict[str, Any]) -> bytes:
    """An envelope, or with no signature what is signed, built with the ``rlp`` package from a plain dictionary."""
    body: list[Any] = [] if kind == 0 else [minimal(fields["chain_id"])]
    body.append(minimal(fields["nonce"]))
    if kind >= 2:
        body.append(minimal(fields["max_priority_fee"]))
    body += [
        minimal(fields["max_fee"]),
        minimal(fields["gas_limit"]),
        fields["to"],
        minimal(fields["value"]),
        fields["data"],
    ]
    if kind > 0:
        body.append(fields["access_list"])
    if kind == 3:
        body += [minimal(fields["blob_fee"]), fields["blob_hashes"]]
    if kind == 4:
        body.append(fields["authorizations"])
    chain_id = fields["chain_id"]
    if signature is not None:
        parity = signature[64]
        v = parity if kind else (35 + 2 * chain_id + parity if chain_id else 27 + parity)
        body += [
            minimal(v),
            minimal(int.from_bytes(signature[:32], "big")),
            minimal(int.from_bytes(signature[32:64], "big")),
        ]
    elif kind == 0 and chain_id:
        body += [minimal(chain_id), b"", b""]
    return (bytes([kind]) if kind else b"") + rlp.encode(body)
