"""Verdicts: how they merge, what a limit says about an interval, and the exit code of a run.

What is measured is an interval [lo, hi]; a limit is met, broken, or not decided by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runner.timeline.run import Scenario, Verdict


@dataclass(frozen=True, slots=True)
class Interval:
    """The truth lies in [lo, hi], or in (lo, hi] where `above` is set. `hi` may be infinite."""

    lo: float
    hi: float
    above: bool = False


def merge(verdicts: Iterable[Verdict]) -> Verdict:
    """Give the gravest verdict: fail > unknown > pass; that of nothing is pass."""
    found = set(verdicts)
    return next((each for each in (Verdict.FAIL, Verdict.UNKNOWN) if each in found), Verdict.PASS)


def at_most(interval: Interval, limit: float) -> Verdict:
    """Judge `max: limit`."""
    if interval.hi <= limit:
        return Verdict.PASS
    if interval.lo > limit or (interval.above and interval.lo == limit):
        return Verdict.FAIL
    return Verdict.UNKNOWN


def at_least(interval: Interval, limit: float) -> Verdict:
    """Judge `min: limit`."""
    if interval.lo >= limit:
        return Verdict.PASS
    if interval.hi < limit:
        return Verdict.FAIL
    return Verdict.UNKNOWN


def within(interval: Interval, *, least: float | None = None, most: float | None = None) -> Verdict:
    """Judge `{min: least, max: most}`, of which either may be missing."""
    return merge(
        (
            Verdict.PASS if least is None else at_least(interval, least),
            Verdict.PASS if most is None else at_most(interval, most),
        )
    )


def of_run(state: str, scenarios: Iterable[Scenario]) -> Verdict:
    """Give a run's verdict: its scenarios' but the skipped; unknown if it is unfinished or judged nothing.

    Of the attempts at a scenario the last counts.
    """
    ran = [scenario for scenario in scenarios if scenario.state != "skipped" and not scenario.superseded]
    verdicts = [scenario.verdict for scenario in ran]
    if state != "finished" or not any(scenario.judged for scenario in ran):
        verdicts.append(Verdict.UNKNOWN)
    return merge(verdicts)


def exit_code(verdict: Verdict, *, interrupted: bool, broken: bool = False) -> int:
    """Give a run's exit code: interrupted 2, fail 1, unknown (error, or nothing judged) 3, pass 0.

    A run that passed and left something `broken` exits with 3: somebody has to look.
    """
    codes = {Verdict.FAIL: 1, Verdict.UNKNOWN: 3, Verdict.PASS: 3 if broken else 0}
    return 2 if interrupted else codes[verdict]
