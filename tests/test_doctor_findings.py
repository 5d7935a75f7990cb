"""What doctor makes of a backend's own findings, and of devices that take their process along."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaindp import cli
from chaindp.backend import Finding
from chaindp.cli import doctor as command
from chaindp.errors import ChaindpError
from chaindp.measure import devices, doctor
from chaindp.measure.doctor import Check
from chaindp.plugins import load_plugins
from plugin_site import chaindp, make_distribution

BACKENDS = """
import os
import time
from chaindp import hookimpl
from chaindp.backend import Backend, BackendSpec, Device, Finding


def found():
    return [
        Finding("driver", True, "1.0", "not shown"),
        Finding("variable", None, "set to x"),
        Finding("gpu", False, "no driver", "apt-get install it"),
        Finding("unknown", False, "broken"),
    ]


def crash():
    os.abort()


def refuse(options):
    raise OSError("no such device")


def crash_when_opened(options):
    os.abort()


def leave_when_opened(options):
    os._exit(3)


def hang_when_opened(options):
    time.sleep(60)


def chatty(options):
    os.write(1, b"driver 1.0 starts\\n")
    return Backend("chatty", options)


def spec(name, diagnose, factory=refuse, devices=lambda: [Device("", "one")]):
    return BackendSpec(
        name=name, kind="other", summary="", factory=factory, capabilities={}, devices=devices, diagnose=diagnose
    )


@hookimpl
def chaindp_backends():
    return [
        spec("finds", found, devices=lambda: [Device("", "one"), Device("b", "two")]),
        spec("plain", None),
        spec("crashes", lambda: [], factory=crash_when_opened),
        spec("ends", lambda: [], factory=leave_when_opened),
        spec("hangs", lambda: [], factory=hang_when_opened),
        spec("unlisted", lambda: [], devices=crash),
        spec("chatty", lambda: [], factory=chatty),
    ]
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    make_distribution(tmp_path / "site", "drivers-dist", BACKENDS)
    return tmp_path / "site"


def test_findings_are_checks_with_the_backends_name(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    registry = load_plugins(pytest.fail)
    checks = doctor._backend(registry, "finds")
    documentation = "see the documentation of plugin drivers_dist (drivers-dist 1.0)"
    assert checks[:4] == [
        Check("finds driver", True, "1.0", "not shown"),
        Check("finds variable", None, "set to x"),
        Check("finds gpu", False, "no driver", "apt-get install it"),
        Check("finds unknown", False, "broken", documentation),
    ]
    # What mends the drivers mends the devices.
    assert [check.name for check in checks[4:]] == ["backend finds", "backend finds:b"]
    for check in checks[4:]:
        assert (check.ok, check.fix, check.required) == (False, f"apt-get install it; {documentation}", False)
        assert "does not open: OSError: no such device" in check.detail
    (plain,) = doctor._backend(registry, "plain")
    assert (plain.name, plain.ok, plain.fix) == ("backend plain", False, documentation)


def raising() -> list[Finding]:
    raise RuntimeError("bus\nerror")


def leaving() -> list[Finding]:
    raise SystemExit("bye")


@pytest.mark.parametrize(
    ("diagnose", "words"),
    [
        (raising, "RuntimeError: bus error"),
        (leaving, "SystemExit: bye"),
        (lambda: ["driver"], "yields 'driver', which is not a Finding"),
        (lambda: None, "TypeError"),
    ],
)
def test_a_diagnosis_that_fails_is_a_failed_check(diagnose: Callable[[], Any], words: str) -> None:
    registry = load_plugins(pytest.fail)
    spec = dataclasses.replace(registry.backends["cpu"], diagnose=diagnose)
    (check,) = doctor._findings(dataclasses.replace(registry, backends={"cpu": spec}), "cpu")
    assert (check.name, check.ok, check.required) == ("cpu diagnosis", False, False)
    assert words in check.detail
    assert "\n" not in check.detail
    assert check.fix


@pytest.mark.parametrize(
    ("name", "what", "words"),
    [
        ("crashes", "hash", "its driver ends the process with signal 6"),
        ("ends", "hash", "its process ends with status 3 and no answer"),
        ("hangs", "hash", "gives no answer within 3 s"),
        ("unlisted", "list", "its driver ends the process with signal 6"),
        ("finds", "hash", "does not open: OSError: no such device"),
    ],
)
def test_a_device_that_takes_its_process_along_is_an_error(
    site: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str, words: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(site))
    if name == "hangs":
        monkeypatch.setattr(devices, "SECONDS", 3)
    with pytest.raises(ChaindpError, match=words):
        devices.ask_alone(what, name)


def test_what_a_driver_prints_is_no_answer(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(site))
    assert devices.ask_alone("hash", "chatty") == ["opens; has no hash to try"]
    assert devices.ask_alone("list", "finds") == ["", "b"]


def test_a_note_is_shown_as_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    checks = [
        Check("a variable", None, "set"),
        Check("a driver", False, "none"),
        Check("a device", True, "right"),
        Check("an advice", None, "unknown", advice=True),
        Check("a need", False, "broken", required=True),
    ]
    monkeypatch.setattr(command, "run_checks", lambda warn: checks)
    assert cli.main(["doctor"]) == 1
    text = capsys.readouterr().out
    results = [line.split()[2] for line in text.splitlines() if line.split()[:1] in (["a"], ["an"])]
    assert results == ["note", "missing", "ok", "unknown", "FAILS"]
    monkeypatch.setattr(command, "run_checks", lambda warn: checks[:-1])
    assert cli.main(["doctor"]) == 0


@pytest.mark.slow
def test_a_missing_driver_is_no_failure(tmp_path: Path) -> None:
    done = chaindp("doctor", "--json", cwd=tmp_path, OCL_ICD_VENDORS=str(tmp_path))
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    if checks["backend opencl"]["ok"]:
        pytest.skip("a driver lies beside pyopencl, where it is always found")
    assert checks["opencl drivers"]["ok"] is False
    assert "apt-get install pocl-opencl-icd" in checks["backend opencl"]["fix"]
    assert not any(
        check["required"] for name, check in checks.items() if name.startswith(("opencl ", "backend opencl"))
    )
    failing = [check for check in checks.values() if check["required"] and not check["ok"]]
    assert done.returncode == (1 if failing else 0)
