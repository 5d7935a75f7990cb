"""Warming up: stops once times have stopped falling, and says where they have not."""

from __future__ import annotations

from chaindp.measure.warmup import warm_up


def times_of(values: list[int]) -> tuple[list[int], object]:
    seen: list[int] = []

    def call(number: int) -> int:
        seen.append(number)
        return values[min(number, len(values) - 1)]

    return seen, call


def test_steady_times_take_six_calls() -> None:
    seen, call = times_of([100])
    done = warm_up(call)  # type: ignore[arg-type]
    assert (done.calls, done.stable, done.last_ns) == (6, True, 100.0)
    assert seen == [0, 1, 2, 3, 4, 5]


def test_falling_times_are_waited_for() -> None:
    _, call = times_of([1000, 900, 800, 700, 600, 500, 400, 300, 200, 100, 100, 100, 100, 100, 100])
    done = warm_up(call)  # type: ignore[arg-type]
    assert done.stable
    assert done.last_ns == 100.0
    assert done.calls > 10


def test_rising_times_are_noise_and_not_warming_up() -> None:
    _, call = times_of([100, 100, 100, 200, 200, 200])
    assert warm_up(call).calls == 6  # type: ignore[arg-type]


def test_times_that_never_settle_end_and_are_called_unstable() -> None:
    done = warm_up(lambda number: int(1e9 * 0.9**number) + 1)
    assert (done.calls, done.stable) == (60, False)


def test_slow_calls_end_by_the_clock() -> None:
    now = iter(range(0, 1000, 2))
    done = warm_up(lambda number: 1000 - number, clock=lambda: float(next(now)))
    assert (done.calls, done.stable) == (3, False)
