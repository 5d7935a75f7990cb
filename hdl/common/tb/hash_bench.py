"""What the tests of hash cores share: messages at the edges of blocks, and digests compared with a golden model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from functional_coverage import length_bins
from stream_bench import StreamBench, coverage

__all__ = ["HashBench", "assert_spacing"]


class HashBench(StreamBench):
    """A bench of a core that turns a message into a digest. A test sets the three attributes on its own subclass."""

    golden: Callable[[bytes], bytes]
    block: int
    """Bytes a block."""
    padding: int
    """Bytes that the padding takes at least."""

    @classmethod
    def edges(cls) -> list[int]:
        """Lengths around beats and blocks."""
        block, spare = cls.block, cls.block - cls.padding
        lengths = {0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129}
        for blocks in (0, 1, 2, 4):
            lengths.update(
                block * blocks + inside for inside in (1, spare - 1, spare, spare + 1, block - 1, block, block + 1)
            )
        return sorted(lengths)

    @classmethod
    def declare(cls) -> None:
        """Declare the lengths and resets that the tests have to reach."""
        coverage.declare(
            "lengths",
            ["empty", "one byte", "padding just fits", "whole blocks", "one byte more than whole blocks"]
            + ["one block", "two blocks", "several blocks"]
            + (["padding spills over"] if cls.padding > 1 else []),
        )
        coverage.declare("resets", ["in a message", "with a digest waiting"])

    def messages(self, count: int) -> list[bytes]:
        """Random ones, half of them with a length at an edge."""
        edges = self.edges()
        return [
            self.rng.randbytes(
                self.rng.choice(edges) if self.rng.random() < 0.5 else self.rng.randrange(4 * self.block)
            )
            for _ in range(count)
        ]

    async def check(self, messages: Sequence[bytes]) -> None:
        """Send the messages one behind the other; every digest is the golden one, in order."""
        for message in messages:
            for name in length_bins(len(message), self.block, self.padding):
                coverage.hit("lengths", name)
        digests = await self.exchange(messages)
        for message, digest in zip(messages, digests, strict=True):
            due = type(self).golden(message)
            assert digest == due, f"{len(message)} bytes, {message.hex()}: {digest.hex()} in place of {due.hex()}"

    async def check_resets(self, waits: Sequence[int]) -> None:
        """Reset after each of ``waits`` cycles, and while a digest waits: nothing under way leaves a trace."""
        for wait in waits:
            # Two short messages, and one that is cut.
            for length in (0, self.block // 2, 6 * self.block + 11):
                self.send(self.rng.randbytes(length))
            await self.cycles(wait)
            if self.in_beats and self.dut.s_axis_tvalid.value == 1:
                coverage.hit("resets", "in a message")
            await self._check_after_reset()
        for _ in range(4):
            self.pause("never", "always")
            self.send(self.rng.randbytes(self.rng.randrange(2 * self.block)))
            self.send(self.rng.randbytes(6 * self.block + 11))
            while self.dut.m_axis_tvalid.value == 0:
                await self.cycles(1)
            await self.cycles(self.rng.randrange(100))
            coverage.hit("resets", "with a digest waiting")
            await self._check_after_reset()

    async def _check_after_reset(self) -> None:
        await self.reset(self.rng.randint(1, 3))
        self.pause("never", "never")
        await self.check([self.rng.randbytes(length) for length in (5, self.block, 0)])
        await self.settle(300)


def assert_spacing(beats: Sequence[int], cycles: int, what: str) -> None:
    """All ``beats`` are exactly ``cycles`` apart."""
    gaps = [later - earlier for earlier, later in pairwise(beats)]
    assert gaps and set(gaps) == {cycles}, f"{what}: {cycles} cycles are due from digest to digest, and it took {gaps}"
