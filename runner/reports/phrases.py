"""How reports say what was measured: durations, brackets, downtime, verdicts.

Brackets are rounded outwards, so that no report claims more than the samples do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from runner.timeline.run import (
    Assertion,
    Bracket,
    Length,
    Probe,
    Recovery,
    Repeated,
    Run,
    Scenario,
    Series,
    Verdict,
    Window,
)
from runner.timeline.words import counted

WORDS = {
    Verdict.PASS: "passed",
    Verdict.KNOWN: "known",
    Verdict.FAIL: "failed",
    Verdict.UNKNOWN: "unknown",
}

MOST = 4
"""Causes that a line names."""

_CONTROL = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


def clean(text: str) -> str:
    """Give the text without the characters that neither XML nor a terminal may hold."""
    return _CONTROL.sub("", text)


def duration(seconds: float | None) -> str:
    """Give a length of time in about three digits: `4.1 ms`, `412 ms`, `41.0 s`."""
    if seconds is None:
        return "unknown"
    if math.isinf(seconds):
        return "unlimited"
    size = abs(seconds)
    if size == 0:
        return "0 s"
    if size < 0.9995:
        return f"{seconds * 1e3:.{2 if size < 0.001 else 1 if size < 0.01 else 0}f} ms"
    return f"{seconds:.{2 if size < 9.995 else 1 if size < 99.95 else 0}f} s"


def bracket(shortest: float, at: float, longest: float) -> str:
    """Give a duration and its bracket, to the digits that the width bears: `41.00 s [40.95-41.05]`."""
    if math.isinf(longest):
        return f"{duration(at)} [at least {duration(shortest)}]"
    unit, factor = ("ms", 1e3) if longest < 1 else ("s", 1.0)
    width = (longest - shortest) * factor
    digits = min(3, max(0, -math.floor(math.log10(width / 3)))) if width > 1e-9 else 3
    scale = 10**digits
    # The small term keeps binary fractions such as 40.95 from moving by a whole digit.
    low = math.floor(shortest * factor * scale + 1e-6) / scale
    high = math.ceil(longest * factor * scale - 1e-6) / scale
    return f"{at * factor:.{digits}f} {unit} [{low:.{digits}f}-{high:.{digits}f}]"


def count(number: int, noun: str) -> str:
    """Give `1 window`, `2 windows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}".replace(",", " ")


def listing(words: Iterable[str]) -> str:
    """Give `a`, `a and b`, `a, b and c`."""
    every = list(words)
    return " and ".join([", ".join(every[:-1]), every[-1]] if len(every) > 1 else every)


def outcomes(counts: Mapping[str, int]) -> str:
    """Give outcomes with the most frequent first: `refused 410, timeout 3`."""
    return counted(counts)


@dataclass(frozen=True, slots=True)
class Downtime:
    """All windows of a series together: seconds, bracketed. `blind` is the time nothing is known about."""

    shortest: float
    at: float
    longest: float
    windows: int
    open: bool
    blind: float


def window_length(window: Window, stop: float) -> float:
    """Give the best single value of a window's length; an open one counts up to `stop`."""
    return max(0.0, (window.end.at if window.end else stop) - window.start.at)


def downtime(series: Series) -> Downtime:
    """Sum up the windows of a series."""
    stop = series.scope[1]
    return Downtime(
        shortest=sum(window.shortest for window in series.windows),
        at=sum(window_length(window, stop) for window in series.windows),
        longest=sum(window.longest for window in series.windows),
        windows=len(series.windows),
        open=any(window.open for window in series.windows),
        blind=sum(blind.end - blind.start for blind in series.blind),
    )


def say_downtime(series: Series) -> str:
    """Give what is known of a series' downtime: `41.00 s [40.95-41.05]`, `none seen`."""
    if not series.samples:
        return "no samples"
    total = downtime(series)
    text = bracket(total.shortest, total.at, total.longest) if total.windows else "none seen"
    if total.windows > 1:
        text += f" in {total.windows} windows"
    if total.open:
        text += ", still down at the end"
    if total.blind:
        text += f", blind for {duration(total.blind)}"
    return text


def say_recovery(recovery: Recovery) -> str:
    """Give a line on a fault: how soon each phase came, and what took most of the time."""
    phases = {each.phase: each for each in recovery.phases}
    told = []
    for name, done, not_done in (
        ("detection", "detected after", "not detected"),
        ("mitigation", "traffic good after", ""),
        ("recovery", "as before after", ""),
    ):
        phase = phases.get(name)
        if phase is None:
            continue
        if phase.after is not None:
            told.append(f"{done} {_instant(phase.after)}")
        else:
            told.append(f"{not_done} ({phase.by})" if not_done else phase.by)
    took: dict[str, float] = {}
    for cause in recovery.causes:
        what = strikes(cause.cause)
        took[what] = took.get(what, 0.0) + cause.share
    most = sorted(((share, cause) for cause, share in took.items() if share >= 0.005), reverse=True)
    shares = [f"{share * 100:.0f}% {cause}" for share, cause in most[:MOST]]
    if recovery.explained is not None and recovery.unexplained >= 0.005:
        shares.append(f"{recovery.unexplained * 100:.0f}% unexplained")
    of = "of the longest downtime" if recovery.series else "of the recovery"
    return ", ".join(told) + (f"; {of} {', '.join(shares)}" if shares else "")


def strikes(cause: str) -> str:
    """Give a cause without which strike of a health check it was: all strikes are of one kind."""
    return re.sub(r" strikes \d+( of \d+)?$", " strikes", cause)


def _instant(after: Bracket) -> str:
    """Give an instant, with its bracket where that is wider than it is worth saying."""
    if after.latest - after.earliest < 0.001:
        return duration(after.at)
    return bracket(after.earliest, after.at, after.latest)


def worst(probe: Probe) -> Series | None:
    """Give the series of a probe that was down longest; None where it has none."""
    return max(
        probe.series,
        key=lambda series: (downtime(series).longest, downtime(series).blind, series.bad),
        default=None,
    )


def asked(probe: Probe) -> tuple[int, int, int]:
    """Give how many requests all series of a probe sent, how many of them failed, and how many were slow."""
    failed = sum(each.failed for each in probe.series)
    return sum(each.samples for each in probe.series), failed, sum(each.bad for each in probe.series) - failed


def titled(scenario: Scenario) -> str:
    """Give a scenario's name, and which of its repetitions and attempts this was."""
    said = []
    if scenario.repetition is not None:
        said.append(f"repetition {scenario.repetition} of {scenario.repetitions}")
    if scenario.attempt > 1 or scenario.superseded:
        said.append(f"attempt {scenario.attempt}" + (", tried again" if scenario.superseded else ""))
    return scenario.name + (f" ({', '.join(said)})" if said else "")


def length(value: Length) -> str:
    """Give a measured duration: `41.00 s [40.95-41.05]`, `0 s`, `unlimited`."""
    if math.isinf(value.at):
        return f"unlimited [at least {duration(value.shortest)}]"
    return duration(0.0) if value.longest == 0 else bracket(value.shortest, value.at, value.longest)


def say_repeated(repeated: Repeated) -> list[str]:
    """Give the lines that tell what the repetitions of a scenario say together."""
    counts: dict[str, int] = {}
    for turn in repeated.turns:
        name = word(turn.verdict, turn.state)
        counts[name] = counts.get(name, 0) + 1
    lines = [
        f"{repeated.name}, {count(len(repeated.turns), 'repetition')}: "
        + ", ".join(f"{number} {name}" for name, number in counts.items())
    ]
    for what, spreads in (("downtime of", repeated.downtime), ("recovery from", repeated.recovery)):
        for each in spreads:
            ranks = (("min", each.min), ("median", each.median), ("p90", each.p90), ("max", each.max))
            said = ", ".join(f"{name} {length(value)}" for name, value in ranks)
            said += f" (repetition {each.worst})"
            of = f"{what} {each.of}, {count(each.count, 'time')} measured"
            lines.append(f"{of}: {said if each.max.longest else 'none seen'}")
    for turn in repeated.turns:
        if turn.repetition == repeated.worst:
            delayed = f"the fault delayed by {turn.delay:.2f} s"
            lines.append(f"the worst was repetition {turn.repetition}, {delayed}; again: {turn.command}")
    return lines


def word(verdict: Verdict, state: str) -> str:
    """Give the one word that says how a run or a scenario went."""
    if state in ("skipped", "interrupted", "killed"):
        return state
    if state == "error" and verdict is Verdict.UNKNOWN:
        return "error"
    return WORDS[verdict]


def say_probes(scenario: Scenario) -> str:
    """Give a sentence on what the probes saw: `Downtime: head 41.00 s [40.95-41.05]; none seen by users`."""
    down: list[str] = []
    up: list[str] = []
    for probe in scenario.probes:
        series = worst(probe)
        if series is None or not series.samples:
            continue
        total = downtime(series)
        if total.windows:
            of = f" ({series.series})" if len(probe.series) > 1 else ""
            down.append(f"{probe.name}{of} {say_downtime(series)}")
        else:
            up.append(f"{probe.name} (blind for {duration(total.blind)})" if total.blind else probe.name)
    parts = down + ([f"none seen by {listing(up)}"] if up else [])
    return f"Downtime: {'; '.join(parts)}." if parts else ""


def tally(scenario: Scenario) -> dict[Verdict, int]:
    """Count the assertions of each verdict: passed, known, failed, unknown."""
    every = (Verdict.PASS, Verdict.KNOWN, Verdict.FAIL, Verdict.UNKNOWN)
    return {verdict: sum(each.verdict is verdict for each in scenario.assertions) for verdict in every}


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else text + "."


def _quoted(assertion: Assertion) -> str:
    return f"\N{LEFT DOUBLE QUOTATION MARK}{assertion.name}\N{RIGHT DOUBLE QUOTATION MARK}"


def say_scenario(scenario: Scenario) -> str:
    """Give the summary of a scenario: what failed or is unknown first, then what the probes saw."""
    told = [_sentence(scenario.message)] if scenario.message else []
    for verdict in (Verdict.FAIL, Verdict.UNKNOWN):
        chosen = [each for each in scenario.assertions if each.verdict is verdict]
        if len(chosen) == 1 and verdict is Verdict.FAIL:
            told.append(
                f"Failed: {_quoted(chosen[0])}, expected {chosen[0].expected}, was {chosen[0].actual}."
            )
        elif chosen:
            names = [_quoted(each) for each in chosen]
            said = listing(names) if len(names) <= 3 else f"{', '.join(names[:3])} and {len(names) - 3} more"
            told.append(f"{WORDS[verdict].capitalize()}: {said}.")
    counted = tally(scenario)
    if not told and counted[Verdict.PASS]:
        others = " other" if counted[Verdict.KNOWN] else ""
        told.append(
            f"The one{others} assertion holds."
            if counted[Verdict.PASS] == 1
            else f"All {counted[Verdict.PASS]}{others} assertions hold."
        )
    for each in scenario.assertions:
        if each.verdict is Verdict.KNOWN and each.known is not None:
            told.insert(0, f"Known: {_quoted(each)} fails ({each.known.issue}).")
    return " ".join(part for part in (*told, say_probes(scenario)) if part)


def say_run(run: Run) -> str:
    """Give the summary of a run."""
    last = [scenario for scenario in run.scenarios if not scenario.superseded]
    if len(last) == 1:
        said = say_scenario(last[0])
    else:
        counts: dict[str, int] = {}
        for scenario in last:
            name = word(scenario.verdict, scenario.state)
            counts[name] = counts.get(name, 0) + 1
        kinds = ", ".join(f"{number} {name}" for name, number in counts.items())
        said = f"{count(len(last), 'scenario')}: {kinds}." if last else "No scenario began."
    if again := len(run.scenarios) - len(last):
        said += f" {count(again, 'attempt')} came out unknown before."
    message = _sentence(run.message) if run.message and run.message not in said else ""
    judged = f"Judged again by {run.judged_by}." if run.judged_by else ""
    return " ".join(part for part in (judged, message, said) if part)


def ray(cluster: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Give which Ray a scenario's cluster has (`version`, `commit`), of its facts; None where nobody said."""
    known = cluster.get("ray")
    return known if isinstance(known, Mapping) and known.get("version") else None


def machine(facts: Mapping[str, Any]) -> list[str]:
    """Say what a run's machine is: its Python, its system, its processors, as far as they are known."""
    said = [f"Python {facts['python']}"] if facts.get("python") else []
    said += [str(facts["platform"])] if facts.get("platform") else []
    said += [f"{facts['cpus']} CPUs"] if facts.get("cpus") else []
    return said
