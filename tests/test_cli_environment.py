from __future__ import annotations

import getpass
import hashlib
import importlib.metadata
import json
import os
import socket
from pathlib import Path

import pytest

from chaindp import __version__
from chaindp.measure import environment
from chaindp.measure.environment import collect, redact
from chaindp.plugins import load_plugins
from plugin_site import make_distribution


def test_provenance_is_json_and_complete() -> None:
    document = collect(argv=["/usr/bin/chaindp", "run"])
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["chaindp"] == __version__
    assert document["command"] == ["chaindp", "run"]
    cpu = document["cpu"]
    assert isinstance(cpu, dict)
    assert cpu["cores_logical"] == os.cpu_count()
    assert cpu["flags"] == sorted(cpu["flags"])
    for key in (
        "time python packages distributions distributions_sha256 lock_files variables memory load_average tasks os "
        "container virtual_machine limits numa aslr transparent_hugepages transparent_hugepages_defrag drivers "
        "compiler tools git advice"
    ).split():
        assert key in document
    system = document["os"]
    assert isinstance(system, dict)
    assert {"kernel", "options", "clocksource"} <= system.keys()


def test_every_distribution_is_recorded_and_hashed() -> None:
    document = collect(argv=[])
    names = document["distributions"]
    assert isinstance(names, list)
    assert f"chaindp=={__version__}" in names
    assert f"numpy=={importlib.metadata.version('numpy')}" in names
    assert names == sorted(set(names))
    lines = "".join(f"{name}\n" for name in names)
    assert document["distributions_sha256"] == hashlib.sha256(lines.encode()).hexdigest()


def test_variables_that_matter_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if environment.VARIABLES.fullmatch(name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CHAINDP_DATA", "/home/somebody/data")
    monkeypatch.setenv("CHAINDP_API_TOKEN", "hunter2")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("LD_PRELOAD", "/opt/x/libjemalloc.so:/opt/y.so")
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    monkeypatch.setenv("HOME_ADDRESS", "1 Road")
    document = collect(argv=[])
    assert document["variables"] == {
        "CHAINDP_API_TOKEN": "(set)",
        "CHAINDP_DATA": ".../data",
        "LD_PRELOAD": ".../libjemalloc.so:.../y.so",
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
    }
    python = document["python"]
    assert isinstance(python, dict)
    assert python["hash_seed"] == "0"


def test_lock_files_of_an_installed_package_are_the_current_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(environment, "_checkout", lambda: None)
    assert collect(argv=[])["lock_files"] is None
    (tmp_path / "uv.lock").write_bytes(b"version = 1\n")
    document = collect(argv=[])
    assert document["lock_files"] == [{"name": "uv.lock", "sha256": hashlib.sha256(b"version = 1\n").hexdigest()}]
    assert document["git"] is None


def test_a_plugins_row_says_what_it_provides() -> None:
    plugins = collect(registry=load_plugins(lambda line: None), argv=[])["plugins"]
    assert isinstance(plugins, list)
    rows = {row["name"]: row for row in plugins}
    assert rows["cpu"]["backends"] == ["cpu"]
    assert "erc20" in rows["workloads"]["workloads"]


def test_nothing_private_is_recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    make_distribution(
        tmp_path,
        "private-paths",
        "import getpass, os, socket\nfrom chaindp import hookimpl\n@hookimpl\ndef chaindp_environment():\n"
        "    return {'driver': '/opt/secret/lib/libfoo.so.1', 'nested': [{'home': os.path.expanduser('~/x')}],\n"
        "            'host': 'on ' + socket.gethostname(), 'nan': float('nan'), 'object': object, 3: None}\n",
    )
    registry = load_plugins(lambda line: None)
    document = collect(
        registry=registry, argv=["chaindp", "--out", str(tmp_path / "a b" / "runs"), f"--x={tmp_path}/y"]
    )
    text = json.dumps(document, allow_nan=False)
    assert str(tmp_path) not in text
    assert "/opt/secret" not in text
    assert os.path.expanduser("~") + "/" not in text
    host, user = socket.gethostname(), getpass.getuser()
    if len(host) > 3 and host != "localhost":
        assert f"on {host}" not in text
    if len(user) > 3 and user != "root":
        assert f'"{user}"' not in text
    environments = document["environment"]
    assert isinstance(environments, dict)
    private = environments["private_paths"]
    assert private["driver"] == ".../libfoo.so.1"
    assert private["nan"] is None
    assert document["command"] == ["chaindp", "--out", ".../runs", "--x=.../y"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/opt/a/b.so", ".../b.so"),
        ("--x=/opt/q", "--x=.../q"),
        ("loaded /opt/a/b.so, /opt/c", "loaded .../b.so, .../c"),
        ('File "/opt/x.py", line 3', 'File ".../x.py", line 3'),
        ("a/b and 50/50", "a/b and 50/50"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("results/runs", "results/runs"),
    ],
)
def test_paths_are_cut(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_the_working_folder_is_a_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert redact(f"{tmp_path}/results/x") == "./results/x"
    assert redact(f"{tmp_path}-other/x") == ".../x"
    assert collect(argv=["chaindp", str(tmp_path / "in" / "side")])["command"] == ["chaindp", "in/side"]


def test_a_failing_plugin_costs_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    head = "from chaindp import hookimpl\n@hookimpl\ndef chaindp_environment():\n"
    make_distribution(tmp_path, "faulty-env", head + "    raise OSError('bus')")
    warnings: list[str] = []
    document = collect(registry=load_plugins(lambda line: None), warn=warnings.append)
    assert warnings == ["plugin faulty_env (faulty-env 1.0): its provenance is missing: OSError: bus"]
    environments = document["environment"]
    assert isinstance(environments, dict)
    assert environments["faulty_env"] == {"error": "OSError: bus"}


def test_the_first_line_of_a_program() -> None:
    assert environment.first_line("sh", "-c", "echo one; echo two") == "one"
    assert environment.first_line("sh", "-c", "exit 3") is None
    assert environment.first_line("no-such-program-here") is None
