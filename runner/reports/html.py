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

from runner.reports import chart, phrases, repetitions, waterfall
from runner.reports import lanes as lanes_of
from runner.reports.lanes import ROWS
from runner.timeline.run import Bracket, Chart, Fault, Happening, Probe, Run, Scenario, Series, Step, Window

K = TypeVar("K")
T = TypeVar("T")
ROOM = {"states": 19_000, "latency": 12_000, "closer": 10_000, "said": 7_000}
"""Bytes that all scenarios together may take for charts, excerpts of windows and what the cluster said.
Where they need more, columns get wider, and only the longest windows and the most telling words are shown."""
CAUSES = 60
"""Causes that all waterfalls together show, about."""
CURVES = 8
"""Most latency charts of a scenario."""
AROUND = 2.0
"""Seconds before and after a window in which what the cluster said belongs to it."""
NEAR = 10
"""Most that the cluster is quoted with in a window."""
Drawn = tuple[int, dict[str, str]]
"""Number of columns, and paths by the name of their class."""
Draw = Callable[[Chart, int], Drawn]
SYMBOLS = {
    "passed": "\N{CHECK MARK}",
    "failed": "\N{MULTIPLICATION X}",
    "skipped": "\N{EN DASH}",
    "known": "\N{ALMOST EQUAL TO}",
}
TONES = {"passed": "pass", "failed": "fail", "skipped": "none", "known": "known"}


def render(run: Run) -> str:
    """Give the text of report.html."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent
    style, script = (
        re.sub(r"(?m)^\s+|^//.*\n", "", (folder / name).read_text(encoding="utf-8"))
        for name in ("report.css", "report.js")
    )
    style = re.sub(r"\s*([{}])\s*|(?<=[;:,])\s+", r"\1", style)
    jinja = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Compiling the templates takes most of the time; what is compiled runs once.
        optimized=False,
    )
    jinja.filters |= {
        "duration": phrases.duration,
        "outcomes": phrases.outcomes,
        "clean": phrases.clean,
        "titled": phrases.titled,
        "whole": _whole,
        "symbol": lambda word: SYMBOLS.get(word, "?"),
        "tone": lambda word: TONES.get(word, "open"),
        "percent": waterfall.percent,
        "cut": lanes_of.cut,
    }
    jinja.finalize = _finalize
    recoveries = sum(len(scenario.recoveries) for scenario in run.scenarios)
    most = min(16, max(6, CAUSES // max(1, recoveries)))
    sections = [
        _section(number, scenario, 1 / len(run.scenarios), most)
        for number, scenario in enumerate(run.scenarios, 1)
    ]
    for section in sections[1:]:
        section.update(_as_before(section["facts"], sections[0]["facts"]))
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
        sections=sections,
        repeated=[repetitions.draw(each, run.scenarios) for each in run.repeated],
        rows=ROWS,
        chart=chart,
        phrases=phrases,
        waterfall=waterfall,
    )
    return _lean(text)


def _lean(page: str) -> str:
    """Give the page without what browsers do not need: quotes, end tags that another tag implies."""
    top, style, rest = page.partition("</style>")
    body, script, end = rest.rpartition("<script>")
    body = body.replace("&#39;", "'")
    # Double quotes of a text stand there as entities, so these are of attributes.
    body = re.sub(r"""(?<==)"([^\s"'=<>`]+)"(?=[\s>])""", r"\1", body)
    body = re.sub(r"</(?:td|th|tr|thead|tbody|li|dt|dd)>\s*", "", body)
    return top + style + body + script + end


def _whole(text: str) -> Any:
    """Give the text as markup whose brackets are not broken across lines."""
    from markupsafe import Markup, escape

    escaped = str(escape(phrases.clean(text)))
    return Markup(re.sub(r"(\S+ m?s \[[^\[\]]*\])", r"<span class=t>\1</span>", escaped))  # noqa: S704 (escaped)


def _finalize(value: Any) -> Any:
    match value:
        case float():
            return f"{value:.9g}"
        case str() if type(value) is str:
            return phrases.clean(value)
        case _:
            return value


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
                yield " ".join((*above, str(key))).replace("_", " "), lanes_of.cut(text, 400)
            case bool():
                yield " ".join((*above, str(key))).replace("_", " "), "yes" if value else "no"
            case _:
                yield " ".join((*above, str(key))).replace("_", " "), lanes_of.cut(str(value), 400)


def _as_before(facts: list[tuple[str, str]], first: list[tuple[str, str]]) -> dict[str, Any]:
    """Give of a scenario's facts those that differ from the first one's, and whether that says it all."""
    same = dict(facts).keys() >= dict(first).keys()
    return {"facts": [each for each in facts if each not in first] if same else facts, "as_before": same}


def _fit(draw: Draw, charts: Sequence[Chart], columns: int, room: float) -> list[Drawn]:
    """Draw charts in the greatest number of columns, up to `columns`, whose paths have room (bytes)."""
    while True:
        drawn = [draw(each, columns) for each in charts]
        if columns <= 60 or sum(len(path) for _, paths in drawn for path in paths.values()) <= room:
            return drawn
        columns = columns * 3 // 4


def _section(number: int, scenario: Scenario, share: float, most: int) -> dict[str, Any]:
    """Give what the template says of a scenario.

    `share` is its part of the room for what is long, `most` the number of causes of a waterfall.
    """
    axis = chart.Axis(scenario.start, scenario.end)
    every = [series for probe in scenario.probes for series in probe.series]
    blind = [(series, each) for series in every for each in series.blind]
    windows = _longest(
        [(place, window) for place, series in enumerate(every) for window in series.windows],
        lambda window: window.longest,
    )
    closer = _closer([window for _, window in windows], scenario, share * ROOM["closer"])
    lanes, curves, bounds = _pictures(every, axis, share)
    numbered = list(enumerate(windows, 1))

    def at(instant: float | None) -> str:
        return "" if instant is None else f"{instant - scenario.start:.3f} s"

    places = iter(range(len(every)))
    probes = []
    for probe in scenario.probes:
        rows = []
        for series, place in zip(probe.series, places, strict=False):
            own = [(nth, window) for nth, (where, window) in numbered if where == place]
            rows.append((series, lanes[place], lanes_of.downs(series, own, axis, scenario.start)))
        probes.append((probe, rows))
    hit = lanes_of.first_hit(scenario)
    return {
        "number": number,
        "scenario": scenario,
        "word": phrases.word(scenario.verdict, scenario.state),
        "said": phrases.say_scenario(scenario),
        "superseded": scenario.superseded,
        "tally": {str(verdict): count for verdict, count in phrases.tally(scenario).items()},
        "claims": [(each, phrases.WORDS[each.verdict]) for each in scenario.assertions],
        "answers": [answer for probe in scenario.probes if (answer := _answer(probe))],
        "reasons": [
            {
                "name": lanes_of.fault_name(fault),
                "recovered": fault.recovered - fault.injected if fault.recovered is not None else None,
                "shares": waterfall.shares(recovery) if recovery else [],
                "recovery": recovery,
                "nth": nth,
            }
            for fault in scenario.faults
            if fault.injected is not None
            for nth, recovery in [
                next(
                    (each for each in enumerate(scenario.recoveries, 1) if each[1].fault == fault.name),
                    (0, None),
                )
            ]
        ],
        "ticks": axis.ticks(),
        "hit": round(hit - scenario.start, 4) if hit < scenario.end else None,
        "bands": [
            axis.place(fault.injected, fault.recovered if fault.recovered is not None else scenario.end)
            for fault in scenario.faults
            if fault.injected is not None
        ],
        "marks": lanes_of.marks(scenario, axis),
        "happened": lanes_of.happenings(scenario, axis, share),
        "happenings": _quoted(scenario, share * ROOM["said"]),
        "bars": lanes_of.bars(scenario, axis),
        "members": (found := lanes_of.members(scenario, axis)),
        "groups": lanes_of.groups(found["lanes"]),
        "probes": probes,
        "bounds": bounds,
        "decades": chart.decades(bounds) if bounds else [],
        "curves": curves,
        "curves_left_out": sum(series.latency is not None for series in every) - len(curves),
        "windows": [
            _window(nth, every[place], window, scenario, closer=id(window) in closer)
            for nth, (place, window) in numbered
        ],
        "windows_left_out": sum(len(series.windows) for series in every) - len(windows),
        "blind": _longest(blind, lambda each: each.end - each.start),
        "blind_left_out": max(0, len(blind) - ROWS),
        "waterfalls": [waterfall.draw(each, scenario, most) for each in scenario.recoveries],
        "availability": _availability(scenario),
        "faults": [(fault, _moments(fault, at)) for fault in scenario.faults],
        "steps": _steps(scenario.steps),
        "facts": list(_facts(scenario.cluster)),
        "as_before": False,
        "at": at,
    }


def _pictures(
    every: Sequence[Series], axis: chart.Axis, share: float
) -> tuple[list[dict[str, Any] | None], list[tuple[Any, ...]], tuple[float, float] | None]:
    """Give the lane of each series, the latency charts, and the range of latencies."""
    bounds = chart.latency_range(series.chart for series in every if series.chart is not None)
    charted = [(place, series.chart) for place, series in enumerate(every) if series.chart is not None]
    drawn = _fit(chart.states, [each for _, each in charted], chart.COLUMNS, share * ROOM["states"])
    lanes: list[dict[str, Any] | None] = [None] * len(every)
    for (place, each), (columns, paths) in zip(charted, drawn, strict=True):
        lanes[place] = {"columns": columns, "paths": paths, "place": axis.place(each.start, each.end)}
    if bounds is None:
        return lanes, [], None
    answered = [(every[place], each) for place, each in charted if every[place].latency is not None][:CURVES]
    drawn = _fit(
        partial(chart.latency, bounds), [each for _, each in answered], chart.POINTS, share * ROOM["latency"]
    )
    curves = [
        (series, columns, paths, axis.place(each.start, each.end))
        for (series, each), (columns, paths) in zip(answered, drawn, strict=True)
    ]
    return lanes, curves, bounds


def _answer(probe: Probe) -> dict[str, Any] | None:
    """Give how long those who were asked for by a probe were down: of its worst series."""
    series = phrases.worst(probe)
    if series is None or not series.samples:
        return None
    total = phrases.downtime(series)
    length, _, bracket = phrases.bracket(total.shortest, total.at, total.longest).partition(" [")
    sent, failed, slow = phrases.asked(probe)
    return {
        "probe": probe.name,
        "of": series.series if len(probe.series) > 1 and total.windows else "",
        "down": bool(total.windows),
        "text": length if total.windows else "none seen",
        "bracket": f"[{bracket}" if total.windows else "",
        "also": [
            *([f"{slow} slow"] if slow else []),
            *([f"in {total.windows} windows"] if total.windows > 1 else []),
            *(["still down at the end"] if total.open else []),
            *([f"blind for {phrases.duration(total.blind)}"] if total.blind else []),
        ],
        "failed": f"{failed} of {phrases.count(sent, 'request')} failed",
    }


def _window(
    number: int, series: Series, window: Window, scenario: Scenario, *, closer: bool
) -> dict[str, Any]:
    """Give the row of a window, and, of the longest, what was seen and said in it."""

    def edge(bracket: Bracket) -> str:
        early, middle, late = (
            each - scenario.start for each in (bracket.earliest, bracket.at, bracket.latest)
        )
        early, late = math.floor(early * 1e3 + 1e-6) / 1e3, math.ceil(late * 1e3 - 1e-6) / 1e3
        return f"{middle:.3f} s [{early:.3f}-{late:.3f}]"

    stop = series.scope[1]
    last = window.end.latest if window.end else stop
    near = _near(window, scenario, last)
    excerpt = window.excerpt if closer else None
    texts = list(dict.fromkeys(error.detail for error in excerpt.errors if error.detail)) if excerpt else []
    return {
        "number": number,
        "series": series,
        "window": window,
        "start": edge(window.start),
        "end": edge(window.end) if window.end else "still down at the end",
        "length": phrases.bracket(window.shortest, phrases.window_length(window, stop), window.longest),
        "from": round(window.start.earliest - scenario.start, 4),
        "to": round(last - scenario.start, 4),
        "excerpt": excerpt,
        "errors": [
            (error, texts.index(error.detail) + 1 if error.detail else None) for error in excerpt.errors
        ]
        if excerpt
        else [],
        "samples": [
            (
                each,
                f"#{texts.index(each.detail) + 1}" if each.detail in texts else each.detail,
                "pass" if each.outcome == "good" else "none" if each.outcome == "void" else "fail",
            )
            for each in excerpt.samples
        ]
        if excerpt
        else [],
        "near": near[:NEAR],
        "near_left_out": max(0, len(near) - NEAR),
        "closer": closer,
    }


def _near(window: Window, scenario: Scenario, last: float) -> list[Happening]:
    """Give what the cluster did in a window, and shortly before and after."""
    return [
        each for each in scenario.happenings if window.start.earliest - AROUND <= each.at <= last + AROUND
    ]


def _closer(windows: Sequence[Window], scenario: Scenario, room: float) -> set[int]:
    """Give the ids of the longest windows that so many bytes can show sample by sample; of one at least."""
    chosen: set[int] = set()
    for window in sorted(windows, key=lambda window: -window.longest):
        near = _near(window, scenario, window.end.latest if window.end else scenario.end)[:NEAR]
        room -= 400 + sum(60 + len(each.text[:160]) for each in near)
        if window.excerpt:
            room -= sum(80 + len(error.detail) for error in window.excerpt.errors)
            room -= sum(90 + len(sample.who) for sample in window.excerpt.samples)
        if chosen and room < 0:
            break
        chosen.add(id(window))
    return chosen


def _quoted(scenario: Scenario, room: float) -> list[Happening]:
    """Give as much of what the cluster did as so many bytes hold, but not too little, in order."""
    kept = []
    for number, each in enumerate(lanes_of.telling(scenario)):
        room -= 90 + len(each.text[:160])
        if room < 0 and number >= ROWS // 3:
            break
        kept.append(each)
    return sorted(kept, key=lambda each: each.at)


def _availability(scenario: Scenario) -> dict[str, Any] | None:
    """Give the table of meaningful availability: one row a series, one column a size, the last the whole."""
    sizes = sorted({size for each in scenario.availability for size in each.sizes[:-1]})
    rows = []
    for each in scenario.availability[:ROWS]:
        worst = dict(zip(each.sizes[:-1], each.worst[:-1], strict=True))
        cells = [_share(worst.get(size)) for size in sizes]
        rows.append((each, [*cells, _share(each.worst[-1] if each.worst else None)]))
    return {"sizes": [f"{size:g} s" for size in sizes], "rows": rows} if rows else None


def _share(worst: tuple[float, float] | None) -> dict[str, Any] | None:
    """Give a share of up time as text that claims no more than is known, and how full its cell is."""
    if worst is None:
        return None
    low, high = math.floor(worst[0] * 1e4 + 1e-6) / 100, math.ceil(worst[1] * 1e4 - 1e-6) / 100
    text = f"{low:g}" if high - low < 0.005 else f"{low:g}-{high:g}"
    return {"text": f"{text} %", "low": round(worst[0] * 100, 2), "whole": worst[0] >= 1}


def _longest(rows: list[tuple[K, T]], length: Callable[[T], float]) -> list[tuple[K, T]]:
    """Give the rows of the longest, as many as a table holds, in their order."""
    kept = sorted(range(len(rows)), key=lambda number: -length(rows[number][1]))[:ROWS]
    return [rows[number] for number in sorted(kept)]


def _steps(steps: Sequence[Step]) -> list[dict[str, Any]]:
    return [
        {
            "number": number,
            "step": step,
            "depth": min(4, step.path.count(".")),
            "tone": lanes_of.tone(step),
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
