"""The devices that ``chaindp plugins`` lists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plugin_site import chaindp, make_distribution

BACKENDS = """
from types import MappingProxyType

from chaindp import hookimpl
from chaindp.backend import Backend, BackendSpec, Device


def spec(name, *devices):
    return BackendSpec(
        name=name, kind="gpu", summary="", factory=lambda o: Backend(name, o), capabilities={}, devices=lambda: devices
    )


@hookimpl
def chaindp_backends():
    return [
        spec(
            "cards",
            Device("", "the first card", MappingProxyType({"bytes": 2**37, "driver": "1"}), ("0", "fast")),
            Device("1", "the second card", {"kind": "cpu"}),
        ),
        spec("odd", Device("", "a card", {"handle": object()})),
        spec("bare"),
    ]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugins") / "site"
    make_distribution(folder, "cards-dist", BACKENDS)
    return folder


def test_devices_in_json(site: Path) -> None:
    done = chaindp("plugins", "--json", site=site)
    assert done.returncode == 0, done.stderr
    backends: dict[str, Any] = {row["name"]: row for row in json.loads(done.stdout)["backends"]}
    assert backends["cards"]["devices"] == [
        {
            "name": "",
            "kind": "gpu",
            "aliases": ["0", "fast"],
            "summary": "the first card",
            "details": {"bytes": 2**37, "driver": "1"},
        },
        {"name": "1", "kind": "cpu", "aliases": [], "summary": "the second card", "details": {"kind": "cpu"}},
    ]
    assert backends["cards"]["devices_error"] == ""
    assert backends["bare"]["devices"] == []
    assert backends["bare"]["devices_error"].endswith("backend bare opens, and lists no device")
    assert backends["odd"]["devices"] == []
    assert "the details of a device are not JSON values" in backends["odd"]["devices_error"]
    assert [line for line in done.stderr.splitlines() if "not JSON values" in line] == [
        f"chaindp: warning: {backends['odd']['devices_error']}"
    ]


def test_devices_have_a_table_of_their_own(site: Path) -> None:
    done = chaindp("plugins", site=site)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["cards", "gpu", "cards:0,", "cards:fast", "the", "first", "card"] in lines
    assert ["cards:1", "cpu", "the", "second", "card"] in lines
    (row,) = [line for line in lines if line[:1] == ["odd"]]
    assert row == ["odd", "gpu", "none"]
    assert "no device of odd is listed: backend odd: the details of a device are not JSON values" in done.stdout
    (row,) = [line for line in lines if line[:1] == ["bare"]]
    assert row == ["bare", "gpu", "none"]


def test_the_devices_of_opencl_say_what_they_are(tmp_path: Path) -> None:
    done = chaindp("plugins", "--json")
    (row,) = [row for row in json.loads(done.stdout)["backends"] if row["name"] == "opencl"]
    for device in row["devices"]:
        details = device["details"]
        assert {"driver", "compute_units", "global_bytes", "kind", "platform"} <= details.keys()
        assert details["driver"] in device["summary"]
        assert f"{details['compute_units']} compute unit" in device["summary"]
    hidden = chaindp("plugins", "--json", OCL_ICD_VENDORS=str(tmp_path))
    (row,) = [row for row in json.loads(hidden.stdout)["backends"] if row["name"] == "opencl"]
    assert hidden.returncode == 0
    assert row["devices"] == []
    assert f"no driver found; OCL_ICD_VENDORS is set to {tmp_path}" in row["devices_error"]
    assert "no driver" not in hidden.stderr
