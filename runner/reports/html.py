"""report.html: one file that needs no network and no script.

The template holds the markup, this module what stands in it: numbers as text, and geometry. What is too
long for a page is cut, and the page says so and where the rest is (run.json).
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from runner.reports import chart, phrases
from runner.timeline.run import Bracket, Chart, Fault, Run, Scenario, Series, Step

T = TypeVar("T")
ROOM = {"states": 40_000, "latency": 30_000}
"""Bytes that the charts of all scenarios may take; where they need more, their columns get wider."""
ROWS = 60
"""Longest table of a scenario."""
Drawn = tuple[int, dict[str, str]]
"""Number of columns, and paths by the name of their class."""
Draw = Callable[[Chart, int], Drawn]
SYMBOLS = {"passed": "\N{CHECK MARK}", "failed": "\N{MULTIPLICATION X}", "skipped": "\N{EN DASH}"}
TONES = {"passed": "pass", "failed": "fail", "skipped": "none"}


def render(run: Run) -> str:
    """Give the text of report.html."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent
    style = (folder / "report.css").read_text(encoding="utf-8")
    script = (folder / "report.js").read_text(encoding="utf-8")
    jinja = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters |= {
        "duration": phrases.duration,
        "outcomes": phrases.outcomes,
        "clean": phrases.clean,
        "titled": phrases.titled,
        "repeated": phrases.say_repeated,
        "whole": _whole,
        "symbol": lambda word: SYMBOLS.get(word, "?"),
        "tone": lambda word: TONES.get(word, "open"),
    }
    jinja.finalize = _finalize
    text: str = jinja.get_template("report.html.j2").render(
        run=run,
        style=style,
        script=script,
        policy="; ".join(
            (
                "default-src 'none'",
                "img-src data:",
                f"style-src '{_hash(style)}'",
                f"script-src '{_hash(script)}'",
                "base-uri 'none'",
                "form-action 'none'",
            )
        ),
        word=phrases.word(run.verdict, run.state),
        said=phrases.say_run(run),
        began=datetime.fromtimestamp(run.wall, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        command=shlex.join(("ftrun", *run.argv)),
        facts=[*_facts(run.inventory, "inventory"), *_facts(run.machine, "machine")],
        sections=[
            _section(number, scenario, 1 / len(run.scenarios))
            for number, scenario in enumerate(run.scenarios, 1)
        ],
        rows=ROWS,
        chart=chart,
        phrases=phrases,
    )
    return text


def _whole(text: str) -> Any:
    """Give the text as markup whose brackets are not broken across lines."""
    from markupsafe import Markup, escape

    escaped = str(escape(phrases.clean(text)))
    return Markup(re.sub(r"(\S+ m?s \[[^\[\]]*\])", r"<span class=t>\1</span>", escaped))  # noqa: S704 (escaped)


def _finalize(value: Any) -> Any:
    return phrases.clean(value) if type(value) is str else value


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _facts(mapping: Mapping[str, Any], *above: str) -> Iterator[tuple[str, str]]:
    """Give a nested mapping as pairs of text: (`ray version`, `2.60.0`)."""
    for key, value in mapping.items():
        match value:
            case Mapping():
                yield from _facts(value, *above, str(key))
            case None | [] | () | "":
                continue
            case list() | tuple():
                plain = all(isinstance(each, (str, int, float)) for each in value)
                text = (
                    ", ".join(map(str, value))
                    if plain
                    else json.dumps(value, ensure_ascii=False, default=str)
                )
                yield " ".join((*above, str(key))).replace("_", " "), _cut(text, 400)
            case bool():
                yield " ".join((*above, str(key))).replace("_", " "), "yes" if value else "no"
            case _:
                yield " ".join((*above, str(key))).replace("_", " "), _cut(str(value), 400)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _fit(draw: Draw, charts: Sequence[Chart], columns: int, room: float) -> list[Drawn]:
    """Draw charts in the greatest number of columns, up to `columns`, whose paths have room (bytes)."""
    while True:
        drawn = [draw(each, columns) for each in charts]
        if columns <= 60 or sum(len(path) for _, paths in drawn for path in paths.values()) <= room:
            return drawn
        columns //= 2


def _section(number: int, scenario: Scenario, share: float) -> dict[str, Any]:
    """Give what the template says of a scenario; `share` is its part of the room for charts."""
    axis = chart.Axis(scenario.start, scenario.end)
    every = [series for probe in scenario.probes for series in probe.series]
    bounds = chart.latency_range(series.chart for series in every if series.chart is not None)
    windows = [(series, window) for series in every for window in series.windows]
    blind = [(series, each) for series in every for each in series.blind]

    def at(instant: float | None) -> str:
        return "" if instant is None else f"{instant - scenario.start:.3f} s"

    def edge(bracket: Bracket) -> str:
        early, middle, late = (
            each - scenario.start for each in (bracket.earliest, bracket.at, bracket.latest)
        )
        early, late = math.floor(early * 1e3 + 1e-6) / 1e3, math.ceil(late * 1e3 - 1e-6) / 1e3
        return f"{middle:.3f} s [{early:.3f}-{late:.3f}]"

    charted = [series for series in every if series.chart is not None]
    charts = [series.chart for series in charted if series.chart is not None]
    states = _fit(chart.states, charts, chart.COLUMNS, share * ROOM["states"])
    lanes = {
        id(series): {"columns": columns, "paths": paths, "place": _place(axis, drawn)}
        for series, drawn, (columns, paths) in zip(charted, charts, states, strict=True)
    }
    curves = []
    if bounds:
        answered = [series for series in charted if series.latency is not None]
        charts = [series.chart for series in answered if series.chart is not None]
        drawings = _fit(partial(chart.latency, bounds), charts, chart.POINTS, share * ROOM["latency"])
        curves = [
            (series, columns, paths, _place(axis, drawn))
            for series, drawn, (columns, paths) in zip(answered, charts, drawings, strict=True)
        ]
    labelled = max(2, ROWS // max(1, len(every)))

    return {
        "number": number,
        "scenario": scenario,
        "word": phrases.word(scenario.verdict, scenario.state),
        "said": phrases.say_scenario(scenario),
        "tally": {str(verdict): count for verdict, count in phrases.tally(scenario).items()},
        "claims": [(each, phrases.WORDS[each.verdict]) for each in scenario.assertions],
        "ticks": axis.ticks(),
        "bands": [
            (
                axis.percent(fault.injected),
                axis.percent(fault.recovered if fault.recovered is not None else scenario.end),
            )
            for fault in scenario.faults
            if fault.injected is not None
        ],
        "marks": _marks(scenario, axis),
        "happened": _happenings(scenario, axis),
        "bars": _bars(scenario, axis),
        "probes": [
            (
                probe,
                [(each, lanes.get(id(each)), _downs(each, axis, labelled)) for each in probe.series],
            )
            for probe in scenario.probes
        ],
        "bounds": bounds,
        "decades": chart.decades(bounds) if bounds else [],
        "curves": curves,
        "windows": [
            {
                "series": series,
                "window": window,
                "start": edge(window.start),
                "end": edge(window.end) if window.end else "still down at the end",
                "length": phrases.bracket(
                    window.shortest, phrases.window_length(window, series.scope[1]), window.longest
                ),
            }
            for series, window in _longest(windows, lambda window: window.longest)
        ],
        "windows_left_out": max(0, len(windows) - ROWS),
        "blind": _longest(blind, lambda each: each.end - each.start),
        "blind_left_out": max(0, len(blind) - ROWS),
        "faults": [(fault, _moments(fault, at)) for fault in scenario.faults],
        "steps": _steps(scenario.steps),
        "facts": list(_facts(scenario.cluster)),
        "at": at,
    }


def _longest(rows: list[tuple[Series, T]], length: Callable[[T], float]) -> list[tuple[Series, T]]:
    """Give the rows of the longest, as many as a table holds, in their order."""
    kept = sorted(range(len(rows)), key=lambda number: -length(rows[number][1]))[:ROWS]
    return [rows[number] for number in sorted(kept)]


def _place(axis: chart.Axis, drawn: Chart) -> tuple[float, float]:
    """Give where a chart begins, and its width, in percent."""
    start, end = axis.percent(drawn.start), axis.percent(drawn.end)
    return start, round(end - start, 3)


def _downs(series: Series, axis: chart.Axis, number: int) -> list[dict[str, Any]]:
    """Give what stands over a lane where its longest windows are: the length, and more when pointed at."""
    downs: list[dict[str, Any]] = []
    longest = sorted(series.windows, key=lambda window: -window.longest)[:number]
    for window in sorted(longest, key=lambda window: window.start.at):
        stop = series.scope[1]
        x, right = (
            axis.percent(window.start.earliest),
            axis.percent(window.end.latest if window.end else stop),
        )
        length = phrases.window_length(window, stop)
        text = phrases.duration(length)
        fits = (right - x) / 100 * chart.PLOT > len(text) * chart.LETTER + 8
        downs.append(
            {
                "x": x,
                "width": round(right - x, 3),
                "middle": round((x + right) / 2, 3),
                "text": text if fits else "",
                "title": f"down {phrases.bracket(window.shortest, length, window.longest)}: "
                f"{phrases.outcomes(window.outcomes)}",
            }
        )
    return downs


def _marks(scenario: Scenario, axis: chart.Axis) -> dict[str, Any]:
    """Give the marks of the faults, labelled: what was done, what put it back, when all was as before."""
    marks: list[tuple[float, str, str]] = []
    for fault in scenario.faults:
        said = f"{fault.kind} {fault.target}"
        if fault.injected is not None:
            marks.append((fault.injected, said, "hit"))
        elif fault.intended is not None:
            marks.append((fault.intended, f"{said}: intended, not done", "intended"))
        if fault.healed is not None:
            marks.append((fault.healed, "put back", "healed"))
        if fault.recovered is not None:
            marks.append((fault.recovered, "recovered", "recovered"))
    labels = chart.place([(axis.percent(at), text) for at, text, _ in marks], rows=6)
    return {
        "marks": [
            {
                "x": axis.percent(at),
                "kind": kind,
                "text": text,
                "at": f"{at - scenario.start:.3f} s",
                "label": label,
            }
            for (at, text, kind), label in zip(marks, labels, strict=True)
        ],
        "rows": 1 + max((label.row for label in labels if label), default=0),
    }


def _happenings(scenario: Scenario, axis: chart.Axis) -> dict[str, Any]:
    shown = scenario.happenings[:ROWS]
    texts = [
        (axis.percent(each.at), _cut(each.text if each.slot in each.text else f"{each.slot} {each.text}", 44))
        for each in shown
    ]
    # Those after the first fault tell more, so they choose their room first.
    hit = min(
        (fault.injected for fault in scenario.faults if fault.injected is not None), default=scenario.end
    )
    order = sorted(range(len(shown)), key=lambda number: (shown[number].at < hit, shown[number].at))
    labels = dict(zip(order, chart.place([texts[number] for number in order], rows=3), strict=True))
    return {
        "marks": [
            {"x": texts[number][0], "happening": each, "label": labels[number]}
            for number, each in enumerate(shown)
        ],
        "rows": 1 + max((label.row for label in labels.values() if label), default=0),
        "spare": 4 if all(labels.values()) else 13,
    }


def _bars(scenario: Scenario, axis: chart.Axis) -> dict[str, Any]:
    """Give the bars of the steps that hold no others, in as many rows as overlap needs."""
    ran = [
        (number, step, step.start, step.end if step.end is not None else scenario.end)
        for number, step in enumerate(scenario.steps, 1)
        if step.start is not None
        and not any(other.path.startswith((step.path + ".", step.path + "#")) for other in scenario.steps)
    ][:ROWS]
    rows = chart.stack([(start, end) for _, _, start, end in ran])
    bars = []
    for (number, step, start, end), row in zip(ran, rows, strict=True):
        x = axis.percent(start)
        width = round(axis.percent(end) - x, 3)
        pixels = width / 100 * chart.PLOT
        bars.append(
            {
                "x": x,
                "width": width,
                "row": row,
                "tone": _tone(step),
                "text": f"{number} {step.name}" if pixels > 40 else str(number) if pixels > 16 else "",
                "title": f"{number} {step.name}: {step.state}, {phrases.duration(end - start)}",
            }
        )
    return {"bars": bars, "rows": 1 + max(rows, default=0)}


def _tone(step: Step) -> str:
    if step.state in ("failed", "error", "unmet"):
        return "fail"
    return "pass" if step.state == "ok" else "none"


def _steps(steps: Sequence[Step]) -> list[dict[str, Any]]:
    return [
        {
            "number": number,
            "step": step,
            "depth": min(4, step.path.count(".")),
            "tone": _tone(step),
            "took": phrases.duration(step.end - step.start)
            if step.start is not None and step.end is not None
            else "",
        }
        for number, step in enumerate(steps, 1)
    ]


def _moments(fault: Fault, at: Callable[[float | None], str]) -> list[tuple[str, str]]:
    confirmed = {True: "yes", False: "no", None: "unknown"}[fault.confirmed]
    since = fault.injected

    def after(instant: float | None) -> str:
        if instant is None:
            return "not seen"
        return at(instant) + (f" (+{phrases.duration(instant - since)})" if since is not None else "")

    return [
        ("injected", at(since) if since is not None else "not done"),
        ("confirmed", confirmed),
        ("put back", after(fault.healed)),
        ("recovered", after(fault.recovered)),
    ]
