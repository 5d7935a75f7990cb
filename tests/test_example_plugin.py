"""examples/plugin as a stranger gets it: installed from its own folder, beside chaindp's wheel, and used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugin_environment import PluginEnvironment

pytest_plugins = ["plugin_environment"]


def test_it_is_listed(plugin_environment: PluginEnvironment, tmp_path: Path) -> None:
    document = plugin_environment.chaindp("plugins", cwd=tmp_path)
    (row,) = [row for row in document["plugins"] if row["name"] == "blake3"]
    assert (row["distribution"], row["status"], row["reason"]) == ("chaindp-blake3", "ok", "")
    assert (row["backends"], row["kernels"]) == (["blake3"], ["blake3"])
    (kernel,) = [kernel for kernel in document["kernels"] if kernel["name"] == "blake3"]
    assert kernel["backends"].pop("blake3") == "supported"
    assert {"cpu", "opencl", "demo"} <= set(kernel["backends"])
    assert set(kernel["backends"].values()) == {"not implemented"}


def test_its_own_tests_pass(plugin_environment: PluginEnvironment, tmp_path: Path) -> None:
    # From elsewhere and without a cache folder: what is tested is what is installed, and the sources stay as they are.
    folder = str(plugin_environment.example)
    assert " passed" in plugin_environment.run("pytest", "-q", "-p", "no:cacheprovider", folder, cwd=tmp_path)


def test_its_backend_conforms(plugin_environment: PluginEnvironment, tmp_path: Path) -> None:
    document = plugin_environment.chaindp("conform", "blake3", "--budget", "2", cwd=tmp_path)
    assert document["failures"] == []
    assert document["failed"] == 0
    assert document["passed"] > 10


def test_its_kernel_is_measured(plugin_environment: PluginEnvironment, tmp_path: Path) -> None:
    document = plugin_environment.chaindp(
        "bench", "blake3", "--backend", "blake3", "--size", "64", "--size", "256", "--repeat", "3", cwd=tmp_path
    )
    rows = document["rows"]
    assert [(row["kernel"], row["size"], row["status"], row["output_matched"]) for row in rows] == [
        ("blake3", 64, "ok", True),
        ("blake3", 256, "ok", True),
    ]
    assert all(row["unit"] == "compression" and row["ns_per_unit"] > 0 for row in rows)
    assert all("35 vectors" in row["compared_with"] and "golden on" in row["compared_with"] for row in rows)
    run = json.loads((tmp_path / document["path"] / "run.json").read_bytes())
    assert run["environment"]["environment"]["blake3"]["blake3"][0].isdigit()
