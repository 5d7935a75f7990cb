"""The tests of one kernel of a backend, for any kernel: from its vectors, generator, golden reference and units alone.

A kernel with a class of its own overrides the hooks: ``edge_cases``, ``arguments``, ``bad_arguments``, ``bulk`` and
``altered``, and adds tests where its contract says more than arguments and result.
"""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st

from chaindp.errors import ChaindpError, InputError
from chaindp.kernels import Args, KernelSpec
from chaindp.measure.outputs import copy_args, reference_of, rows_of
from chaindp.plugins import describe_error
from chaindp.testing import memory, probes
from chaindp.testing.base import Conformance
from chaindp.testing.cases import Case, foreign, layouts, same_form, shown, spoilt
from chaindp.testing.isolation import delegation
from chaindp.testing.offences import Fault, Offence
from chaindp.testing.subject import Kernel, Subject, close, open_subject

__all__ = ["Case", "KernelConformance"]

GOLDEN = "the golden reference"

BULK, RANDOM, LEAK, LATE, THREADS = 0.6, 0.15, 0.15, 0.07, 0.03
"""How the tests that could go on for ever share ``budget_s``."""

MEMORY = 1 << 30
"""Bytes that the arguments and results of one large batch may take: with both results, a copy and the comparison."""

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
        cls.spec = registry.kernels[cls.kernel]
        if cls.backend:
            cls._skip_undeclared()
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
        """The right result, by the golden reference."""
        return self.spec.golden(*copy_args(args))

    def expected(self, args: Args) -> tuple[Any, str]:
        """The right result of a batch that may be too large for the golden reference, and who says so."""
        if self._reference is None:
            return self.golden(args), GOLDEN
        return self._reference.kernel(self.spec).run(args).output, self._reference.selector

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
            agrees()
        except (Offence, Exception):  # hypothesis has exceptions of its own for what fails only sometimes
            if not failed:
                raise
        if failed:
            raise min(failed, key=lambda pair: pair[0])[1].again()

    def test_large_batches(self, record_property: Callable[[str, object], None]) -> None:
        """Growing batches against another backend, every output compared: one wrong in a million has to show."""
        until = time.perf_counter() + BULK * self.budget_s
        compared, size, batch = 0, FIRST_BATCH, 0
        while True:
            began = time.perf_counter()
            args = self.bulk(self.rng(size, 8 + batch), size)
            try:
                expected, reference = self.expected(args)
                self.tested.check(args, expected, f"a batch of size {size:,}", reference)
            except MemoryError:
                if not compared:
                    raise
                break  # the device is full: what it holds has been compared
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
        for name, args in self.bad_arguments():
            self._refuses(name, args)
            count += 1
        if not count:
            pytest.skip(f"the golden reference of {self.kernel} refuses no arguments with an InputError")

    def _refuses(self, name: str, args: Args) -> None:
        try:
            returned = self.tested.snapshot(self.tested.raw(args))
        except InputError as error:
            if "\n" in str(error) or not str(error):
                raise self.tested.offence(Fault.UNCLEAR, f"{name}: its message is {str(error)!r}") from None
        except Exception as error:
            kind = f"{type(error).__name__}: " if isinstance(error, ChaindpError) else ""
            detail = f"{name}: it raises {kind}{describe_error(error)}"
            raise self.tested.offence(Fault.UNCLEAR, detail) from error
        else:
            parts = returned if isinstance(returned, tuple) else (returned,)
            raise self.tested.offence(Fault.TAKES_BAD, f"{name}: it returns {shown(parts)}")

    def test_buffers_of_another_backend_are_refused(self) -> None:
        """A buffer that is not of this backend is an error, also where it could be turned into an array."""
        method = self.subject.backend.kernel(self.kernel)
        for name, args in foreign(self.some(3)):
            try:
                method(*self.tested.upload(args))
                self.subject.backend.synchronize()
            except ChaindpError:
                continue
            except Exception as error:
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
        """The same array with other contents is other input: answers are not remembered by identity or address."""
        args = copy_args(self.some(self.sizes[-1]))
        others = self.altered(args, self.rng(self.sizes[-1], 9))
        if others is None:
            pytest.skip(f"kernel {self.kernel} has no two inputs of the same shapes")
        before, after = self.golden(args), self.golden(others)
        if self.spec.mismatches(before, after) == 0:
            pytest.fail(f"{type(self).__name__}.altered gives arguments with the same result", pytrace=False)
        for name, given_args in (("the same arrays", lambda: args), ("read-only views of them", lambda: _views(args))):
            kept = copy_args(args)
            self.tested.check(given_args(), before, "arrays before they change", GOLDEN)
            _overwrite(args, others)
            answer = self.tested.run(given_args())
            if self.spec.mismatches(answer.output, before) == 0:
                detail = f"{name} with other contents get the answer of the former ones"
                raise self.tested.offence(Fault.REMEMBERS, detail)
            if self.spec.mismatches(answer.output, after) != 0:
                raise self.tested.judge(answer, after, f"{name} with other contents")
            _overwrite(args, kept)

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
        """It works in a process in which no other backend can be imported: it computes itself what it says it does."""
        args = self.some(7)
        problem = delegation(self.subject, self.kernel, args, self.golden(args), self.threads)
        if problem:
            raise self.tested.offence(Fault.DELEGATES, problem)

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
