"""What the terminal shows: one line a step as a run goes, a live line for probes, a recap.

All of it is text made from events, counts and the run; who prints it decides whether colours are wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from runner.journal import events
from runner.journal.events import Event
from runner.reports.phrases import (
    WORDS,
    asked,
    clean,
    count,
    duration,
    say_downtime,
    say_recovery,
    say_repeated,
    tally,
    titled,
    word,
    worst,
)
from runner.timeline.known import version
from runner.timeline.run import Assertion, Probe, Run, Scenario, Verdict

COLOURS = {"good": "32", "bad": "31", "open": "33", "mark": "35", "soft": "2", "strong": "1"}
TONES = {
    "ok": "good",
    "passed": "good",
    "failed": "bad",
    "unmet": "bad",
    "aborted": "bad",
    "error": "bad",
    "unknown": "open",
    "known": "open",
    "interrupted": "open",
    "killed": "open",
    "withheld": "open",
    "cancelled": "open",
    "ignored": "open",
    "warning": "open",
}
INDENT = 22
"""Where the text of a line begins: after its word and its duration."""


@dataclass(frozen=True, slots=True)
class Style:
    """Whether text is coloured; without, nothing but text is given."""

    colour: bool = False

    def paint(self, tone: str, text: str) -> str:
        """Give the text in the colour of a tone."""
        return f"\x1b[{COLOURS[tone]}m{text}\x1b[0m" if self.colour and tone in COLOURS and text else text

    def word(self, name: str, width: int = 11) -> str:
        """Give a word that says how something went, in its colour, padded."""
        return self.paint(TONES.get(name, "soft"), name) + " " * (width - len(name))


@dataclass(slots=True)
class Telling:
    """Turns events into lines, in their order. It remembers names and beginnings, and nothing else.

    `announce` gives a line when a step begins too, for output that nobody rewrites.
    """

    style: Style = field(default_factory=Style)
    announce: bool = False
    running: dict[tuple[int, str], events.StepStart] = field(default_factory=dict)
    """Steps under way, in the order they began; the live line names the last."""
    _hits: dict[int, float] = field(default_factory=dict)
    _clusters: dict[int, list[str]] = field(default_factory=dict)

    def tell(self, event: Event) -> list[str]:
        """Give the lines that an event is worth; none for most."""
        style = self.style
        match event:
            case events.RunStart():
                return [style.paint("soft", f"ftrun {event.ftrun}, run {event.run}, seed {event.seed}")]
            case events.ScenarioStart():
                where = style.paint("soft", f"{event.file}:{event.line}")
                told = ["", f"{style.paint('strong', 'SCENARIO ' + clean(event.name))}  {where}"]
                told += [f"  {clean(event.description)}"] if event.description else []
                if event.repetition is not None and event.delay is not None:
                    of = f"repetition {event.repetition} of {event.repetitions}, seed {event.seed}"
                    told.append(f"  {of}: the first fault is delayed by {event.delay:.2f} s")
                return told + ([f"  attempt {event.attempt}"] if event.attempt > 1 else [])
            case events.Facts():
                told = self._line("cluster", "", _cluster(event))
                # Said again where more is known, which often is nothing that is shown here.
                known, self._clusters[event.scenario] = self._clusters.get(event.scenario), told
                return told if told != known else []
            case events.StepStart():
                self.running[event.scenario, event.path] = event
                return self._line("begins", "", event.name or event.path) if self.announce else []
            case events.StepEnd():
                return self._ended(event)
            case events.ProbeStart():
                rates = {f"{each.get('rate', 0):g}/s" for each in event.series}
                names = ", ".join(str(each.get("series", "")) for each in event.series)
                return self._line("probe", "", f"{event.probe}: {names}, {' and '.join(sorted(rates))} each")
            case events.FaultIntent():
                hits = ", ".join(str(hit.get("says") or hit.get("slot", "")) for hit in event.hits)
                text = f"{event.fault_kind} {event.target}" + (f", which is {hits}" if hits else "")
                return self._line("will hit", "", text, tone="mark")
            case events.FaultInjected():
                self._hits[event.fault] = event.at
                return self._line("hit", "", f"at {event.at:.3f} s", tone="mark")
            case events.FaultConfirmed(confirmed=False):
                return self._line("warning", "", f"the fault is not confirmed: {event.why}")
            case events.FaultHealed():
                return self._line("put back", "", self._since(event.fault, event.at), tone="mark")
            case events.FaultRecovered():
                return self._line("recovered", "", self._since(event.fault, event.at), tone="mark")
            case events.UndoDone(error=str()):
                return self._line("warning", "", f"undo {event.undo} failed: {event.error}")
            case events.Said():
                return self._line(event.level if event.level in TONES else "says", "", event.text)
            case events.Aborted():
                return self._line("aborted", "", event.text)
            case events.Interrupt():
                return self._line("interrupted", "", f"by {event.signal}: healing and reporting")
            case events.ScenarioEnd() if event.state not in ("finished", "aborted"):
                return self._line(event.state, "", event.message)
            case _:
                return []

    def _ended(self, event: events.StepEnd) -> list[str]:
        begun = self.running.pop((event.scenario, event.path), None)
        name = (begun.name if begun else "") or event.path
        took = duration(event.t - begun.t) if begun else ""
        lines = self._line(event.state, took, name)
        if event.message and event.state != "ok":
            lines += [" " * INDENT + text for text in clean(event.message).splitlines()]
        return lines

    def _since(self, fault: int, at: float) -> str:
        hit = self._hits.get(fault)
        return f"at {at:.3f} s" + (f", {duration(at - hit)} after the hit" if hit is not None else "")

    def _line(self, name: str, took: str, text: str, *, tone: str = "") -> list[str]:
        """Give a line, and further ones below its text where the text has more."""
        first, *rest = clean(text).splitlines() or [""]
        shown = self.style.paint(tone, name.ljust(11)) if tone else self.style.word(name)
        return [f"  {shown}{took:>8} {first}".rstrip(), *(" " * INDENT + each for each in rest)]


def _cluster(event: events.Facts) -> str:
    facts = event.document
    ray = version(facts)
    parts = (
        facts.get("kind"),
        facts.get("layout"),
        facts.get("kubernetes"),
        facts.get("operator") and f"operator {facts['operator']}",
        ray and f"Ray {ray}",
        facts.get("workers") is not None and count(int(facts["workers"]), "worker"),
        facts.get("gcs_fault_tolerance") and f"GCS fault tolerance {facts['gcs_fault_tolerance']}",
    )
    return ", ".join(str(part) for part in parts if part)


def judged(assertions: Iterable[Assertion], style: Style) -> list[str]:
    """Give the lines of assertions as an assert step judged them; what did not pass says why."""
    lines: list[str] = []
    for each in assertions:
        lines.append(f"  {style.word(WORDS[each.verdict])}{'':8} {_named(each)}")
        lines += _why(each, " " * INDENT)
    return lines


def _named(assertion: Assertion) -> str:
    return clean(assertion.name) + (": never reached" if assertion.at is None else "")


def _why(assertion: Assertion, indent: str) -> list[str]:
    """Give what did not pass says of itself; of what was never reached there is no more to say."""
    if assertion.verdict is Verdict.PASS or assertion.at is None:
        return []
    told = [("expected", assertion.expected), ("actual", assertion.actual), ("why", assertion.why)]
    where = [("at", f"{assertion.file}:{assertion.line}")]
    return [f"{indent}{label + ':':<10}{clean(text)}" for label, text in told + where if text]


@dataclass(frozen=True, slots=True)
class Counts:
    """What a running probe has seen: requests, bad ones, and since when it is down (None: it is up)."""

    probe: str
    sent: int
    bad: int
    down_since: float | None = None


def live(
    counts: Sequence[Counts], now: float, *, running: str = "", width: int = 100, style: Style | None = None
) -> str:
    """Give the line that stands below the others while a run goes, never longer than the terminal is wide."""
    style = style or Style()
    parts: list[tuple[str, str]] = [("strong", f"{now:7.1f} s")]
    if running:
        parts.append(("", running))
    for each in counts:
        down = f", down {now - each.down_since:.1f} s" if each.down_since is not None else ""
        parts.append(("bad" if down else "", f"{each.probe} {each.bad} bad of {each.sent}{down}"))
    shown: list[str] = []
    room = width
    for tone, part in parts:
        text = clean(part).replace("\n", " ").replace("\r", " ")
        cut = text if len(text) <= room else text[: max(0, room - 3)] + "..." if room > 3 else ""
        if cut:
            shown.append(style.paint(tone, cut))
        room -= len(text) + 3
    return " | ".join(shown)


def recap(run: Run, report: str = "", style: Style | None = None) -> str:
    """Give the recap: verdicts, what failed, downtime by probe; `report` is where the page is."""
    style = style or Style()
    lines = ["", style.paint("strong", "RECAP")]
    if run.judged_by:
        lines.append(f"  judged again by {clean(run.judged_by)}")
    if run.message:
        lines.append(f"  {clean(run.message)}")
    for scenario in run.scenarios:
        lines += _scenario(scenario, style)
    for each in run.repeated:
        first, *others = say_repeated(each)
        lines += [f"  {'repeated':<11}{clean(first)}", *(" " * 13 + clean(text) for text in others)]
    verdict = word(run.verdict, run.state)
    lines += ["", f"{style.paint(TONES.get(verdict, 'open'), verdict.upper())} (exit code {run.exit_code})"]
    if report:
        lines.append(f"report: {report}")
    return "\n".join(lines) + "\n"


def _scenario(scenario: Scenario, style: Style) -> list[str]:
    verdict = word(scenario.verdict, scenario.state)
    counted = tally(scenario)
    said = (
        ", ".join(f"{number} {WORDS[each]}" for each, number in counted.items() if number)
        or "nothing asserted"
    )
    name = style.paint("strong", clean(titled(scenario)))
    lines = [f"  {style.word(verdict)}{name}: {said}, {duration(scenario.end - scenario.start)}"]
    indent = " " * 13
    if scenario.message:
        lines += [indent + text for text in clean(scenario.message).splitlines()]
    for each in scenario.assertions:
        if each.verdict is not Verdict.PASS:
            lines.append(f"{indent}{style.word(WORDS[each.verdict], 9)}{_named(each)}")
            lines += _why(each, indent + " " * 9)
    names = max((len(probe.name) for probe in scenario.probes), default=0)
    for probe in scenario.probes:
        lines.append(f"{indent}{probe.name:<{names}}  {_downtime(probe, style)}".rstrip())
    for recovery in scenario.recoveries:
        lines.append(f"{indent}{style.paint('mark', clean(recovery.fault))}: {clean(say_recovery(recovery))}")
    return lines


def _downtime(probe: Probe, style: Style) -> str:
    """Give what a probe saw: the downtime of the series that was down longest, and the bad answers of all."""
    series = worst(probe)
    if series is None:
        return "no series"
    sent, failed, slow = asked(probe)
    bad = f"{failed} failed" + (f", {slow} slow" if slow else "")
    down = style.paint("bad" if series.windows else "", f"downtime {say_downtime(series)}")
    of = (
        f" ({series.series}, the worst of {len(probe.series)})"
        if len(probe.series) > 1 and series.windows
        else ""
    )
    simulated = ", simulated" if any(each.simulated for each in probe.series) else ""
    resolution = max((each.resolution for each in probe.series if each.resolution is not None), default=None)
    return f"{down}{of}; {bad} of {sent}; resolution {duration(resolution)}{simulated}"
