"""The tests of one kernel of a backend, for any kernel: from its vectors, generator, golden reference and units alone.

A kernel with a class of its own overrides the hooks: ``edge_cases``, ``arguments``, ``bad_arguments``, ``bulk`` and
``altered``, and adds tests where its contract says more than arguments and result.
"""

from __future__ import annotations

import contextlib
import itertools
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st

from chaindp.errors import ChaindpError, InputError
from chaindp.kernels import Args, KernelSpec
from chaindp.measure.outputs import copy_args, reference_of, rows_of
from chaindp.plugins import PLUGIN_FAULTS, describe_error
from chaindp.testing import memory, probes
from chaindp.testing.base import Conformance
from chaindp.testing.cases import Case, foreign, layouts, same_form, shown, spoilt, touched
from chaindp.testing.isolation import delegation, other_packages, overheard
from chaindp.testing.offences import BrokenKernel, Fault, Offence
from chaindp.testing.storage import hypothesis_elsewhere
from chaindp.testing.subject import Kernel, Subject, close, open_subject
from chaindp.testing.tripwire import watching

__all__ = ["Case", "KernelConformance"]

GOLDEN = "the golden reference"

BULK, RANDOM, LEAK, LATE, THREADS = 0.6, 0.15, 0.15, 0.07, 0.03
"""How the tests that could go on for ever share ``budget_s``."""

CHANGED, CHANGED_LEAST_S, CHANGED_ROUNDS, ALONE, ALONE_LEAST_S = 0.005, 0.02, 20, 0.05, 0.1
"""The batches of two tests: a share of ``budget_s`` and seconds at least that making and computing one may take."""

MEMORY = 1 << 30
"""Bytes that the arguments and results of one large batch may take: with both results, a copy and the comparison."""

SMALL_PLACES = 3
"""How many elements of each small argument are changed: every change costs a golden result."""

SHOWN = 3
"""How many of the bad arguments that are not refused a message names."""

FIRST_BATCH, GROWTH, ENOUGH = 64, 8, 1 << 22
"""Where large batches begin, how fast they grow, and how many outputs are enough where they cannot grow any more."""


class KernelConformance(Conformance):
    """Inherit from it and set ``kernel``; classes with a kernel's name in theirs have it set.

    kernel:    the kernel's name
    sizes:     what the general edge cases ask the kernel's generator for; a size that it refuses with an InputError is
               left out
    examples:  how many random cases hypothesis makes at most
    largest:   where large batches stop growing, in the generator's size
    """

    kernel: ClassVar[str] = ""
    sizes: ClassVar[tuple[int, ...]] = (0, 1, 2, 3, 5, 8, 13, 32, 33)
    examples: ClassVar[int] = 25
    largest: ClassVar[int] = 1 << 22

    spec: ClassVar[KernelSpec]
    tested: ClassVar[Kernel]
    _reference: ClassVar[Subject | None]

    @classmethod
    def setup_class(cls) -> None:
        """Open the backend; skips all tests where it does not declare the kernel."""
        if not cls.kernel:
            pytest.fail(f"{cls.__name__} names no kernel: set the class attribute kernel", pytrace=False)
        registry = cls.plugins()
        if cls.kernel not in registry.kernels:
            pytest.fail(f"{cls.__name__}: no plugin defines a kernel {cls.kernel!r}", pytrace=False)
        if cls.backend:
            cls._skip_undeclared()
        cls.spec = cls._blaming_the_kernel()
        super().setup_class()
        cls.tested = cls.subject.kernel(cls.spec)
        cls._reference = cls._open_reference()
        for subject in (cls.subject, cls._reference):
            if subject is not None:
                subject.backend.warm_up([cls.kernel])

    @classmethod
    def teardown_class(cls) -> None:
        """Close the backend, and the one that it was compared with."""
        super().teardown_class()
        if cls._reference is not None:
            close(cls._reference)

    @classmethod
    def _skip_undeclared(cls) -> None:
        try:
            announced, _ = cls.plugins().backend_spec(cls.backend)
        except ChaindpError:
            return  # opening it says what is wrong
        capability = announced.capability(cls.kernel)
        if not announced.supports(cls.kernel):
            because = f": {capability.reason}" if capability.reason else ""
            pytest.skip(f"backend {cls.backend} says {cls.kernel} is {capability.support.value}{because}")

    @classmethod
    def _blaming_the_kernel(cls) -> KernelSpec:
        """The kernel's spec, its generator so wrapped that what it raises is the kernel's fault, in one sentence."""
        spec = cls.plugins().kernels[cls.kernel]

        def generate(rng: np.random.Generator, size: int) -> Args:
            try:
                return spec.generate(rng, size)
            except (InputError, MemoryError):
                raise
            except PLUGIN_FAULTS as error:
                raise cls._kernels_fault("generates no input", error) from None

        return replace(spec, generate=generate)

    @classmethod
    def _kernels_fault(cls, what: str, error: BaseException) -> BrokenKernel:
        provider = cls.plugins().providers.get(("kernel", cls.kernel), "of no name")
        return BrokenKernel(f"plugin {provider}: kernel {cls.kernel} {what}: {describe_error(error)}")

    @classmethod
    def _open_reference(cls) -> Subject | None:
        """The backend that large batches are compared with; None where none has the kernel.

        ``cpu:scalar``, which the chain of trust compares with the golden reference alone, is held against ``cpu`` here:
        they share no hashing code, and millions of outputs say more than hundreds.
        """
        name = reference_of(cls.subject.backend.label) or "cpu"
        registry = cls.plugins()
        if name.partition(":")[0] not in registry.backends or not registry.backend_spec(name)[0].supports(cls.kernel):
            return None
        return open_subject(registry, name, cls.threads)

    # Hooks. A class for a kernel of its own fills these in; each default works for any kernel.

    def edge_cases(self) -> Iterable[Case]:
        """Named arguments at the edges of the contract, small enough for the golden reference."""
        for size in self.sizes:
            args = self.generated(size)
            if args is not None:
                yield Case("an empty batch" if size == 0 else f"size {size}", args)

    def arguments(self) -> st.SearchStrategy[Args]:
        """Random arguments for hypothesis, likewise small: by default the kernel's generator at small sizes."""
        sizes = [size for size in range(max(self.sizes) + 1) if self.generated(size) is not None]
        seeds = st.integers(0, 2**32 - 1)
        return st.builds(
            lambda size, seed: self.spec.generate(np.random.default_rng(seed), size), st.sampled_from(sizes), seeds
        )

    def bad_arguments(self) -> Iterable[Case]:
        """Named arguments that must be refused with an InputError.

        By default those of wrong types, dtypes and shapes that the golden reference refuses with one.
        """
        return spoilt(self.spec, self.some(3))

    def bulk(self, rng: np.random.Generator, size: int) -> Args:
        """Arguments of a large batch; ``size`` is a power of two."""
        return self.spec.generate(rng, size)

    def altered(self, args: Args, rng: np.random.Generator) -> Args | None:
        """Other arguments of the very same shapes with another result; None where there are none to be had."""
        size = next((size for size in range(4 * max(self.sizes) + 1) if same_form(args, self.generated(size))), None)
        if size is None:
            return None
        for _ in range(8):
            others = self.spec.generate(rng, size)
            mixed = tuple(
                other if isinstance(arg, np.ndarray) else arg for arg, other in zip(args, others, strict=False)
            )
            with contextlib.suppress(InputError):
                if same_form(args, others) and self.spec.mismatches(self.golden(mixed), self.golden(args)) != 0:
                    return mixed
        return None

    def some(self, size: int, stream: int = 0) -> Args:
        """Arguments of about this size, the next larger one that the generator has; others for every stream."""
        for candidate in range(size, 4 * size + 1):
            args = self.generated(candidate, stream)
            if args is not None:
                return args
        raise Offence(f"kernel {self.kernel}", Fault.CONTRACT, f"it generates no input of sizes {size} to {4 * size}")

    def describe(self, args: Args) -> str:
        """Arguments in a few words, for messages."""
        return shown(args)

    # What the tests are made of.

    def generated(self, size: int, stream: int = 0) -> Args | None:
        """What the kernel's generator makes of ``size``; None where it has no input of that size."""
        try:
            return self.spec.generate(self.rng(size, stream), size)
        except InputError:
            return None

    def rng(self, *stream: int) -> np.random.Generator:
        """A generator of its own for every purpose, the same in every run."""
        return np.random.default_rng([self.seed, zlib.crc32(self.kernel.encode()), *stream])

    def golden(self, args: Args) -> Any:
        """The right result, by the golden reference; InputError where it refuses the arguments."""
        try:
            return self.spec.golden(*copy_args(args))
        except (InputError, MemoryError):
            raise
        except PLUGIN_FAULTS as error:
            detail = f"has a golden reference that fails on good arguments ({self.describe(args)})"
            raise self._kernels_fault(detail, error) from None

    def expected(self, args: Args) -> tuple[Any, str]:
        """The right result of a batch that may be too large for the golden reference, and who says so."""
        if self._reference is None:
            return self.golden(args), GOLDEN
        return self._reference.kernel(self.spec).run(args).output, self._reference.selector

    def right(self, args: Args) -> Any:
        """The right result, of the same reference as ``expected``; None where that refuses the arguments."""
        if self._reference is None:
            return self._golden_or_none(args)
        try:
            reference = self._reference.kernel(self.spec)
            return reference.snapshot(reference.raw(copy_args(args)))
        except InputError:
            return None

    def _golden_or_none(self, args: Args) -> Any:
        """The right result of arguments that may not be good ones; None where the golden reference trips over them."""
        try:
            return self.spec.golden(*copy_args(args))
        except Exception:  # an InputError, or whatever comes of not having looked
            return None

    def batch(self, seconds: float, most: int, stream: int) -> tuple[int, Args, Any]:
        """(size, arguments, right result) of the largest batch that is made and computed within about ``seconds``.

        ``most``: bytes that its arguments may take; what is larger takes a device without memory for it, or too long.
        """
        found: tuple[int, Args, Any] | None = None
        size = FIRST_BATCH
        while True:
            began = time.perf_counter()
            args = self.bulk(self.rng(size, stream), size)
            try:
                expected, _ = self.expected(args)
                self.tested.run(args)
            except MemoryError:
                if found is None:
                    raise
                return found
            found = size, args, expected
            took = time.perf_counter() - began
            if GROWTH * took > seconds or GROWTH * size > self.largest or GROWTH * _nbytes(args) > most:
                return found
            size *= GROWTH

    # Tests.

    def test_official_vectors(self) -> None:
        """The fixed cases of the kernel's spec, each with a source."""
        if not self.spec.vectors:
            pytest.skip(f"kernel {self.kernel} has no official vectors")
        for number, vector in enumerate(self.spec.vectors):
            self.tested.check(copy_args(vector.args), vector.expected, f"vector {number + 1}", vector.source)

    def test_edge_cases(self) -> None:
        """Every edge case against the golden reference."""
        count = 0
        for name, args in self.edge_cases():
            self.tested.check(args, self.golden(args), f"{name} ({self.describe(args)})", GOLDEN)
            count += 1
        if not count:
            pytest.fail(f"kernel {self.kernel} has no edge cases: it generates none of {self.sizes}", pytrace=False)

    def test_random_arguments(self) -> None:
        """Random small cases against the golden reference; what is reported is the smallest that fails.

        Derandomized: the same backend gets the same verdict every time, and nothing is stored between runs.
        """
        until = time.perf_counter() + RANDOM * self.budget_s
        failed: list[tuple[int, Offence]] = []

        # Made anew for every class: hypothesis objects to one that several classes inherit.
        @settings(
            max_examples=self.examples,
            deadline=None,
            derandomize=True,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
            print_blob=False,
            verbosity=Verbosity.quiet,
            suppress_health_check=list(HealthCheck),
        )
        @given(self.arguments())
        def agrees(args: Args) -> None:
            # Once time is up nothing fails any more, which also ends the shrinking.
            if time.perf_counter() > until:
                return
            try:
                self.tested.check(args, self.golden(args), self.describe(args), GOLDEN)
            except Offence as offence:
                failed.append((sum(arg.nbytes for arg in args if isinstance(arg, np.ndarray)), offence))
                raise

        try:
            with hypothesis_elsewhere():
                agrees()
        except (Offence, Exception):  # hypothesis has exceptions of its own for what fails only sometimes
            if not failed:
                raise
        if failed:
            raise min(failed, key=lambda pair: pair[0])[1].again()

    def test_large_batches(self, record_property: Callable[[str, object], None]) -> None:
        """Growing batches against another backend, every output compared: one wrong in a million has to show."""
        until = time.perf_counter() + BULK * self.budget_s
        others = other_packages(self.plugins(), self.subject.spec.name)
        compared, size, batch = 0, FIRST_BATCH, 0
        while True:
            began = time.perf_counter()
            args = self.bulk(self.rng(size, 8 + batch), size)
            try:
                expected, reference = self.expected(args)
                with watching(others, self.plugins().kernels) as called:
                    self.tested.check(args, expected, f"a batch of size {size:,}", reference)
            except MemoryError:
                if not compared:
                    raise
                break  # the device is full: what it holds has been compared
            if called:
                raise self.tested.offence(Fault.DELEGATES, overheard(size, called))
            compared += rows_of(expected)
            now = time.perf_counter()
            time_left = (until - now) / (now - began)
            most = min(self.largest / size, MEMORY / max(1, 2 * _nbytes(args) + 4 * _nbytes(expected)))
            if time_left < 1 or (most < 2 and compared >= ENOUGH):
                break
            size, batch = _grown(size, max(1.0, min(time_left, most, GROWTH))), batch + 1
        record_property("compared", compared)

    def test_layouts_of_memory(self) -> None:
        """Non-contiguous, unaligned and read-only arrays hold the same values as plain ones."""
        args = self.some(5)
        expected = self.golden(args)
        for name, other in layouts(args):
            self.tested.check(other, expected, name, GOLDEN)

    def test_bad_arguments_are_refused(self) -> None:
        """Wrong dtypes, shapes and values are an InputError of one line: nothing is silently coerced."""
        count = 0
        found: dict[Fault, list[str]] = {Fault.TAKES_BAD: [], Fault.UNCLEAR: []}
        for name, args in self.bad_arguments():
            problem = self._refusal(args)
            if problem is not None:
                found[problem[0]].append(f"{name}: {problem[1]}")
            count += 1
        if not count:
            pytest.skip(f"the golden reference of {self.kernel} refuses no arguments with an InputError")
        # One test, one sentence: the graver offence names it, the other follows.
        told = [
            (fault, f"{len(cases)} of {count} bad arguments: {_some_of(cases)}")
            for fault, cases in found.items()
            if cases
        ]
        if told:
            rest = "".join(f"; and {fault.value}: {text}" for fault, text in told[1:])
            raise self.tested.offence(told[0][0], told[0][1] + rest)

    def _refusal(self, args: Args) -> tuple[Fault, str] | None:
        """What is wrong with how bad arguments are refused; None where nothing is."""
        try:
            returned = self.tested.snapshot(self.tested.raw(args))
        except InputError as error:
            wrong = "\n" in str(error) or not str(error)
            return (Fault.UNCLEAR, f"its message is {str(error)!r}") if wrong else None
        except (Offence, *PLUGIN_FAULTS) as error:
            if isinstance(error, Offence):  # it returned what cannot even be downloaded
                return Fault.TAKES_BAD, error.detail
            kind = f"{type(error).__name__}: " if isinstance(error, ChaindpError) else ""
            return Fault.UNCLEAR, f"it raises {kind}{describe_error(error)}"
        parts = returned if isinstance(returned, tuple) else (returned,)
        return Fault.TAKES_BAD, f"it returns {shown(parts)}"

    def test_buffers_of_another_backend_are_refused(self) -> None:
        """A buffer that is not of this backend is an error, also where it could be turned into an array."""
        method = self.subject.backend.kernel(self.kernel)
        for name, args in foreign(self.some(3)):
            try:
                method(*self.tested.upload(args))
                self.subject.backend.synchronize()
            except ChaindpError:
                continue
            except PLUGIN_FAULTS as error:
                detail = f"{name}: it raises {describe_error(error)}, which is no ChaindpError"
                raise self.tested.offence(Fault.UNCLEAR, detail) from error
            raise self.tested.offence(Fault.FOREIGN, name)

    def test_arguments_are_left_alone(self) -> None:
        """Neither the host's arrays nor the uploaded buffers are others after a call."""
        for size in (1, 5, 64):
            args = self.some(size)
            kept = copy_args(args)
            with self.tested.blamed():
                buffers = self.tested.upload(args)
                self.subject.backend.kernel(self.kernel)(*buffers)
                self.subject.backend.synchronize()
            for position, (buffer, before) in enumerate(zip(buffers, kept, strict=True)):
                if not isinstance(before, np.ndarray):
                    continue
                for now in (args[position], self.subject.backend.download(buffer)):
                    if not np.array_equal(now, before):
                        detail = f"argument {position + 1} is another after a call of size {size}"
                        raise self.tested.offence(Fault.CHANGES_ARGUMENTS, detail)

    def test_results_outlive_later_calls(self) -> None:
        """A result holds what it held, however often the kernel is called on other input."""
        for size in (1, 5, 64):
            first = self.tested.run(self.some(size))
            for stream in (1, 2, 3):
                self.tested.run(self.some(size, stream))
            if self.spec.mismatches(self.tested.snapshot(first.live), first.output) != 0:
                raise self.tested.offence(Fault.CHANGES_RESULTS, f"a later call of size {size} overwrites it")

    def test_changed_contents_change_the_answer(self) -> None:
        """The same arrays with other contents are other input: no answer is remembered by identity or fingerprint."""
        args = copy_args(self.some(self.sizes[-1]))
        before = self.golden(args)
        others = self.altered(args, self.rng(self.sizes[-1], 9))
        if others is not None and self.spec.mismatches(before, self.golden(others)) == 0:
            pytest.fail(f"{type(self).__name__}.altered gives arguments with the same result", pytrace=False)
        cases = [] if others is None else [Case("all others", others)]
        count = 0
        for case in itertools.chain(cases, touched(args, SMALL_PLACES)):
            after = self._golden_or_none(case.args)
            if after is not None:
                count += self._tells_apart(args, case, before, after)
        if not count:
            pytest.skip(f"kernel {self.kernel} has no two inputs of the same shapes")

    def test_changed_contents_change_large_answers(self) -> None:
        """The same for a large batch: a cache may begin where it pays."""
        size, args, before = self.batch(max(CHANGED_LEAST_S, CHANGED * self.budget_s), MEMORY >> 4, 10)
        until = time.perf_counter() + CHANGED_ROUNDS * max(CHANGED_LEAST_S, CHANGED * self.budget_s)
        args, count = copy_args(args), 0
        for name, other in touched(args):
            after = self.right(other)
            if after is not None:
                count += self._tells_apart(args, Case(f"{name}, in a batch of size {size:,}", other), before, after)
            if count and time.perf_counter() > until:
                break
        if not count:
            pytest.skip(f"kernel {self.kernel} has no two large inputs of the same shapes")

    def _tells_apart(self, args: Args, case: Case, before: Any, after: Any) -> bool:
        """Call with ``args``, write other contents over them, call again. False where both have the same result."""
        if self.spec.mismatches(before, after) == 0:
            return False
        for name, given_args in (("the same arrays", lambda: args), ("read-only views of them", lambda: _views(args))):
            kept = copy_args(args)
            self.tested.check(given_args(), before, "arrays before they change", "the right ones")
            _overwrite(args, case.args)
            answer = self.tested.run(given_args())
            if self.spec.mismatches(answer.output, before) == 0:
                detail = f"{name} with other contents ({case.name}) get the answer of the former ones"
                raise self.tested.offence(Fault.REMEMBERS, detail)
            if self.spec.mismatches(answer.output, after) != 0:
                raise self.tested.judge(args, answer, after, f"{name} with other contents ({case.name})")
            _overwrite(args, kept)
        return True

    def test_returns_when_its_work_is_done(self) -> None:
        """After ``synchronize`` a result is final, and downloading it costs what a transfer costs."""
        probes.lateness(self.tested, self.inputs(4), LATE * self.budget_s)

    def test_two_threads_at_once(self) -> None:
        """Two threads call at the same time, each on its own input, and each gets its own answers."""
        probes.side_by_side(self.tested, self.inputs(5), THREADS * self.budget_s)

    def test_memory_is_given_back(self) -> None:
        """Hundreds of calls whose results are dropped take no more memory than the first half of them did."""
        memory.leak(self.tested, self.inputs(6), LEAK * self.budget_s)

    def test_works_alone(self) -> None:
        """It computes itself what it says it does, in small and in large batches.

        In a process in which no other backend can be imported, and here, where they are loaded, with an eye on them.
        """
        args = self.some(7)
        size, large, expected = self.batch(max(ALONE_LEAST_S, ALONE * self.budget_s), MEMORY >> 2, 11)
        calls = [(7, args, self.golden(args)), (size, large, expected)]
        problem = delegation(self.subject, self.kernel, [call[1:] for call in calls], self.threads)
        if problem:
            raise self.tested.offence(Fault.DELEGATES, problem)
        others = other_packages(self.plugins(), self.subject.spec.name)
        for size, args, _ in calls:
            with watching(others, self.plugins().kernels, frames=True) as called:
                self.tested.run(args)
            if called:
                raise self.tested.offence(Fault.DELEGATES, overheard(size, called))

    def inputs(self, stream: int) -> Iterator[tuple[int, Args]]:
        """(size, arguments), doubling from 1 to ``largest``; sizes that the generator refuses are left out."""
        size = 1
        while size <= self.largest:
            args = self.generated(size, stream)
            if args is not None:
                yield size, args
            size *= 2


def _nbytes(value: Any) -> int:
    parts = value if isinstance(value, tuple) else (value,)
    return sum(part.nbytes for part in parts if isinstance(part, np.ndarray))


def _some_of(cases: Sequence[str]) -> str:
    more = f"; and {len(cases) - SHOWN} more" if len(cases) > SHOWN else ""
    return "; ".join(cases[:SHOWN]) + more


def _grown(size: int, factor: float) -> int:
    """``size`` times the largest power of two that is at most ``factor``, which is 1 or more."""
    return size << (int(factor).bit_length() - 1)


def _views(args: Args) -> Args:
    """The same memory through new arrays that cannot be written through, as the harness hands its arguments on."""
    views = tuple(arg.view() if isinstance(arg, np.ndarray) else arg for arg in args)
    for view in views:
        if isinstance(view, np.ndarray):
            view.flags.writeable = False
    return views


def _overwrite(args: Args, others: Args) -> None:
    for arg, other in zip(args, others, strict=True):
        if isinstance(arg, np.ndarray):
            np.copyto(arg, other)
