"""How long a report of more than 200,000 samples takes, and how large it is: medians of several, in fresh processes.

Run from the repository's root: ``python benchmarks/report.py [--repeat 5] [--json]``.

The runs are made up (tests/report_runs.py): a pipeline run of five levels, five repetitions and 136 blocks, and a bench
of eight kernels on four backends. Timed is the whole command, from the start of the interpreter to its end. The target
is below 5 s and below 5 MB; the exit status is 1 where it is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import chaindp

ROOT = Path(__file__).resolve().parent.parent
SECONDS, BYTES = 5.0, 5_000_000


def main() -> int:
    """Print a row a run: samples, seconds, bytes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=5, help="reports of each run")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    from report_runs import big_bench, big_pipeline

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, make in (("pipeline", big_pipeline), ("bench", big_bench)):
            run, out = make(Path(folder) / name), Path(folder) / f"{name}.html"
            seconds = []
            for _ in range(options.repeat):
                began = time.perf_counter()
                command = [sys.executable, "-m", "chaindp", "report", str(run), "--out", str(out)]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                seconds.append(time.perf_counter() - began)
            row = {"run": name, "samples": len(chaindp.load(run)), "seconds": statistics.median(seconds)}
            rows.append(row | {"slowest": max(seconds), "bytes": out.stat().st_size})
    holds = all(row["seconds"] < SECONDS and row["bytes"] < BYTES for row in rows)
    if options.json:
        print(json.dumps({"rows": rows, "holds": holds}))
    else:
        for row in rows:
            print(
                f"{row['run']:>9}: {row['samples']:,} samples, {row['seconds']:.2f} s (slowest {row['slowest']:.2f}), "
                f"{row['bytes'] / 1e6:.2f} MB"
            )
        print(f"target, {SECONDS:g} s and {BYTES / 1e6:g} MB: {'met' if holds else 'MISSED'}")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
