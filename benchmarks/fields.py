"""The field kernels of the CPU backend beside Plonky3 and galois, on one thread, in turn: A B, B A, A B...

Run from the repository's root: ``python benchmarks/fields.py [--rounds 21] [--no-fetch] [--json]``.

Timed is a call of the backend's kernel: the check of its arguments and fresh memory for the result included. Plonky3
(fetched and built by cargo, ``--no-fetch`` leaves it out) works in place, on elements in Montgomery form and in its
own layout: states in packed vectors, and polynomials as the columns of a matrix. galois transforms one
polynomial at a time; where it is not installed, its row says so. For each peer the median, and the ratio of both sides
within a round: its median and the half of all rounds around it. The exit status is 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent))

from peers import PeerMissing, plonky3  # noqa: E402

from chaindp.backend import BackendOptions  # noqa: E402
from chaindp.kernels.fields import FIELDS, random_elements  # noqa: E402
from chaindp_cpu import chaindp_backends  # noqa: E402

STATES, COLUMNS, LOG2 = 1 << 14, 64, 16


@dataclass
class Pair:
    """Ours and a peer's: nanoseconds a unit of work. ``most``: what ours may take, as a share of the peer's."""

    kernel: str
    peer: str
    ours: Callable[[], object]
    theirs: Callable[[], object]
    our_units: int
    their_units: int
    most: float


def aligned(values: np.ndarray) -> np.ndarray:
    """The values in memory that begins with a line of the cache."""
    room = np.empty(values.size + 16, dtype=np.uint32)
    skip = -(room.ctypes.data // 4) % 16
    room[skip : skip + values.size] = values.reshape(-1)
    return room[skip : skip + values.size]


def plonky3_pairs(build: Path) -> list[Pair]:
    """Both permutations, and the transform of 64 polynomials."""
    library, backend, rng = plonky3(build), chaindp_backends()[0].factory(BackendOptions()), np.random.default_rng(1)
    pairs = []
    for name, field in FIELDS.items():
        states = random_elements(rng, (STATES, 16), field)
        packed, permute = aligned(states), getattr(library, f"permute_{name}")
        groups = STATES // library.lanes()
        pairs.append(
            Pair(
                f"poseidon2 {name}",
                "plonky3",
                lambda states=states, name=name: backend.kernel("poseidon2")(states, name),
                lambda permute=permute, packed=packed, groups=groups: permute(packed.ctypes.data, groups),
                STATES,
                STATES,
                1.2,
            )
        )
    values = random_elements(rng, (COLUMNS, 1 << LOG2), FIELDS["babybear"])
    matrix, dft = aligned(values), library.new_dft()
    pairs.append(
        Pair(
            "ntt babybear",
            "plonky3",
            lambda: backend.kernel("ntt")(values),
            lambda: library.dft_babybear(dft, matrix.ctypes.data, 1 << LOG2, COLUMNS),
            values.size,
            values.size,
            1.2,
        )
    )
    return pairs


def galois_pair() -> Pair:
    """One polynomial there, 64 here. Its root of unity is another one, so the same values come in another order."""
    if importlib.util.find_spec("galois") is None:
        raise PeerMissing("galois is not installed")
    import galois

    field = FIELDS["babybear"]
    backend = chaindp_backends()[0].factory(BackendOptions())
    values = random_elements(np.random.default_rng(2), (COLUMNS, 1 << LOG2), field)
    row = galois.GF(field.prime)(values[0])
    theirs = np.asarray(galois.ntt(row)).astype(np.uint32)
    if not np.array_equal(np.sort(theirs), np.sort(backend.kernel("ntt")(values)[0])):
        raise SystemExit("galois finds other values")
    size = 1 << LOG2
    call = lambda: backend.kernel("ntt")(values)  # noqa: E731
    return Pair("ntt babybear", "galois", call, lambda: galois.ntt(row), values.size, size, 1 / 20)


def measured(pair: Pair, rounds: int) -> dict[str, object]:
    """Both sides ``rounds`` times, in turn."""
    sides = ((pair.ours, pair.our_units), (pair.theirs, pair.their_units))
    for call, _ in sides:
        call()
    times: list[list[float]] = [[], []]
    for number in range(rounds):
        for side in (0, 1) if number % 2 else (1, 0):
            call, units = sides[side]
            began = time.perf_counter_ns()
            call()
            times[side].append((time.perf_counter_ns() - began) / units)
    ratios = sorted(ours / theirs for ours, theirs in zip(*times, strict=True))
    low, ratio, high = statistics.quantiles(ratios, n=4)
    return {
        "kernel": pair.kernel,
        "peer": pair.peer,
        "ours_ns": statistics.median(times[0]),
        "ours_least_ns": min(times[0]),
        "theirs_ns": statistics.median(times[1]),
        "theirs_least_ns": min(times[1]),
        "ratio": ratio,
        "low": low,
        "high": high,
        "target": pair.most,
        "met": ratio <= pair.most,
    }


def main() -> int:
    """Print a row a pair: nanoseconds a permutation or an element."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=21, help="calls of each side")
    parser.add_argument("--no-fetch", action="store_true", help="leave out Plonky3, which has to be fetched and built")
    parser.add_argument("--build", type=Path, default=ROOT / "results" / "runs" / "peers", help="where it is built")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    makers: list[Callable[[], list[Pair]]] = [lambda: [galois_pair()]]
    if not options.no_fetch:
        makers.insert(0, lambda: plonky3_pairs(options.build.resolve()))
    for make in makers:
        try:
            rows += [measured(pair, options.rounds) for pair in make()]
        except PeerMissing as missing:
            print(f"left out: {missing}", file=sys.stderr)
    holds = all(bool(row["met"]) for row in rows)
    if options.json:
        print(json.dumps({"rows": rows, "load": os.getloadavg(), "holds": holds}))
        return 0 if holds else 1
    for row in rows:
        print(
            f"{row['kernel']:>20}: {row['ours_ns']:8.2f} ns (least {row['ours_least_ns']:.2f}), {row['peer']} "
            f"{row['theirs_ns']:.2f} (least {row['theirs_least_ns']:.2f}), ratio {row['ratio']:.3f} "
            f"[{row['low']:.3f}, {row['high']:.3f}], target {row['target']:g}: {'met' if row['met'] else 'MISSED'}"
        )
    print(f"load {os.getloadavg()[0]:.1f}")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
