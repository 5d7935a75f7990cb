"""Openings against the PyPI package ``trie``, in turn in one process, and binary Merkle paths by ``merkle_open``.

    python benchmarks/openings.py [--keys 20000] [--batch 10000] [--repeat 7] [--log2-leaves 20] [--json]

Both sides hold one trie of ``--keys`` random keys of 32 bytes with values of an account's size, and open keys of it at
random, each in its own way: ours ``--batch`` at a time, in columns whose nodes the proofs share, on one thread; the
package, in pure Python, ``--peer-batch`` one by one. Of our side also: each proof taken out of the columns as a list of
byte strings, as the package gives it (``listed``). Before anything is timed, proofs of both sides are compared, of keys
that are there and of keys that are not, and ours are given to the independent verifier. Every repetition opens other
keys. Times are of this thread's CPU, which other processes on the machine disturb least, and of the wall clock.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rlp
from trie import HexaryTrie

from chaindp.backend import BackendOptions
from chaindp.chain.trie import Trie
from chaindp.chain.types import Ragged
from chaindp.chain.verify.openings import verify_opening
from chaindp.kernels.kernelset import KernelSet
from chaindp_cpu import KERNELS
from chaindp_cpu.backend import CpuBackend

VALUE_BYTES = 80
"""About an account's record."""


def timed(action: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of (CPU of this thread, wall clock)."""
    cpu, wall = time.thread_time(), time.perf_counter()
    action()
    return time.thread_time() - cpu, time.perf_counter() - wall


def build(rng: np.random.Generator, count: int, kernels: KernelSet) -> tuple[Trie, HexaryTrie, np.ndarray]:
    keys = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    offsets = np.arange(count + 1, dtype=np.int64) * VALUE_BYTES
    values = Ragged(rng.integers(0, 256, offsets[-1], dtype=np.uint8), offsets)
    ours, peer = Trie(), HexaryTrie({})
    ours.update(keys, values)
    for key, value in zip(keys, values.items(), strict=True):
        peer[key.tobytes()] = value
    if ours.hash(kernels)[0] != peer.root_hash:
        raise RuntimeError("our root is another one than the package's")
    return ours, peer, keys


def compare(ours: Trie, peer: HexaryTrie, keys: np.ndarray, rng: np.random.Generator, count: int = 200) -> None:
    """RuntimeError where a proof differs from the package's, or does not verify."""
    absent = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    asked = np.concatenate([keys[rng.choice(len(keys), count, replace=False)], absent])
    proofs = ours.prove(asked)
    for row, key in enumerate(asked):
        nodes = [rlp.encode(node) for node in peer.get_proof(key.tobytes())]
        if proofs.proof(row) != nodes:
            raise RuntimeError(f"proof {row} is another one than the package's")
        if row % 50 == 0:
            found = verify_opening(peer.root_hash, key.tobytes(), nodes)
            if (found or b"") != peer.get(key.tobytes()):
                raise RuntimeError(f"proof {row} proves another value")


def summary(samples: dict[str, list[tuple[float, float]]], counts: dict[str, int]) -> dict[str, Any]:
    """Medians and ranges, a second, of CPU time and of the wall clock; and the ratios of rates, sample by sample."""
    result: dict[str, Any] = {}
    for clock, name in enumerate(("cpu", "wall")):
        rates = {side: [counts[side] / times[clock] for times in found] for side, found in samples.items()}
        for side, found in rates.items():
            result[f"{side}_per_s_{name}"] = round(statistics.median(found))
            result[f"{side}_per_s_{name}_range"] = [round(min(found)), round(max(found))]
        for side in ("batch", "listed"):
            ratios = [own / other for own, other in zip(rates[side], rates["peer"], strict=True)]
            result[f"{side}_ratio_{name}"] = round(statistics.median(ratios), 1)
            result[f"{side}_ratio_{name}_range"] = [round(min(ratios), 1), round(max(ratios), 1)]
    return result


def measure_proofs(options: argparse.Namespace, kernels: KernelSet, rng: np.random.Generator) -> dict[str, Any]:
    ours, peer, keys = build(rng, options.keys, kernels)
    compare(ours, peer, keys, rng)
    batch = min(options.batch, options.keys)
    samples: dict[str, list[tuple[float, float]]] = {"batch": [], "listed": [], "peer": []}
    ours.prove(keys[:batch])
    for _ in range(options.repeat):
        chosen = np.ascontiguousarray(keys[rng.choice(len(keys), batch, replace=False)])
        samples["batch"].append(timed(lambda chosen=chosen: ours.prove(chosen)))
        chosen = np.ascontiguousarray(keys[rng.choice(len(keys), batch, replace=False)])

        def listed(chosen: np.ndarray = chosen) -> None:
            proofs = ours.prove(chosen)
            for row in range(proofs.count):
                proofs.proof(row)

        samples["listed"].append(timed(listed))
        some = [key.tobytes() for key in keys[rng.choice(len(keys), options.peer_batch)]]

        def one_by_one(some: list[bytes] = some) -> None:
            for key in some:
                peer.get_proof(key)

        samples["peer"].append(timed(one_by_one))
    counts = {"batch": batch, "listed": batch, "peer": options.peer_batch}
    return {"keys": options.keys, "batch": batch, "peer_batch": options.peer_batch, **summary(samples, counts)}


def measure_paths(options: argparse.Namespace, kernels: KernelSet, rng: np.random.Generator) -> dict[str, Any]:
    """All calls on fresh indices of one tree of random digests; ``merkle_open`` hashes nothing."""
    count = 1 << options.log2_leaves
    nodes = kernels.merkle_tree(rng.integers(0, 256, (count, 32), dtype=np.uint8))
    seconds, busy = [], []
    for _ in range(options.repeat):
        indices = rng.integers(0, count, 1_000_000, dtype=np.int64)
        started = time.process_time()
        seconds.append(timed(lambda indices=indices: kernels.merkle_open(nodes, count, indices))[1])
        busy.append(time.process_time() - started)
    return {
        "log2_leaves": options.log2_leaves,
        "paths": 1_000_000,
        "paths_s": round(statistics.median(seconds), 3),
        "paths_s_range": [round(min(seconds), 3), round(max(seconds), 3)],
        "paths_cpu_s": round(statistics.median(busy), 3),  # of all threads together
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--peer-batch", type=int, default=2_000)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--log2-leaves", type=int, default=20)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of merkle_open alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    one, several = (
        KernelSet(CpuBackend("cpu", BackendOptions(threads=threads)), frozenset(KERNELS))
        for threads in (1, options.threads)
    )
    result = {
        "load": round(os.getloadavg()[0], 2),
        **measure_proofs(options, one, rng),
        "threads_of_merkle_open": options.threads,
        **measure_paths(options, several, rng),
    }
    result["targets"] = [
        {
            "target": "proofs >= 100x PyPI trie",
            "value": result["batch_ratio_cpu"],
            "met": result["batch_ratio_cpu"] >= 100,
        },
        {"target": "1,000,000 paths in < 1 s", "value": result["paths_s"], "met": result["paths_s"] < 1},
    ]
    if options.json:
        print(json.dumps(result))
    else:
        targets = result.pop("targets")
        for name, value in result.items():
            print(f"{name:28} {value}")
        for row in targets:
            print(f"target {row['target']:28} {'met' if row['met'] else 'NOT MET'} ({row['value']})")
        result["targets"] = targets
    return 0 if all(row["met"] for row in result["targets"]) else 1


if __name__ == "__main__":
    sys.exit(main())
