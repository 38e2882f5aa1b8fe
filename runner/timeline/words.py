"""How an assertion says numbers: `expected` and `actual` are sentences for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from runner.timeline.verdict import Interval


def seconds(value: float) -> str:
    """Give a length of time for people: `0 s`, `12.3 ms`, `4.98 s`."""
    if math.isinf(value):
        return "unlimited"
    if value == 0 or value >= 0.9995:
        return f"{value:.3f}".rstrip("0").rstrip(".") + " s"
    return f"{value * 1e3:.1f}".removesuffix(".0") + " ms"


def number(value: float) -> str:
    """Give a number of things."""
    return "unlimited" if math.isinf(value) else f"{value:g}" if value < 1e6 else f"{value:.0f}"


def share(value: float) -> str:
    """Give a part of one as a percentage: `99.95 %`."""
    return f"{value * 100:.4f}".rstrip("0").rstrip(".") + " %"


def ordinal(percent: float) -> str:
    """Give `50th`, `99.9th`."""
    text = f"{percent:g}"
    ending = (
        {"1": "st", "2": "nd", "3": "rd"}.get(text[-1], "th") if text[-2:] not in ("11", "12", "13") else "th"
    )
    return text + ending


def counted(numbers: Mapping[str, int]) -> str:
    """Give how many there are of what, the most frequent first: `refused 410, timeout 3`."""
    ordered = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {number}" for name, number in ordered)


def between(measured: Interval, say: Callable[[float], str]) -> str:
    """Give an interval for people: one value where both ends are the same."""
    low, high = say(measured.lo), say(measured.hi)
    if low == high and not measured.above:
        return low
    return (
        f"{'more than ' if measured.above else ''}{low} to {high}"
        if math.isfinite(measured.hi)
        else f"at least {low}"
    )
