"""A proof as bytes, little end first: what the prover writes. The verifier has a reader of its own.

- magic "CDPSTARK" and version 1
- blowup, folding and final (logarithms), hash, hiding, grinding: a byte each; queries: two bytes
- log2 of the rows: a byte; the name of the AIR: a byte of length, and ASCII
- public values: two bytes of count, four bytes each
- two roots: of the table, and of the quotient
- values out of the domain, 16 bytes each: of the table's columns at z and at the next row's point, and of the
  quotient's at z
- FRI: a root a round; the final coefficients, 16 bytes each; the nonce of the work, eight bytes
- openings of table, quotient, and each round: the rows at the places, in order, with their salt; then the digests
  beside them that the verifier does not know, level by level from the leaves, in order

Every length follows from the head and the AIR, so that equal statements have proofs of one encoding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chaindp.chain.airs import Air
from chaindp.chain.proof.parameters import HASHES, Parameters

__all__ = ["MAGIC", "SALT_BYTES", "element_bytes", "head"]

MAGIC = b"CDPSTARK\x01"
SALT_BYTES = 16


def head(air: Air, parameters: Parameters, log_rows: int, public: Sequence[int]) -> bytes:
    """Everything that states what is proven, and how."""
    name = air.name.encode("ascii")
    numbers = (
        *(parameters.log_blowup, parameters.log_folding, parameters.log_final),
        *(HASHES.index(parameters.hash_name), int(parameters.hiding), parameters.grinding),
    )
    return b"".join(
        (
            MAGIC,
            bytes(numbers),
            parameters.queries.to_bytes(2, "little"),
            bytes((log_rows, len(name))),
            name,
            len(public).to_bytes(2, "little"),
            element_bytes(np.array(public, dtype=np.uint32)),
        )
    )


def element_bytes(values: np.ndarray) -> bytes:
    """Elements of the field, four bytes each."""
    return np.ascontiguousarray(values).astype("<u4").tobytes()
