"""Performance, area and verification of every configuration of our cores: the table of hdl/README.md.

Run from the repository's root: ``python benchmarks/cores.py [LABEL...] [--seeds 1,2,3] [--time-limit S] [--jobs N]``.

For each configuration, what ``chaindp core check --quick`` and ``chaindp core synth`` find is kept in
``results/hdl.json``, and the table between the marks of hdl/README.md is written from that file. A configuration
whose RTL is that of its row is left out, unless it is named (``keccak-pipelined``): synthesis and
three placements take minutes each, and hours for the large ones. ``--table`` writes the table only. Exit status 1
where a check does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chaindp.cores import Core, load_configurations, rtl_hash
from chaindp.errors import ChaindpError
from chaindp.workbench.check import CheckOptions, check
from chaindp.workbench.synth import synth

ROOT = Path(__file__).resolve().parent.parent
HDL = ROOT / "hdl"
FIGURES = ROOT / "results" / "hdl.json"
README = HDL / "README.md"
BEGIN, END = "<!-- written by benchmarks/cores.py -->\n", "<!-- end -->\n"

Row = dict[str, Any]


def cores() -> Iterator[Core]:
    """Every configuration of every core of ours."""
    for path in sorted(HDL.glob("*/core.toml")):
        yield from load_configurations(path).values()


def measured() -> dict[str, Row]:
    """What was measured so far, by label."""
    found: dict[str, Row] = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    return found


def row_of(core: Core, seeds: tuple[int, ...], limit_s: float, jobs: int) -> Row:
    """One configuration: verified, counted, synthesized, placed and routed."""
    verdict = check(core, CheckOptions(quick=True)).to_dict()
    area = synth(core, seeds, limit_s=limit_s, jobs=jobs).to_dict()
    conform = verdict["conform"] or {}
    probes = verdict["probes"]
    return {
        "rtl_hash": rtl_hash(core),
        "kernel": core.kernel,
        "input_bytes": core.input.bytes,
        "holds": verdict["holds"],
        "probe_packets": sum(probe["packets"] for probe in probes),
        "probe_cycles": sum(probe["cycles"] for probe in probes),
        "conform": {key: conform.get(key) for key in ("passed", "failed", "skipped")},
        "figures": verdict["figures"],
        **{key: area[key] for key in ("luts", "ffs", "carries", "distributed_rams", "brams", "dsps")},
        **{key: area[key] for key in ("fmax_mhz", "fmax_best_mhz", "fmax_worst_mhz", "synthesis", "seeds")},
        "placement": area["placement"],
        "tools": verdict["tools"] | area["tools"],
    }


def stale(core: Core, row: Row | None) -> bool:
    """Whether a row is not of this RTL; the clock that its description states follows from what is measured."""
    return row is None or row["rtl_hash"] != rtl_hash(core)


def _figure(row: Row, size: int) -> Row:
    return next(figure for figure in row["figures"] if figure["size"] == size)


def cycles_of(row: Row) -> str:
    """The steady state, in the units that the kernel is talked about in."""
    if row["kernel"] in ("keccak256", "sha256"):
        node, long = _figure(row, 64), row["figures"][-1]
        block = f"{long['cycles_per_unit']:.4g} a block of a long message"
        return f"{block}, {node['cycles_per_op']:.4g} a message of 64 bytes"
    if row["kernel"] in ("merkle_tree", "merkle_root"):
        return f"{row['figures'][-1]['cycles_per_unit']:.4g} a node"
    if row["kernel"] == "poseidon2":
        return f"{row['figures'][-1]['cycles_per_op']:.4g} a permutation"
    return f"{1 / row['figures'][-1]['beats_per_cycle']:.4g} an element"


def latency_of(row: Row) -> str:
    """Of an operation alone."""
    sizes = {"keccak256": 64, "sha256": 64, "merkle_tree": 256, "merkle_root": 256, "poseidon2": 16, "ntt": 1024}
    figure = _figure(row, sizes[row["kernel"]])
    return f"{figure['latency']:,}"


def clock_of(row: Row) -> str:
    """The median of the seeds after routing, their span and number; or why there is none."""
    if row["fmax_mhz"] is None:
        first = row["seeds"][0]
        return f"{first['status']}: {first['reason']}"
    routed = sum(seed["fmax_mhz"] is not None for seed in row["seeds"])
    if routed == 1:
        return f"{row['fmax_mhz']:.1f} (one seed)"
    return f"{row['fmax_mhz']:.1f} ({row['fmax_worst_mhz']:.1f} to {row['fmax_best_mhz']:.1f}, {routed} seeds)"


COLUMNS = (
    *("configuration", "bytes a beat", "cycles", "latency", "LUT4", "FF", "CCU2C", "DPR16X4", "DP16KD", "MULT18X18D"),
    *("clock in MHz", "`core check --quick`"),
)


def table(rows: dict[str, Row]) -> str:
    """The table as Markdown, a row a configuration, and which have none."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---|---:|---|" + "---:|" * 8 + "---|"]
    for label, row in rows.items():
        cells = ("luts", "ffs", "carries", "distributed_rams", "brams", "dsps")
        counts = ["" if row[cell] is None else f"{row[cell]:,}" for cell in cells]
        conform = row["conform"]
        verdict = "holds" if row["holds"] else "**does not hold**"
        verdict += f": {row['probe_packets']:,} packets in {row['probe_cycles']:,} cycles, {conform['passed']} tests"
        lines.append(
            f"| `{label}` | {row['input_bytes']} | {cycles_of(row)} | {latency_of(row)} | {' | '.join(counts)} | "
            f"{clock_of(row)} | {verdict} |"
        )
    missing = [f"`{core.label}`" for core in cores() if core.label not in rows]
    lines += ["", f"Not measured yet: {', '.join(missing)}."] if missing else []
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Replace a file as a whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def write_table(rows: dict[str, Row]) -> None:
    """Put the table in its place."""
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    write(README, before + BEGIN + "\n" + table(rows) + "\n" + END + after)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", nargs="*", metavar="LABEL", help="configurations, such as keccak-pipelined")
    parser.add_argument("--seeds", default="1,2,3", help="of place and route")
    parser.add_argument("--time-limit", type=float, default=1800.0, metavar="S", help="of synthesis, and of each seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="seeds at work at once")
    parser.add_argument("--table", action="store_true", help="write the table only")
    options = parser.parse_args()
    known = {core.label: core for core in cores()}
    unknown = [label for label in options.labels if label not in known]
    if unknown:
        parser.error(f"no configuration {unknown[0]!r}; there is: {', '.join(known)}")
    rows = measured()
    seeds = tuple(map(int, options.seeds.split(",")))
    for label, core in known.items():
        wanted = label in options.labels if options.labels else stale(core, rows.get(label))
        if options.table or not wanted:
            continue
        started = time.monotonic()
        try:
            rows[label] = row_of(core, seeds, options.time_limit, options.jobs)
        except ChaindpError as error:
            print(f"cores: {label}: {error}", file=sys.stderr)
            return error.exit_status
        print(f"{label}: {clock_of(rows[label])}; {time.monotonic() - started:.0f} s", file=sys.stderr)
        # After each, as the next one may take an hour.
        rows = {name: rows[name] for name in known if name in rows}
        write(FIGURES, json.dumps(rows, indent=1) + "\n")
    write_table(rows)
    return 0 if all(row["holds"] for row in rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
