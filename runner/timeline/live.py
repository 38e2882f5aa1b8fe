"""What is known right now of a series that is still being recorded.

Requests on their way have no record yet, so nothing here takes a missing record for a good one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runner.journal.samples import WRITTEN, Samples
from runner.timeline.evidence import Class, Evidence, Instants, Stall, Timing, gather, timing
from runner.timeline.verdict import Interval
from runner.timeline.windows import analyse

SLACK = 5.0
"""Seconds beyond its timeout after which a request has surely ended, though its prober was held up."""

UNHURT = Interval(0.0, math.inf)
"""What is known of a loss before any was seen."""

LATEST = 20_000_000
"""A request later than this (or than its period, if that is longer) is not sent."""


@dataclass(frozen=True, slots=True)
class Streak:
    """Wholly good evidence without a blind cell, in nanoseconds."""

    since: int | None
    """Where it begins; None where there is none: the last sample is bad, or too old to speak of now."""
    until: int
    """How far anything is known: the last sample, or the first request before it that has no record yet."""
    good: int
    """When the last good sample was sent; the first was due, where there is none."""
    cut: bool
    """It reaches back to the first of the samples: earlier ones might say more."""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return 0.0 if self.since is None else max(0, self.until - self.since) / 1e9


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of a series' requests so far, counted up bit by bit."""

    ended: int = 0
    bad: int = 0
    down: int | None = None
    """When the first of the requests was sent that have been bad ever since; None while the last is good."""

    def grown(self, seen: Evidence) -> Tally:
        """Count what was sent next."""
        wrong = (seen.kind == Class.BAD) | (seen.kind == Class.SLOW)
        if not len(wrong):
            return self
        down = self.down
        if not wrong[-1]:
            down = None
        elif not wrong.all():
            down = int(seen.sent[np.flatnonzero(~wrong)[-1] + 1])
        elif down is None:
            down = int(seen.sent[0])
        return Tally(self.ended + len(wrong), self.bad + int(wrong.sum()), down)


@dataclass(frozen=True, slots=True)
class Toll:
    """What a series has suffered for certain so far, counted up bit by bit: the lower ends of an analysis."""

    longest: Interval = UNHURT
    total: Interval = UNHURT
    failed: Interval = UNHURT

    def grown(self, seen: Evidence, rule: Timing) -> Toll:
        """Count what was sent next; no outage may go on over where it begins (`lull`)."""
        if not len(seen.sent):
            return self
        found = analyse(seen, rule, scope=(int(seen.sent[0]), int(seen.sent[-1])))

        def least(lo: float, before: Interval, now: Interval) -> Interval:
            return Interval(lo, math.inf, above=before.above or now.above)

        return Toll(
            longest=least(max(self.longest.lo, found.longest.lo), self.longest, found.longest),
            total=least(self.total.lo + found.total.lo, self.total, found.total),
            failed=least(self.failed.lo + found.failed.lo, self.failed, found.failed),
        )


def settled(samples: Samples) -> int:
    """Give the instant up to which every request that was sent has surely ended."""
    # They end out of order, but none later than this.
    return int(samples.sent[-1]) - int(samples.header["timeout_ns"]) - round(SLACK * 1e9)


def lull(seen: Evidence, until: int) -> int | None:
    """Give when the last good sample was sent, up to an instant; None where there is none."""
    goods = seen.sent[(seen.kind == Class.GOOD) & (seen.sent <= until)]
    return int(goods[-1]) if len(goods) else None


def streak(samples: Samples, stalls: Sequence[Stall], *, now: int) -> Streak:
    """Give the good streak a series is in at `now`; silence for longer than a good answer takes ends it."""
    rule = timing(samples.header)
    seen = gather(samples, stalls).within(0, now).proofs()
    if not len(seen.sent):
        return Streak(None, rule.t0, rule.t0, cut=True)
    waiting = _waiting(samples, rule, stalls, now)
    until = min(int(seen.sent[-1]), int(waiting[0])) if len(waiting) else int(seen.sent[-1])
    goods = seen.sent[seen.kind == Class.GOOD]
    good = int(goods[-1]) if len(goods) else rule.t0
    if seen.kind[-1] != Class.GOOD or until < now - rule.slow_after - WRITTEN:
        return Streak(None, until, good, cut=not len(goods))
    bad = np.flatnonzero(seen.kind != Class.GOOD)
    sent = seen.sent[bad[-1] + 1 :] if len(bad) else seen.sent
    dark = np.flatnonzero(np.diff(sent) > rule.blind_after)
    since = int(sent[dark[-1] + 1] if len(dark) else sent[0])
    return Streak(since, until, good, cut=since == int(seen.sent[0]))


def _waiting(samples: Samples, rule: Timing, stalls: Sequence[Stall], now: int) -> Instants:
    """Give when the requests came due that may still be on their way."""
    oldest = now - rule.timeout - WRITTEN
    # Time that the prober was stalled does not count against a request.
    oldest -= sum(end - max(start, oldest) for start, end in stalls if end > oldest)
    first = max(0, -(-(oldest - rule.t0) * rule.denominator // rule.numerator))
    beyond = max(first, (now - rule.t0) * rule.denominator // rule.numerator + 1)
    missing = np.setdiff1d(np.arange(first, beyond), samples.n[samples.n >= first])
    due = rule.t0 + missing * rule.numerator // rule.denominator
    for start, end in stalls:
        # What came due in a stall and was too late after it was never sent.
        due = due[(due < start) | (due > end - max(rule.period, LATEST))]
    return np.asarray(due, dtype=np.int64)
