"""The STARK prover beside Plonky3's, in turn: A B, B A, A B... And on two threads beside itself on one.

Run from the repository's root: ``python benchmarks/stark.py [--rounds 7] [--log-permutations 17]
[--keccak-permutations 341] [--no-fetch] [--json]``.

Both prove the same Poseidon2 permutations over KoalaBear, eight a row, with Keccak Merkle trees, blowup 2, 100 queries
and 16 bits of work, and then Keccak-f permutations. Timed is a proof from a table that is there, on one thread, and its
verification. Plonky3 (fetched and built by cargo, ``--no-fetch`` leaves it out) folds FRI by two down to a constant, as
its own benchmarks do, and its proof is measured as postcard encodes it; ours folds by four down to eight coefficients.

Printed are medians, and of the ratios within a round the median and the half of all rounds around it: on the wall
clock, and in CPU time, which other work on the machine disturbs less. Security is conjectured: Plonky3 counts queries
and work alone, we bound it by the field of the challenges, which is the same one. The exit status is 1 where a target
is missed.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent))

from peers import PeerMissing, plonky3  # noqa: E402

from chaindp.backend import BackendOptions  # noqa: E402
from chaindp.chain.airs import instances  # noqa: E402
from chaindp.chain.airs.catalogue import air_named  # noqa: E402
from chaindp.chain.proof.parameters import Parameters, security  # noqa: E402
from chaindp.chain.proof.prover import prove  # noqa: E402
from chaindp.chain.verify.hashing import hash_rows  # noqa: E402
from chaindp.chain.verify.stark import verify  # noqa: E402
from chaindp.kernels.kernelset import KernelSet  # noqa: E402
from chaindp_cpu import chaindp_backends  # noqa: E402

FIELD, LANES = "koalabear", 8
LEAST_RATE, MOST_SHARE_OF_BYTES, MOST_VERIFY_S, LEAST_SPEED_UP = 0.7, 1.0, 0.1, 1.7


def kernels_on(threads: int) -> KernelSet:
    """Those of the CPU backend."""
    spec = chaindp_backends()[0]
    backend = spec.factory(BackendOptions(threads=threads))
    return KernelSet(backend, frozenset(spec.capabilities))


class Ours:
    """Our proofs of a table."""

    def __init__(self, instance: instances.Instance, threads: int) -> None:
        self.instance, self.threads, self.kernels = instance, threads, kernels_on(threads)
        self.parameters, self.proof = Parameters(), b""

    def ready(self) -> None:
        """There is nothing to be made anew."""
        self.kernels.take_calls()

    def prove(self) -> None:
        """One proof."""
        air, public = self.instance.air, self.instance.public
        self.proof = prove(
            air, self.instance.table, public, self.kernels, self.parameters, threads=self.threads
        ).content

    def verify(self) -> bool:
        """InvalidProofError where it does not hold."""
        verify(self.proof, air_named, hash_rows(self.kernels))
        return True

    def facts(self) -> dict[str, int]:
        """What the proof is like."""
        rows, columns = self.instance.table.shape[1], self.instance.air.columns
        bits = security(self.parameters, self.instance.air.field, rows.bit_length() - 1, columns).conjectured
        blowup = 1 << self.parameters.log_blowup
        return _facts(bits, blowup, self.parameters.queries, len(self.proof))


class Theirs:
    """Plonky3's: a table can be proven once, so that it is made for each proof."""

    def __init__(self, library: ctypes.CDLL, make: Callable[[], int]) -> None:
        self.library, self.make, self.task = library, make, 0

    def ready(self) -> None:
        """Make the table."""
        if self.task:
            self.library.stark_free(self.task)
        self.task = self.make()

    def prove(self) -> None:
        """One proof."""
        self.library.stark_prove(self.task)

    def verify(self) -> bool:
        """Whether it holds."""
        return bool(self.library.stark_verify(self.task))

    def facts(self) -> dict[str, int]:
        """What the proof is like."""
        said = [self.library.stark_parameter(self.task, number) for number in range(3)]
        return _facts(*said, self.library.stark_bytes(self.task))


def _facts(bits: int, blowup: int, queries: int, size: int) -> dict[str, int]:
    return {"security_bits": bits, "blowup": blowup, "queries": queries, "bytes": size}


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the wall clock and of CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def in_turn(sides: tuple[Ours | Theirs, Ours | Theirs], rounds: int) -> dict[str, Any]:
    """Both prove and verify ``rounds`` times, after one round that is not timed."""
    proofs: list[list[tuple[float, float]]] = [[], []]
    checks: list[list[tuple[float, float]]] = [[], []]
    for number in range(-1, rounds):
        for place in (0, 1) if number % 2 else (1, 0):
            side = sides[place]
            side.ready()
            took = timed(side.prove)
            if not side.verify():
                raise SystemExit("a proof does not hold")
            if number >= 0:
                proofs[place].append(took)
                checks[place].append(timed(side.verify))
    found: dict[str, Any] = {}
    for name, side, times, verified in zip(("first", "second"), sides, proofs, checks, strict=True):
        (wall, cpu), (verify_wall, verify_cpu) = zip(*times, strict=True), zip(*verified, strict=True)
        found[name] = {"seconds": statistics.median(wall), "least_seconds": min(wall)}
        found[name] |= {"cpu_seconds": statistics.median(cpu), "verify_seconds": statistics.median(verify_wall)}
        found[name]["verify_cpu_seconds"] = statistics.median(verify_cpu)
        found[name] |= side.facts()
    for clock, name in enumerate(("ratio", "cpu_ratio")):
        # How many times as fast the first one is.
        ratios = [second[clock] / first[clock] for first, second in zip(*proofs, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive") if rounds > 1 else 3 * ratios
        found[name] = {"median": middle, "low": low, "high": high}
    return found


def beside_plonky3(name: str, units: int, ours: Ours, theirs: Theirs, rounds: int) -> dict[str, Any]:
    """One table by both."""
    row = {"what": name, "units": units, "sides": ["chaindp", "plonky3"], **in_turn((ours, theirs), rounds)}
    row["targets"] = {f"at least {LEAST_RATE} of Plonky3's rate": row["ratio"]["median"] >= LEAST_RATE}
    return row


def poseidon2_row(library: ctypes.CDLL, log_permutations: int, rounds: int) -> dict[str, Any]:
    """Permutations of the same states."""
    count = 1 << log_permutations
    ours = Ours(instances.poseidon2(FIELD, count, LANES, 1), 1)
    columns = ours.instance.table.reshape(LANES, -1, count // LANES)[:, :16]
    states = np.ascontiguousarray(columns.transpose(2, 0, 1))
    theirs = Theirs(library, lambda: int(library.stark_poseidon2(states.ctypes.data, count)))
    row = beside_plonky3("poseidon2 koalabear", count, ours, theirs, rounds)
    row["targets"] |= {
        "a proof no larger": row["first"]["bytes"] <= MOST_SHARE_OF_BYTES * row["second"]["bytes"],
        f"verified in {MOST_VERIFY_S} s": row["first"]["verify_seconds"] <= MOST_VERIFY_S,
    }
    return row


def keccak_row(library: ctypes.CDLL, permutations: int, rounds: int) -> dict[str, Any]:
    """Random permutations, a row a round."""
    ours = Ours(instances.keccak(FIELD, permutations, 1, 1), 1)
    theirs = Theirs(library, lambda: int(library.stark_keccak(permutations)))
    return beside_plonky3("keccak-f koalabear", permutations, ours, theirs, rounds)


def threads_row(log_permutations: int, rounds: int) -> dict[str, Any]:
    """Two threads beside one."""
    count = 1 << log_permutations
    instance = instances.poseidon2(FIELD, count, LANES, 1)
    sides = Ours(instance, 2), Ours(instance, 1)
    row = {"what": "poseidon2 koalabear", "units": count, "sides": ["two threads", "one thread"]}
    row |= in_turn(sides, rounds)
    row["targets"] = {f"{LEAST_SPEED_UP} times as fast on two cores": row["ratio"]["median"] >= LEAST_SPEED_UP}
    return row


def _print(row: dict[str, Any]) -> None:
    print(f"{row['what']}, {row['units']:,} permutations:")
    for name, key in zip(row["sides"], ("first", "second"), strict=True):
        side = row[key]
        print(
            f"  {name:>12}: {side['seconds']:.3f} s (least {side['least_seconds']:.3f}, CPU {side['cpu_seconds']:.3f}),"
            f" {row['units'] / side['seconds']:,.0f}/s; {side['bytes']:,} bytes, verified in "
            f"{1e3 * side['verify_seconds']:.1f} ms (CPU {1e3 * side['verify_cpu_seconds']:.1f}); "
            f"{side['security_bits']} bits, blowup {side['blowup']}, "
            f"{side['queries']} queries"
        )
    for name, key in (("rate", "ratio"), ("rate in CPU time", "cpu_ratio")):
        ratio = row[key]
        print(f"  {name}: {ratio['median']:.3f} times [{ratio['low']:.3f}, {ratio['high']:.3f}]")
    for target, met in row["targets"].items():
        print(f"  {target}: {'met' if met else 'MISSED'}")


def main() -> int:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="proofs of each side")
    parser.add_argument("--log-permutations", type=int, default=17, help="log2 of the Poseidon2 permutations")
    parser.add_argument("--keccak-permutations", type=int, default=341, help="24 rows each; 0 leaves them out")
    parser.add_argument("--no-threads", action="store_true", help="leave out two threads beside one")
    parser.add_argument("--no-fetch", action="store_true", help="leave out Plonky3, which has to be fetched and built")
    parser.add_argument("--build", type=Path, default=ROOT / "results" / "runs" / "peers", help="where it is built")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    parts: list[Callable[[], dict[str, Any]]] = []
    if not options.no_fetch:
        build = options.build.resolve()
        parts.append(lambda: poseidon2_row(plonky3(build), options.log_permutations, options.rounds))
        if options.keccak_permutations:
            parts.append(lambda: keccak_row(plonky3(build), options.keccak_permutations, options.rounds))
    if not options.no_threads:
        parts.append(lambda: threads_row(options.log_permutations, options.rounds))
    for part in parts:
        try:
            rows.append(part())
        except PeerMissing as missing:
            print(f"left out: {missing}", file=sys.stderr)
            continue
        if not options.json:
            _print(rows[-1])
    holds = all(all(row["targets"].values()) for row in rows)
    if options.json:
        print(json.dumps({"rows": rows, "load": os.getloadavg(), "holds": holds}))
    else:
        print(f"load {os.getloadavg()[0]:.1f}")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
