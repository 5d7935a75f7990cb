"""How large everything in a proof is: what follows from an AIR, a number of rows and the parameters."""

from __future__ import annotations

from dataclasses import dataclass

from chaindp.chain.proof.parameters import Parameters
from chaindp.errors import UsageError
from chaindp.kernels.fields import FIELDS

__all__ = ["OPENED_AT", "Shape", "shape_of"]

OPENED_AT = 2
"""Points out of the domain that the columns of the table are opened at: one, and that of the next row."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Lengths, all powers of two but ``chunk`` and ``masked``.

    rows:       of the table
    masked:     random coefficients that a hiding proof adds to every column; 0 otherwise
    bound:      coefficients of every polynomial that is committed to, at most
    domain:     places that it is committed at
    quotient:   places that the quotient is computed at
    chunk:      coefficients of the quotient in each of its ``chunks``
    folds:      log2 of how many points each round of FRI makes one of
    final:      coefficients of the polynomial that is sent at last
    """

    rows: int
    masked: int
    bound: int
    domain: int
    quotient: int
    chunk: int
    chunks: int
    folds: tuple[int, ...]
    final: int


def _power_of_two(value: int) -> int:
    return 1 << max(0, value - 1).bit_length()


def shape_of(field: str, degree: int, rows: int, parameters: Parameters) -> Shape:
    """The shape of a proof; UsageError where the parameters do not suit the AIR or the table."""
    if rows < 2 or rows & (rows - 1):
        raise UsageError(f"a table of {rows} rows: it takes a power of two of them, 2 at least")
    hiding = parameters.hiding
    # A column is seen at each query, and at two points of an extension of degree 4. At a query the quotient is seen as
    # well, which follows from the columns there and at the next row's place: those must tell nothing either.
    masked = 2 * parameters.queries + 4 * OPENED_AT if hiding else 0
    bound = 2 * rows if hiding else rows
    if hiding and 2 * masked > rows:
        raise UsageError(
            f"a table of {rows} rows hides nothing from {parameters.queries} queries: prove more, in {2 * masked} rows "
            "or more, or take fewer queries and a larger blowup"
        )
    domain = bound << parameters.log_blowup
    if domain > 1 << FIELDS[field].two_adicity:
        raise UsageError(f"a table of {rows} rows is too long for a proof over {field}")
    quotient_bound = max(1, degree * (rows + masked - 1) + 2 - rows)
    chunk = bound - masked
    chunks = max(2 if hiding else 1, -(-quotient_bound // chunk))
    quotient = max(rows, _power_of_two(quotient_bound))
    if quotient > domain:
        raise UsageError(f"constraints of degree {degree} need a blowup of {quotient // bound}: raise log_blowup")
    log_left = bound.bit_length() - 1
    folds = []
    while log_left > parameters.log_final:
        folds.append(min(parameters.log_folding, log_left - parameters.log_final))
        log_left -= folds[-1]
    return Shape(rows, masked, bound, domain, quotient, chunk, chunks, tuple(folds), 1 << log_left)
