"""What the time of a proof is made of, by the calls of kernels in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chaindp.kernels.kernelset import KernelCall

__all__ = ["PARTS", "PART_OF", "parts_of"]

PART_OF: Mapping[str, str] = {
    **dict.fromkeys(("lde", "ntt", "intt"), "ntt"),
    **dict.fromkeys(("keccak256", "sha256", "poseidon2", "merkle_tree"), "hashing"),
    "fri_fold": "fri",
}
"""The part that each kernel is of which the prover calls."""

PARTS = ("trace", "ntt", "hashing", "fri", "transfer", "host")
"""Making the tables; what the kernels compute, of three kinds; transfers to and from them; and all else, which the
prover does on the host. They add up to the whole, but on a simulated device, whose times are not the wall clock's.
"""


def parts_of(calls: Iterable[KernelCall], trace_ns: int, prove_ns: int) -> dict[str, int]:
    """Nanoseconds of each of ``PARTS``.

    calls:    of the kernels while the proofs were made
    trace_ns: of making the tables
    prove_ns: of making the proofs, on the wall clock
    """
    parts = dict.fromkeys(PARTS, 0) | {"trace": trace_ns}
    wall = 0
    for call in calls:
        compute, transfer = call.compute_ns, call.transfer_ns
        if call.simulated is not None:
            compute, transfer = round(call.simulated.compute_ns), round(call.simulated.transfer_ns)
        parts[PART_OF[call.kernel]] += compute
        parts["transfer"] += transfer
        wall += call.wall_ns
    parts["host"] = max(0, prove_ns - wall)
    return parts
