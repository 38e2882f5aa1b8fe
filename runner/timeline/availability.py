"""Meaningful availability (NSDI 2020): the worst window of each size. Pure.

One long outage and many short ones may have the same share of up time in all; over windows of some size they
differ. What was blind may have been either, so each value is an interval.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]
Stretches = Iterable[tuple[float, float]]

SIZES = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
"""Seconds; those that fit are given, and the whole length."""


def availability(
    scope: tuple[float, float], *, certain: Stretches, possible: Stretches
) -> tuple[tuple[float, ...], tuple[tuple[float, float], ...]]:
    """Give sizes, and of each the worst share of up time [lo, hi] that any window within the scope has.

    Down it was where that is `certain`, and may have been where it is `possible`.
    """
    start, end = scope
    length = end - start
    sizes = [size for size in SIZES if size < length] + ([length] if length > 0 else [])
    least, most = (_union(each, scope) for each in (certain, possible))
    worst = []
    for size in sizes:
        lo, hi = (min(1.0, max(0.0, 1.0 - _most_within(each, scope, size) / size)) for each in (most, least))
        worst.append((min(lo, hi), hi))  # the last digits may differ
    return tuple(sizes), tuple(worst)


def _union(stretches: Stretches, scope: tuple[float, float]) -> Seconds:
    """Give the stretches within the scope, sorted and joined where they touch: rows of start and end."""
    clipped = [(max(one, scope[0]), min(two, scope[1])) for one, two in stretches]
    joined: list[list[float]] = []
    for one, two in sorted(pair for pair in clipped if pair[0] < pair[1]):
        if joined and one <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], two)
        else:
            joined.append([one, two])
    return np.array(joined, dtype=np.float64).reshape(-1, 2)


def _most_within(down: Seconds, scope: tuple[float, float], size: float) -> float:
    """Give the most down time that a window of a size, within the scope, can hold.

    Such a window begins with a down stretch, or ends with the scope: from anywhere else it can be moved, and
    holds no less.
    """
    if not len(down):
        return 0.0
    starts = np.minimum(down[:, 0], scope[1] - size)
    return float(np.max(_before(down, starts + size) - _before(down, starts)))


def _before(down: Seconds, at: Seconds) -> Seconds:
    """Give how much down time lies before each instant."""
    starts, ends = down[:, 0], down[:, 1]
    whole = np.concatenate(([0.0], np.cumsum(ends - starts)))
    begun = np.searchsorted(starts, at)
    beyond = np.maximum(np.concatenate(([0.0], ends))[begun] - at, 0.0)
    return np.asarray(whole[begun] - np.where(begun > 0, beyond, 0.0), dtype=np.float64)
