"""The CPU kernels beside their peers, in turn: A B C, C B A, A B C... so that drift and noise meet all of them alike.

Run from the repository's root: ``python benchmarks/kernels.py [--rounds 15] [--json] [--no-fetch] [CASE...]``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import coincurve
import numpy as np
from Crypto.Hash import keccak
from peers import PeerMissing, hashtree, xkcp

from chaindp.backend import Backend, BackendOptions
from chaindp.kernels import ECRECOVER, TRIE_HASH
from chaindp.kernels.hashes import generate_pairs
from chaindp_cpu import chaindp_backends

ROOT = Path(__file__).resolve().parent.parent
Measure = Callable[[], float]


@dataclass
class Case:
    """One comparison: measures by name, ours first; each gives nanoseconds a unit."""

    name: str
    unit: str
    measures: dict[str, Measure] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def add_peer(self, name: str, prepare: Callable[[], Measure]) -> None:
        """Add a peer, or note why it is not there."""
        try:
            self.measures[name] = prepare()
        except PeerMissing as missing:
            self.missing[name] = str(missing)


def timed(units: int, call: Callable[[], object]) -> Measure:
    """A measure of one call that does ``units`` units of work."""

    def measure() -> float:
        started = time.perf_counter_ns()
        call()
        return (time.perf_counter_ns() - started) / units

    return measure


def backend(device: str = "", threads: int = 1) -> Backend:
    """The CPU backend, warm."""
    spec = chaindp_backends()[0]
    opened = spec.factory(BackendOptions(device=device, threads=threads))
    opened.warm_up(list(spec.capabilities))
    return opened


def keccak_case(build: Path, fetch: bool) -> Case:
    """Keccak-256 of 64-byte messages, one permutation each, one thread."""
    count = 1 << 15
    case = Case("keccak256, 64-byte messages, 1 thread", "permutation")
    messages = generate_pairs(np.random.default_rng(0), count)
    few = generate_pairs(np.random.default_rng(0), 2000)
    raw = few[0].tobytes()

    def library() -> None:
        for i in range(0, len(raw), 64):
            keccak.new(digest_bits=256, data=raw[i : i + 64]).digest()

    vector, scalar = backend(), backend("scalar")
    case.measures["chaindp cpu"] = timed(count, lambda: vector.kernel("keccak256")(*messages))
    case.measures["chaindp cpu:scalar"] = timed(2000, lambda: scalar.kernel("keccak256")(*few))
    case.measures["pycryptodome"] = timed(2000, library)
    if fetch:

        def prepare() -> Measure:
            peer = xkcp(build)
            return lambda: peer(count // (8 * 49))

        case.add_peer("XKCP times8 AVX-512 (2 x 12 rounds)", prepare)
    return case


def sha256_case(build: Path, fetch: bool) -> Case:
    """SHA-256 of 64-byte messages, two blocks each, one thread."""
    count = 1 << 15
    case = Case("sha256, 64-byte messages (Merkle nodes), 1 thread", "node")
    messages = generate_pairs(np.random.default_rng(0), count)
    few = generate_pairs(np.random.default_rng(0), 2000)
    raw = few[0].tobytes()

    def library() -> None:
        for i in range(0, len(raw), 64):
            hashlib.sha256(raw[i : i + 64]).digest()

    vector, scalar = backend(), backend("scalar")
    case.measures["chaindp cpu"] = timed(count, lambda: vector.kernel("sha256")(*messages))
    case.measures["chaindp cpu:scalar"] = timed(2000, lambda: scalar.kernel("sha256")(*few))
    case.measures["hashlib"] = timed(2000, library)
    if fetch:

        def prepare() -> Measure:
            peer = hashtree(build)
            return lambda: peer(count)

        case.add_peer("hashtree", prepare)
    return case


def tree_case(name: str) -> Case:
    """A tree over 2^20 leaves beside the hash alone over as many messages, one thread and two."""
    count = 1 << 20
    case = Case(f"merkle_tree, 2^20 leaves, {name}", "node")
    leaves = np.random.default_rng(0).integers(0, 256, (count, 32), dtype=np.uint8)
    messages = generate_pairs(np.random.default_rng(0), count)
    for threads in (1, 2):
        opened = backend(threads=threads)
        tree, hash_all = opened.kernel("merkle_tree"), opened.kernel(name)
        case.measures[f"tree, {threads} thread(s)"] = timed(count - 1, lambda tree=tree: tree(leaves, name))
        case.measures[f"hash alone, {threads} thread(s)"] = timed(count, lambda hash_all=hash_all: hash_all(*messages))
    return case


def trie_case() -> Case:
    """A trie of 2^16 nodes."""
    case = Case("trie_hash, 2^16 nodes", "node")
    args = TRIE_HASH.generate(np.random.default_rng(0), 1 << 16)
    for label, opened in (
        ("chaindp cpu, 1 thread", backend()),
        ("chaindp cpu, 2 threads", backend(threads=2)),
        ("chaindp cpu:scalar", backend("scalar")),
    ):
        kernel = opened.kernel("trie_hash")
        case.measures[label] = timed(TRIE_HASH.units(*args), lambda kernel=kernel: kernel(*args))
    return case


def ecrecover_case() -> Case:
    """Recovery of valid signatures."""
    count = 512
    case = Case("ecrecover", "signature")
    digests, signatures = ECRECOVER.generate(np.random.default_rng(0), count)
    _, ok = backend().kernel("ecrecover")(digests, signatures)
    digests, signatures = digests[ok], signatures[ok]
    pairs = [(digest.tobytes(), signature.tobytes()) for digest, signature in zip(digests, signatures, strict=True)]

    def library() -> None:
        for digest, signature in pairs:
            public = coincurve.PublicKey.from_signature_and_message(signature, digest, hasher=None)
            keccak.new(digest_bits=256, data=public.format(compressed=False)[1:]).digest()

    for threads in (1, 2):
        kernel = backend(threads=threads).kernel("ecrecover")
        label = f"chaindp cpu, {threads} thread(s)"
        case.measures[label] = timed(len(pairs), lambda kernel=kernel: kernel(digests, signatures))
    case.measures["coincurve's API and pycryptodome"] = timed(len(pairs), library)
    return case


def run(case: Case, rounds: int) -> list[dict[str, object]]:
    """Measure in turn and summarize: one row a measure, ratios to the first one."""
    samples: dict[str, list[float]] = {name: [] for name in case.measures}
    for measure in case.measures.values():
        measure()
    for number in range(rounds):
        names = list(case.measures)
        for name in names if number % 2 == 0 else reversed(names):
            samples[name].append(case.measures[name]())
    rows: list[dict[str, object]] = []
    ours = statistics.median(next(iter(samples.values())))
    for name, values in samples.items():
        quarters = statistics.quantiles(values, n=4)
        median = statistics.median(values)
        rows.append(
            {
                "case": case.name,
                "who": name,
                "unit": case.unit,
                "median_ns": round(median, 2),
                "fastest_ns": round(min(values), 2),
                "spread": round((quarters[2] - quarters[0]) / median, 3),
                "ratio": round(median / ours, 3),
            }
        )
    rows += [{"case": case.name, "who": name, "skipped": reason} for name, reason in case.missing.items()]
    return rows


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="keccak, sha256, tree, trie, ecrecover; all where none is named")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--no-fetch", action="store_true", help="leave out the peers that have to be fetched and built")
    parser.add_argument("--build", type=Path, default=ROOT / "results" / "runs" / "peers", help="where peers are built")
    options = parser.parse_args()
    fetch = not options.no_fetch
    options.build.mkdir(parents=True, exist_ok=True)
    makers: dict[str, list[Callable[[], Case]]] = {
        "keccak": [lambda: keccak_case(options.build, fetch)],
        "sha256": [lambda: sha256_case(options.build, fetch)],
        "tree": [lambda: tree_case("keccak256"), lambda: tree_case("sha256")],
        "trie": [trie_case],
        "ecrecover": [ecrecover_case],
    }
    unknown = [name for name in options.cases if name not in makers]
    if unknown or options.rounds < 4:
        parser.error(f"unknown case {unknown[0]}" if unknown else "--rounds needs 4 or more")
    rows: list[dict[str, object]] = []
    for name in options.cases or makers:
        for make in makers[name]:
            print(f"measuring {name}", file=sys.stderr)
            rows += run(make(), options.rounds)
    if options.json:
        print(json.dumps({"rows": rows}))
        return 0
    heading = ""
    for row in rows:
        if row["case"] != heading:
            heading = str(row["case"])
            print(f"\n{heading}\n{'':40}{'median ns':>12}{'fastest':>12}{'spread':>9}{'ratio':>9}")
        if "skipped" in row:
            print(f"  {row['who']:38}  skipped: {row['skipped']}")
        else:
            print(
                f"  {row['who']:38}{row['median_ns']:>12}{row['fastest_ns']:>12}{row['spread']:>9.1%}{row['ratio']:>9}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
