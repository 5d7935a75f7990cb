"""How often are the verdicts of ``chaindp compare`` wrong, and how often do they find a true difference?

    python benchmarks/verdicts.py same --trials 200 --load 2      A against A on a loaded machine
    python benchmarks/verdicts.py slower --trials 50              A against A that takes 5 % longer, on a quiet machine

Each trial is one comparison at the default settings (kernel keccak256, its usual size, all cores, the default budget).
Prints a line a trial, then how many verdicts there were of each kind, with an exact 95 % interval for their share.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import multiprocessing
import os
import time

import numpy as np
from scipy import stats

from chaindp.backend import Backend, BackendOptions, BackendSpec
from chaindp.bench.inputs import LastInputs
from chaindp.bench.pairs import PairPlan, compare_sides
from chaindp.bench.sides import Job, LocalSide
from chaindp.measure.verdict import Comparison
from chaindp.plugins import Registry, load_plugins
from chaindp.results.table import SampleTable

KERNEL = "keccak256"
BURST_S = 0.02


class Slower(Backend):
    """The CPU backend, after whose every call the thread spins for a share of what the call took.

    More work of the same kind would not do: a second, smaller call costs more than its share of messages.
    """

    def __init__(self, registry: Registry, share: float, options: BackendOptions) -> None:
        super().__init__("slower", options)
        self.share = share
        self.inner = registry.open_backend("cpu", threads=options.threads)

    def warm_up(self, kernels: list[str]) -> None:
        self.inner.warm_up(kernels)

    def keccak256(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        began = time.perf_counter()
        digests = self.inner.kernel(KERNEL)(data, offsets)
        until = began + (time.perf_counter() - began) * (1.0 + self.share)
        while time.perf_counter() < until:
            pass
        return digests


def with_slower(registry: Registry, share: float) -> Registry:
    spec = BackendSpec(
        name="slower",
        kind="cpu",
        factory=lambda options: Slower(registry, share, options),
        capabilities={KERNEL: registry.backends["cpu"].capability(KERNEL)},
        summary="the CPU backend, slowed down",
    )
    return dataclasses.replace(
        registry,
        backends={**registry.backends, spec.name: spec},
        providers={**registry.providers, ("backend", spec.name): "this benchmark"},
    )


def disturb(seed: int) -> None:
    """Work and sleep in turns of random length, half of the time each."""
    rng = np.random.default_rng(seed)
    block = rng.random(1 << 14)
    parent = os.getppid()
    # A benchmark that was killed must not leave its load behind.
    while os.getppid() == parent:
        until = time.perf_counter() + rng.exponential(BURST_S)
        while time.perf_counter() < until:
            np.sort(block)
        time.sleep(rng.exponential(BURST_S))


def trial(registry: Registry, other: str, seed: int, threads: int) -> tuple[Comparison, dict[str, np.ndarray]]:
    """One comparison, and the ns a unit of A, B and the second A: float64[rounds, 2]."""
    last = LastInputs()
    sizes = sorted(registry.kernels[KERNEL].sizes)
    job = Job(KERNEL, sizes[len(sizes) // 2], seed)
    table = SampleTable("trial")
    result = compare_sides(
        lambda: [LocalSide(registry, name, threads, last=last) for name in ("cpu", other, "cpu")],
        job,
        PairPlan(seed=seed),
        table,
        registry.kernels[KERNEL].unit,
    )
    if result.failed or result.skipped:
        raise SystemExit(result.failed or result.skipped)
    frame = table.frame()
    times = {name: frame[frame["metric"] == f"compute_time{name}"]["value"] for name in ("", "_again")}
    work = frame[frame["metric"] == "work_again"]["value"].to_numpy()
    half = len(work)
    raw = {"a": times[""][:half], "b": times[""][half:], "again": times["_again"]}
    return result.comparisons[0], {name: (side.to_numpy() / work).reshape(-1, 2) for name, side in raw.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["same", "slower"])
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--load", type=int, default=0, help="processes that disturb the measurement")
    parser.add_argument("--share", type=float, default=0.05, help="how much longer, for `slower`")
    parser.add_argument("--save", help="file for all samples, .npz")
    arguments = parser.parse_args()
    registry = with_slower(load_plugins(print), arguments.share)
    other = "cpu" if arguments.what == "same" else "slower"
    context = multiprocessing.get_context("spawn")
    noisy = [context.Process(target=disturb, args=(seed,), daemon=True) for seed in range(arguments.load)]
    for process in noisy:
        process.start()
    found, ratios, floors, raw = collections.Counter(), [], [], {}
    began = time.perf_counter()
    for number in range(arguments.trials):
        row, sides = trial(registry, other, number, os.cpu_count() or 1)
        found[str(row.verdict)] += 1
        ratios.append(row.ratio)
        floors.append(row.noise_floor)
        raw |= {f"{name}{number}": side for name, side in sides.items()}
        print(f"{number:4} {row.verdict:14} ratio {row.ratio:.4f}, noise floor {row.noise_floor:.2%}", flush=True)
    if arguments.save:
        np.savez_compressed(arguments.save, **raw)
    for process in noisy:
        process.terminate()
    print(f"\n{arguments.trials} trials, {(time.perf_counter() - began) / arguments.trials:.1f} s each")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {arguments.load} disturbing processes")
    for verdict, count in found.most_common():
        interval = stats.binomtest(count, arguments.trials).proportion_ci()
        print(f"{verdict}: {count} ({count / arguments.trials:.1%}; {interval.low:.1%} to {interval.high:.1%})")
    print(f"ratio: median {np.median(ratios):.4f}, {min(ratios):.4f} to {max(ratios):.4f}")
    print(f"noise floor: median {np.median(floors):.2%}, {min(floors):.2%} to {max(floors):.2%}")


if __name__ == "__main__":
    main()
