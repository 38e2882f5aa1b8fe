"""A series made small enough to draw, without hiding a bad sample."""

from __future__ import annotations

import numpy as np

from runner.journal.samples import Outcome
from runner.timeline.evidence import Class, Evidence, Timing
from runner.timeline.run import Chart

COLUMNS = 1200
"""One a pixel of a wide screen."""

BLIND = 2
"""A column's value between good (1) and slow (3); see `run.Chart`."""


def draw(evidence: Evidence, timing: Timing, *, zero: int, axis: tuple[float, float]) -> Chart:
    """Give each column of the axis (seconds since zero) the worst of its samples, and its latencies.

    A column in which nothing was sent shows the sample before it, unless the cell it lies in is blind.
    """
    start, end = axis
    width = max(end - start, 1e-9) * 1e9 / COLUMNS
    worst = np.zeros(COLUMNS, dtype=np.uint8)
    half = np.full(COLUMNS, np.nan)
    most = np.full(COLUMNS, np.nan)

    seen = evidence.within(zero + round(start * 1e9), zero + round(end * 1e9)).proofs()
    if not len(seen.sent):
        return Chart(start, end, worst, half, most)
    column = np.minimum((seen.sent - zero - start * 1e9) / width, COLUMNS - 1).astype(np.intp)

    # sent is sorted, so the samples of a column stand together.
    heads = np.flatnonzero(np.diff(column, prepend=-1))
    here = column[heads]
    last = column[np.append(heads[1:], len(column)) - 1]
    worst[here] = np.maximum.reduceat(seen.kind, heads)
    ends = np.append(heads[1:], len(column)) - 1
    for left, right, kind in zip(last[:-1], here[1:], seen.kind[ends[:-1]], strict=True):
        worst[left + 1 : right] = kind
    for cell in np.flatnonzero(np.diff(seen.sent) > timing.blind_after):
        dark = slice(column[cell], column[cell + 1] + 1)
        worst[dark] = np.where(worst[dark] == Class.GOOD, BLIND, worst[dark])
        # Inside the cell nothing is known, whatever came before it.
        worst[column[cell] + 1 : column[cell + 1]] = BLIND

    right_answer = seen.outcome == Outcome.OK
    answered = column[right_answer]
    if len(answered):
        # One sort orders by column, then by latency.
        took = (seen.done - seen.due)[right_answer]
        keyed = np.sort((answered.astype(np.int64) << 44) | np.clip(took, 0, (1 << 44) - 1))
        ordered, where = keyed & ((1 << 44) - 1), keyed >> 44
        heads = np.flatnonzero(np.diff(where, prepend=-1))
        tails = np.append(heads[1:], len(where)) - 1
        half[where[heads]] = ordered[(heads + tails) // 2] / 1e9
        most[where[heads]] = ordered[tails] / 1e9
    return Chart(start, end, worst, half, most)
