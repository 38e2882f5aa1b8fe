"""What holds right now, of a series that is still being recorded.

Requests on their way have no record yet, so nothing here takes a missing record for a good one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runner.journal.samples import Samples
from runner.timeline.evidence import Class, Stall, gather, timing

LAG = 150_000_000
"""Nanoseconds after which a request that has ended can be read; written and read every 50 ms."""

LATEST = 20_000_000
"""A request later than this (or than its period, if that is longer) is not sent."""


def good_for(samples: Samples, stalls: Sequence[Stall], *, now: int, seconds: float) -> bool:
    """Tell whether the series is known to have been wholly good for the last `seconds`, as of `now` (ns).

    They end at the first request that has no record yet, which must not be on its way for longer than a
    good one may take. No sample may be slow or bad since they began, no cell blind.
    """
    rule = timing(samples.header)
    evidence = gather(samples, stalls)
    patience = rule.slow_after + LAG
    oldest = now - rule.timeout - LAG
    oldest -= sum(end - max(start, oldest) for start, end in stalls if end > oldest)
    # Requests that may be on their way: those that came due lately and have no record.
    first = max(0, -(-(oldest - rule.t0) * rule.denominator // rule.numerator))
    beyond = max(first, (now - rule.t0) * rule.denominator // rule.numerator + 1)
    waiting = np.setdiff1d(np.arange(first, beyond), samples.n[samples.n >= first])
    due = rule.t0 + waiting * rule.numerator // rule.denominator
    for start, end in stalls:
        # What came due in a stall and was too late after it was never sent.
        due = due[(due < start) | (due > end - max(rule.period, LATEST))]
    until = min(int(due[0]), now) if len(due) else now
    since = until - round(seconds * 1e9)
    if until < now - patience or since < rule.t0 - rule.period:
        return False
    seen = evidence.within(since, now).proofs()
    if not len(seen.sent) or bool((seen.kind != Class.GOOD).any()):
        return False
    sent = seen.sent[seen.sent <= until]
    edges = np.concatenate(([since], sent, [until]))
    return bool(np.diff(edges).max() <= rule.blind_after)


def open_window(samples: Samples, stalls: Sequence[Stall], *, now: int) -> bool:
    """Tell whether a window is open, or not known to be closed: not wholly good for `recover_after`."""
    rule = timing(samples.header)
    return not good_for(samples, stalls, now=now, seconds=max(rule.recover_after, 3 * rule.period) / 1e9)
