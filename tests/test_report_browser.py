"""The page in a real browser: nothing asked of the network, nothing on the console, every chart drawn, at any width."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from chaindp.report.html import write_report
from conftest import REPOSITORY
from report_runs import bench_table, break_even_table, comparison_row, pipeline_table, write

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
HOSTILE = "<img src=https://example.invalid/x onerror=alert(1)>$$x$$"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on PATH")

# Every chart: how many pixels of its canvases have a colour, as marks do and axes do not, and where it lies.
DRAWN = """() => Bokeh.documents[0].roots().map(model => {
    const view = Bokeh.index.get_by_id(model.id)
    let coloured = 0
    const walk = element => {
        for (const canvas of element.querySelectorAll("canvas")) {
            if (canvas.width == 0 || canvas.height == 0) continue
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
            for (let at = 0; at < data.length; at += 4) {
                const channels = data.subarray(at, at + 3)
                if (data[at + 3] > 0 && Math.max(...channels) - Math.min(...channels) > 40) coloured++
            }
        }
        for (const child of element.querySelectorAll("*")) if (child.shadowRoot) walk(child.shadowRoot)
    }
    walk(view.el.shadowRoot)
    const box = view.el.getBoundingClientRect()
    return {coloured, left: box.left, right: box.right, width: box.width, height: box.height}
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, int]]:
    """A report by its name: the file, and how many charts it has."""
    folder = tmp_path_factory.mktemp("reports")
    rng = np.random.default_rng(0)
    sides = {"cpu": [*rng.normal(58, 1, 20), 99.0], HOSTILE: rng.normal(29, 1, 20)}
    bench = bench_table(sides, work_unit=HOSTILE)
    slower = comparison_row(what=HOSTILE * 3, a=HOSTILE, verdict="slower", ratio=0.9, low=0.8, high=0.95)
    curves = {
        "trie_hash": {16: (900.0, 60.0), 256: (70.0, 55.0), 4096: (20.0, 50.0)},
        "merkle_tree": {16: (50.0, 90.0), 64: (9.0, 80.0)},
    }
    measured = [
        pipeline_table(levels=(0, 4, 5), again=True, fast=HOSTILE),
        break_even_table(curves, backend=HOSTILE, unit=HOSTILE),
    ]
    sources = {
        "break-even": [write(folder / "even", pd.concat(measured, ignore_index=True), "pipeline")],
        "reference": [REPOSITORY / "results" / "reference"],
        "kernels": [
            write(folder / "bench", bench, "bench", evil=HOSTILE),
            write(folder / "compare", bench, "compare", rows=[comparison_row(), slower]),
        ],
        "all failed": [write(folder / "failed", pipeline_table(levels=(0, 4), failed=(0, 4)), "pipeline")],
        "all levels": [
            write(folder / "one", pipeline_table(levels=(0, 1, 2, 3, 4, 5), again=True, fast=HOSTILE), "pipeline"),
            write(folder / "two", pipeline_table(levels=(0, 4), failed=(4,), reason=HOSTILE), "pipeline"),
        ],
    }

    @functools.cache
    def written(name: str) -> tuple[Path, int]:
        report = write_report(sources[name], folder / f"{name}.html")
        return report.path, report.charts

    return written


SLOW = ("reference", "break-even")


@pytest.mark.parametrize(
    "name",
    [*("kernels", "all failed", "all levels"), *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)],
)
def test_a_page_is_drawn_whole_without_the_network(
    name: str, browser: Any, page_of: Callable[[str], tuple[Path, int]]
) -> None:
    path, charts = page_of(name)
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    heard: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: heard.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (heard.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    for width in (1400, 390):
        page.set_viewport_size({"width": width, "height": 900})
        # No part reaches beyond the window, once charts that were laid out for another width have followed.
        page.wait_for_function(f"document.documentElement.scrollWidth <= {width}")
        if not charts:
            assert page.evaluate("typeof Bokeh") == "undefined"
            continue
        page.wait_for_function("Bokeh.documents.length == 1 && Bokeh.documents[0].is_idle")
        page.wait_for_function(f"({DRAWN})().every(chart => chart.right <= {width} && chart.coloured > 0)")
        drawn = page.evaluate(DRAWN)
        assert len(drawn) == charts
        for chart in drawn:
            assert chart["coloured"] > 60
            assert chart["left"] >= 0
            assert chart["width"] >= 240
            assert chart["height"] >= 100
    # Open what is folded: tables may be wider than the window, but scroll in their own place.
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")
    page.wait_for_function("document.documentElement.scrollWidth <= 390")
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
    # Chromium warns of the way in which this test reads the canvases.
    said = [line for line in heard if "willReadFrequently" not in line and not line.startswith("info: [bokeh")]
    assert said == []
    assert page.evaluate("document.querySelectorAll('main img').length") == 0
    page.close()


def test_a_pointer_on_a_mark_shows_its_figures_as_text(
    browser: Any, page_of: Callable[[str], tuple[Path, int]]
) -> None:
    path, _ = page_of("kernels")
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("dialog", lambda dialog: (heard.append(dialog.message), dialog.dismiss()))
    page.goto(path.as_uri())
    page.wait_for_function("Bokeh.documents[0].is_idle")
    spot = page.evaluate(
        """name => {
            const figure = Bokeh.documents[0].roots()[0]
            const view = Bokeh.index.get_by_id(figure.id)
            view.el.scrollIntoView()
            const renderer = figure.renderers.find(one => {
                const data = one.data_source.data
                return data.backend && data.backend.length
            })
            const {value, y, backend} = renderer.data_source.data
            const at = Array.from(backend).findIndex(text => text.startsWith(name))
            const frame = view.frame ?? view.canvas_view
            const box = view.el.getBoundingClientRect()
            return {
                x: box.left + view.frame.x_scale.compute(value[at]),
                y: box.top + view.frame.y_scale.compute(y[at]),
            }
        }""",
        "<img",
    )
    page.mouse.move(spot["x"] - 3, spot["y"])
    page.mouse.move(spot["x"], spot["y"])
    tooltip = page.locator(".bk-Tooltip").first
    tooltip.wait_for()
    shown = tooltip.evaluate("one => ({text: one.shadowRoot.textContent, html: one.shadowRoot.innerHTML})")
    assert "onerror=alert(1)" in shown["text"]
    assert "<img" not in shown["html"]
    assert [line for line in heard if not line.startswith("[bokeh")] == []
    page.close()
