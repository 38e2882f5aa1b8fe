"""junit.xml as Jenkins, GitLab and GitHub read it; tests/reports/junit.xsd says what it may hold.

A scenario is a suite; of the attempts at it the last, which tells of the others. Its cases are the
assertions, the waits after a fault, and whatever ended it. A suite is green exactly where the scenario's
verdict is pass or it was skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from runner.reports.phrases import (
    bracket,
    clean,
    duration,
    outcomes,
    say_downtime,
    say_scenario,
    window_length,
)
from runner.timeline.run import Assertion, Run, Scenario, Step, Verdict


@dataclass(frozen=True, slots=True)
class Case:
    """One testcase. `tag` is empty where it passed, else failure, error or skipped."""

    classname: str
    name: str
    file: str
    line: int
    time: float = 0.0
    tag: str = ""
    kind: str = ""
    message: str = ""
    detail: str = ""


def render(run: Run) -> str:
    """Give the text of junit.xml."""
    root = ET.Element("testsuites", {"name": "ftrun", **_counts([])})
    every: list[Case] = []
    for scenario in run.scenarios:
        if scenario.superseded:
            continue
        cases = list(_cases(scenario))
        every += cases
        _add_suite(root, run, scenario, cases)
    if not run.scenarios:
        case = Case("ftrun", "run", "", 0, 0.0, "error", run.state, run.message or "No scenario began.")
        every.append(case)
        suite = ET.SubElement(root, "testsuite", {"name": "ftrun", **_counts([case]), "time": "0.000"})
        _add_case(suite, case)
    root.attrib.update(_counts(every))
    took = sum(scenario.end - scenario.start for scenario in run.scenarios if not scenario.superseded)
    root.set("time", f"{took:.3f}")
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _cases(scenario: Scenario) -> Iterator[Case]:
    """Give the cases of a scenario; red ones wherever its verdict is not pass."""
    if scenario.state == "skipped":
        yield Case(
            scenario.name,
            "scenario",
            scenario.file,
            scenario.line,
            0.0,
            "skipped",
            "skipped",
            scenario.message or "skipped",
        )
        return
    cases = [_judged(scenario, each) for each in scenario.assertions]
    cases += [case for step in scenario.steps if (case := _step(scenario, step)) is not None]
    if scenario.state == "aborted":
        took = scenario.end - scenario.start
        cases.append(
            Case(
                scenario.name,
                "scenario",
                scenario.file,
                scenario.line,
                took,
                "failure",
                "aborted",
                scenario.message,
            )
        )
    yield from cases
    red = any(case.tag in ("failure", "error") for case in cases)
    if scenario.verdict is not Verdict.PASS and not red:
        failed = scenario.verdict is Verdict.FAIL
        said = scenario.message or (
            "The scenario failed." if failed else "Nothing was judged, so nothing is known."
        )
        yield Case(
            scenario.name,
            "scenario",
            scenario.file,
            scenario.line,
            scenario.end - scenario.start,
            "failure" if failed else "error",
            scenario.state if scenario.state != "finished" else str(scenario.verdict),
            said,
            say_scenario(scenario),
        )
    elif not cases:
        yield Case(scenario.name, "scenario", scenario.file, scenario.line, scenario.end - scenario.start)


_TAGS = {
    Verdict.FAIL: ("failure", "assertion"),
    Verdict.KNOWN: ("skipped", "known"),
    Verdict.UNKNOWN: ("error", "unknown"),
}
"""The element of a case that did not pass, and its type."""


def _judged(scenario: Scenario, assertion: Assertion) -> Case:
    # The case names scenario and host, then the assertion: histories join on class and name together.
    classname = assertion.case.removesuffix(assertion.name).rstrip(" /:|") or scenario.name
    base = Case(classname, assertion.name, assertion.file, assertion.line)
    if assertion.verdict is Verdict.PASS:
        return base
    said = f"expected {assertion.expected}, was {assertion.actual}"
    if assertion.known is not None and assertion.verdict is not Verdict.UNKNOWN:
        said = f"{assertion.known.says}; {said}"
    tag, kind = _TAGS[assertion.verdict]
    return Case(
        classname,
        assertion.name,
        assertion.file,
        assertion.line,
        0.0,
        tag,
        kind,
        f"unknown: {assertion.why or said}" if assertion.verdict is Verdict.UNKNOWN else said,
        "\n".join(
            f"{label} {text}"
            for label, text in (
                ("expected:", assertion.expected),
                ("actual:  ", assertion.actual),
                ("why:     ", assertion.why),
                ("at:      ", f"{assertion.file}:{assertion.line}"),
            )
            if text
        ),
    )


def _step(scenario: Scenario, step: Step) -> Case | None:
    """Give the case of a step that was judged or that ended the scenario; None for the many others."""
    took = (step.end - step.start) if step.start is not None and step.end is not None else 0.0
    hit = [fault.injected for fault in scenario.faults if fault.injected is not None]
    after_fault = bool(hit) and step.start is not None and step.start >= min(hit)
    tag = ""
    if step.state == "unmet" and scenario.verdict is not Verdict.PASS:
        tag = "failure" if after_fault and scenario.verdict is Verdict.FAIL else "error"
    elif step.state == "known" and step.known is not None:
        tag = "skipped"
    elif step.state == "failed" and step.known is not None:
        tag = "failure"
    elif step.state in ("failed", "error") and scenario.state == "error" and step.kind != "assert":
        tag = "error"
    elif not (step.kind == "wait_for" and step.state == "ok" and after_fault):
        return None
    message = (step.message or step.state) if tag else ""
    detail = f"{message}\nat:       {step.file}:{step.line}" if tag else ""
    return Case(
        scenario.name,
        step.name or step.path,
        step.file,
        step.line,
        took,
        tag,
        step.state if tag else "",
        message,
        detail,
    )


def _add_suite(root: ET.Element, run: Run, scenario: Scenario, cases: list[Case]) -> None:
    began = datetime.fromtimestamp(run.wall + scenario.start, UTC).replace(tzinfo=None)
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "name": clean(_suite(scenario)),
            "file": clean(scenario.file),
            **_counts(cases),
            "time": f"{scenario.end - scenario.start:.3f}",
            "timestamp": began.isoformat(timespec="seconds"),
        },
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(run, scenario):
        ET.SubElement(properties, "property", {"name": clean(name), "value": clean(value)})
    for case in cases:
        _add_case(suite, case)
    told = [
        f"Attempt {each.attempt} came out unknown. {say_scenario(each)}" for each in _earlier(run, scenario)
    ]
    if said := "\n".join(each for each in (*told, say_scenario(scenario)) if each):
        ET.SubElement(suite, "system-out").text = clean(said)


def _suite(scenario: Scenario) -> str:
    """Give the name of a suite: repetitions are told apart."""
    if scenario.repetition is None:
        return scenario.name
    return f"{scenario.name} (repetition {scenario.repetition} of {scenario.repetitions})"


def _earlier(run: Run, scenario: Scenario) -> list[Scenario]:
    """Give the attempts before the one that counts."""
    own = (scenario.name, scenario.repetition)
    return [each for each in run.scenarios if each.superseded and (each.name, each.repetition) == own]


def _properties(run: Run, scenario: Scenario) -> Iterator[tuple[str, str]]:
    yield "run", run.run
    yield "ftrun", run.ftrun
    yield "seed", str(run.seed if scenario.seed is None else scenario.seed)
    yield "verdict", str(scenario.verdict)
    if run.judged_by:
        yield "judged by", run.judged_by
    if scenario.delay is not None:
        yield "delay", duration(scenario.delay)
    for each in _earlier(run, scenario):
        yield f"attempt {each.attempt}", f"{each.verdict}: {each.message or say_scenario(each)}"
    for fault in scenario.faults:
        if fault.injected is not None:
            yield f"fault {fault.name}", f"{fault.kind} {fault.target} at {fault.injected:.3f} s"
    for probe in scenario.probes:
        for series in probe.series:
            of = f"{probe.name} {series.series}"
            yield f"downtime {of}", say_downtime(series)
            yield f"failed {of}", f"{series.failed} of {series.samples}"
            yield f"resolution {of}", duration(series.resolution)
            for number, window in enumerate(series.windows, 1):
                length = bracket(window.shortest, window_length(window, series.scope[1]), window.longest)
                end = f"{window.end.at:.3f} s" if window.end else "still down at the end"
                yield (
                    f"window {number} {of}",
                    f"{length} from {window.start.at:.3f} s to {end}: {outcomes(window.outcomes)}",
                )


def _add_case(suite: ET.Element, case: Case) -> None:
    attributes = {"classname": clean(case.classname) or "ftrun", "name": clean(case.name) or "unnamed"}
    if case.file:
        attributes |= {"file": clean(case.file), "line": str(case.line)}
    element = ET.SubElement(suite, "testcase", {**attributes, "time": f"{case.time:.3f}"})
    if not case.tag:
        return
    message = clean(case.message) or case.kind
    what = {"message": message} if case.tag == "skipped" else {"type": clean(case.kind), "message": message}
    detail = clean(case.detail) if case.tag != "skipped" else ""  # which may hold no text
    ET.SubElement(element, case.tag, what).text = detail or None


def _counts(cases: list[Case]) -> dict[str, str]:
    def number(tag: str) -> str:
        return str(sum(case.tag == tag for case in cases))

    return {
        "tests": str(len(cases)),
        "failures": number("failure"),
        "errors": number("error"),
        "skipped": number("skipped"),
    }
