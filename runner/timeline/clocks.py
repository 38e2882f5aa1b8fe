"""Where the instants of a prober's clock lie on the run's axis. Pure.

A prober on this machine reads the runner's own clock. Of another clock only pings tell: each was asked at r1
and heard at r2 by the runner's clock, and answered at p by the prober's, so that the offset (the runner's
less the prober's) was in [r1 - p, r2 - p] then. Clocks drift apart slowly, so a ping also bounds the offset
at other instants; where pings contradict each other, nothing is known.

An offset that is not known exactly widens the bracket of an edge's place on the run's axis, never a duration.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from runner.journal.events import ClockPing
from runner.timeline.run import Blind, Bracket, Window

PART = 1000
"""Clocks drift apart by at most one part in so many: 1000 ppm."""


@dataclass(frozen=True, slots=True)
class Ping:
    """A question about a prober's clock: asked at r1, answered p, heard at r2; nanoseconds each."""

    r1: int
    p: int
    r2: int


def pinged(said: Iterable[ClockPing], zero: float) -> list[Ping]:
    """Give the pings that a journal tells of; `zero` is the runner's clock at its zero, in seconds."""
    base = round(zero * 1e9)
    return [Ping(base + round(each.asked * 1e9), each.p_ns, base + round(each.heard * 1e9)) for each in said]


class Axis:
    """The run's axis, and how instants of a prober's clock (nanoseconds) lie on it (seconds since its zero).

    `pings` are None where the prober reads the runner's own clock.
    """

    def __init__(self, zero: int, pings: Iterable[Ping] | None = None) -> None:
        self.zero = zero
        """The run's zero, by the runner's clock."""
        self.pings = None if pings is None else sorted(pings, key=lambda ping: ping.p)
        self._worst: dict[tuple[int, int], float | None] = {}
        if self.pings is None:
            return
        self._at = [ping.p for ping in self.pings]
        # The greatest lower and the least upper bound, as far as the pings before an instant and those after
        # it know, each times PART, and less what drift adds until then.
        low = [PART * (ping.r1 - ping.p) for ping in self.pings]
        high = [PART * (ping.r2 - ping.p) for ping in self.pings]
        self._low = _until((b + p for b, p in zip(low, self._at, strict=True)), max)
        self._high = _until((b - p for b, p in zip(high, self._at, strict=True)), min)
        self._low_since = _since([b - p for b, p in zip(low, self._at, strict=True)], max)
        self._high_since = _since([b + p for b, p in zip(high, self._at, strict=True)], min)

    def of(self, origin: str) -> Axis:
        """Give that of the prober in the `cluster`, which the pings are of, or of one `here`."""
        return self if origin == "cluster" or self.pings is None else Axis(self.zero)

    def bounds(self, at: int) -> tuple[int, int] | None:
        """Give the bounds of (runner's clock - prober's clock) at `at`, in nanoseconds.

        None where there is no ping. Where the lower one is the greater, pings contradict each other.
        """
        if self.pings is None:
            return 0, 0
        if not self._at:
            return None
        nth = bisect_left(self._at, at)
        before, since = slice(max(nth - 1, 0), nth), slice(nth, nth + 1)
        low = max([each - at for each in self._low[before]] + [each + at for each in self._low_since[since]])
        high = min(
            [each + at for each in self._high[before]] + [each - at for each in self._high_since[since]]
        )
        return low // PART, -(-high // PART)

    def offset(self, at: int) -> tuple[int, int] | None:
        """Give the bounds of the offset at `at`; None where nothing is known."""
        bounds = self.bounds(at)
        return None if bounds is None or bounds[0] > bounds[1] else bounds

    def best(self, at: int) -> int:
        """Give the best single value of the offset at `at`, whatever it is worth."""
        return sum(self.bounds(at) or (0, 0)) // 2

    def seconds(self, at: int) -> float:
        """Give the best place of an instant of the prober's clock on the axis."""
        return (at + self.best(at) - self.zero) / 1e9

    def places(self, at: int) -> tuple[float, float] | None:
        """Give the places between which an instant of the prober's clock lies; None where that is unknown."""
        offset = self.offset(at)
        return offset and ((at + offset[0] - self.zero) / 1e9, (at + offset[1] - self.zero) / 1e9)

    def instant(self, seconds: float) -> int:
        """Give the instant of the prober's clock that is the best for a place on the axis."""
        there = here = self.zero + round(seconds * 1e9)
        # The offset hardly changes with the instant: each turn is a thousand times closer.
        for _ in range(4 if self.pings else 0):
            there = here - self.best(there)
        return there

    def instants(self, seconds: float) -> tuple[int, int] | None:
        """Give the instants of the prober's clock between which a place lies; None where nothing is known."""
        there = self.instant(seconds)
        offset = self.offset(there)
        if offset is None:
            return None
        if self.pings is None:
            return there, there
        here = self.zero + round(seconds * 1e9)
        # What drift adds within so short a time.
        more = -(-2 * (offset[1] - offset[0]) // PART) + 4
        return here - offset[1] - more, here - offset[0] + more

    def worst(self, start: int, end: int) -> float | None:
        """Give by how many seconds a place may be off within [start, end]; None where that is unknown."""
        if self.pings is None:
            return 0.0
        if (start, end) not in self._worst:
            self._worst[start, end] = self._widest(start, end)
        return self._worst[start, end]

    def _widest(self, start: int, end: int) -> float | None:
        # Between two pings what one of them knows gets worse, and what the other knows gets better.
        edges = [start, *(at for at in self._at if start < at < end), end]
        bounds = [self.bounds(at) for at in (*edges, *((one + two) // 2 for one, two in pairwise(edges)))]
        widths = [-1 if each is None else each[1] - each[0] for each in bounds]
        return None if min(widths) < 0 else max(widths) / 2e9


def _until(values: Iterable[int], pick: Callable[[int, int], int]) -> list[int]:
    return list(accumulate(values, pick))


def _since(values: list[int], pick: Callable[[int, int], int]) -> list[int]:
    return list(accumulate(reversed(values), pick))[::-1]


# What was measured by the prober's clock, placed on the axis


@dataclass(frozen=True, slots=True)
class Placing:
    """Moves windows and blind cells, in seconds of the prober's clock since its `zero`, onto the axis."""

    axis: Axis
    zero: int
    within: tuple[float, float]
    """Places between which all of it lies for sure."""

    def window(self, window: Window) -> Window:
        """Give a window with its edges as uncertain as their places are; it lasts as long as it did."""
        if self.axis.pings is None:
            return window
        # Both edges move by as much, so that their distance stays what was measured.
        move = self._move(window.start.at)
        excerpt = window.excerpt and replace(
            window.excerpt,
            samples=tuple(replace(each, sent=each.sent + move) for each in window.excerpt.samples),
        )
        return replace(
            window,
            start=self._edge(window.start, move),
            end=window.end and self._edge(window.end, move),
            excerpt=excerpt,
        )

    def blind(self, blind: Blind) -> Blind:
        """Give a blind cell at its best place; it lasts as long as it did."""
        if self.axis.pings is None:
            return blind
        move = self._move(blind.start)
        return replace(blind, start=blind.start + move, end=blind.end + move)

    def _instant(self, seconds: float) -> int:
        return self.zero + round(seconds * 1e9)

    def _move(self, seconds: float) -> float:
        return (self.axis.best(self._instant(seconds)) + self.zero - self.axis.zero) / 1e9

    def _edge(self, edge: Bracket, move: float) -> Bracket:
        first = self.axis.places(self._instant(edge.earliest))
        last = self.axis.places(self._instant(edge.latest))
        earliest, latest = self.within if first is None or last is None else (first[0], last[1])
        return Bracket(earliest, min(max(edge.at + move, earliest), latest), latest)
