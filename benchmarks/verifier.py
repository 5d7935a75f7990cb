"""What the STARK verifier takes at most: time and memory for the largest proofs that it reads, right and wrong ones.

Run from the repository's root: ``python benchmarks/verifier.py [--rounds 3] [--json]``.

The proofs are as large as a head may ask for in one direction each: the most columns of an AIR that there is, and the
most of Poseidon2 permutations, with trees of Poseidon2, with as many queries as 16 MiB have room for; the most queries
on a long domain, folded by two, by sixteen, and with trees of Poseidon2; and one that hides. Each is verified as it is,
and with its end changed, cut off and extended, so that it is refused as late as can be; by itself in a process of its
own, with kernels on one thread. Memory is what the process has at its peak above what it had after it verified a small
proof. The exit status is 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from chaindp.backend import BackendOptions
from chaindp.chain.airs import Air, Constraints, instances
from chaindp.chain.airs.air import T
from chaindp.chain.airs.catalogue import air_named
from chaindp.chain.proof.parameters import Parameters
from chaindp.chain.proof.prover import prove
from chaindp.chain.verify.hashing import hash_rows
from chaindp.chain.verify.stark import MOST_BYTES, InvalidProofError, verify
from chaindp.kernels.kernelset import KernelSet
from chaindp_cpu import chaindp_backends

MOST_SECONDS, MOST_MIB = 1.0, 200
MOST_QUERIES = 1024


class Counter(Air):
    """One column that counts: so narrow that a table can be long."""

    name, field, width, degree = "counter babybear 1", "babybear", 1, 2

    def constraints(self, c: Constraints[T]) -> None:
        """From 0, by one."""
        c.first(c.local[0])
        c.transition(c.next[0] - c.local[0] - 1)


def named(name: str) -> Air | None:
    """The AIRs that there are, and this one."""
    return Counter() if name == Counter.name else air_named(name)


def kernels() -> KernelSet:
    """Those of the CPU backend, on one thread."""
    spec = chaindp_backends()[0]
    return KernelSet(spec.factory(BackendOptions(threads=1)), frozenset(spec.capabilities))


def largest(log_rows: int) -> Iterator[tuple[str, bytes]]:
    """A name and a proof each."""
    own = kernels()
    for wide, hash_name in (
        (instances.keccak("babybear", 510, 3, 1), "keccak256"),
        (instances.poseidon2("babybear", 16 << 12, 16, 1), "poseidon2"),
    ):
        queries = (MOST_BYTES - (1 << 20)) // (4 * wide.air.columns)
        parameters = Parameters(queries=min(queries, MOST_QUERIES), log_folding=1, log_final=8, hash_name=hash_name)
        yield f"{wide.air.columns} columns, {hash_name}", prove(wide.air, wide.table, [], own, parameters).content
    table = np.arange(1 << log_rows, dtype=np.uint32).reshape(1, -1)
    for name, options in (
        ("folded by 2", {"log_folding": 1}),
        ("folded by 16", {"log_folding": 4}),
        ("poseidon2", {"log_folding": 1, "hash_name": "poseidon2"}),
        ("hiding", {"log_folding": 2, "hiding": True}),
    ):
        parameters = Parameters(queries=MOST_QUERIES, log_final=8, **options)  # type: ignore[arg-type]
        yield f"2^{log_rows} rows, {name}", prove(Counter(), table, [], own, parameters).content


def changed(proof: bytes) -> Iterator[tuple[str, bytes]]:
    """A proof as it is, and what is as much work to refuse, or looks like it."""
    yield "right", proof
    yield "last digest changed", proof[:-1] + bytes([proof[-1] ^ 1])
    yield "cut off", proof[:-1]
    yield "extended to 16 MiB", proof + bytes(MOST_BYTES - len(proof))
    noise = np.random.default_rng(1).bytes(MOST_BYTES - 64)
    yield "noise behind its head", proof[:64] + noise


def peak_mib() -> float:
    """Of this process, so far. Not ``getrusage``'s: that begins with what the parent had."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def verify_files(small: Path, large: Path, rounds: int) -> dict[str, Any]:
    """Verify both, the second one for its figures; in CPU time, as other work on the machine is none of the proof."""
    own = hash_rows(kernels())
    verify(small.read_bytes(), named, own, least_bits=0)
    proof = large.read_bytes()
    before = peak_mib()
    seconds, reason = [], ""
    for _ in range(rounds):
        start = time.process_time()
        try:
            verify(proof, named, own, least_bits=0)
        except InvalidProofError as error:
            reason = str(error)
        seconds.append(time.process_time() - start)
    return {"seconds": statistics.median(seconds), "mib": peak_mib() - before, "reason": reason}


def measured(log_rows: int, rounds: int) -> Iterator[dict[str, Any]]:
    """A row a proof and a change of it."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small"), Path(folder, "large")
        table = np.arange(16, dtype=np.uint32).reshape(1, -1)
        for name, proof in largest(log_rows):
            hash_name = "poseidon2" if "poseidon2" in name else "keccak256"
            few = Parameters(queries=4, log_final=0, hash_name=hash_name)
            small.write_bytes(prove(Counter(), table, [], kernels(), few).content)
            for change, content in changed(proof):
                large.write_bytes(content)
                command = [sys.executable, __file__, "--verify", str(small), str(large), "--rounds", str(rounds)]
                found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                if (change == "right") != (not found["reason"]):
                    raise SystemExit(f"{name}, {change}: {found['reason'] or 'it holds'}")
                found["met"] = found["seconds"] <= MOST_SECONDS and found["mib"] <= MOST_MIB
                yield {"proof": name, "change": change, "bytes": len(content), **found}


def main() -> int:
    """Print a row a proof and a change of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="verifications of each")
    parser.add_argument("--log-rows", type=int, default=19, help="log2 of the rows of a long table")
    parser.add_argument("--verify", type=Path, nargs=2, metavar="FILE", help="verify the second of these alone")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    if options.verify:
        print(json.dumps(verify_files(*options.verify, options.rounds)))
        return 0
    rows = []
    for row in measured(options.log_rows, options.rounds):
        rows.append(row)
        if not options.json:
            print(
                f"{row['proof']}, {row['change']}: {row['bytes']:,} bytes, {1e3 * row['seconds']:.0f} ms, "
                f"{row['mib']:.0f} MiB: {'met' if row['met'] else 'MISSED'} ({row['reason'] or 'it holds'})"
            )
    holds = all(row["met"] for row in rows)
    if options.json:
        print(json.dumps({"rows": rows, "load": os.getloadavg(), "holds": holds}))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
