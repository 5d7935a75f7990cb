"""The conformance suite itself: planted cheats are caught, each by name, and honest backends pass in full."""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from chaindp.backend import Backend, BackendOptions
from chaindp.cli import main
from chaindp.errors import ChaindpError, InputError, PluginError, UsageError
from chaindp.kernels import BUILTIN, KECCAK256, KernelSpec
from chaindp.plugins import Registry, load_plugins
from chaindp.testing import KernelConformance, conformance_class
from chaindp.testing.cases import ForeignArray
from chaindp.testing.choose import BUILTIN as CLASSES
from chaindp.testing.hashes import Keccak256Conformance, Sha256Conformance
from chaindp.testing.offences import Fault
from chaindp.testing.session import ConformanceResult, run_suite
from chaindp.testing.tripwire import watching
from conform_backends import CHEATS, HONEST, KERNELS, install
from conftest import REPOSITORY
from plugin_site import chaindp, make_distribution

DOCS = REPOSITORY / "docs" / "conformance.md"

WHOLE = {
    # The whole suite, within a small budget: what each is caught at is not all that it fails.
    "remembers": Fault.REMEMBERS,
    "early": Fault.EARLY,
    "scribbles": Fault.CHANGES_ARGUMENTS,
    "hoards": Fault.LEAKS,
    "boasts": Fault.LACKS,
    "imports": Fault.DELEGATES,
}

PARTS = {
    # (the test that catches it, the budget that this takes on a busy machine, the offence)
    "address": ("changed_contents", 1, Fault.REMEMBERS),
    "lazy": ("work_is_done", 1, Fault.EARLY),
    "millionth": ("large_batches", 60, Fault.RARELY_WRONG),
    "counting": ("large_batches", 60, Fault.RARELY_WRONG),
    "unlucky": ("large_batches", 60, Fault.RARELY_WRONG),
    "careful_scribbles": ("arguments_are_left_alone", 1, Fault.CHANGES_ARGUMENTS),
    "mallocs": ("memory", 1, Fault.LEAKS),
    "remembers_large": ("changed_contents", 1, Fault.REMEMBERS),
    "fingerprints": ("changed_contents", 1, Fault.REMEMBERS),
    "hashes_in_upload": ("work_is_done", 1, Fault.UPLOADS),
    "hoards_a_third": ("memory", 1, Fault.LEAKS),
    "hoards_copies": ("memory", 1, Fault.LEAKS),
    "delegates_when_large": ("works_alone or large_batches", 1, Fault.DELEGATES),
    "takes_what_is_loaded": ("works_alone", 1, Fault.DELEGATES),
    "takes_functions_when_large": ("works_alone or large_batches", 1, Fault.DELEGATES),
    "asks_the_registry": ("works_alone", 1, Fault.DELEGATES),
    "falls_back": ("works_alone", 1, Fault.DELEGATES),
    "shares": ("two_threads", 1, Fault.THREADS),
    "overwrites": ("outlive", 1, Fault.CHANGES_RESULTS),
    "same_array": ("outlive", 1, Fault.CHANGES_RESULTS),
    "coerces": ("bad_arguments", 1, Fault.TAKES_BAD),
    "takes_bad": ("bad_arguments", 1, Fault.TAKES_BAD),
    "trips": ("bad_arguments", 1, Fault.TAKES_BAD),
    "blunt": ("bad_arguments", 1, Fault.UNCLEAR),
    "leaves": ("vectors", 1, Fault.FAILS),
    "lists": ("vectors or edge_cases", 1, Fault.FORM),
    "strangers": ("buffers", 1, Fault.FOREIGN),
    "wide": ("vectors", 1, Fault.FORM),
    "wrong_at_an_edge": ("edge_cases or random_arguments", 1, Fault.WRONG),
    "guesses": ("openings", 1, Fault.TAMPERED),
    "truncates": ("uploaded", 1, Fault.TRANSFER),
    "refuses": ("layouts", 1, Fault.FAILS),
    "greedy": ("opens_as", 1, Fault.CONTRACT),
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Every backend of conform_backends, installed in a folder on the search path."""
    site = tmp_path_factory.mktemp("site")
    install(site, {**HONEST, **CHEATS})
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    # What a backend of chaindp's own leaves behind for others to use.
    importlib.import_module("chaindp_cpu.scalar")
    try:
        yield load_plugins()
    finally:
        sys.path.remove(str(site))
        for name in [name for name in sys.modules if name.startswith("conform_") and name != "conform_backends"]:
            del sys.modules[name]


def reasons(result: ConformanceResult) -> str:
    return "\n".join(f"{failure.test}: {failure.reason}" for failure in result.failures)


# Each has one beside it that takes the same way through the suite.
SLOW = dict.fromkeys(("slow", "pooled", "counting", "hoards_a_third", "takes_functions_when_large"), pytest.mark.slow)


def test_every_cheat_is_tried() -> None:
    assert set(WHOLE) | set(PARTS) == set(CHEATS)
    assert {*WHOLE.values(), *(fault for *_, fault in PARTS.values())} == set(Fault)


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW.get(name, ())) for name in HONEST])
def test_an_honest_backend_passes_in_full(registry: Registry, name: str) -> None:
    result = run_suite(registry, name, ["keccak256", "sha256"], budget_s=0.5)
    assert result.holds, reasons(result)
    assert result.tallies["sha256"].passed >= 13
    assert result.tallies["keccak256"].passed == 0
    assert result.tallies["keccak256"].skipped > 10
    assert (None, "keccak256", f"backend {name} says keccak256 is not implemented") in [
        (skip.test, skip.kernel, skip.reason) for skip in result.skips
    ]
    assert set(result.compared) == {"sha256"}
    assert result.compared["sha256"] >= 64


@pytest.mark.parametrize(("name", "fault"), WHOLE.items())
def test_a_planted_cheat_fails_the_suite_by_name(registry: Registry, name: str, fault: Fault) -> None:
    result = run_suite(registry, name, ["sha256"], budget_s=0.5)
    assert not result.holds
    sentence = f"backend {name}, kernel sha256: {fault.value}: "
    assert any(failure.reason.startswith(sentence) for failure in result.failures), reasons(result)
    # Whatever else it does wrong, each failure says it in a sentence and not by an exception of the suite.
    assert all(failure.reason.startswith(f"backend {name}") for failure in result.failures), reasons(result)


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW.get(name, ())) for name in PARTS])
def test_other_offences_have_names_too(registry: Registry, name: str) -> None:
    only, budget, fault = PARTS[name]
    kernel = KERNELS.get(name, ("sha256",))[0]
    result = run_suite(registry, name, [kernel], budget_s=budget, only=only)
    assert result.failures
    for failure in result.failures:
        assert failure.reason.startswith(f"backend {name}"), failure
        assert f": {fault.value}: " in failure.reason, failure


def test_the_command_says_it_all_in_one_object(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["conform", "boasts", "--kernel", "sha256", "--kernel", "keccak256", "--budget", "0.1", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert status == 1
    assert set(document) == {
        *("backend", "device", "passed", "failed", "skipped", "failures", "skips", "compared", "excluded", "notes")
    }
    assert (document["backend"], document["device"], document["compared"]) == ("boasts", "", {})
    assert document["failed"] == len(document["failures"]) > 5
    assert document["skipped"] > 10
    assert {"test", "kernel", "reason"} == set(document["failures"][0])
    assert Fault.LACKS.value in document["failures"][0]["reason"]
    assert document["skips"][0]["kernel"] == "keccak256"


@pytest.mark.slow
def test_the_command_in_words(tmp_path: Path) -> None:
    site, cwd = tmp_path / "site", tmp_path / "cwd"
    cwd.mkdir()
    install(site, {"naive": HONEST["naive"], "trips": CHEATS["trips"]})
    # What a user's own pytest would pick up, and must not.
    (cwd / "conftest.py").write_text("raise SystemExit('picked up a conftest')\n")
    (cwd / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    command = ["conform", "naive", "--kernel", "sha256", "--budget", "0.1"]
    done = chaindp(*command, site=site, cwd=cwd, PYTEST_ADDOPTS="--also-not")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed, 0 failed, " in done.stdout
    assert sorted(path.name for path in cwd.iterdir()) == ["conftest.py", "pytest.ini"]
    done = chaindp("conform", "trips", "--kernel", "sha256", "--budget", "0.1", site=site, cwd=cwd)
    assert done.returncode == 1
    assert f"FAILED sha256: test_bad_arguments_are_refused: backend trips, kernel sha256: {Fault.TAKES_BAD.value}" in (
        done.stdout
    )
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["no_such_backend"], "unknown backend"),
        (["cpu:no_such_device"], "no device"),
        (["cpu", "--kernel", "no_such_kernel"], "unknown kernel"),
        (["cpu", "--budget", "0"], "--budget"),
        (["cpu", "--budget", "nan"], "--budget"),
        (["cpu", "--budget", "inf"], "--budget"),
        (["cpu", "--budget", "1e6"], "--budget"),
        (["cpu", "--threads", "0"], "--threads"),
    ],
)
def test_a_wrong_call_is_one_line(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", *arguments]) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.count("\n") == 1


DOES_NOT_OPEN = """
from chaindp import hookimpl
from chaindp.backend import Backend, BackendSpec, Capability

def never(options):
    raise OSError("no such card")

@hookimpl
def chaindp_backends():
    common = {"kind": "other", "summary": "", "capabilities": {"sha256": Capability()}}
    unknown = {**common, "capabilities": {"keccak265": Capability()}}
    return [
        BackendSpec(name="absent", factory=never, **common),
        BackendSpec(name="empty", factory=lambda options: Backend("empty", options), **common),
        BackendSpec(name="typo", factory=lambda options: Typo("typo", options), **unknown),
    ]

class Typo(Backend):
    def keccak265(self, data, offsets):
        return data
"""


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Backends that do not open, or that declare what is not there."""
    make_distribution(tmp_path / "site", "conform-closed", DOES_NOT_OPEN)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("absent", "backend absent does not open: OSError: no such card"),
        ("empty", f"{Fault.LACKS.value}: sha256"),
        ("typo", f"{Fault.LACKS.value}: it declares keccak265"),
    ],
)
def test_what_cannot_be_opened_or_is_not_there_is_one_failure(
    closed: None, name: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["conform", name, "--kernel", "sha256", "--budget", "0.1", "--json"]) == 1
    failure, *rest = json.loads(capsys.readouterr().out)["failures"]
    assert [other["kernel"] for other in rest] == (["sha256"] if name == "typo" else [])
    assert failure["kernel"] is None
    assert says in failure["reason"]


# The classes as a plugin author meets them.

AUTHORS_MODULE = """
from chaindp.testing import BackendConformance, Keccak256Conformance, Sha256Conformance


class Mine:
    backend = "{backend}"
    budget_s = 0.1


class TestContract(Mine, BackendConformance): ...


class TestKeccak256(Mine, Keccak256Conformance): ...


class TestSha256(Mine, Sha256Conformance): ...
"""


@pytest.mark.parametrize(
    ("backend", "status"),
    [("naive", 0), pytest.param("trips", 1, marks=pytest.mark.slow), ("no_such_backend", 1), ("", 1)],
)
def test_a_module_of_a_few_lines_is_a_whole_suite(tmp_path: Path, backend: str, status: int) -> None:
    site = tmp_path / "site"
    install(site, {"naive": HONEST["naive"], "trips": CHEATS["trips"]})
    module = tmp_path / "test_mine.py"
    module.write_text(AUTHORS_MODULE.format(backend=backend))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-rs", "-p", "no:cacheprovider", "-W", "error", str(module)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site), "PYTEST_ADDOPTS": ""},
        timeout=120,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert not (tmp_path / ".hypothesis").exists()
    if backend == "naive":
        assert "failed" not in done.stdout
        assert "backend naive says keccak256 is not implemented" in done.stdout
    if backend == "trips":
        assert f"backend trips, kernel sha256: {Fault.TAKES_BAD.value}: " in done.stdout
        assert f"; and {Fault.UNCLEAR.value}: " in done.stdout
        assert " of 25 bad arguments: argument 1 as None: it raises AttributeError" in done.stdout
        assert "harness/chaindp/testing/kernel.py" not in done.stdout.split("=== FAILURES")[1].split("=== short")[0]
    if not backend:
        assert "names no backend: set the class attribute backend" in done.stdout


@pytest.mark.parametrize("spec", BUILTIN, ids=lambda spec: spec.name)
def test_every_built_in_kernel_has_a_class_with_its_edges(spec: KernelSpec) -> None:
    cls = conformance_class(spec)
    assert cls is CLASSES[spec.name]
    assert cls is not KernelConformance
    cls = type(cls.__name__, (cls,), {"spec": spec})
    names = [case.name for case in cls().edge_cases()]
    assert len(set(names)) == len(names) > 5
    # The contract that a backend is held to is the golden reference's own.
    bad = list(cls().bad_arguments())
    assert len({case.name for case in bad}) == len(bad) > 10
    for name, args in bad:
        with pytest.raises(InputError) as error:
            spec.golden(*args)
        assert "\n" not in str(error.value), name


@pytest.mark.parametrize("spec", BUILTIN, ids=lambda spec: spec.name)
@pytest.mark.parametrize("size", [64, 2048])
def test_large_batches_are_good_arguments(spec: KernelSpec, size: int) -> None:
    cls = type("Probe", (conformance_class(spec),), {"spec": spec})
    args = cls().bulk(np.random.default_rng(1), size)
    again = cls().bulk(np.random.default_rng(2), size)
    assert not all(np.array_equal(a, b) for a, b in zip(args, again, strict=True))
    registry = load_plugins()
    if not registry.backends["cpu"].supports(spec.name):
        assert spec.units(*args) > 0
        return
    backend = registry.open_backend("cpu")
    rows = backend.kernel(spec.name)(*args)
    backend.close()
    assert max(len(part) for part in (rows if isinstance(rows, tuple) else (rows,))) >= size
    if size == 64 and spec.name != "ecrecover":
        assert spec.mismatches(rows, spec.golden(*args)) == 0


def third_party(**changes: object) -> KernelSpec:
    fields = {
        name: getattr(KECCAK256, name)
        for name in ("summary", "unit", "generate", "golden", "units", "vectors", "sizes", "conformance")
    }
    return KernelSpec(name="theirs", **{**fields, **changes})


def test_a_kernel_of_a_third_party_has_the_class_that_it_names() -> None:
    general = conformance_class(third_party())
    assert issubclass(general, KernelConformance)
    assert general.kernel == "theirs"
    named = conformance_class(third_party(conformance="chaindp.testing:RaggedHashConformance"))
    assert named.kernel == "theirs"
    assert named.mro()[1].__name__ == "RaggedHashConformance"
    assert conformance_class(KECCAK256) is Keccak256Conformance


@pytest.mark.parametrize(
    ("conformance", "says"),
    [
        ("chaindp.testing", "not of the form module:Class"),
        ("no.such.module:Class", "cannot be imported: ModuleNotFoundError"),
        ("chaindp.testing:Nothing", "cannot be imported: AttributeError"),
        ("chaindp.backend:Backend", "is no chaindp.testing.KernelConformance"),
    ],
)
def test_a_broken_conformance_class_names_its_kernel(conformance: str, says: str) -> None:
    with pytest.raises(PluginError, match="kernel theirs: its conformance class") as error:
        conformance_class(third_party(conformance=conformance))
    assert says in str(error.value)


FOLD = """
import numpy as np

from chaindp import hookimpl
from chaindp.backend import Backend, BackendSpec, Capability
from chaindp.errors import InputError
from chaindp.kernels import KernelSpec

def generate(rng, size):
    if size < 2 or size & (size - 1):
        raise InputError(f"a fold of {size} values: expected a power of two from 2 on")
    return rng.integers(0, 1000, size, dtype=np.uint32), int(rng.integers(1, 1000))

def golden(values, challenge):
    if not isinstance(values, np.ndarray) or values.dtype != np.uint32:
        raise InputError("values is no uint32 array")
    if values.ndim != 1 or len(values) % 2:
        raise InputError("values is no row of pairs")
    return np.array([int(a) + int(b) * challenge for a, b in zip(values[::2], values[1::2])], dtype=np.uint32)

class Folding(Backend):
    def fold(self, values, challenge):
        if not isinstance(values, np.ndarray) or values.dtype != np.uint32 or not values.dtype.isnative:
            raise InputError("values is no uint32 array")
        if values.ndim != 1 or len(values) % 2:
            raise InputError("values is no row of pairs")
        return values[::2] + values[1::2] * np.uint32(challenge)

@hookimpl
def chaindp_kernels():
    return [KernelSpec(name="fold", summary="u32[N] -> u32[N/2]", unit="fold", generate=generate, golden=golden,
                       units=lambda values, challenge: len(values) // 2)]

@hookimpl
def chaindp_backends():
    return [BackendSpec(name="folding", kind="other", factory=lambda options: Folding("folding", options),
                        capabilities={"fold": Capability()}, summary="")]
"""


def test_a_kernel_without_a_class_is_tested_from_its_spec_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_distribution(tmp_path / "site", "conform-fold", FOLD)
    wrong = FOLD.replace("values[1::2] * np", "values[1::2] * (values[1::2] != 7) * np")
    wrong = wrong.replace('"fold"', '"fold2"').replace("def fold(", "def fold2(").replace('"folding"', '"misfolding"')
    make_distribution(tmp_path / "site", "conform-fold-wrong", wrong)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    registry = load_plugins()
    result = run_suite(registry, "folding", ["fold"], budget_s=0.5)
    assert result.holds, reasons(result)
    # Skipped: there are no vectors.
    assert [skip.test for skip in result.skips if skip.test != "test_memory_is_given_back"] == ["test_official_vectors"]
    assert result.compared["fold"] >= 32
    result = run_suite(registry, "misfolding", ["fold2"], budget_s=4, only="large_batches")
    (failure,) = result.failures
    assert f"backend misfolding, kernel fold2: {Fault.WRONG.value}" in failure.reason or (
        Fault.RARELY_WRONG.value in failure.reason
    )


def test_a_kernel_that_was_named_and_did_not_run_is_a_failure(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["conform", "boasts", "--kernel", "keccak256", "--budget", "0.1", "--json"]) == 1
    (failure,) = json.loads(capsys.readouterr().out)["failures"]
    assert failure["reason"] == (
        "backend boasts, kernel keccak256: none of its tests ran: backend boasts says keccak256 is not implemented"
    )


def test_what_was_not_excluded_is_said() -> None:
    result = ConformanceResult("mine", compared={"fast": 3_000_000, "slow": 30_000})
    assert result.excluded == {"fast": 1e-6, "slow": 1e-4}
    (note,) = result.notes
    assert note.startswith(
        "slow: 30,000 outputs compared do not exclude one wrong in a million, only (at 95 %) one in 10,000"
    )
    assert result.to_dict()["notes"] == [note]


def test_one_cause_is_told_once(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = "backend lists, kernel sha256: returns a result of another form: it returned a list, "
    result = run_suite(registry, "lists", ["sha256"], budget_s=0.1, only="vectors or edge_cases or outlive")
    assert [failure.reason.startswith(sentence) for failure in result.failures] == [True] * 3
    assert "the contract says data u8[B], offsets i64[N+1] -> digests u8[N,32]" in result.failures[0].reason
    ((failure, more),) = result.grouped()
    assert (failure, more) == (result.failures[0], 2)


def test_a_wrong_output_is_shown(registry: Registry) -> None:
    result = run_suite(registry, "wrong_at_an_edge", ["sha256"], budget_s=0.1, only="edge_cases")
    right = hashlib.sha256(Sha256Conformance().message(56)).digest()
    wrong = bytes([right[0] ^ 1]) + right[1:]
    assert result.failures[0].reason.endswith(
        f"the first is index 0, of a message of 56 bytes: {wrong[:8].hex()}..., expected {right[:8].hex()}...)"
    )


BROKEN_GENERATOR = """
from chaindp import hookimpl
from chaindp.backend import Backend, BackendSpec, Capability
from chaindp.kernels import KernelSpec

@hookimpl
def chaindp_kernels():
    return [KernelSpec(name="broken", summary="", unit="piece", generate=lambda rng, size: xrng, golden=lambda: None,
                       units=lambda: 0)]

class Mine(Backend):
    def broken(self):
        raise SystemExit(3)

@hookimpl
def chaindp_backends():
    return [BackendSpec(name="mine", kind="other", factory=lambda options: Mine("mine", options),
                        capabilities={"broken": Capability()}, summary="")]
"""


def test_a_kernel_that_is_broken_itself_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_distribution(tmp_path / "site", "conform-broken", BROKEN_GENERATOR)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    result = run_suite(load_plugins(), "mine", ["broken"], budget_s=0.1)
    sentence = (
        "plugin conform_broken (conform-broken 1.0): kernel broken generates no input: "
        "NameError: name 'xrng' is not defined"
    )
    ((failure, more),) = result.grouped()
    assert failure.reason == sentence
    assert more > 5


def test_one_result_that_is_returned_again_is_no_leak(registry: Registry) -> None:
    result = run_suite(registry, "same_array", ["sha256"], budget_s=1, only="memory")
    assert result.holds, reasons(result)


def test_wires_are_taken_down_again(registry: Registry) -> None:
    import chaindp_cpu.scalar
    from chaindp_cpu.baseline import ScalarBackend

    before = vars(ScalarBackend)["sha256"], chaindp_cpu.scalar.sha256_all
    args = KECCAK256.generate(np.random.default_rng(0), 3)
    backend = registry.open_backend("cpu:scalar")
    with watching(["chaindp_cpu"], ["sha256"], frames=True) as called:
        assert vars(ScalarBackend)["sha256"] is not before[0]
        KECCAK256.golden(*args)
        assert called == []
        backend.kernel("sha256")(*args)
    assert called[0] == "chaindp_cpu.baseline.ScalarBackend.sha256"
    assert "chaindp_cpu.scalar.sha256_all" in called
    assert (vars(ScalarBackend)["sha256"], chaindp_cpu.scalar.sha256_all) == before
    assert sys.getprofile() is None
    assert gc.isenabled()


def test_an_unknown_kernel_or_backend_is_a_usage_error(registry: Registry) -> None:
    with pytest.raises(UsageError, match="unknown kernel"):
        run_suite(registry, "naive", ["no_such_kernel"])
    with pytest.raises(UsageError, match="unknown backend"):
        run_suite(registry, "nobody", ["sha256"])


@pytest.mark.parametrize("buffer", [None, [1], b"x", ForeignArray(np.zeros(2, dtype=np.uint8))])
def test_host_memory_downloads_arrays_only(buffer: object) -> None:
    backend = Backend("mine", BackendOptions())
    array = np.arange(3)
    assert backend.download(array) is array
    with pytest.raises(ChaindpError, match="cannot download"):
        backend.download(buffer)


def test_the_docs_explain_every_offence() -> None:
    text = DOCS.read_text()
    for fault in Fault:
        assert f"| {fault.value} |" in text, fault
