"""summary.md: the run as a comment on a pull request would tell it. Markdown as GitHub and GitLab read it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from runner.reports.phrases import (
    WORDS,
    bracket,
    clean,
    count,
    duration,
    machine,
    outcomes,
    ray,
    say_downtime,
    say_recovery,
    say_repeated,
    say_run,
    say_scenario,
    tally,
    titled,
    window_length,
    word,
    worst,
)
from runner.timeline.replay import command
from runner.timeline.run import Assertion, Fault, Run, Scenario, Series, Verdict, Window

MOST = 20
"""Rows of a table of downtime windows; run.json holds all of them."""

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#$])")


def render(run: Run) -> str:
    """Give the text of summary.md."""
    verdict = word(run.verdict, run.state)
    names = list(dict.fromkeys(scenario.name for scenario in run.scenarios))
    title = names[0] if len(names) == 1 else count(len(names), "scenario") if names else run.run
    lines = [f"## {escaped(title)}: {verdict}", "", escaped(say_run(run)), ""]
    last = [scenario for scenario in run.scenarios if not scenario.superseded]
    if len(last) > 1:
        lines += _overview(last)
    for each in run.repeated:
        lines += [*(f"- {escaped(text)}" for text in say_repeated(each)), ""]
    for scenario in last:
        lines += _scenario(scenario, alone=len(last) == 1)
    return "\n".join([*lines, *_versions(run), "", *_again(run)]) + "\n"


def escaped(text: str) -> str:
    """Give the text so that Markdown shows it as it is, on one line, also in a table."""
    flat = " ".join(clean(text).split())
    shown = _SPECIAL.sub(r"\\\1", flat.replace("&", "&amp;"))
    # What would begin a list, a heading or a rule at the start of a line.
    return re.sub(r"^([-+=]|\d+(?=[.)](?:\s|$)))", lambda found: _entity(found[0]), shown)


def _entity(text: str) -> str:
    return f"{text[:-1]}&#{ord(text[-1])};"


def fenced(text: str, language: str = "") -> list[str]:
    """Give a block of code, fenced by more backticks than it holds in a row."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *clean(text).splitlines(), fence]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Give a table; nothing where it has no row."""
    made = [f"| {' | '.join(map(escaped, row))} |" for row in rows]
    return [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *made, ""] if made else []


def _overview(scenarios: Sequence[Scenario]) -> list[str]:
    return _table(
        ("verdict", "scenario", "assertions", "downtime", "took"),
        (
            (
                word(each.verdict, each.state),
                titled(each),
                ", ".join(f"{number} {WORDS[verdict]}" for verdict, number in tally(each).items() if number)
                or "none",
                "; ".join(
                    f"{probe.name} {say_downtime(series)}"
                    for probe in each.probes
                    if (series := worst(probe)) is not None and series.windows
                )
                or ("none seen" if each.probes else "nothing was probed"),
                duration(each.end - each.start),
            )
            for each in scenarios
        ),
    )


def _scenario(scenario: Scenario, *, alone: bool) -> Iterator[str]:
    """Give what there is to say of a scenario; of several, those that passed are folded up."""
    folded = not alone and scenario.verdict is Verdict.PASS
    head = f"{titled(scenario)}: {word(scenario.verdict, scenario.state)}"
    if folded:
        yield from (f"<details><summary>{html.escape(' '.join(clean(head).split()))}</summary>", "")
    elif not alone:
        yield from (f"### {escaped(head)}", "")
    if scenario.description:
        yield from (escaped(scenario.description), "")
    if not alone:
        yield from (escaped(say_scenario(scenario)), "")
    yield from _table(("verdict", "assertion", "expected", "actual", "why"), map(_claim, scenario.assertions))
    for fault in scenario.faults:
        yield f"- {_fault(fault, scenario)}"
    if scenario.faults:
        yield ""
    found = [
        (f"{probe.name} {series.series}", series, window)
        for probe in scenario.probes
        for series in probe.series
        for window in series.windows
    ]
    found.sort(key=lambda each: each[2].start.at)
    heads = ("downtime seen by", "from (of the scenario)", "to", "length", "outcomes")
    yield from _table(heads, (_window(*each, scenario.start) for each in found[:MOST]))
    if len(found) > MOST:
        yield from (f"And {count(len(found) - MOST, 'more window')}: run.json holds all of them.", "")
    if folded:
        yield from ("</details>", "")


def _claim(assertion: Assertion) -> tuple[str, ...]:
    why = assertion.why
    if assertion.known is not None and assertion.known.issue not in why:
        why = f"{why} ({assertion.known.issue})" if why else assertion.known.issue
    return (WORDS[assertion.verdict], assertion.name, assertion.expected, assertion.actual, why)


def _fault(fault: Fault, scenario: Scenario) -> str:
    told = escaped(f"{fault.kind} {fault.target}" + (f" ({fault.how})" if fault.how else ""))
    if fault.injected is None:
        return f"{told}: did not happen"
    said = f": at {fault.injected - scenario.start:.3f} s"
    if fault.hits:
        said += f", {', '.join(fault.hits)}"
    if not fault.confirmed:
        said += "; not confirmed"
    explained = next((each for each in scenario.recoveries if each.injected == fault.injected), None)
    if explained is not None and (text := say_recovery(explained)):
        said += f"; {text}"
    elif fault.recovered is not None:
        said += f"; as before {duration(fault.recovered - fault.injected)} later"
    return told + escaped(said)


def _window(name: str, series: Series, window: Window, zero: float) -> tuple[str, ...]:
    """Give a row of a window; its instants count from the scenario's start, as in report.html."""

    def instant(edge: Any) -> str:
        return bracket(edge.earliest - zero, edge.at - zero, edge.latest - zero)

    length = bracket(window.shortest, window_length(window, series.scope[1]), window.longest)
    end = "still down at the end" if window.end is None else instant(window.end)
    return (name, instant(window.start), end, length, outcomes(window.outcomes))


def _versions(run: Run) -> Iterator[str]:
    """Give what ran, in a line."""
    rays = (_ray(scenario.cluster) for scenario in run.scenarios)
    said = [*dict.fromkeys(each for each in rays if each), f"ftrun {run.ftrun}", *machine(run.machine)]
    yield escaped(f"{', '.join(said)}; seed {run.seed}; run {run.run}.")


def _ray(cluster: Mapping[str, Any]) -> str | None:
    known = ray(cluster)
    if known is None:
        return None
    commit = f" ({str(known['commit'])[:10]})" if known.get("commit") else ""
    return f"Ray {known['version']}{commit}"


def _again(run: Run) -> list[str]:
    """Give the command that reproduces the run."""
    files = list(dict.fromkeys(scenario.file for scenario in run.scenarios))
    if not files:
        return []
    repeat = run.options.get("repeat")
    return ["To run it again:", "", *fenced(command(run.options, files, run.seed, repeat=repeat), "sh")]
