"""What becomes of the verdict on a claim that is known not to hold (`known`, docs/language.md). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from runner.language.versions import within
from runner.timeline.run import Known, Verdict

Json = Any


def day(wall: float) -> date:
    """Give the day, in UTC, of a wall clock. That of a run's zero decides: so it is judged alike later."""
    return datetime.fromtimestamp(wall, UTC).date()


def version(facts: Mapping[str, Json]) -> str | None:
    """Give Ray's version as the survey found it; None where nobody knows."""
    ray = facts.get("ray")
    found = ray.get("version") if isinstance(ray, Mapping) else ray
    return None if found is None else str(found)


def excused(
    verdict: Verdict, said: Mapping[str, Json], *, today: date, ray: str | None
) -> tuple[Verdict, Known]:
    """Give what a verdict counts as, and why.

    A fail is `known`, and fails nothing, up to the day that is said, in the range of versions that is said.
    A pass is a fail, so that `known` is removed. What is unknown stays so.
    """
    issue, until, only = str(said["issue"]), str(said["until"]), said.get("ray")
    here = True if only is None else None if ray is None else within(only, ray)
    if not here:
        actual = "and which version this is is not known" if here is None else f"and this is {ray}"
        state, says = "elsewhere", f"known for Ray {only} only, {actual}: {issue}"
    elif verdict is Verdict.UNKNOWN:
        state, says = "unknown", f"known to fail until {until}: {issue}"
    elif verdict is Verdict.PASS:
        verdict, state, says = (
            Verdict.FAIL,
            "passes",
            f"it holds, though it is known to fail: remove `known`, if {issue} is mended",
        )
    elif today > date.fromisoformat(until):
        state, says = "late", f"it was known until {until}, and that day has gone by: {issue}"
    else:
        verdict, state, says = Verdict.KNOWN, "fails", f"known until {until}: {issue}"
    return verdict, Known(issue=issue, until=until, ray=only, state=state, says=says)
