"""The CPU kernels beside their peers, in turn: A B C, C B A, A B C... so that drift and noise meet all of them alike.

Run from the repository's root: ``python benchmarks/kernels.py [--rounds 15] [--json] [--no-fetch] [CASE...]``.

Every round has fresh input, the same for all who take it. Before anything is timed, everyone's output on one input is
compared; XKCP and hashtree make their own input (XKCP's crate computes another function, see ``peers``; hashtree's
output is compared on that input). Each case ends with its targets and whether they were met.
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
from typing import Any

import coincurve
import numpy as np
from Crypto.Hash import keccak
from peers import PeerMissing, hashtree, xkcp

from chaindp.backend import Backend, BackendOptions
from chaindp.kernels import ECRECOVER, TRIE_HASH
from chaindp.kernels.hashes import generate_pairs
from chaindp_cpu import chaindp_backends

ROOT = Path(__file__).resolve().parent.parent
Args = tuple[Any, ...]


def whole(args: Args) -> Args:
    """The input as it is."""
    return args


@dataclass
class Contender:
    """One who is measured. ``shape`` turns a round's input into its own, untimed; ``call`` is timed.

    units:  of what ``shape`` returned
    rows:   output to the array that all contenders of a case must agree on, as far as each goes; None where it computes
            something else
    """

    call: Callable[..., Any]
    units: Callable[..., int]
    shape: Callable[[Args], Args] = whole
    rows: Callable[[Any], np.ndarray] | None = np.asarray

    def measure(self, args: Args, result_bytes: int) -> float:
        """Nanoseconds a unit of one call.

        As much memory as a result takes is touched and freed before it, so that no call pays for what the machine under
        a virtual one takes to provide it.
        """
        own = self.shape(args)
        np.empty(result_bytes, dtype=np.uint8).fill(0)
        started = time.perf_counter_ns()
        self.call(*own)
        return (time.perf_counter_ns() - started) / self.units(*own)


@dataclass
class Target:
    """``text`` says what is asked for; ``value`` of the medians by name is at least (or at most) ``bound``."""

    text: str
    needs: tuple[str, ...]
    value: Callable[[dict[str, float]], float]
    bound: float
    at_least: bool

    def judge(self, medians: dict[str, float]) -> dict[str, object]:
        """One row: the value, and whether the target is met; None where someone it needs was not measured."""
        if any(name not in medians for name in self.needs):
            return {"target": self.text, "value": None, "met": None}
        value = self.value(medians)
        met = value >= self.bound if self.at_least else value <= self.bound
        return {"target": self.text, "value": round(value, 3), "met": met}


@dataclass
class Case:
    """One comparison: contenders by name, ours first; ``own`` are those that make their input and time themselves."""

    name: str
    unit: str
    generate: Callable[[np.random.Generator], Args]
    contenders: dict[str, Contender] = field(default_factory=dict)
    own: dict[str, Callable[[], float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)
    result_bytes: int = 0

    def add_peer(self, name: str, prepare: Callable[[], Callable[[], float]]) -> None:
        """Add a peer that times itself, or note why it is not there."""
        try:
            self.own[name] = prepare()
        except PeerMissing as missing:
            self.missing[name] = str(missing)

    def compare(self) -> None:
        """Check once, untimed, that all who compute the same return the same; RuntimeError where one does not."""
        args = self.generate(np.random.default_rng(2**32))
        first: np.ndarray | None = None
        for name, contender in self.contenders.items():
            if contender.rows is None:
                continue
            output = contender.call(*contender.shape(args))
            self.result_bytes = max(self.result_bytes, getattr(output, "nbytes", 0))
            rows = contender.rows(output)
            first = rows if first is None else first
            common = min(len(first), len(rows))
            if not common or not np.array_equal(first[:common], rows[:common]):
                raise RuntimeError(f"{self.name}: {name} computes something else than {next(iter(self.contenders))}")


def backend(device: str = "", threads: int = 1) -> Backend:
    """The CPU backend, warm."""
    spec = chaindp_backends()[0]
    opened = spec.factory(BackendOptions(device=device, threads=threads))
    opened.warm_up(list(spec.capabilities))
    return opened


def first_pairs(count: int) -> Callable[[Args], Args]:
    """The first ``count`` messages of 64 bytes."""

    def shape(args: Args) -> Args:
        data, offsets = args
        return data[: 64 * count], offsets[: count + 1]

    return shape


def pair_case(case: Case, kernel: str, library: Callable[[bytes], bytes], library_name: str) -> Case:
    """Fill in those who hash 64-byte messages: both of our devices, and a library called once a message."""

    def one_by_one(raw: bytes) -> list[bytes]:
        return [library(raw[at : at + 64]) for at in range(0, len(raw), 64)]

    def units(data: np.ndarray, offsets: np.ndarray) -> int:
        return len(offsets) - 1

    case.contenders["chaindp cpu"] = Contender(backend().kernel(kernel), units)
    case.contenders["chaindp cpu:scalar"] = Contender(backend("scalar").kernel(kernel), units, first_pairs(2000))
    case.contenders[library_name] = Contender(
        one_by_one,
        lambda raw: len(raw) // 64,
        lambda args: (args[0][: 64 * 2000].tobytes(),),
        lambda digests: np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 32),
    )
    return case


def keccak_case(build: Path, fetch: bool) -> Case:
    """Keccak-256 of 64-byte messages, one permutation each, one thread."""
    count = 1 << 15
    case = Case("keccak256, 64-byte messages, 1 thread", "permutation", lambda rng: generate_pairs(rng, count))
    pair_case(case, "keccak256", lambda data: keccak.new(digest_bits=256, data=data).digest(), "pycryptodome")
    peer_name = "XKCP times8 AVX-512 (2 x 12 rounds)"
    if fetch:

        def prepare() -> Callable[[], float]:
            peer = xkcp(build)
            return lambda: peer(count // (8 * 49))

        case.add_peer(peer_name, prepare)
    case.targets = [
        at_most("<= 1.15x XKCP per permutation", "chaindp cpu", peer_name, 1.15),
        at_least(">= 80x pycryptodome", "pycryptodome", "chaindp cpu", 80),
    ]
    return case


def at_most(text: str, who: str, other: str, bound: float) -> Target:
    """The time of ``who`` is at most ``bound`` times that of ``other``."""
    return Target(text, (who, other), lambda medians: medians[who] / medians[other], bound, at_least=False)


def at_least(text: str, who: str, other: str, bound: float) -> Target:
    """The time of ``who`` is at least ``bound`` times that of ``other``."""
    return Target(text, (who, other), lambda medians: medians[who] / medians[other], bound, at_least=True)


def sha256_case(build: Path, fetch: bool) -> Case:
    """SHA-256 of 64-byte messages, two blocks each, one thread."""
    count = 1 << 15
    case = Case("sha256, 64-byte messages (Merkle nodes), 1 thread", "node", lambda rng: generate_pairs(rng, count))
    pair_case(case, "sha256", lambda data: hashlib.sha256(data).digest(), "hashlib")
    if fetch:

        def prepare() -> Callable[[], float]:
            peer, digest = hashtree(build)
            messages = (np.arange(64 * count) * 7).astype(np.uint8)
            ours = backend().kernel("sha256")(messages, np.arange(count + 1, dtype=np.int64) * 64)
            if digest(count) != hashlib.sha256(ours.tobytes()).hexdigest():
                raise RuntimeError("hashtree computes something else than chaindp cpu")
            return lambda: peer(count)

        case.add_peer("hashtree", prepare)
    case.targets = [at_most("<= 1.3x hashtree", "chaindp cpu", "hashtree", 1.3)]
    return case


def tree_case(name: str) -> Case:
    """A tree over 2^20 leaves beside the hash alone over as many messages, one thread and two."""
    count = 1 << 20
    case = Case(f"merkle_tree, 2^20 leaves, {name}", "node", lambda rng: generate_pairs(rng, count))
    for threads in (1, 2):
        opened = backend(threads=threads)
        tree = opened.kernel("merkle_tree")
        case.contenders[f"tree, {threads} thread(s)"] = Contender(
            tree,
            lambda leaves, _: len(leaves) - 1,
            # The leaves are the first half of the messages: pair i of them is message i.
            lambda args: (args[0][: 32 * count].reshape(-1, 32), name),
            lambda nodes: nodes[count : count + count // 2],
        )
        case.contenders[f"hash alone, {threads} thread(s)"] = Contender(
            opened.kernel(name), lambda data, offsets: len(offsets) - 1
        )
    one, two = "tree, 1 thread(s)", "tree, 2 thread(s)"
    case.targets = [
        at_least(">= 85 % of the hash kernel's rate", "hash alone, 1 thread(s)", one, 0.85),
        at_least(">= 1.8x on two cores", one, two, 1.8),
    ]
    return case


def trie_case() -> Case:
    """A trie of 2^16 nodes."""
    case = Case("trie_hash, 2^16 nodes", "node", lambda rng: TRIE_HASH.generate(rng, 1 << 16))
    for label, opened in (
        ("chaindp cpu, 1 thread", backend()),
        ("chaindp cpu, 2 threads", backend(threads=2)),
        ("chaindp cpu:scalar", backend("scalar")),
    ):
        case.contenders[label] = Contender(opened.kernel("trie_hash"), TRIE_HASH.units)
    return case


def ecrecover_case() -> Case:
    """Recovery of valid signatures."""
    check = backend().kernel("ecrecover")

    def generate(rng: np.random.Generator) -> Args:
        digests, signatures = ECRECOVER.generate(rng, 512)
        _, ok = check(digests, signatures)
        return digests[ok], signatures[ok]

    def one_by_one(pairs: list[tuple[bytes, bytes]]) -> list[bytes]:
        found = []
        for digest, signature in pairs:
            public = coincurve.PublicKey.from_signature_and_message(signature, digest, hasher=None)
            found.append(keccak.new(digest_bits=256, data=public.format(compressed=False)[1:]).digest()[12:])
        return found

    case = Case("ecrecover", "signature", generate)
    for threads in (1, 2):
        case.contenders[f"chaindp cpu, {threads} thread(s)"] = Contender(
            backend(threads=threads).kernel("ecrecover"),
            lambda digests, signatures: len(digests),
            rows=lambda output: output[0],
        )
    case.contenders["coincurve's API and pycryptodome"] = Contender(
        one_by_one,
        len,
        lambda args: ([(digest.tobytes(), signature.tobytes()) for digest, signature in zip(*args, strict=True)],),
        lambda found: np.frombuffer(b"".join(found), dtype=np.uint8).reshape(-1, 20),
    )
    return case


def run(case: Case, rounds: int) -> list[dict[str, object]]:
    """Compare, measure in turn and summarize: one row a contender, ratios to the first one, then one row a target."""
    case.compare()
    names = [*case.contenders, *case.own]
    samples: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-1, rounds):
        # Round -1 warms up.
        args = case.generate(np.random.default_rng([number + 1, 7]))
        for name in names if number % 2 == 0 else reversed(names):
            value = case.own[name]() if name in case.own else case.contenders[name].measure(args, case.result_bytes)
            if number >= 0:
                samples[name].append(value)
    rows: list[dict[str, object]] = []
    medians = {name: statistics.median(values) for name, values in samples.items()}
    ours = medians[names[0]]
    for name, values in samples.items():
        quarters = statistics.quantiles(values, n=4)
        rows.append(
            {
                "case": case.name,
                "who": name,
                "unit": case.unit,
                "median_ns": round(medians[name], 2),
                "fastest_ns": round(min(values), 2),
                "spread": round((quarters[2] - quarters[0]) / medians[name], 3),
                "ratio": round(medians[name] / ours, 3),
            }
        )
    rows += [{"case": case.name, "who": name, "skipped": reason} for name, reason in case.missing.items()]
    rows += [{"case": case.name} | target.judge(medians) for target in case.targets]
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
        if "target" in row:
            verdict = {True: "met", False: "NOT MET", None: "not measured"}[row["met"]]  # type: ignore[index]
            print(f"  target {row['target']:31}{verdict:>12}{row['value'] or '':>12}")
        elif "skipped" in row:
            print(f"  {row['who']:38}  skipped: {row['skipped']}")
        else:
            print(
                f"  {row['who']:38}{row['median_ns']:>12}{row['fastest_ns']:>12}{row['spread']:>9.1%}{row['ratio']:>9}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
