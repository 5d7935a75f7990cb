from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaindp.errors import PluginError, UsageError
from chaindp.plugins import Registry, load_plugins
from plugin_site import chaindp, make_distribution

Install = Callable[..., Registry]

GOOD = """
from chaindp import hookimpl
from chaindp.backend import Backend, BackendSpec, Capability, Device, Support

class Toy(Backend):
    def keccak256(self, data, offsets):
        raise NotImplementedError

@hookimpl
def chaindp_backends():
    return [BackendSpec(
        name="NAME", kind="other", summary="a toy", factory=FACTORY,
        capabilities={"keccak256": Capability(), "ntt": Capability(Support.IMPOSSIBLE, "no multiplier")},
        devices=lambda: [Device("", "default"), Device("b", "second")],
    )]
"""


def good(name: str = "toy", factory: str = 'lambda options: Toy("toy", options)') -> str:
    return GOOD.replace("NAME", name).replace("FACTORY", factory)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on sys.path whose modules are forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


def row_of(registry: Registry, name: str) -> tuple[str, str]:
    (row,) = [row for row in registry.plugins if row.name == name]
    return row.status, row.reason


def test_a_good_plugin_is_all_there(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_distribution(site, "toy-dist", good(), entry="toy", version="2.5")
    registry = load_plugins()
    assert registry.providers["backend", "toy"] == "toy (toy-dist 2.5)"
    (row,) = [row for row in registry.plugins if row.name == "toy"]
    assert (row.distribution, row.version, row.status, row.backends) == ("toy-dist", "2.5", "ok", ("toy",))
    assert row not in registry.broken
    backend = registry.open_backend("toy:b", threads=3)
    assert (backend.label, backend.threads) == ("toy:b", 3)
    kernels = registry.kernel_set(backend, keep=1 << 30)
    assert kernels.supported == {"keccak256"}
    assert kernels.keep
    assert "toy-dist" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ImportError('libfoo.so is missing\\nsecond line')", "ImportError: libfoo.so is missing second line"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError: invalid syntax"),
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("x = 1", "implements no hook"),
        (
            "from chaindp import hookimpl\n@hookimpl\ndef chaindp_backend():\n    return []",
            "implements chaindp_backend, which is not a hook",
        ),
        (
            "from chaindp import hookimpl\n@hookimpl\ndef chaindp_backends(device):\n    return []",
            "(device) Argument(s) {'device'}",
        ),
        ("from chaindp import hookimpl\n@hookimpl\ndef chaindp_backends():\n    1 / 0", "ZeroDivisionError"),
        (
            "from chaindp import hookimpl\n@hookimpl\ndef chaindp_backends():\n    return 7",
            "yields int, not a sequence",
        ),
        ("from chaindp import hookimpl\n@hookimpl\ndef chaindp_backends():\n    return 'ab'", "yields str"),
        (
            "from chaindp import hookimpl\n@hookimpl\ndef chaindp_backends():\n    return [3]",
            "yields int in its sequence, not BackendSpec",
        ),
        (
            "from chaindp import hookimpl\n@hookimpl\ndef chaindp_workloads():\n    return [None]",
            "yields NoneType in its sequence, not WorkloadSpec",
        ),
        (
            "from chaindp import hookimpl\n@hookimpl\ndef chaindp_kernels():\n    yield 1",
            "yields int in its sequence, not KernelSpec",
        ),
        (good(name="Bad Name"), "backend name 'Bad Name' is not lowercase"),
        (good().replace('kind="other"', 'kind="quantum"'), "kind 'quantum'"),
        (good().replace("Capability(),", "True,"), "states True for 'keccak256'"),
        (good(factory="None"), "cannot be called"),
        (
            (
                "from chaindp import hookimpl\nfrom chaindp.kernels import KernelSpec\n"
                "@hookimpl\ndef chaindp_kernels():\n"
                "    return [KernelSpec(name='A', summary='', unit='x', generate=len, golden=len, units=len)]"
            ),
            "bad name, 'A'",
        ),
        (
            (
                "from chaindp import hookimpl\nfrom chaindp.kernels import KernelSpec\n"
                "@hookimpl\ndef chaindp_kernels():\n"
                "    return [KernelSpec(name='a', summary='', unit='', generate=len, golden=len, units=len)]"
            ),
            "no unit of work",
        ),
    ],
)
def test_a_broken_plugin_is_left_out_in_one_line(
    site: Path, capsys: pytest.CaptureFixture[str], source: str, reason: str
) -> None:
    make_distribution(site, "boom-dist", source, entry="boom", version="0.3")
    make_distribution(site, "toy-dist", good(), entry="toy")
    registry = load_plugins()
    status, why = row_of(registry, "boom")
    assert status == "failed"
    assert reason in why
    assert "\n" not in why
    assert "boom" in {row.name for row in registry.broken}
    lines = [line for line in capsys.readouterr().err.splitlines() if "boom" in line]
    assert lines == [f"chaindp: warning: plugin boom (boom-dist 0.3) was left out: {why}"]
    # The others are not touched, and nothing of the broken one stays behind.
    assert row_of(registry, "toy") == ("ok", "")
    assert all("boom" not in provider for provider in registry.providers.values())


def test_a_half_broken_plugin_provides_nothing(site: Path) -> None:
    source = good() + "\n@hookimpl\ndef chaindp_workloads():\n    raise OSError('no disk')\n"
    make_distribution(site, "half", source)
    registry = load_plugins(lambda line: None)
    assert "toy" not in registry.backends
    assert row_of(registry, "half") == ("failed", "OSError: no disk")


def test_output_while_loading_stays_off_stdout(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_distribution(site, "chatty", "print('hello from import')\n" + good())
    load_plugins()
    out, err = capsys.readouterr()
    assert out == ""
    assert "hello from import" in err


def test_a_name_clash_names_both_distributions(site: Path) -> None:
    make_distribution(site, "toy-one", good(), version="1.1")
    make_distribution(site, "toy-two", good(), version="2.2")
    with pytest.raises(PluginError, match=r"backend 'toy' is provided by both .*toy-one 1\.1.* and .*toy-two 2\.2"):
        load_plugins()


def test_a_clash_with_a_built_in_kernel(site: Path) -> None:
    make_distribution(
        site,
        "thief",
        "from chaindp import hookimpl\nfrom chaindp.kernels import KernelSpec\n"
        "@hookimpl\ndef chaindp_kernels():\n"
        "    return [KernelSpec(name='keccak256', summary='', unit='x', generate=len, golden=len, units=len)]",
    )
    with pytest.raises(PluginError, match=r"kernel 'keccak256' is provided by both built-in \(chaindp .* and thief"):
        load_plugins()


def test_two_plugins_of_one_entry_point_name(site: Path) -> None:
    make_distribution(site, "one-dist", good("toy"), entry="same")
    make_distribution(site, "two-dist", good("toy2", "None").replace("None", "len"), entry="same")
    registry = load_plugins(lambda line: None)
    assert {"toy", "toy2"} <= set(registry.backends)


def test_unknown_names_are_usage_errors_with_a_hint(site: Path) -> None:
    make_distribution(site, "toy-dist", good())
    registry = load_plugins(lambda line: None)
    with pytest.raises(UsageError, match=r"unknown backend 'toyy'; did you mean toy\? \(there is: .*toy"):
        registry.open_backend("toyy")
    with pytest.raises(UsageError, match=r"no device 'c'; there is: toy, toy:b"):
        registry.open_backend("toy:c")
    with pytest.raises(UsageError, match="no device after the colon"):
        registry.open_backend("toy:")
    with pytest.raises(UsageError, match="threads is 0"):
        registry.open_backend("toy", threads=0)


def test_asking_for_a_broken_plugin_is_the_plugins_fault(site: Path) -> None:
    make_distribution(site, "chaindp-boom", "raise ImportError('no driver')", entry="boomer")
    registry = load_plugins(lambda line: None)
    for name in ("boom", "boomer"):
        with pytest.raises(
            PluginError, match=r"plugin boomer \(chaindp-boom 1\.0\) was left out: ImportError: no driver"
        ):
            registry.open_backend(name)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("lambda options: 1 / 0", "does not open: ZeroDivisionError: division by zero"),
        ("lambda options: None", "is a NoneType, not a chaindp.backend.Backend"),
        ('lambda options: Toy("other", options)', "opened as other"),
        ('lambda options: Backend("toy", options)', "claims a kernel that it lacks: keccak256"),
    ],
)
def test_a_broken_factory_names_the_plugin(site: Path, factory: str, message: str) -> None:
    make_distribution(site, "toy-dist", good(factory=factory))
    registry = load_plugins(lambda line: None)
    with pytest.raises(PluginError) as caught:
        registry.open_backend("toy")
    assert message in str(caught.value)
    assert "toy_dist (toy-dist 1.0)" in str(caught.value)


def test_broken_devices_name_the_plugin(site: Path) -> None:
    make_distribution(site, "toy-dist", good().replace('[Device("", "default"), Device("b", "second")]', "1 / 0"))
    registry = load_plugins(lambda line: None)
    with pytest.raises(PluginError, match=r"toy-dist 1\.0.*cannot list its devices: ZeroDivisionError"):
        registry.devices("toy")


def test_environment_of_plugins(site: Path) -> None:
    head = "from chaindp import hookimpl\n@hookimpl\ndef chaindp_environment():\n"
    make_distribution(site, "driver", head + "    return {'firmware': '1.2'}")
    make_distribution(site, "faulty", head + "    raise OSError('bus')")
    make_distribution(site, "liar-env", head + "    return 3")
    registry = load_plugins()
    warnings: list[str] = []
    collected = registry.environment(warnings.append)
    assert collected["driver"] == {"firmware": "1.2"}
    assert collected["faulty"] == {"error": "OSError: bus"}
    assert "not a mapping" in str(collected["liar_env"])
    assert len(warnings) == 2
    assert "faulty 1.0" in warnings[0]


def test_the_plugins_command_has_a_row_for_a_broken_one(tmp_path: Path) -> None:
    site = tmp_path / "site"
    make_distribution(site, "boom-dist", "raise ImportError('no driver')", entry="boom", version="0.3")
    make_distribution(site, "toy-dist", good(), entry="toy")
    done = chaindp("plugins", "--json", site=site)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    rows = {row["name"]: row for row in document["plugins"]}
    assert (rows["boom"]["status"], rows["boom"]["distribution"], rows["boom"]["version"]) == (
        "failed",
        "boom-dist",
        "0.3",
    )
    assert "no driver" in rows["boom"]["reason"]
    assert len([line for line in done.stderr.splitlines() if "boom-dist" in line]) == 1
    (toy,) = [row for row in document["backends"] if row["name"] == "toy"]
    assert [device["name"] for device in toy["devices"]] == ["", "b"]
    assert toy["kernels"]["keccak256"]["support"] == "supported"
    assert toy["kernels"]["ntt"] == {"support": "impossible", "reason": "no multiplier"}
    assert toy["kernels"]["sha256"]["support"] == "not implemented"


def test_a_name_clash_stops_the_command(tmp_path: Path) -> None:
    make_distribution(tmp_path, "toy-one", good())
    make_distribution(tmp_path, "toy-two", good())
    done = chaindp("plugins", "--json", site=tmp_path)
    assert done.returncode == 1
    assert "toy-one" in json.loads(done.stdout)["error"]
    assert "toy-two" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_the_list_says_which_kernels_are_composed(tmp_path: Path) -> None:
    make_distribution(tmp_path, "toy-one", good())
    done = chaindp("plugins", site=tmp_path)
    head, row = (
        next(line for line in done.stdout.splitlines() if line.split()[:1] == [name])
        for name in ("kernel", "stark_prove")
    )
    said = dict(zip(head.split()[2:], row.replace("not implemented", "lacking").split()[2:], strict=True))
    assert said["cpu"] == "composed" and said["toy"] == "lacking"
