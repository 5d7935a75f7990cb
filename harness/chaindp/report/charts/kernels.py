"""Kernels by backend, with every sample and the interval of the median; and kernels within the stages of a pipeline."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure

from chaindp.report.charts.figures import (
    INK,
    ROW,
    add_hover,
    add_labels,
    chart_figure,
    label_rows,
    plain,
    short,
    whiskers,
)
from chaindp.report.palette import GREY, TRANSFER
from chaindp.report.parts import Chart, Key
from chaindp.report.sources import Run
from chaindp.report.tables import stage_kernel_table
from chaindp.report.words import figure as number
from chaindp.report.words import percent, times
from chaindp.results.kernels import disagreements

__all__ = ["SAMPLES_SHOWN", "rate_charts", "stage_kernel_chart"]

SAMPLES_SHOWN = 200
"""Samples of a kernel, size and backend that are drawn: outliers first, then evenly over the others."""

_LOG_FROM = 20
_DOMAIN_WORDS = {"device": "device time", "modelled": "modelled"}
_LEAST_SHARE = 0.01


def rate_charts(run: Run) -> list[Chart]:
    """Two charts a kernel, compute and transfer: a row a size and backend. Time domains never share an axis."""
    charts = []
    keys = ["kernel", "time_domain", "unit", "work_unit"]
    for _, rates in run.kernel_rates.groupby(keys, sort=False, dropna=False):
        compute = _rate_chart(run, rates, "compute")
        charts.append(compute)
        # Zero has no place on a logarithmic axis and is nothing to see on a linear one: the table has it.
        if (rates["transfer"] > 0).any():
            charts.append(_rate_chart(run, rates, "transfer"))
    return charts


def _rate_chart(run: Run, rates: pd.DataFrame, name: str) -> Chart:
    unit = f"{rates['unit'].iloc[0]} a {rates['work_unit'].iloc[0]}"
    domain = str(rates["time_domain"].iloc[0])
    backends = list(dict.fromkeys(rates["backend"].astype(str)))
    position: dict[tuple[str, str], float] = {}
    headings: dict[float, str] = {}
    y = 0.0
    for workload, group in rates.groupby("workload", sort=False):
        headings[y] = str(workload)
        for backend in group["backend"].astype(str):
            y -= 1.0
            position[str(workload), backend] = y
        y -= 1.3
    samples = _chosen(run.kernel_samples, rates, name)
    values = [*samples[name], *rates[f"{name}_low"].dropna(), *rates[f"{name}_high"].dropna()]
    positive = [value for value in values if value > 0] or [1.0]
    log = max(positive) > _LOG_FROM * min(positive)
    low, high = (min(positive) / 1.5, max(positive) * 1.5) if log else (0.0, max(positive) * 1.06)
    picture = chart_figure(
        64 + int(ROW * -y),
        f"{unit}, {name}" + (" (log scale)" if log else ""),
        x_range=(low, high),
        y_range=(y + 0.6, 0.7),
        log=log,
    )
    label_rows(picture, {row: short(backend) for (_, backend), row in position.items()})
    _headings(picture, headings, low)
    _draw_samples(picture, samples, position, name)
    medians = ColumnDataSource(
        {
            "y": [position[str(row.workload), str(row.backend)] for row in rates.itertuples()],
            "value": rates[name].to_numpy(dtype=float),
            "low": rates[f"{name}_low"].to_numpy(dtype=float),
            "high": rates[f"{name}_high"].to_numpy(dtype=float),
            "colour": [run.colours[str(backend)] for backend in rates["backend"]],
            "backend": [plain(backend) for backend in rates["backend"]],
            "samples": rates["samples"].to_numpy(),
            "unit": [plain(unit)] * len(rates),
        }
    )
    whiskers(picture, medians, "y", colour="colour", width=3)
    dots = picture.scatter(x="value", y="y", source=medians, size=10, color="colour", line_color="white")
    tips = [("backend", "@backend"), ("median", "@value{0,0.000} @unit"), ("samples", "@samples")]
    add_hover(picture, [dots], [*tips, ("interval", "@low{0,0.000} to @high{0,0.000}")])
    legend = [Key(backend, run.colours[backend], "dot") for backend in backends]
    legend += [Key("median and its 95 % interval", INK, "line"), Key("sample", GREY, "cross")]
    found = set(samples[_outlier(name)])
    legend += [Key("mild outlier", INK, "hollow")] if "mild" in found else []
    legend += [Key("severe outlier", INK, "diamond")] if "severe" in found else []
    quantity = f"{name} time for a unit of work, {unit}, time domain {domain}" + _left_out(run, rates, len(samples))
    said = disagreements(run.frame)
    doubted = [row.backend for row in rates.itertuples() if (str(row.workload), str(row.backend), domain) in said]
    if doubted:
        quantity += f"; clocks disagree on {', '.join(dict.fromkeys(map(str, doubted)))}, see the table"
    return Chart(_rate_title(rates, name, unit), quantity, picture, legend)


def _rate_title(rates: pd.DataFrame, name: str, unit: str) -> str:
    """The kernel, and the lowest median beside the highest, at the largest size."""
    kernel, last = rates["kernel"].iloc[0], rates[rates["workload"] == rates["workload"].iloc[-1]]
    domain = rates["time_domain"].iloc[0]
    # A backend that is measured by its device's clock has a chart by the wall clock, too: the title tells them apart.
    kernel = f"{kernel} ({_DOMAIN_WORDS[domain]})" if domain in _DOMAIN_WORDS else kernel
    ordered = last.dropna(subset=name).sort_values(name)
    if name == "transfer":
        share = (ordered["transfer"] / (ordered["transfer"] + ordered["compute"])).max()
        return f"{kernel}, transfer: at most {percent(share)} of compute and transfer together"
    title = f"{kernel}: {ordered['backend'].iloc[0]} {number(ordered[name].iloc[0])} {unit}"
    if len(ordered) > 1 and ordered[name].iloc[0] > 0:
        most = ordered[name].iloc[-1] / ordered[name].iloc[0]
        title += f", {ordered['backend'].iloc[-1]} takes {times(most)} as long"
    return title


def _outlier(name: str) -> str:
    """The column that labels outliers among computes, or among transfers."""
    return "outlier" if name == "compute" else f"{name}_outlier"


def _chosen(samples: pd.DataFrame, rates: pd.DataFrame, name: str) -> pd.DataFrame:
    """The samples of these rates that are drawn: at most SAMPLES_SHOWN of each, all its outliers before the others."""
    mine = samples[samples["workload"].isin(rates["workload"]) & samples["backend"].isin(rates["backend"])]
    mine = mine[mine["time_domain"].isin(rates["time_domain"]) & mine[name].notna()]
    parts = []
    for _, group in mine.groupby(["workload", "backend"], sort=False):
        labelled = group[_outlier(name)] != ""
        far, near = group[labelled], group[~labelled]
        far = _evenly(far, SAMPLES_SHOWN)
        parts += [far, _evenly(near, SAMPLES_SHOWN - len(far))]
    return pd.concat(parts) if parts else mine


def _evenly(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    if len(rows) <= most:
        return rows
    return rows.iloc[np.linspace(0, len(rows) - 1, most).round().astype(int)]


def _left_out(run: Run, rates: pd.DataFrame, drawn: int) -> str:
    total = int(rates["samples"].sum())
    return f"; {drawn:,} of {total:,} samples drawn, all of them counted" if drawn < total else ""


def _draw_samples(picture: figure, samples: pd.DataFrame, position: dict[tuple[str, str], float], name: str) -> None:
    # Below the median's mark, so that one does not hide the other.
    rows = zip(samples["workload"].tolist(), samples["backend"].tolist(), strict=True)
    where = [position[str(workload), str(backend)] - 0.28 for workload, backend in rows]
    kinds = samples[_outlier(name)].to_numpy()
    marks = {"": (GREY, "x", 5), "mild": ("white", "diamond", 9), "severe": (INK, "diamond", 9)}
    for kind, (colour, marker, size) in marks.items():
        chosen = kinds == kind
        if not chosen.any():
            continue
        source = ColumnDataSource(
            {
                "y": np.array(where)[chosen],
                "value": samples[name].to_numpy(dtype=float)[chosen],
                "repetition": samples["repetition"].fillna(-1).to_numpy(dtype=np.int64)[chosen],
            }
        )
        mark = picture.scatter(x="value", y="y", source=source, marker=marker, size=size, fill_color=colour)
        mark.glyph.line_color = INK if kind else GREY
        # Words here and not a column of them: Bokeh writes thousands of texts slowly, and numbers at once.
        what = f"{kind} outlier" if kind else "sample"
        add_hover(picture, [mark], [(what, "@value{0,0.000}"), ("repetition", "@repetition")])


def _headings(picture: figure, headings: dict[float, str], left: float) -> None:
    """A line of text above each group of rows, where long names have room."""
    source = ColumnDataSource(
        {"x": [left] * len(headings), "y": list(headings), "text": [short(text, 52) for text in headings.values()]}
    )
    add_labels(picture, source, "x", "y", "text", x_offset=4, y_offset=-5, text_font_style="bold")


def stage_kernel_chart(run: Run) -> Chart | None:
    """Kernel time within the stages, us a transaction: a group a stage and kernel, a row a level; transfer below it."""
    # Modelled time has no place on an axis of wall time: it is in the tables.
    everything = run.stage_kernels
    table = everything[everything["time_domain"] != "modelled"]
    if table.empty:
        return None
    groups = dict(_groups(table))
    backends = list(dict.fromkeys(table["backend"].astype(str)))
    headings: dict[float, str] = {}
    labels: dict[float, str] = {}
    data: dict[str, list[object]] = {name: [] for name in ("y", "value", "low", "high", "colour", "backend", "level")}
    moved: dict[str, list[object]] = {name: [] for name in ("y", "value", "low", "high", "level")}
    y = 0.0
    for name, group in groups.items():
        headings[y] = name
        for row in group.itertuples():
            y -= 1.0
            labels[y] = f"DP{row.level}"
            parts: dict[str, object] = {"y": y + 0.15, "value": row.compute / 1e3, "low": row.compute_low / 1e3}
            parts |= {"high": row.compute_high / 1e3, "level": f"DP{row.level}"}
            parts |= {"colour": run.colours.get(str(row.backend), GREY), "backend": plain(row.backend)}
            for key, value in parts.items():
                data[key].append(value)
            parts = {"y": y - 0.28, "value": row.transfer / 1e3, "low": row.transfer_low / 1e3}
            parts |= {"high": row.transfer_high / 1e3, "level": f"DP{row.level}"}
            for key, value in parts.items():
                moved[key].append(value)
        y -= 1.2
    top = max(float(table["compute_high"].max()), float(table["transfer_high"].max())) / 1e3
    picture = chart_figure(
        70 + int(17 * -y),
        "us a transaction",
        x_range=(0, max(top, 1e-9) * 1.04),
        y_range=(y + 0.8, 0.7),
    )
    label_rows(picture, labels)
    picture.yaxis.major_label_text_font_size = "10px"
    _headings(picture, headings, 0.0)
    compute = ColumnDataSource(data)
    bars = picture.hbar(y="y", left=0, right="value", height=0.5, source=compute, color="colour")
    whiskers(picture, compute, "y", halo=True)
    transfers = picture.hbar(y="y", left=0, right="value", height=0.24, source=ColumnDataSource(moved), color=TRANSFER)
    add_hover(
        picture,
        [bars],
        [
            ("backend", "@backend at @level"),
            ("compute", "@value{0,0.00} us/tx"),
            ("spread", "@low{0,0.00} to @high{0,0.00}"),
        ],
    )
    add_hover(picture, [transfers], [("transfer", "@value{0,0.000} us/tx at @level")])
    legend = [Key(f"compute on {backend}", run.colours.get(backend, GREY)) for backend in backends]
    legend += [Key("fastest to slowest repetition", INK, "line"), Key("transfer", TRANSFER)]
    total = float(table["compute"].sum() + table["transfer"].sum())
    title = (
        f"Transfer is {percent(table['transfer'].sum() / total)} of all kernel time" if total > 0 else "No kernel time"
    )
    left = len(table.groupby(["stage", "kernel"])) - len(groups)
    quantity = "time of kernel calls within the stages, us a transaction; medians over the repetitions"
    quantity += f"; {left} below {percent(_LEAST_SHARE)} of a level's kernel time are in the table only" if left else ""
    quantity += "; modelled time is in the table only" if len(table) < len(everything) else ""
    return Chart(title, quantity, picture, legend, stage_kernel_table(run), wide=True)


def _groups(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Stage and kernel in words with its rows; without those that are next to nothing at every level."""
    level_total = table.groupby("level")["compute"].transform("sum")
    share = (table["compute"] + table["transfer"]) / level_total
    for (stage, kernel), group in table.groupby(["stage", "kernel"], sort=False):
        if (share[group.index] >= _LEAST_SHARE).any():
            yield f"{stage}: {kernel}", group.sort_values("level")
