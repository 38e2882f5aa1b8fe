"""What lies on the timeline of a scenario: marks, bars and lanes, as the template draws them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runner.reports import chart, phrases
from runner.timeline.run import Fault, Happening, Member, Scenario, Series, Span, Step, Window

ROWS = 30
"""Longest table of a scenario."""
MARKS = 20
"""Most marks of what the cluster did."""
LANES = 30
"""Most lanes of members; those in which something happens come before those that are up throughout."""
SPANS = 40
"""Most spans that a lane of a member shows."""
LONGEST = 44
"""Most letters of a label."""


def cut(text: str, length: int) -> str:
    """Give the text, cut to a length."""
    return text if len(text) <= length else text[: length - 1] + "\N{HORIZONTAL ELLIPSIS}"


def fault_name(fault: Fault) -> str:
    """Give what a fault is called: `kill node head`."""
    return f"{fault.kind} {fault.target}"


def marks(scenario: Scenario, axis: chart.Axis) -> dict[str, Any]:
    """Give the marks of the faults, labelled: what was done, what put it back, when all was as before."""
    found: list[tuple[float, str, str]] = []
    for fault in scenario.faults:
        said = fault_name(fault)
        if fault.injected is not None:
            found.append((fault.injected, said, "hit"))
        elif fault.intended is not None:
            found.append((fault.intended, f"{said}: intended, not done", "intended"))
        if fault.healed is not None:
            found.append((fault.healed, "put back", "healed"))
        if fault.recovered is not None:
            found.append((fault.recovered, "recovered", "recovered"))
    labels = chart.place([(axis.percent(at), text) for at, text, _ in found], rows=6)
    return {
        "marks": [
            {
                "x": axis.percent(at),
                "kind": kind,
                "text": text,
                "at": f"{at - scenario.start:.3f} s",
                "label": label,
            }
            for (at, text, kind), label in zip(found, labels, strict=True)
        ],
        "rows": 1 + max((label.row for label in labels if label), default=0),
    }


def happenings(scenario: Scenario, axis: chart.Axis, share: float) -> dict[str, Any]:
    """Give the marks of what the cluster did, in the order in which they choose room, and a rug of all."""
    shown = telling(scenario)[: max(MARKS // 2, round(share * MARKS))]
    texts = [
        (
            axis.percent(each.at),
            cut(each.text if each.slot in each.text else f"{each.slot} {each.text}", LONGEST),
        )
        for each in shown
    ]
    labels = chart.place(texts, rows=3)
    return {
        "marks": [
            {"x": x, "text": text, "happening": each, "label": label}
            for each, (x, text), label in zip(shown, texts, labels, strict=True)
        ],
        "rows": 1 + max((label.row for label in labels if label), default=0),
        "rug": chart.rug([axis.percent(each.at) for each in scenario.happenings]),
    }


def telling(scenario: Scenario) -> list[Happening]:
    """Give what the cluster did, the telling first: later lines of logs, and what came before the fault."""
    hit = first_hit(scenario)
    return sorted(scenario.happenings, key=lambda each: (_weight(each), each.at < hit, each.at))


def _weight(happening: Happening) -> int:
    if happening.text.startswith("stalled"):
        return 3
    return {"controller": 1, "gcs": 2, "raylet": 2}.get(happening.source, 0)


def first_hit(scenario: Scenario) -> float:
    """Give when the first fault was injected; the scenario's end where none was."""
    return min((each.injected for each in scenario.faults if each.injected is not None), default=scenario.end)


def leaves(scenario: Scenario) -> list[tuple[int, Step, float, float]]:
    """Give the steps that ran and hold no others: number, step, start, end."""
    return [
        (number, step, step.start, step.end if step.end is not None else scenario.end)
        for number, step in enumerate(scenario.steps, 1)
        if step.start is not None
        and not any(other.path.startswith((step.path + ".", step.path + "#")) for other in scenario.steps)
    ]


def bars(scenario: Scenario, axis: chart.Axis) -> dict[str, Any]:
    """Give the bars of the steps that hold no others, in as many rows as overlap needs."""
    ran = leaves(scenario)[:ROWS]
    rows = chart.stack([(start, end) for _, _, start, end in ran])
    found = []
    for (number, step, start, end), row in zip(ran, rows, strict=True):
        x, width = axis.place(start, end)
        text = f"{number} {step.name}"
        found.append(
            {
                "x": x,
                "width": width,
                "row": row,
                "tone": tone(step),
                "long": text,
                "text": next((each for each in (text, str(number)) if chart.fits(each, width)), ""),
                "title": f"{text}: {step.state}, {phrases.duration(end - start)}",
            }
        )
    return {"bars": found, "rows": 1 + max(rows, default=0)}


def tone(step: Step) -> str:
    """Give the tone of a step: `pass`, `fail`, `known`, `none`."""
    if step.state in ("failed", "error", "unmet"):
        return "fail"
    return {"ok": "pass", "known": "known"}.get(step.state, "none")


def downs(
    series: Series, windows: Iterable[tuple[int, Window]], axis: chart.Axis, start: float
) -> list[dict[str, Any]]:
    """Give what stands over a lane where its windows are: a link, the length, the brackets of its edges."""
    found = []
    for number, window in sorted(windows, key=lambda each: each[1].start.at):
        stop = series.scope[1]
        last = window.end.latest if window.end else stop
        x, width = axis.place(window.start.earliest, last)
        length = phrases.window_length(window, stop)
        text = phrases.duration(length)
        found.append(
            {
                "number": number,
                "x": x,
                "width": width,
                "middle": round(x + width / 2, 3),
                "text": text,
                "fits": chart.fits(text, width),
                "edges": [
                    axis.place(edge.earliest, edge.latest) for edge in (window.start, window.end) if edge
                ],
                "from": round(window.start.earliest - start, 4),
                "to": round(last - start, 4),
                "title": f"down {phrases.bracket(window.shortest, length, window.longest)}: "
                f"{phrases.outcomes(window.outcomes)}",
            }
        )
    return found


def members(scenario: Scenario, axis: chart.Axis) -> dict[str, Any]:
    """Give the lanes of nodes and actors, each a row of spans; those that only stood may be left out."""
    every = sorted(enumerate(scenario.members), key=lambda each: (_still(each[1]), each[0]))[:LANES]
    since = first_hit(scenario) if scenario.faults else scenario.start
    lanes = []
    for _, member in sorted(every, key=lambda each: each[0]):
        spans = _joined(member.spans)
        gone = _gone(member, spans)
        lanes.append(
            {
                "member": member,
                "spans": [
                    _span(span, axis, scenario, gone=span.end > gone and span.state == "dead")
                    for span in spans[:SPANS]
                ],
                "states": spans,
                "says": _sum_up(spans, since, gone),
            }
        )
    return {"lanes": lanes, "left_out": len(scenario.members) - len(every)}


def _still(member: Member) -> bool:
    return {span.state for span in member.spans} <= {"up"}


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Give the spans with those of one state that follow one another made one."""
    found: list[Span] = []
    for span in spans:
        last = found[-1] if found else None
        if last is not None and last.state == span.state and span.start - last.end < 0.001:
            says = " then ".join(dict.fromkeys(each for each in (last.says, span.says) if each))
            found[-1] = Span(last.start, span.end, span.state, says)
        else:
            found.append(span)
    return found


def _gone(member: Member, spans: Sequence[Span]) -> float:
    """Give since when a replica is gone for good, and so waited for by nobody; inf where it is not."""
    dead = [number for number, span in enumerate(spans) if span.state == "dead"]
    up = [number for number, span in enumerate(spans) if span.state in ("up", "starting")]
    last = max(up, default=-1)
    if member.role != "replica" or not dead or dead[-1] < last:
        return math.inf
    return next((span.start for span in spans[last + 1 :] if span.state == "dead"), math.inf)


def _span(span: Span, axis: chart.Axis, scenario: Scenario, *, gone: bool) -> dict[str, Any]:
    x, width = axis.place(max(span.start, scenario.start), min(span.end, scenario.end))
    length = phrases.duration(span.end - span.start)
    silent = gone or span.state == "up"
    text = "" if silent else f"{span.state} {length}"
    return {
        "x": x,
        "width": width,
        "state": "gone" if gone else span.state.replace(" ", "-"),
        "text": text,
        "fits": next((each for each in (text, span.state) if text and chart.fits(each, width)), ""),
        "title": f"{span.state} for {length}" + (f": {span.says}" if span.says else ""),
    }


def _sum_up(spans: Sequence[Span], since: float, gone: float) -> str:
    """Give how long from an instant on a member was known not to be up, and how long nobody knew."""
    if not spans:
        return "not seen"
    if math.isfinite(gone):
        return "gone"
    took = {"not up": 0.0, "unknown": 0.0}
    for span in spans:
        if span.state != "up" and span.end > since:
            name = "unknown" if span.state == "unknown" else "not up"
            took[name] += span.end - max(since, span.start)
    told = [f"{name} {phrases.duration(length)}" for name, length in took.items() if length > 0]
    return ", ".join(told) or "up"


def groups(lanes: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Give the lanes by what they are: `Nodes`, `Serve`, `Replicas`; in that order."""
    names = {"head": "Nodes", "worker": "Nodes", "replica": "Replicas"}
    found: dict[str, list[Mapping[str, Any]]] = {"Nodes": [], "Serve": [], "Replicas": []}
    for lane in lanes:
        found[names.get(lane["member"].role, "Serve")].append(lane)
    return [(name, each) for name, each in found.items() if each]
