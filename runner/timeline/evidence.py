"""Samples become evidence: each is good, slow, bad or void. All instants and lengths are integer nanoseconds.

A good sample proves "up" at an instant of [sent, done]; a slow or bad one proves "down" at an instant of
[sent, u]; a void one proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.journal.samples import Outcome, Samples

Instants = npt.NDArray[np.int64]
Stall = tuple[int, int]


class Class(IntEnum):
    """What a sample proves. The order is that of a chart's pixel: the greater is the worse."""

    VOID = 0
    GOOD = 1
    SLOW = 3
    BAD = 4


@dataclass(frozen=True, slots=True)
class Timing:
    """How a series was sent: request n is due at t0 + n * period, where period is numerator / denominator."""

    t0: int
    numerator: int
    denominator: int
    timeout: int
    slow_after: int
    blind_after: int
    recover_after: int

    @property
    def period(self) -> int:
        """The period, rounded up."""
        return -(-self.numerator // self.denominator)


def timing(header: Mapping[str, Any]) -> Timing:
    """Read the timing from a sample file's header."""
    numerator, denominator = (int(part) for part in header["period_ns"])
    return Timing(
        t0=int(header["t0_ns"]),
        numerator=numerator,
        denominator=denominator,
        timeout=int(header["timeout_ns"]),
        slow_after=int(header["slow_after_ns"]),
        blind_after=int(header["blind_after_ns"]),
        recover_after=int(header["recover_after_ns"]),
    )


@dataclass(frozen=True, slots=True)
class Evidence:
    """Parallel columns, sorted by (sent, n); `u` is the last instant of which a bad sample can speak."""

    due: Instants
    sent: Instants
    done: Instants
    u: Instants
    kind: npt.NDArray[np.uint8]
    """A `Class`."""
    outcome: npt.NDArray[np.uint8]
    who: npt.NDArray[np.uint16]
    status: npt.NDArray[np.uint16]
    detail: npt.NDArray[np.uint16]

    def within(self, start: int, end: int) -> Evidence:
        """Give what was sent in [start, end]; shares memory."""
        first, last = np.searchsorted(self.sent, (start, end + 1))
        return self._take(slice(int(first), int(last)))

    def proofs(self) -> Evidence:
        """Give all but the void samples."""
        keep = self.kind != Class.VOID
        return self if bool(keep.all()) else self._take(keep)

    def _take(self, rows: slice | npt.NDArray[np.bool_]) -> Evidence:
        return Evidence(
            due=self.due[rows],
            sent=self.sent[rows],
            done=self.done[rows],
            u=self.u[rows],
            kind=self.kind[rows],
            outcome=self.outcome[rows],
            who=self.who[rows],
            status=self.status[rows],
            detail=self.detail[rows],
        )


def stalled_before(stalls: Iterable[Stall], at: Instants) -> Instants:
    """Give the stalled time before each instant. Stalls may touch, and overlap none."""
    gaps = np.array(sorted(stalls), dtype=np.int64).reshape(-1, 2)
    starts, ends = gaps[:, 0], gaps[:, 1]
    total = np.concatenate(([0], np.cumsum(ends - starts)))
    begun = np.searchsorted(starts, at)
    # Of the stall that began last, what lies beyond the instant does not count.
    beyond = np.maximum(np.concatenate(([0], ends))[begun] - at, 0)
    return np.asarray(total[begun] - np.where(begun > 0, beyond, 0), dtype=np.int64)


def joined(stalls: Iterable[Stall]) -> list[Stall]:
    """Give the stalls with those that overlap made one."""
    found: list[Stall] = []
    for start, end in sorted(stalls):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def touched(samples: Samples, stalls: Sequence[Stall]) -> npt.NDArray[np.bool_]:
    """Tell which requests were under way in any of the stalls, which are disjoint and sorted."""
    gaps = np.array(stalls, dtype=np.int64).reshape(-1, 2)
    nth = np.searchsorted(gaps[:, 1], samples.sent)
    never = np.iinfo(np.int64).max
    return np.asarray(np.concatenate((gaps[:, 0], [never]))[nth] <= samples.done, dtype=bool)


def gather(samples: Samples, stalls: Iterable[Stall], deaf: Iterable[Stall] = ()) -> Evidence:
    """Classify the samples of a series, given the stalls (start, end) of its prober.

    `deaf` are the stalls of something of ours that stands between the prober and what it asks, such as the
    local forwarder: a request that found no answer meanwhile says nothing of what stands behind it.
    """
    rule = timing(samples.header)
    deaf = joined(deaf)
    stalls = joined((*stalls, *deaf))
    patience = samples.sent + rule.slow_after
    if stalls:
        patience += stalled_before(stalls, samples.done) - stalled_before(stalls, samples.sent)
    right = samples.outcome == Outcome.OK
    kind = np.where(right, np.where(samples.done <= patience, Class.GOOD, Class.SLOW), Class.BAD)
    kind[samples.outcome == Outcome.VOID] = Class.VOID
    if deaf:
        kind[~right & touched(samples, deaf)] = Class.VOID
    return Evidence(
        due=samples.due,
        sent=samples.sent,
        done=samples.done,
        u=np.minimum(samples.done, patience),
        kind=kind.astype(np.uint8),
        outcome=samples.outcome,
        who=samples.who,
        status=samples.status,
        detail=samples.detail,
    )
