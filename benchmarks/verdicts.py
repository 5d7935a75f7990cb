"""How often are the verdicts of ``chaindp compare`` wrong, and how often do they find a true difference?

    python benchmarks/verdicts.py same --trials 200 --load 2      A against A on a loaded machine
    python benchmarks/verdicts.py slower --trials 50              A against A that takes longer, on a quiet machine

Each trial is one command, ``chaindp compare --backends A,B keccak256 --seed N``, in a process of its own and with the
default settings otherwise: what a user gets. Prints a line a trial, then how many verdicts there were of each kind, of
each of the two rows that a comparison has, with an exact 95 % interval for their share.
"""

from __future__ import annotations

import argparse
import collections
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import stats

KERNEL = "keccak256"
BURST_S = 0.02

# A backend that takes a stated share longer: after every call its thread spins. More work of the same kind would not
# do: a second, smaller call costs more than its share of messages.
SLOWER = """
import os
import time

from chaindp import hookimpl
from chaindp.backend import Backend, BackendSpec, Capability
from chaindp.plugins import load_plugins


class Slower(Backend):
    def __init__(self, options):
        super().__init__("slower", options)
        self.share = float(os.environ["SHARE"])
        self.inner = load_plugins(print).open_backend("cpu", threads=options.threads)

    def warm_up(self, kernels):
        self.inner.warm_up(kernels)

    def keccak256(self, data, offsets):
        began = time.perf_counter()
        digests = self.inner.keccak256(data, offsets)
        until = began + (time.perf_counter() - began) * (1.0 + self.share)
        while time.perf_counter() < until:
            pass
        return digests


@hookimpl
def chaindp_backends():
    only = {"keccak256": Capability()}
    return [BackendSpec(name="slower", kind="cpu", factory=Slower, capabilities=only, summary="cpu, slowed down")]
"""


def install(site: Path) -> None:
    """Put the slower backend into ``site`` as an installer would."""
    (site / "chaindp_slower.py").write_text(SLOWER)
    info = site / "chaindp_slower-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: chaindp-slower\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[chaindp]\nslower = chaindp_slower\n")


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


def trial(backends: str, seed: int, folder: Path, share: float) -> list[dict[str, object]]:
    """The rows of one comparison."""
    command = [sys.executable, "-m", "chaindp", "compare", "--backends", backends, KERNEL, "--seed", str(seed)]
    done = subprocess.run(
        [*command, "--out", str(folder / "runs"), "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder), "SHARE": str(share)},
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)["rows"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["same", "slower"])
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--load", type=int, default=0, help="processes that disturb the measurement")
    parser.add_argument(
        "--share", type=float, default=0.04, help="how much longer, for `slower`, plus what a call costs"
    )
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    noisy = [context.Process(target=disturb, args=(seed,), daemon=True) for seed in range(arguments.load)]
    for process in noisy:
        process.start()
    found: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    ratios, floors = [], []
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        install(Path(name))
        for number in range(arguments.trials):
            backends = "cpu,cpu" if arguments.what == "same" else "cpu,slower"
            rows = trial(backends, number, Path(name), arguments.share)
            for row in rows:
                found[row["metric"]][row["verdict"]] += 1
            ratios.append(rows[0]["ratio"])
            floors.append(rows[0]["noise_floor"])
            verdicts = " / ".join(row["verdict"] for row in rows)
            print(f"{number:4} {verdicts:30} ratio {ratios[-1]:.4f}, noise floor {floors[-1]:.2%}", flush=True)
    for process in noisy:
        process.terminate()
    print(f"\n{arguments.trials} trials, {(time.perf_counter() - began) / arguments.trials:.1f} s each")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {arguments.load} disturbing processes")
    for metric, counts in found.items():
        for verdict, count in counts.most_common():
            interval = stats.binomtest(count, arguments.trials).proportion_ci()
            share = f"{count / arguments.trials:.1%}; {interval.low:.1%} to {interval.high:.1%}"
            print(f"{metric}, {verdict}: {count} ({share})")
    print(f"ratio: median {np.median(ratios):.4f}, {min(ratios):.4f} to {max(ratios):.4f}")
    print(f"noise floor: median {np.median(floors):.2%}, {min(floors):.2%} to {max(floors):.2%}")


if __name__ == "__main__":
    main()
