"""Downtime windows, blind cells and verdict intervals of a stretch of one series.

The definitions are those of docs/measuring.md. Everything is linear in the samples: the only loops of
Python are over windows and over blind cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from runner.journal.samples import Outcome, ProberLog
from runner.timeline.evidence import Class, Evidence, Instants, Timing
from runner.timeline.run import Blind, Bracket, Window
from runner.timeline.verdict import Interval

Flags = npt.NDArray[np.bool_]

CLOSING = 3
"""Goods in a row that close a window, if they also span `recover_after`."""

SILENCE = 3_000_000_000
"""Pings are a second apart; a longer time without one names a cause."""

SLOW = 0
"""Stands in a window's outcomes for right answers that were late; no bad sample has this code."""

QUIET = ProberLog((), {}, {}, {}, ())
"""The log of a prober that had nothing to say."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the evidence of one series says about a stretch of time. Seconds since the run's zero."""

    scope: tuple[float, float]
    windows: tuple[Window, ...]
    blind: tuple[Blind, ...]
    resolution: float | None
    """The largest gap of evidence; None where there is none at all."""
    good: int
    evidence: int
    unseen: int
    """Requests that were due in blind cells."""
    failed: Interval
    count: Interval
    total: Interval
    longest: Interval
    proven: tuple[tuple[float, float], ...]
    """Where it was down for certain: the parts of `total.lo`."""


@dataclass(frozen=True, slots=True)
class _Cells:
    """Stretches between consecutive evidence, those that are blind."""

    start: Instants
    end: Instants


@dataclass(frozen=True, slots=True)
class _Spans:
    """Windows as columns. `first` and `last` number the bad samples that begin and end each."""

    first: npt.NDArray[np.intp]
    last: npt.NDArray[np.intp]
    open: Flags
    earliest: Instants
    start_at: Instants
    start_latest: Instants
    end_earliest: Instants
    end_at: Instants
    end_latest: Instants


def analyse(
    evidence: Evidence,
    timing: Timing,
    *,
    scope: tuple[int, int],
    zero: int = 0,
    log: ProberLog = QUIET,
    stopped: bool = True,
) -> Analysis:
    """Find windows and blind cells in scope = [t0, t1] (nanoseconds), and the intervals verdicts look at.

    `zero` is the instant that seconds are counted from. `log` (without lines on other series) and `stopped`
    (the probe is known to have ended by itself) only give blind cells their causes, but a suspend in the
    log makes every upper bound infinite.
    """
    t0, t1 = scope
    stretch = evidence.within(t0, t1)
    seen = stretch.proofs()
    bad = np.flatnonzero(seen.kind != Class.GOOD)
    edges = np.concatenate(([t0], seen.sent, [max(t1, t0)])).astype(np.int64)
    gaps = np.diff(edges)
    # Without any evidence the whole stretch is blind, however short.
    dark = gaps > (timing.blind_after if len(seen.sent) else 0)
    cells = _Cells(edges[:-1][dark], edges[1:][dark])
    spans = _spans(seen, bad, timing, t0, t1)
    runs = _runs(bad, dark)
    owner = np.searchsorted(bad[spans.first], runs[:, 0], side="right") - 1
    terms = np.maximum(0, seen.sent[runs[:, 1]] - seen.u[runs[:, 0]])
    shortest = np.bincount(owner, terms, len(spans.first)).astype(np.int64)
    lengths = spans.end_latest - spans.earliest
    some = len(spans.first) > 0
    failures = int(np.count_nonzero(seen.kind == Class.BAD))
    unseen = _due_within(cells, seen, timing)
    asleep = any(t0 <= at <= t1 for at in _suspends(log))

    def interval(lo: float, hi: float, *, above: bool = False) -> Interval:
        return Interval(lo, math.inf if asleep else hi, above=above)

    return Analysis(
        scope=((t0 - zero) / 1e9, (t1 - zero) / 1e9),
        windows=_windows(spans, seen, bad, shortest, zero),
        blind=_blind(cells, stretch, log=log, t1=t1, zero=zero, stopped=stopped),
        resolution=int(gaps.max()) / 1e9 if len(seen.sent) else None,
        good=len(seen.sent) - len(bad),
        evidence=len(seen.sent),
        unseen=unseen,
        failed=interval(failures, failures + unseen),
        count=interval(
            len(spans.first),
            len(spans.first)
            + int(np.sum(-(-(cells.end - cells.start) // max(timing.blind_after, 1))))
            + _rows_inside(bad, spans),
        ),
        total=interval(
            int(terms.sum()) / 1e9,
            _covered(
                np.concatenate((spans.earliest, cells.start)), np.concatenate((spans.end_latest, cells.end))
            )
            / 1e9,
            above=some,
        ),
        longest=interval(
            int(terms.max(initial=0)) / 1e9,
            max(int(lengths.max(initial=0)), int((cells.end - cells.start).max(initial=0))) / 1e9,
            above=some,
        ),
        proven=tuple(
            ((int(one) - zero) / 1e9, (int(two) - zero) / 1e9)
            for one, two in zip(seen.u[runs[:, 0]], seen.sent[runs[:, 1]], strict=True)
            if one < two
        ),
    )


def allowing(best: Analysis, *others: Analysis) -> Analysis:
    """Give an analysis whose intervals also hold what others say: of a scope whose edges are not sure.

    The first of the others is of what surely lies within, the last of all that may.
    """
    every, surely, perhaps = (best, *others), others[0], others[-1]

    def hull(name: str) -> Interval:
        intervals: list[Interval] = [getattr(each, name) for each in every]
        lo = min(each.lo for each in intervals)
        above = all(each.above for each in intervals if each.lo == lo)
        return Interval(lo, max(each.hi for each in intervals), above=above)

    return replace(
        best,
        good=surely.good,
        evidence=surely.evidence,
        unseen=max(0, perhaps.evidence + perhaps.unseen - surely.evidence),
        failed=hull("failed"),
        count=hull("count"),
        total=hull("total"),
        longest=hull("longest"),
    )


def _spans(seen: Evidence, bad: npt.NDArray[np.intp], timing: Timing, t0: int, t1: int) -> _Spans:
    """Join bad samples to windows, and bracket both edges of each."""
    none = np.zeros(0, dtype=np.int64)
    if not len(bad):
        return _Spans(bad, bad, np.zeros(0, dtype=bool), none, none, none, none, none, none)
    size = len(seen.sent)
    # Of each bad sample: the goods that follow it up to the next one, from the first that was sent when no
    # bad one could speak any more. Whatever closed before is older, so the maximum may run over windows.
    following = np.concatenate((bad[1:], [size]))
    row = np.maximum(np.searchsorted(seen.sent, np.maximum.accumulate(seen.u[bad])), bad + 1)
    first_sent = seen.sent[np.minimum(row, size - 1)]
    closes = np.maximum(row + CLOSING - 1, np.searchsorted(seen.sent, first_sent + timing.recover_after))
    closed = closes < following
    closed_inside = np.flatnonzero(closed[:-1])
    first = np.concatenate(([0], closed_inside + 1))
    last = np.concatenate((closed_inside, [len(bad) - 1]))

    # G: the goods after the last bad one, the closing one included; up to the end where nothing closed it.
    f, ell = bad[first], bad[last]
    g = ell + 1
    is_open = g >= size
    stop = np.where(closed[last], closes[last] + 1, size)
    bounded = np.concatenate((seen.done, [t1]))
    least_done = np.minimum.reduceat(bounded, np.column_stack((g, stop)).ravel())[::2] if size else none
    end_earliest = seen.sent[ell]
    end_latest = np.where(is_open, t1, np.maximum(end_earliest, np.minimum(least_done, t1)))

    p_sent = np.where(f > 0, seen.sent[np.maximum(f - 1, 0)], t0)
    earliest = np.array([_last_up(seen, each, t0) for each in f.tolist()], dtype=np.int64)
    least_u = np.minimum.reduceat(seen.u[bad], first)
    start_latest = np.minimum(least_u, end_latest)
    start_at = np.clip((p_sent + seen.sent[f]) // 2, earliest, start_latest)

    # A request that waited in vain says nothing of when the end came: the first right answer does.
    waited = (seen.outcome[ell] == Outcome.TIMEOUT) | (seen.u[ell] < seen.done[ell])
    answers = np.sort(seen.done[seen.outcome == Outcome.OK]) if bool(waited.any()) else none
    nth = np.searchsorted(answers, end_earliest)
    answered = np.concatenate((answers, [np.iinfo(np.int64).max]))[nth]
    middle = (end_earliest + seen.sent[np.minimum(g, size - 1)]) // 2
    end_at = np.clip(np.where(waited, answered, middle), end_earliest, end_latest)
    return _Spans(first, last, is_open, earliest, start_at, start_latest, end_earliest, end_at, end_latest)


def _last_up(seen: Evidence, f: int, t0: int) -> int:
    """Give when the last good sample was sent that had ended by the sending of bad sample f.

    One still under way may have been answered after the outage, and so says nothing of when that began.
    """
    for row in range(f - 1, -1, -1):
        if seen.kind[row] == Class.GOOD and seen.done[row] <= seen.sent[f]:
            return int(seen.sent[row])
    return t0


def _runs(bad: npt.NDArray[np.intp], dark: Flags) -> npt.NDArray[np.intp]:
    """Give the runs, [first, last] each: bad samples in a row without a blind cell between them."""
    if not len(bad):
        return np.zeros((0, 2), dtype=np.intp)
    # dark[i] is the cell before sample i.
    broken = np.flatnonzero((np.diff(bad) > 1) | dark[bad[1:]])
    return np.column_stack(
        (bad[np.concatenate(([0], broken + 1))], bad[np.concatenate((broken, [len(bad) - 1]))])
    )


def _rows_inside(bad: npt.NDArray[np.intp], spans: _Spans) -> int:
    """Count the rows of three or more goods between the bad samples of a window: each may hide an end."""
    rows = np.diff(bad) > CLOSING
    rows[spans.last[:-1]] = False
    return int(np.count_nonzero(rows))


def _covered(start: Instants, end: Instants) -> int:
    """Give the length of the union of the intervals."""
    order = np.argsort(start, kind="stable")
    start, end = start[order], end[order]
    reached = np.concatenate((start[:1], np.maximum.accumulate(end)[:-1]))
    return int(np.maximum(0, end - np.maximum(start, reached)).sum())


def _due_within(cells: _Cells, seen: Evidence, timing: Timing) -> int:
    """Count the requests that were due in blind cells and gave no evidence."""
    if not len(cells.start):
        return 0
    # Request n is due at or after x from n = ceil((x - t0) / period) on.
    first = np.maximum(0, -(-(cells.start - timing.t0) * timing.denominator // timing.numerator))
    beyond = np.maximum(0, (cells.end - timing.t0) * timing.denominator // timing.numerator + 1)
    due = np.sort(seen.due)
    known = np.searchsorted(due, cells.end, side="right") - np.searchsorted(due, cells.start)
    return int(np.maximum(0, beyond - first - known).sum())


def _suspends(log: ProberLog) -> list[int]:
    """Give the instants at which the machine was found to have slept."""
    return [int(entry["at_ns"]) for entry in log.others if entry.get("kind") == "suspend"]


def _overlapped(cells: _Cells, start: Instants, end: Instants) -> Flags:
    """Tell which cells any of the intervals, sorted and disjoint, overlaps."""
    nth = np.searchsorted(end, cells.start, side="right")
    never = np.iinfo(np.int64).max
    return np.asarray(np.concatenate((start, [never]))[nth] < cells.end, dtype=bool)


def _blind(
    cells: _Cells, stretch: Evidence, *, log: ProberLog, t1: int, zero: int, stopped: bool
) -> tuple[Blind, ...]:
    """Name the causes of each blind cell."""
    if not len(cells.start):
        return ()
    stalls = np.array(sorted(log.stalls), dtype=np.int64).reshape(-1, 2)
    voids = stretch.sent[stretch.outcome == Outcome.VOID]
    said = {
        "stall": _overlapped(cells, stalls[:, 0], stalls[:, 1]),
        "local errors": _overlapped(cells, voids, voids + 1),
        "no stop": (cells.end == t1) & (not stopped),
    }
    pings = sorted(int(entry["p_ns"]) for entry in log.others if entry.get("kind") == "ping")

    def logged(kind: str) -> list[tuple[int, int]]:
        return sorted(
            (int(entry["start_ns"]), int(entry["end_ns"]))
            for entry in log.others
            if entry.get("kind") == kind
        )

    for cause, stretches in {
        "run delay": logged("run_delay"),
        "steal": logged("steal"),
        "forwarder stall": logged("deaf"),
        "in-flight cap": [(start, end + 1) for start, end in logged("capped")],
        "suspend": [(at, at + 1) for at in sorted(_suspends(log))],
        "unanswered pings": [(one, two) for one, two in pairwise(pings) if two - one > SILENCE],
    }.items():
        begun, over = np.array(stretches, dtype=np.int64).reshape(-1, 2).T
        said |= {cause: _overlapped(cells, begun, over)}
    return tuple(
        Blind(
            (int(start) - zero) / 1e9,
            (int(end) - zero) / 1e9,
            tuple(cause for cause in said if said[cause][nth]),
        )
        for nth, (start, end) in enumerate(zip(cells.start, cells.end, strict=True))
    )


def _windows(
    spans: _Spans, seen: Evidence, bad: npt.NDArray[np.intp], shortest: Instants, zero: int
) -> tuple[Window, ...]:
    """Give the windows in seconds, and how many samples of each outcome they hold."""
    width = max(Outcome) + 1
    codes = np.where(seen.kind[bad] == Class.SLOW, SLOW, seen.outcome[bad]).astype(np.intp)
    window = np.repeat(np.arange(len(spans.first)), spans.last - spans.first + 1)
    counts = np.bincount(window * width + codes, minlength=width * len(spans.first)).reshape(-1, width)

    def bracket(earliest: int, at: int, latest: int) -> Bracket:
        return Bracket((earliest - zero) / 1e9, (at - zero) / 1e9, (latest - zero) / 1e9)

    starts = np.column_stack((spans.earliest, spans.start_at, spans.start_latest)).tolist()
    ends = np.column_stack((spans.end_earliest, spans.end_at, spans.end_latest)).tolist()
    lengths = (spans.end_latest - spans.earliest).tolist()
    return tuple(
        Window(
            start=bracket(*starts[nth]),
            end=None if spans.open[nth] else bracket(*ends[nth]),
            shortest=int(shortest[nth]) / 1e9,
            longest=lengths[nth] / 1e9,
            open=bool(spans.open[nth]),
            outcomes=named(row),
        )
        for nth, row in enumerate(counts)
    )


def named(counts: npt.NDArray[np.intp]) -> dict[str, int]:
    """Give counts by outcome code as a mapping by name, without the zeros."""
    return {
        "slow" if code == SLOW else Outcome(code).name.lower(): int(counts[code])
        for code in np.flatnonzero(counts).tolist()
    }
