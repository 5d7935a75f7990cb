"""The suite from outside of a test module: one backend, every kernel, run by pytest in this process, with a verdict.

Nothing of the caller's pytest takes part: no conftest, no ini file, no plugin, no cache; and nothing is written outside
of a temporary folder.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from chaindp.errors import ChaindpError, PluginError, UsageError
from chaindp.plugins import Registry, describe_error, select
from chaindp.testing.base import Conformance
from chaindp.testing.choose import conformance_class
from chaindp.testing.contract import BackendConformance
from chaindp.testing.storage import hypothesis_elsewhere

__all__ = ["ConformanceResult", "Failure", "Skip", "Tally", "conformance_suite", "count_tests", "run_suite"]

CONTRACT = "(backend)"
"""Stands for the backend itself where a table has a kernel."""

MILLION, SURE = 1_000_000, 3.0
"""What rate of wrong outputs a run is to exclude. With 95 % confidence, ``n`` right ones exclude a rate of 3 / n and
above ("rule of three": (1 - 3 / n) ** n is 0.05)."""

_MODULE = """from chaindp.testing.session import SUITE

globals().update(SUITE)
"""

SUITE: dict[str, type[Conformance]] = {}
"""The classes of the session that is running: what its generated test module consists of."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A test that failed: its name, the kernel (None for the backend itself) and the reason in one line."""

    test: str
    kernel: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Skip:
    """Why tests of a kernel were skipped, and how many ``tests``; ``test`` is None where a reason is of all of them."""

    test: str | None
    kernel: str | None
    reason: str
    tests: int = 1


@dataclass(slots=True)
class Tally:
    """Counts of one kernel, or of the backend itself."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(slots=True)
class ConformanceResult:
    """The verdict. ``compared``: how many outputs of a kernel's large batches were compared in full."""

    backend: str
    device: str = ""
    tallies: dict[str, Tally] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    compared: dict[str, int] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    @property
    def excluded(self) -> dict[str, float]:
        """The rate of wrong outputs that what was compared of each kernel excludes, with 95 % confidence."""
        return {name: min(1.0, SURE / count) for name, count in self.compared.items() if count}

    @property
    def notes(self) -> list[str]:
        """What a verdict without failures does not say, a line each."""
        return [
            f"{name}: {self.compared[name]:,} outputs compared do not exclude one wrong in a million, only (at 95 %) "
            f"one in {round(1 / rate):,}: about {round(SURE * MILLION):,} would, raise --budget"
            for name, rate in self.excluded.items()
            if rate * MILLION > 1
        ]

    def grouped(self) -> list[tuple[Failure, int]]:
        """The failures as a reader wants them: one cause of one kernel once, with how many more tests it fails."""
        counts = Counter((failure.kernel, failure.reason) for failure in self.failures)
        first = {(failure.kernel, failure.reason): failure for failure in reversed(self.failures)}
        return [(first[key], count - 1) for key, count in counts.items()]

    def tally(self, kernel: str | None) -> Tally:
        """The counts of a kernel, made where there are none yet."""
        return self.tallies.setdefault(kernel or CONTRACT, Tally())

    def to_dict(self) -> dict[str, Any]:
        """As ``chaindp conform --json`` prints it."""
        counts = {
            name: sum(getattr(tally, name) for tally in self.tallies.values())
            for name in ("passed", "failed", "skipped")
        }
        return {
            "backend": self.backend,
            "device": self.device,
            **counts,
            "failures": [asdict(failure) for failure in self.failures],
            "skips": [asdict(skip) for skip in self.skips],
            "compared": dict(self.compared),
            "excluded": self.excluded,
            "notes": self.notes,
        }


def conformance_suite(
    registry: Registry,
    selector: str,
    kernels: Sequence[str],
    *,
    budget_s: float,
    threads: int,
    attributes: Mapping[str, object] = MappingProxyType({}),
) -> dict[str, type[Conformance]]:
    """The classes of a whole suite by name: the backend itself, and one class for each of ``kernels``.

    attributes: what else to set on every class, such as the ``hash_names`` of a device that has one hash only

    UsageError for an unknown kernel; PluginError for one whose own conformance class is broken.
    """
    bases: list[type[Conformance]] = [BackendConformance]
    bases += [conformance_class(select(registry.kernels, name, "kernel", registry.broken)) for name in kernels]
    suite: dict[str, type[Conformance]] = {}
    for base in bases:
        name = "Test" + "".join(part.capitalize() for part in getattr(base, "kernel", "contract").split("_"))
        common = {"backend": selector, "budget_s": budget_s, "threads": threads, "registry": registry}
        suite[name] = type(name, (base,), {**common, **attributes})
    return suite


def count_tests(suite: dict[str, type[Conformance]]) -> int:
    """How many tests the classes have, without asking pytest; a parametrized one counts once."""
    return sum(name.startswith("test_") for cls in suite.values() for name in dir(cls))


def run_suite(
    registry: Registry,
    selector: str,
    kernels: Sequence[str],
    *,
    budget_s: float = 10.0,
    threads: int = 2,
    only: str = "",
    required: Sequence[str] = (),
    attributes: Mapping[str, object] = MappingProxyType({}),
    advance: Callable[[str], None] = lambda step: None,
) -> ConformanceResult:
    """Run the suite on one backend. ``advance`` is called with a description before each test.

    ``only`` is an expression of pytest's ``-k``: a part of the suite, which proves no conformance. ``attributes`` are
    set on every class.

    A kernel that is ``required`` or that the backend declares, and of which no test ran, is a failure. A backend that
    does not open is one failure. UsageError for an unknown backend, device or kernel; PluginError where
    a kernel's own conformance class is broken.
    """
    suite = conformance_suite(registry, selector, kernels, budget_s=budget_s, threads=threads, attributes=attributes)
    result = ConformanceResult(selector)
    try:
        opened = registry.open_backend(selector, threads=threads)
    except UsageError:
        raise
    except ChaindpError as error:
        result.failures.append(Failure("opens", None, f"backend {selector}: {describe_error(error)}"))
        result.tally(None).failed += 1
        return result
    result.device = opened.device
    with contextlib.suppress(Exception):  # a test of the suite closes it as well, and reports what goes wrong
        opened.close()
    recorder = _Recorder(result, advance)
    status = _run_pytest(suite, recorder, only)
    if status == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise PluginError(
            f"the conformance suite did not run: pytest ended with {status!r} {recorder.trouble}".rstrip()
        )
    declared = registry.backend_spec(selector)[0]
    for name in dict.fromkeys(kernels):
        if name in required or (declared.supports(name) and not only):
            _check_ran(result, name)
    return result


def _check_ran(result: ConformanceResult, kernel: str) -> None:
    tally = result.tally(kernel)
    if tally.passed or tally.failed:
        return
    because = next((f": {skip.reason}" for skip in result.skips if skip.kernel == kernel), "")
    reason = f"backend {result.backend}, kernel {kernel}: none of its tests ran{because}"
    result.failures.append(Failure("runs", kernel, reason))
    tally.failed += 1


class _Recorder:
    """A pytest plugin that counts and keeps what is worth telling."""

    def __init__(self, result: ConformanceResult, advance: Callable[[str], None]) -> None:
        self.result, self.advance = result, advance
        self.trouble = ""
        self._begun: set[str] = set()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep why something could not be collected."""
        if report.failed:
            self.trouble = " ".join(str(report.longrepr).split())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Record one phase of one test."""
        report = yield
        kernel = getattr(getattr(item, "cls", None), "kernel", None)
        tally = self.result.tally(kernel)
        if report.failed:
            tally.failed += 1
            error = call.excinfo.value if call.excinfo is not None else None
            self.result.failures.append(Failure(item.name, kernel, self._reason(kernel, error)))
        elif report.skipped:
            tally.skipped += 1
            self._skip(item.name if report.when == "call" else None, kernel, call)
        elif report.when == "call":
            tally.passed += 1
            for name, value in item.user_properties:
                if name == "compared" and kernel is not None and isinstance(value, int):
                    self.result.compared[kernel] = value
        return report

    def _reason(self, kernel: str | None, error: BaseException | None) -> str:
        """A failure in one line: the sentence of an offence, or an unexpected exception by its type."""
        if isinstance(error, pytest.fail.Exception):
            return " ".join(str(error).split())
        who = f"backend {self.result.backend}" + (f", kernel {kernel}" if kernel else "")
        return f"{who}: unexpected {describe_error(error)}" if error is not None else f"{who}: no reason given"

    def _skip(self, test: str | None, kernel: str | None, call: pytest.CallInfo[None]) -> None:
        reason = str(call.excinfo.value) if call.excinfo is not None else ""
        for index, skip in enumerate(self.result.skips):
            if (skip.test, skip.kernel, skip.reason) == (test, kernel, reason):
                self.result.skips[index] = replace(skip, tests=skip.tests + 1)
                return
        self.result.skips.append(Skip(test, kernel, reason))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Tell which test begins."""
        *_, class_name, test = nodeid.split("::")
        function = test.partition("[")[0]
        # A parametrized test was counted once.
        if (key := f"{class_name} {function}") not in self._begun:
            self._begun.add(key)
            self.advance(f"{class_name.removeprefix('Test')} {function.removeprefix('test_').replace('_', ' ')}")


def _run_pytest(suite: dict[str, type[Conformance]], recorder: _Recorder, only: str) -> int:
    with tempfile.TemporaryDirectory(prefix="chaindp-conform-") as folder, _environment(folder):
        # A name of its own, because Python and pytest remember modules by name.
        module = Path(folder, f"test_{Path(folder).name.replace('-', '_')}.py")
        module.write_text(_MODULE)
        config = Path(folder, "pytest.ini")
        config.write_text("[pytest]\n")
        options = ["-c", str(config), "--rootdir", folder, "--noconftest", "--import-mode", "importlib"]
        options += ["--assert", "plain", "--capture", "sys", "-p", "no:cacheprovider", "-p", "no:terminal", "-k", only]
        SUITE.update(suite)
        try:
            return pytest.main([*options, str(module)], plugins=[recorder])
        finally:
            SUITE.clear()
            sys.modules.pop(module.stem, None)


@contextlib.contextmanager
def _environment(folder: str) -> Iterator[None]:
    """No options and plugins from the caller's environment, and hypothesis writes into ``folder`` only."""
    changed = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "", "PYTEST_PLUGINS": ""}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        with hypothesis_elsewhere(folder):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
