"""Why it took so long, as the template draws it: the phases of a recovery and the causes it waited for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from runner.reports import chart, phrases
from runner.reports.lanes import cut, fault_name
from runner.timeline.run import Bracket, Cause, Recovery, Scenario

EVIDENCE, BRIEF = 280, 76
"""Most letters of an evidence; of what is seen of it without unfolding."""
LEAST = 0.005
"""A share that is smaller is no part of that bar."""
SEGMENTS = 8
"""Most causes that have a number and a part of the bar of shares."""
MEANING = {
    "impact": "the first request that it cost",
    "detection": "the cluster said that something is wrong",
    "mitigation": "all traffic good again",
    "recovery": "all members as before",
}


def draw(recovery: Recovery, scenario: Scenario, most: int) -> dict[str, Any]:
    """Give the waterfall of a recovery with the causes of the greatest shares, from the fault on."""
    end = max([recovery.until, *((recovery.explained or ())[1:])])
    # A little room on the right, so that the last mark does not touch the border.
    axis = chart.Axis(recovery.injected, recovery.injected + max(1e-3, (end - recovery.injected) * 1.02))
    fault = next((each for each in scenario.faults if each.name == recovery.fault), None)
    kept = sorted(recovery.causes, key=lambda cause: (-cause.share, -_length(cause, end)))[:most]
    causes = sorted(kept, key=lambda cause: (cause.start, cause.end is None, cause.end or 0.0))
    numbers = {id(cause): number for number, cause in enumerate(_named(recovery)[0], 1)}
    return {
        "recovery": recovery,
        "name": fault_name(fault) if fault else recovery.fault,
        "ticks": axis.ticks(8),
        "explained": axis.place(*recovery.explained) if recovery.explained else None,
        "shares": shares(recovery),
        "phases": [_phase(recovery, each.phase, each.after, axis) for each in recovery.phases],
        "downs": list(_downs(recovery, scenario, axis)),
        "causes": [_cause(numbers.get(id(cause)), cause, axis, end) for cause in causes],
        "left_out": len(recovery.causes) - len(kept),
        "gaps": _gaps(recovery, axis, end),
        "of": of(recovery),
    }


def _length(cause: Cause, end: float) -> float:
    return (end if cause.end is None else cause.end) - cause.start


def _named(recovery: Recovery) -> tuple[list[Cause], float]:
    """Give the causes that have a share, in the order of their start, and the share of the small ones."""
    shared = sorted((each for each in recovery.causes if each.share > 0), key=lambda each: each.start)
    kept = sorted((each for each in shared if each.share >= LEAST), key=lambda each: -each.share)[:SEGMENTS]
    return [each for each in shared if each in kept], sum(each.share for each in shared if each not in kept)


def percent(share: float) -> str:
    """Give a share for people: `47 %`, `0.4 %`."""
    value = share * 100
    if 0 < value < 0.05:
        return "< 0.1 %"
    return f"{value:.0f} %" if value >= 9.95 or value == 0 else f"{value:.1f} %"


def shares(recovery: Recovery) -> list[dict[str, Any]]:
    """Give the bar that says where the time went: what has a share, in order, then what is unexplained."""
    if recovery.explained is None:
        return []
    length = recovery.explained[1] - recovery.explained[0]
    causes, rest = _named(recovery)
    parts = [(each.cause, each.who, each.share) for each in causes]
    if rest > 0:
        parts.append(("others", "", rest))
    if recovery.unexplained > 0.0005:
        parts.append(("unexplained", "", recovery.unexplained))
    found = []
    x = 0.0
    for number, (cause, who, share) in enumerate(parts, 1):
        unexplained = cause == "unexplained" and number == len(parts)
        found.append(
            {
                "number": "?" if unexplained else str(number),
                "tint": "gap" if unexplained else f"tint{(number - 1) % 5}",
                "cause": cause,
                "who": who,
                "share": share,
                "percent": percent(share),
                "took": phrases.duration(share * length),
                "x": round(x * 100, 3),
                "width": round(share * 100, 3),
            }
        )
        x += share
    return found


def _phase(recovery: Recovery, name: str, after: Bracket | None, axis: chart.Axis) -> dict[str, Any]:
    phase = next(each for each in recovery.phases if each.phase == name)
    text = ""
    if after is not None:
        text = phrases.bracket(after.earliest, after.at, after.latest)
    return {
        "phase": phase,
        "meaning": MEANING.get(name, ""),
        "text": text,
        "x": axis.percent(recovery.injected + after.at) if after else None,
        "bracket": axis.place(
            recovery.injected + after.earliest, recovery.injected + min(after.latest, axis.end)
        )
        if after
        else None,
    }


def _downs(recovery: Recovery, scenario: Scenario, axis: chart.Axis) -> Iterator[dict[str, Any]]:
    """Give for each probe that lost traffic the windows of its worst series, on the axis of the recovery."""
    for probe in scenario.probes:
        seconds = recovery.downtime.get(probe.name, 0.0)
        series = phrases.worst(probe)
        if seconds <= 0 or series is None:
            continue
        spans = [
            (window.start.at, window.end.at if window.end else series.scope[1])
            for window in series.windows
            if window.start.latest >= recovery.injected and window.start.earliest <= axis.end
        ]
        yield {
            "name": probe.name,
            "series": series.series,
            "took": phrases.duration(seconds),
            "spans": [axis.place(*span) for span in spans[:20]],
        }


def _cause(number: int | None, cause: Cause, axis: chart.Axis, end: float) -> dict[str, Any]:
    stop = end if cause.end is None else cause.end
    x, width = axis.place(cause.start, stop)
    length = phrases.duration(stop - cause.start)
    return {
        "number": number,
        "cause": cause,
        "x": x,
        "width": width,
        "right": round(x + width, 3),
        "tint": "side" if number is None else f"tint{(number - 1) % 5}",
        "took": length if cause.end is not None else f"{length}, not over",
        "percent": percent(cause.share) if cause.share > 0 else "",
        "from": f"+{cause.start - axis.start:.2f} s",
        "to": f"+{stop - axis.start:.2f} s",
        "brief": (brief := cut(cause.evidence, BRIEF)),
        "rest": rest(cut(cause.evidence, EVIDENCE), brief),
    }


def rest(text: str, brief: str) -> str:
    """Give what a text says beyond its beginning, as `cut` gives that; empty where it says no more."""
    return "" if brief == text else "\N{HORIZONTAL ELLIPSIS}" + text[len(brief) - 1 :]


def _gaps(recovery: Recovery, axis: chart.Axis, end: float) -> list[tuple[float, float]]:
    """Give where, in the explained stretch, nothing that has a share was seen."""
    if recovery.explained is None or recovery.unexplained <= 0.0005:
        return []
    seen = [(each.start, end if each.end is None else each.end) for each in recovery.causes if each.share > 0]
    return [axis.place(*gap) for gap in chart.gaps(*recovery.explained, seen)]


def of(recovery: Recovery) -> str:
    """Say what the shares are of: `the longest downtime, 26.55 s of head/new`; empty where not known."""
    if recovery.explained is None:
        return ""
    length = phrases.duration(recovery.explained[1] - recovery.explained[0])
    if recovery.series:
        return f"the longest downtime, {length} of {recovery.series}"
    return f"the {length} from the fault to the full recovery: no traffic was lost"


def leading(recovery: Recovery, most: int = 5) -> list[dict[str, Any]]:
    """Give the parts of the bar that say most, in the bar's order, and what is left as one."""
    parts = shares(recovery)
    named = [part for part in parts if part["tint"] != "gap"]
    kept = sorted(named, key=lambda part: -part["share"])[:most]
    if len(named) <= most + 1:
        return parts
    rest = sum(part["share"] for part in named if part not in kept)
    length = recovery.explained[1] - recovery.explained[0] if recovery.explained else 0.0
    others = {
        "number": "",
        "tint": "none",
        "cause": f"{len(named) - len(kept)} shorter ones",
        "percent": percent(rest),
        "took": phrases.duration(rest * length),
    }
    return [
        *(part for part in named if part in kept),
        others,
        *(part for part in parts if part["tint"] == "gap"),
    ]


def say(recovery: Recovery) -> str:
    """Say where most of the time went: `head process starting 9.30 s (35 %) and unexplained 7.0 s (26 %)`."""
    joined: dict[str, float] = {}
    for part in shares(recovery):
        if part["cause"] == "others":
            continue
        name = phrases.strikes(part["cause"])
        joined[name] = joined.get(name, 0.0) + part["share"]
    length = recovery.explained[1] - recovery.explained[0] if recovery.explained else 0.0
    most = sorted(joined.items(), key=lambda each: -each[1])[:2]
    return phrases.listing(
        f"{name} {phrases.duration(share * length)} ({percent(share)})" for name, share in most
    )


def recovered(recovery: Recovery) -> float | None:
    """Give the seconds from the fault to the full recovery; None where it did not come to that."""
    for phase in recovery.phases:
        if phase.phase == "recovery" and phase.after is not None and math.isfinite(phase.after.at):
            return phase.after.at
    return None
