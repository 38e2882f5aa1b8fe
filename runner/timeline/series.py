"""A recorded series: the evidence of one probe at one endpoint, and what a report says of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.journal.samples import Outcome, ProberLog
from runner.timeline import run
from runner.timeline.chart import draw
from runner.timeline.clocks import Axis, Placing
from runner.timeline.evidence import Class, Evidence, Timing
from runner.timeline.excerpt import quote
from runner.timeline.verdict import Interval
from runner.timeline.windows import SLOW, Analysis, allowing, analyse, named


@dataclass(frozen=True, slots=True)
class Track:
    """A series as it was recorded. `began` and `scope` = [t0, t1] are seconds since the run's zero."""

    spec: Mapping[str, Any]
    """The series' entry of ProbeStart."""
    began: float
    scope: tuple[float, float]
    axis: Axis
    """How its prober's clock, which all stamps are of, stands to the runner's."""
    log: ProberLog
    """What its prober logged, without the lines on other series."""
    stopped: bool
    timing: Timing | None = None
    """None where the sample file is missing, like `evidence`."""
    evidence: Evidence | None = None
    over: int | None = None
    """When its sending ended, by its prober's clock; None where nobody says."""
    within: tuple[float, float] = (-math.inf, math.inf)
    """Places on the axis between which all of it lies for sure."""

    @property
    def name(self) -> str:
        """The series' name, such as `worker-1/new`."""
        return str(self.spec["series"])

    @property
    def zero(self) -> int:
        """The run's zero by the prober's clock, as that stood when the series began."""
        return self.axis.zero - self.axis.best(self.timing.t0 if self.timing else 0)

    @property
    def unsure(self) -> float | None:
        """By how many seconds its place on the axis may be off; None where nothing is known of that."""
        scope = self._nanoseconds(self.scope)
        return self.axis.worst(*scope)

    def clip(self, start: float = -math.inf, end: float = math.inf) -> tuple[float, float] | None:
        """Give the part of the scope within [start, end]; None where nothing is left."""
        start, end = max(start, self.scope[0]), min(end, self.scope[1])
        return (start, end) if start < end else None

    def stretch(self, scope: tuple[float, float], margin: int = 0) -> Evidence | None:
        """Give the samples sent within a scope, void ones included.

        Where its place is not sure: with a `margin` of -1 only what surely was, of 1 also what may have been.
        """
        return self.evidence.within(*self._nanoseconds(scope, margin)) if self.evidence else None

    def analyse(self, scope: tuple[float, float]) -> Analysis | None:
        """Analyse a part of the scope; None where nothing was recorded.

        Windows and blind cells stand in seconds of the prober's clock: `placed` moves them onto the axis.
        """
        if self.evidence is None or self.timing is None:
            return None
        best, *others = (
            analyse(
                self.evidence,
                self.timing,
                scope=self._nanoseconds(scope, margin),
                zero=self.zero,
                log=self.log,
                stopped=self.stopped,
            )
            for margin in ((0,) if self.axis.pings is None else (0, -1, 1))
        )
        return allowing(best, *others) if others else best

    def placed(self, analysis: Analysis) -> Analysis:
        """Give an analysis with its windows and blind cells on the run's axis."""
        placing = Placing(self.axis, self.zero, self.within)
        return replace(
            analysis,
            windows=tuple(placing.window(each) for each in analysis.windows),
            blind=tuple(placing.blind(each) for each in analysis.blind),
        )

    def identities(self, scope: tuple[float, float], margin: int = 0) -> dict[str, int]:
        """Count the right answers to what was sent within a scope, by who gave them."""
        stretch = self.stretch(scope, margin)
        if stretch is None:
            return {}
        counts = np.bincount(stretch.who[stretch.outcome == Outcome.OK])
        found = {
            self.log.who.get(who, f"#{who}"): int(counts[who])
            for who in np.flatnonzero(counts).tolist()
            if who
        }
        return dict(sorted(found.items()))

    def _nanoseconds(self, scope: tuple[float, float], margin: int = 0) -> tuple[int, int]:
        """Give a scope by the prober's clock. That has stamped where the series itself begins and ends."""
        start, end = (self.axis.instant(each) for each in scope)
        if self.axis.pings is None or self.timing is None or self.evidence is None:
            return start, end
        last = int(self.evidence.sent[-1]) if len(self.evidence.sent) else self.timing.t0
        first, last = self.timing.t0, max(last, self.over or 0)
        if margin:
            begin = self.axis.instants(scope[0]) or (first, last)
            stop = self.axis.instants(scope[1]) or (first, last)
            start, end = (begin[0], stop[1]) if margin > 0 else (begin[1], stop[0])
        if scope[0] <= self.began:
            start = first
        if scope[1] >= self.scope[1] and self.over is not None:
            end = last
        return start, max(start, end)


def describe(track: Track, chart: tuple[float, float]) -> run.Series:
    """Give what reports say of a series; `chart` is the axis to draw it on."""
    return summary(track, track.analyse(track.scope), chart)


def summary(track: Track, analysis: Analysis | None, chart: tuple[float, float]) -> run.Series:
    """Give the same where the scope has been analysed already."""
    stretch = track.stretch(track.scope)
    if stretch is None or analysis is None or track.evidence is None or track.timing is None:
        return _unrecorded(track)
    bad = stretch.kind > Class.GOOD
    codes = np.where(stretch.kind == Class.SLOW, SLOW, stretch.outcome)
    late = stretch.sent - stretch.due
    quoted = quote(analysis.windows, stretch, log=track.log, zero=track.zero)
    placed = track.placed(replace(analysis, windows=quoted))
    return replace(
        _unrecorded(track),
        samples=len(stretch.sent),
        bad=int(np.count_nonzero(bad)),
        failed=int(np.count_nonzero(stretch.kind == Class.BAD)),
        void=int(np.count_nonzero(stretch.kind == Class.VOID)),
        outcomes=named(np.bincount(codes)),
        latency=_latency(latencies(stretch)),
        lateness=run.Lateness(*percentiles(late, 50, 99, 100)) if len(late) else None,
        resolution=analysis.resolution,
        blind=placed.blind,
        windows=placed.windows,
        identities=track.identities(track.scope),
        chart=draw(track.evidence, track.timing, zero=track.zero, axis=chart),
    )


def latencies(stretch: Evidence) -> npt.NDArray[np.int64]:
    """Give done - due of all right answers, late ones included, sorted."""
    right = stretch.outcome == Outcome.OK
    return np.sort(stretch.done[right] - stretch.due[right])


def percentile(ordered: npt.NDArray[np.int64], percent: float, unseen: int) -> Interval:
    """Give the nearest-rank percentile in seconds, where `unseen` more values may be anything."""
    rank = max(1, math.ceil(percent / 100 * (len(ordered) + unseen)))
    return Interval(
        lo=int(ordered[rank - unseen - 1]) / 1e9 if rank > unseen else 0.0,
        hi=int(ordered[rank - 1]) / 1e9 if rank <= len(ordered) else math.inf,
    )


def percentiles(values: npt.NDArray[np.int64], *percents: float) -> Iterable[float]:
    """Give nearest-rank percentiles of nanoseconds, in seconds; `values` must not be empty."""
    ordered = np.sort(values)
    return (percentile(ordered, percent, 0).lo for percent in percents)


def _latency(ordered: npt.NDArray[np.int64]) -> run.Latency | None:
    return run.Latency(*percentiles(ordered, 50, 90, 99, 99.9, 100)) if len(ordered) else None


def _unrecorded(track: Track) -> run.Series:
    """Give a series of which there is no sample file: wholly blind."""
    spec = track.spec
    return run.Series(
        series=track.name,
        endpoint=str(spec.get("endpoint", "")),
        role=str(spec.get("role", "")),
        connection=str(spec.get("connection", "")),
        simulated=bool(spec.get("simulated", False)),
        url=str(spec.get("url", "")),
        rate=float(spec.get("rate", 0.0)),
        samples=0,
        bad=0,
        failed=0,
        void=0,
        outcomes={},
        latency=None,
        lateness=None,
        resolution=None,
        scope=track.scope,
        unsure=track.unsure,
        blind=(run.Blind(*track.scope, ("no sample file",)),),
        windows=(),
        identities={},
        through=str(spec.get("through", "")),
    )
