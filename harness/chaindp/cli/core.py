"""``chaindp core``: an RTL core, ours or the user's, by its ``core.toml``: check, synthesize, say what it is worth."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chaindp.cli import output
from chaindp.cli.params import FiniteRange

if TYPE_CHECKING:
    from chaindp.workbench.check import CheckResult
    from chaindp.workbench.impact import ImpactResult
    from chaindp.workbench.synth import SynthResult

Command = Callable[..., Any]

DAY_S = 86400

FAILED_SHOWN = 3
"""Probes of a kind that are told of one by one."""

VCD_FOLDER = Path("results/cores")

STEPS, QUICK_STEPS = 110, 58
"""About how many steps a check of one configuration has, for the progress bar."""


class Seeds(click.ParamType):
    """Numbers separated by commas, each once."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """``value`` as a tuple of ints; a usage error where it is not that."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
            self.fail(f"{value!r} is not numbers separated by commas", param, ctx)
        seeds = tuple(map(int, parts))
        if len(set(seeds)) != len(seeds):
            self.fail(f"{value!r} names a seed twice", param, ctx)
        return seeds


def _described(command: Command) -> Command:
    """The arguments that every subcommand has."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout."),
        click.option("--config", "configuration", default="", metavar="NAME", help="A configuration of the core."),
        click.argument("path", metavar="CORE.TOML", type=click.Path(path_type=Path)),
    ):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def core() -> None:
    """Check an RTL core, get its area and clock, and see what it does to the whole chain.

    CORE.TOML describes the core, ours or yours, or is the folder of such a file: docs/validate-your-core.md walks
    through it, docs/cores.md has the reference. Each of these takes --json.
    """


@core.command()
@_described
@click.option("--all", "every", is_flag=True, help="Every configuration of the core, one after another.")
@click.option("--quick", is_flag=True, help="Fewer probes and a shorter conformance suite: for while you work on it.")
@click.option(
    "--budget",
    type=FiniteRange(min=0.1, max=DAY_S),
    default=5.0,
    show_default=True,
    metavar="S",
    help="About how many seconds the open-ended tests of the conformance suite may take.",
)
@click.option("--strict", is_flag=True, help="A core that Verilator warns of does not hold.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of all random input.")
@click.option(
    "--vcd",
    type=click.Path(path_type=Path),
    default=VCD_FOLDER,
    show_default=True,
    metavar="DIR",
    help="Folder for the waveforms around the first mismatch.",
)
def check(
    path: Path,
    configuration: str,
    every: bool,
    quick: bool,
    budget: float,
    strict: bool,
    seed: int,
    vcd: Path,
    as_json: bool,
) -> int:
    """Whether a core is right, and how many cycles it takes.

    Lint; the kernel's conformance suite, without stalls and with them; every edge length under stalls of either side,
    after a reset in the middle, and from random initial values. What is wrong is named, with the first packet that
    shows it and a VCD of the cycles around it.
    """
    from chaindp.cores.description import load_configurations, load_core
    from chaindp.workbench.check import CheckOptions
    from chaindp.workbench.check import check as check_core

    if every and configuration:
        raise click.UsageError("--all and --config: name one configuration, or all of them")
    cores = list(load_configurations(path).values()) if every else [load_core(path, configuration)]
    options = CheckOptions(budget_s=budget, seed=seed, quick=quick, strict=strict, vcd=vcd)
    results = []
    with output.progress("check", len(cores) * (QUICK_STEPS if quick else STEPS)) as advance:
        for one in cores:

            def step(text: str, label: str = one.label) -> None:
                advance(f"{label}, {text}")

            results.append(check_core(one, options, step))
    if as_json:
        documents = [result.to_dict() for result in results]
        output.emit({"configurations": documents, "holds": all(r.holds for r in results)} if every else documents[0])
    else:
        for result in results:
            _print_check(result, strict)
    return 0 if all(result.holds for result in results) else 1


def _print_check(result: CheckResult, strict: bool) -> None:
    core = result.core
    rows: list[list[object]] = []
    warnings = len(result.lint)
    verdict = ("FAILED" if strict else "warnings") if warnings else "ok"
    rows.append(["lint", verdict, f"{warnings} of verilator -Wall" if warnings else "verilator -Wall"])
    kinds = dict.fromkeys(seen.probe.kind for seen in result.probes)
    for kind in kinds:
        probes = [seen for seen in result.probes if seen.probe.kind is kind]
        packets = sum(len(seen.probe.cases) for seen in probes)
        cycles = sum(seen.transfer.simulated for seen in probes)
        failed = [seen for seen in probes if not seen.holds]
        told = f"{len(probes)} probe{'s' if len(probes) > 1 else ''}, {packets} packets, {cycles:,} cycles"
        rows.append([str(kind), "FAILED" if failed else "ok", told])
        for seen in failed[:FAILED_SHOWN]:
            bad = len(seen.wrong) + len(seen.missing)
            told = f"{bad} of {len(seen.probe.cases)} packets wrong or missing"
            told += "".join(f"; {fault}" for fault in seen.transfer.faults[:1])
            rows.append([f"  {seen.probe.name}", "FAILED", told])
        if len(failed) > FAILED_SHOWN:
            rows.append([f"  and {len(failed) - FAILED_SHOWN} more", "FAILED", "--json has all of them"])
    if result.conformity is not None and result.conformity.not_run:
        rows.append(["conformance", "not run", result.conformity.not_run])
    for name, conformance in result.conformity.runs.items() if result.conformity is not None else ():
        counts = conformance.to_dict()
        told = f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped"
        told += "".join(f"; {count:,} outputs compared" for count in conformance.compared.values())
        rows.append([f"conformance: {name}", "ok" if conformance.holds else "FAILED", told])
    output.table(f"Check of {core.label} ({core.kernel}), {result.seconds:.0f} s", ("what", "verdict", ""), rows)
    for message in result.lint:
        click.echo(f"lint {message}")
    if result.lint:
        codes = ", ".join(f'"{code}"' for code in sorted({*result.core.lint_off, *(one.code for one in result.lint)}))
        click.echo(f"to leave these out: lint_off = [{codes}]")
    for failure in result.conformity.failures if result.conformity is not None else ():
        click.echo(f"FAILED {failure.test}: {failure.reason}")
    if result.figures is not None:
        _print_figures(result)
    if result.cause is not None:
        click.echo(f"cause: {result.cause.kind}: {result.cause.words}")
    if result.witness is not None:
        for key, value in result.witness.to_dict().items():
            if value is not None:
                click.echo(f"  {key.replace('_', ' ')}: {value}")
        if result.vcd is not None:
            click.echo(f"  waveforms: {result.vcd} ({result.vcd_note})")
        elif result.vcd_note:
            click.echo(f"  no waveforms: {result.vcd_note}")
    warned = f", with {warnings} warnings of its lint" if warnings and result.holds else ""
    click.echo(f"{core.label}: {'holds' if result.holds else 'does not hold'}{warned}")


def _print_figures(result: CheckResult) -> None:
    assert result.figures is not None
    columns = (
        "size",
        "cycles/operation",
        f"cycles/{result.figures.unit}",
        "cycles/byte",
        "latency",
        "beats/cycle",
        "bytes/cycle",
        "operations/s",
        "MB/s",
    )
    rows = [
        [
            row.what,
            f"{row.cycles_per_op:,.2f}",
            "" if row.cycles_per_unit is None else f"{row.cycles_per_unit:,.2f}",
            "" if row.cycles_per_byte is None else f"{row.cycles_per_byte:.4f}",
            f"{row.latency:,}",
            f"{row.beats_per_cycle:.3f}",
            f"{row.bytes_per_cycle:.2f}",
            f"{row.ops_per_s:,.0f}",
            f"{row.bytes_per_s / 1e6:,.1f}",
        ]
        for row in result.figures.rows
    ]
    title = f"Cycles of one core, packets back to back; a second is one at the stated {result.core.clock_mhz:g} MHz"
    output.table(title, columns, rows, right=columns[1:])
    click.echo(f"simulator: {result.figures.sim_hz / 1e6:.2f} million cycles a second on this machine")


@core.command()
@_described
@click.option(
    "--seeds", type=Seeds(), default="1,2,3", show_default=True, metavar="N,...", help="Seeds of place and route."
)
@click.option(
    "--time-limit",
    type=FiniteRange(min=0.1, max=DAY_S),
    default=600.0,
    show_default=True,
    metavar="S",
    help="Seconds that synthesis, and each seed, may take.",
)
@click.option(
    "--jobs", type=click.IntRange(1, 256), default=None, help="Seeds at work at once.  [default: the CPU count]"
)
@click.option(
    "--target",
    type=FiniteRange(min=1, max=2000),
    default=None,
    metavar="MHZ",
    help="The clock that place and route works towards.  [default: the one that the core states]",
)
@click.option(
    "--frontend",
    type=click.Choice(["slang", "verilog"]),
    default="slang",
    show_default=True,
    help="What reads the sources: slang, or Yosys's own reader, which is laxer with old Verilog.",
)
@click.option(
    "--wide-luts",
    is_flag=True,
    help="Make functions of more than four inputs with the multiplexers behind the LUT4: good for wide choices, "
    "costly for exclusive ors.",
)
def synth(
    path: Path,
    configuration: str,
    seeds: tuple[int, ...],
    time_limit: float,
    jobs: int | None,
    target: float | None,
    frontend: str,
    wide_luts: bool,
    as_json: bool,
) -> int:
    """Area and clock of a core on an ECP5-85k: Yosys and nextpnr, out of context, after routing, seed by seed.

    A seed that does not converge within the limit, or a core that does not fit, is a row with the reason. The exit
    status is 1 where no seed gives a clock.
    """
    from chaindp.cores.description import load_core
    from chaindp.workbench.netlist import Frontend
    from chaindp.workbench.synth import STEPS, synth

    described = load_core(path, configuration)
    with output.progress("synth", len(seeds) + STEPS) as advance:
        result = synth(
            described,
            seeds,
            limit_s=time_limit,
            jobs=jobs or os.cpu_count() or 1,
            frontend=Frontend(frontend),
            wide_luts=wide_luts,
            target_mhz=target,
            advance=advance,
        )
    if as_json:
        output.emit(result.to_dict())
    else:
        _print_synth(result)
    return 0 if result.holds else 1


def _print_synth(result: SynthResult) -> None:
    figures = result.to_dict()
    area = ("luts", "logic_luts", "carries", "distributed_rams", "ffs", "brams", "dsps")
    names = ("LUT4", "of logic", "CCU2C", "distributed RAM", "FF", "DP16KD", "MULT18X18D")
    counts = ["" if figures[name] is None else f"{figures[name]:,}" for name in area]
    output.table(f"Area of {result.core.label} on {figures['part']}, before packing", names, [counts], right=names)
    columns = ("seed", "status", "fmax after routing", "seconds", "reason")
    rows = [[seed.seed, seed.status, _mhz(seed.fmax_mhz), f"{seed.seconds:.1f}", seed.reason] for seed in result.seeds]
    output.table("Place and route", columns, rows, right=(columns[0], *columns[2:4]))
    if result.fmax:
        span = f"{_mhz(figures['fmax_worst_mhz'])} to {_mhz(figures['fmax_best_mhz'])}"
        click.echo(f"fmax {_mhz(figures['fmax_mhz'])}: the median of {len(result.fmax)} seeds, {span}")
    if result.fmax and figures["fmax_mhz"] < result.core.clock_mhz:
        click.echo(
            f"note {result.core.at('clock_mhz')}: the core states {result.core.clock_mhz:g} MHz, which this part does "
            "not reach; modelled times use the stated clock"
        )
    if result.netlist.status != "ok":
        click.echo(f"synthesis: {result.netlist.status}: {result.netlist.reason}")
    for tool in result.tools.values():
        click.echo(tool)


def _mhz(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} MHz"


@core.command()
@_described
@click.option("--stage", default=None, metavar="STAGE", help="merkleize or prove.  [default: by the core's kernel]")
@click.option("--workload", default="erc20", show_default=True, help="Which workload; 'chaindp plugins' lists them.")
@click.option("--txs", type=int, default=3_000, show_default=True, help="Transactions in all.")
@click.option("--block-txs", type=int, default=500, show_default=True, help="Transactions a block at most.")
@click.option("--accounts", type=int, default=10_000, show_default=True, help="Funded accounts in the genesis.")
@click.option("--repeat", type=int, default=3, show_default=True, help="Repetitions, each with fresh transactions.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
@click.option(
    "--threads", type=int, default=os.cpu_count() or 1, show_default="all cores", help="Host threads of a backend."
)
@click.option("--cores", type=int, default=None, help="Cores of the modelled host.  [default: as many as threads]")
@click.option("--no-lock", is_flag=True, help="Model a host whose stages share no interpreter's lock.")
@click.option(
    "--clock",
    type=FiniteRange(min=0.001, max=100_000),
    default=None,
    metavar="MHZ",
    help="Clock of the core.  [default: the one that it states]",
)
@click.option(
    "--link",
    "links",
    multiple=True,
    metavar="NAME|LATENCY_US:GB_S[:overlap]",
    help="A link between host and device; repeatable.  [default: all that have a name]",
)
@click.option(
    "--within",
    type=FiniteRange(min=0.0001, max=0.5),
    default=0.01,
    show_default=True,
    metavar="SHARE",
    help="What does not matter any more.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=None, metavar="FILE", help="Picture to write: .png, .svg or .pdf."
)
def impact(path: Path, configuration: str, out: Path | None, as_json: bool, **given: Any) -> int:
    """What a core does to the throughput of the whole chain, modelled.

    The chain at DP5, where the core has the kernels of a stage, over DP4: the speed-up by instances and by link, the
    ceiling that no device in that stage can exceed, and from where on more does not matter.
    """
    from chaindp.cores.description import load_core
    from chaindp.errors import UsageError
    from chaindp.pipeline.block import Stage
    from chaindp.platforms import LINKS, parse_link
    from chaindp.plugins import load_plugins
    from chaindp.workbench.impact import ImpactOptions
    from chaindp.workbench.impact import impact as measure_impact
    from chaindp.workbench.impact_plot import check_target, plot_impact

    if out is not None:
        check_target(out)
    links, clock, no_lock, stage = given.pop("links"), given.pop("clock"), given.pop("no_lock"), given.pop("stage")
    if stage is not None and stage not in list(Stage):
        raise UsageError(f"--stage {stage}: there is no such stage; there are: {', '.join(Stage)}")
    options = ImpactOptions(
        stage=None if stage is None else Stage(stage),
        links=tuple(map(parse_link, dict.fromkeys(links))) if links else tuple(LINKS.values()),
        clock_mhz=clock,
        lock=not no_lock,
        **given,
    )
    described = load_core(path, configuration)
    registry = load_plugins(output.warn)
    with output.progress("impact", 3 * options.repeat + 4) as advance:
        result = measure_impact(described, registry, options, advance)
    if out is not None:
        plot_impact(result, out)
    if as_json:
        output.emit(result.to_dict() | {"path": str(out) if out is not None else None})
    else:
        _print_impact(result, out)
    return 0


def _print_impact(result: ImpactResult, out: Path | None) -> None:
    core, options = result.core, result.options
    columns = ("link", "instances", "tx/s", "over DP4", "with admit", "of the ceiling", "device us/tx", "")
    rows = []
    for row in result.rows:
        note = "more do not matter" if row is result.enough(row.link) else ""
        rows.append(
            [
                row.link.name,
                row.instances,
                f"{row.tps:,.0f}",
                f"{row.speedup:.3f}",
                f"{row.speedup_with_admit:.3f}",
                f"{row.of_ceiling:.1%}",
                f"{row.device_ns / 1e3:.3f}",
                note,
            ]
        )
    title = (
        f"{core.label} at {result.clock_mhz:g} MHz in {result.stage} at DP5 over {options.workload}, modelled, over "
        f"DP4's {result.tps_below:,.0f} tx/s ({result.tps_below_with_admit:,.0f} with admit)"
    )
    output.table(title, columns, rows, right=columns[1:7])
    stage = {name: f"{value / 1e3:.2f}" for name, value in result.stage_ns.items()}
    click.echo(
        f"{result.stage} takes {stage['below']} us a transaction at DP4, of which kernels {stage['below_kernels']}; at "
        f"DP5 {stage['host']} stay on the host"
    )
    click.echo(
        f"share: the kernels of {result.stage} are {result.share:.1%} of the stage time of DP4 on the CPU, so Amdahl's "
        f"ceiling is {result.amdahl:.3f} (with admit {result.amdahl_with_admit:.3f})"
    )
    click.echo(
        f"ceiling: a device and a link that take no time give {result.ceiling:.3f} (with admit "
        f"{result.ceiling_with_admit:.3f}), blocks overlapping"
    )
    chosen = result.enough_link
    if not result.pays:
        click.echo(
            f"does not pay: with a device that takes no time, {result.stage} takes {stage['host']} us a transaction on "
            f"the host, which composes what the core has no kernel for, and {stage['below']} with the CPU's kernels"
        )
    elif chosen is not None:
        many = f"{chosen.instances} instance{'s' if chosen.instances > 1 else ''}"
        click.echo(f"enough: {many} behind {chosen.link.name} come within {options.within:.1%} of the ceiling")
    else:
        click.echo(f"enough: no link of these comes within {options.within:.1%} of the ceiling, with any instances")
    calls = ", ".join(f"{value:,.0f} {name.replace('_', ' ')}" for name, value in result.calls.items())
    click.echo(f"a block asks the device for: {calls}")
    both = [
        ", ".join(f"DP{level} {error:+.1%}" for level, error in errors.items())
        for errors in (result.model_errors, result.model_errors_with_admit)
    ]
    click.echo(
        f"error of the model against live runs on this machine: {both[0]} (with admit {both[1]}); DP5 was checked with "
        f"{result.checked_with}"
    )
    if result.within_model_error(result.ceiling):
        output.warn(
            f"a ceiling of {result.ceiling:.3f} is no further from 1 than the model from live runs "
            f"({result.model_error:.1%}): the core may change nothing"
        )
    if out is not None:
        click.echo(f"{out}")
