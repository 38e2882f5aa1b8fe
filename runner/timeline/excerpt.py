"""Windows looked at closely: the requests at their edges, and what was wrong, word for word.

An excerpt is bounded, however long its window is, so that a report can show it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from runner.journal.samples import Outcome, ProberLog
from runner.timeline.evidence import Class, Evidence
from runner.timeline.run import Error, Excerpt, Sample, Window

QUOTED = 12
"""So many windows of a series, the longest, have an excerpt."""
EDGE = 5
"""So many bad samples are shown at each edge of a window."""
AROUND = 2
"""So many samples are shown before and after those."""
ERRORS = 8
"""So many texts of errors are told apart."""


def quote(
    windows: Sequence[Window], stretch: Evidence, *, log: ProberLog, zero: int = 0
) -> tuple[Window, ...]:
    """Give the windows, the longest of them with an excerpt of their samples, which are in `stretch`."""
    longest = set(sorted(range(len(windows)), key=lambda nth: -windows[nth].longest)[:QUOTED])
    return tuple(
        replace(window, excerpt=_excerpt(window, stretch, log, zero)) if nth in longest else window
        for nth, window in enumerate(windows)
    )


def _excerpt(window: Window, stretch: Evidence, log: ProberLog, zero: int) -> Excerpt:
    begin = zero + round(window.start.earliest * 1e9)
    first = int(np.searchsorted(stretch.sent, begin))
    last = len(stretch.sent)
    if window.end is not None:
        last = int(np.searchsorted(stretch.sent, zero + round(window.end.latest * 1e9), side="right"))
    bad = first + np.flatnonzero(stretch.kind[first:last] > Class.GOOD)
    rows = {*bad[:EDGE].tolist(), *bad[-EDGE:].tolist()}
    rows |= {row for near in (min(rows) - AROUND, max(rows) + 1) for row in range(near, near + AROUND)}
    chosen = sorted(row for row in rows if 0 <= row < len(stretch.sent))
    skipped = np.diff(chosen, prepend=chosen[0] - 1) - 1
    errors, others = _errors(stretch, bad, log)
    return Excerpt(
        samples=tuple(
            _sample(stretch, row, log, zero, gap) for row, gap in zip(chosen, skipped.tolist(), strict=True)
        ),
        errors=errors,
        others=others,
    )


def _sample(stretch: Evidence, row: int, log: ProberLog, zero: int, skipped: int) -> Sample:
    return Sample(
        sent=(int(stretch.sent[row]) - zero) / 1e9,
        took=int(stretch.done[row] - stretch.sent[row]) / 1e9,
        outcome=_outcome(Class(stretch.kind[row]), int(stretch.outcome[row])),
        status=int(stretch.status[row]) or None,
        who=log.who.get(int(stretch.who[row]), ""),
        detail=log.detail.get(int(stretch.detail[row]), ""),
        skipped=skipped,
    )


def _errors(stretch: Evidence, bad: npt.NDArray[np.intp], log: ProberLog) -> tuple[tuple[Error, ...], int]:
    """Count the bad samples by what was wrong; what was slow and right is an error of its own."""
    slow = stretch.kind[bad] == Class.SLOW
    outcome = np.where(slow, 0, stretch.outcome[bad]).astype(np.int64)
    keys, counts = np.unique(
        (outcome << 32) | (stretch.status[bad].astype(np.int64) << 16) | stretch.detail[bad],
        return_counts=True,
    )
    order = np.argsort(-counts, kind="stable")
    errors = tuple(
        Error(
            outcome="slow" if not key >> 32 else Outcome(key >> 32).name.lower(),
            status=(key >> 16 & 0xFFFF) or None,
            detail=log.detail.get(key & 0xFFFF, ""),
            count=count,
        )
        for key, count in zip(keys[order][:ERRORS].tolist(), counts[order][:ERRORS].tolist(), strict=True)
    )
    return errors, int(counts.sum()) - sum(error.count for error in errors)


def _outcome(kind: Class, outcome: int) -> str:
    if kind in (Class.GOOD, Class.SLOW):
        return kind.name.lower()
    return Outcome(outcome).name.lower()
