"""assert: mark what has to hold; one pure function judges it (docs/assertions.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from runner.errors import FtrunError, Unreachable
from runner.language.plan import Kind, Position, Step
from runner.language.refusal import mistake
from runner.language.types import Duration, EndpointName, FaultName, Model, ProbeName, TemplateText
from runner.steps.known import Known
from runner.steps.matching import Limit, Matching, listed
from runner.steps.stage import TICK, Json, Stage

if TYPE_CHECKING:
    from runner.timeline.run import Assertion


class Lasting(Model):
    """A duration that must not be below `min` nor above `max`."""

    min: Duration | None = None
    max: Duration | None = None

    @model_validator(mode="after")
    def _something(self) -> Lasting:
        if self.min is None and self.max is None:
            raise mistake("limit", "A limit has `min`, `max`, or both.")
        return self


class Share(Model):
    """A share of all samples, from 0 to 1."""

    min: float = Field(ge=0, le=1)


class Percentile(Model):
    """A percentile of latency, and the most it may be."""

    percentile: float = Field(default=99.0, gt=0, le=100)
    max: Duration


ErrorClass = Literal[
    "http_5xx", "http_4xx", "wrong_body", "refused", "reset", "eof", "unreachable", "timeout", "dns", "tls"
]
"""How a request may fail (docs/measuring.md). A slow one has not failed."""


def _several(value: Any) -> Any:
    """Read a word as a list of one."""
    return [value] if isinstance(value, str) else value


class Errors(Model):
    """How requests may fail, if they do."""

    allow: Annotated[
        tuple[ErrorClass, ...],
        BeforeValidator(_several, json_schema_input_type=ErrorClass | list[ErrorClass]),
    ] = Field(description="Error classes that a failed request may have; any other one is a fail.")


class During(Model):
    """A part of the scope: up to the fault, from there to the recovery, or from the recovery on."""

    fault: FaultName = Field(description="The name that the fault was registered under.")
    phase: Literal["before", "during", "after"] = "during"


class Recovery(Model):
    """How long it may take from a fault's injection to a phase of its recovery."""

    fault: FaultName = Field(description="The name that the fault was registered under.")
    max: Duration
    phase: Literal["impact", "detection", "mitigation", "recovery"] = Field(
        default="recovery",
        description="The first request lost, the cluster noticing, all traffic good again, or all as before.",
    )


_LIMITS = ("failed", "total", "longest", "success", "latency", "errors", "identities")
_SUBJECTS = ("probe", "state", "ray_state", "recovery", "that")


class Case(Matching):
    """One thing that has to hold."""

    MATCHERS: ClassVar[tuple[str, ...]] = (*Matching.MATCHERS, "unchanged")

    name: str | None = Field(default=None, description="The case's name; histories join on it.")
    probe: ProbeName | None = Field(default=None, description="The probe it looks at, all its series.")
    endpoint: EndpointName | None = Field(
        default=None, description="Only this slot, such as `head` or `worker-1`."
    )
    connection: Literal["new", "reused"] | None = None
    failed: Limit | None = Field(
        default=None, description="Number of failed requests; slow ones are not failed."
    )
    count: int | Limit | None = Field(
        default=None,
        description="With `probe` the number of downtime windows, with a path that of its matches.",
    )
    total: Lasting | None = Field(default=None, description="All downtime together.")
    longest: Lasting | None = Field(default=None, description="The longest downtime window.")
    success: Share | None = Field(default=None, description="Share of samples that are good.")
    latency: Percentile | None = None
    errors: Errors | None = None
    identities: Limit | None = Field(
        default=None, description="How many different ones answered, by the probe's `identity`."
    )
    during: During | None = Field(
        default=None, description="With `probe` or `state`: only that part of the run, and all of it."
    )
    unchanged: FaultName | None = Field(
        default=None, description="A fault: a path of `state` finds what it found before it."
    )
    same_identities: FaultName | None = Field(
        default=None, description="A fault: who answered until its recovery answered before it, too."
    )
    recovery: Recovery | None = None
    that: TemplateText | None = Field(default=None, description="A template expression, without braces.")
    known: Known | None = Field(
        default=None, description="Today's Ray breaks it: a fail is known, and fails nothing."
    )

    @model_validator(mode="after")
    def _one_thing(self) -> Case:
        subjects = [name for name in _SUBJECTS if getattr(self, name) is not None]
        if len(subjects) != 1:
            raise mistake(
                "case",
                f"A case has one of probe, state, ray_state, recovery, that; given: {listed(subjects)}.",
            )
        limits = [name for name in (*_LIMITS, "count", "same_identities") if getattr(self, name) is not None]
        if self.probe is None:
            stray = [name for name in limits if name != "count"]
            stray += [name for name in ("endpoint", "connection") if getattr(self, name) is not None]
            if self.during is not None and self.state is None:
                stray.append("during")
            if stray:
                raise mistake("case", f"`{stray[0]}` says something of a probe; name it with `probe`.")
            if self.path is None and self.matchers:
                raise mistake("case", f"`{self.matchers[0]}` goes with `state` or `ray_state`.")
            if self.unchanged is not None and self.state is None:
                raise mistake("case", "`unchanged` goes with `state`: what Ray said before is not known.")
            return self
        if not limits:
            raise mistake(
                "case",
                "A probe needs a limit: failed, count, total, longest, success, latency, errors, "
                "identities or same_identities.",
            )
        if isinstance(self.count, int):
            raise mistake("limit", "`count` of a probe's downtime windows is a limit, such as {max: 0}.")
        stray = [name for name in self.matchers if name != "count"]
        if stray:
            raise mistake("case", f"`{stray[0]}` goes with `state` or `ray_state`.")
        return self


class Assert(Model):
    """A list of cases, each with a verdict of its own."""

    cases: tuple[Case, ...] = Field(min_length=1)


def _expand(value: Any) -> Any:
    """Read a list of cases, or a single one."""
    if isinstance(value, list):
        return {"cases": value}
    return {"cases": [value]} if isinstance(value, dict) and "cases" not in value else value


KIND = Kind("assert", Assert, expand=_expand)

FRESH = 10.0
"""Seconds that an assertion on the state document waits for an observation made after it was reached."""


def title(case: Mapping[str, Any]) -> str:
    """Give the name of a case: its own, else what it asserts, without any measured value."""
    return str(case.get("name") or claim(case))


def claim(case: Mapping[str, Any]) -> str:
    """Say what a case asserts, as it was written."""
    said = []
    for name, value in case.items():
        if name in ("name", "known"):
            continue
        shown = (
            ", ".join(f"{key} {each}" for key, each in value.items()) if isinstance(value, Mapping) else value
        )
        said.append(f"{name} {shown}")
    return ", ".join(said)


async def run(arguments: Assert, stage: Stage) -> Json:
    """Mark the cases, and judge them as far as is known. Before the first fault a case must pass."""
    from runner.journal.events import AssertMark

    after_fault = bool(stage.scene.faults)
    reached = stage.journal.now()
    if any(case.state is not None for case in arguments.cases):
        await _observed(reached, stage)
    mark = stage.journal.append(
        AssertMark(
            scenario=stage.number,
            path=stage.path,
            cases=tuple(_cases(arguments, stage)),
            observation=stage.scene.observation.seq if stage.scene.observation is not None else None,
            ray_state=await _ray_state(arguments.cases, stage),
            after_fault=after_fault,
        )
    )
    if not after_fault:
        await _ended(mark.t, stage)
    judged = _judged(mark.path, stage)
    verdicts = {each.name: each.verdict.value for each in judged}
    text = "; ".join(f"{each.name}: {each.verdict.value}" for each in judged if each.verdict.value != "pass")
    if not after_fault and not set(verdicts.values()) <= {"pass", "known"}:
        stage.scene.withheld = f"an assertion did not hold before it ({text})."
    if "fail" in verdicts.values():
        raise Refuted(text, verdicts)
    return {"verdicts": verdicts, "message": text}


class Refuted(FtrunError):
    """A case fails. A verdict, not control flow: the run goes on. Holds the verdicts of all cases by name."""

    def __init__(self, message: str, verdicts: Mapping[str, str]) -> None:
        super().__init__(message)
        self.verdicts = verdicts


def _cases(arguments: Assert, stage: Stage) -> Iterator[dict[str, Json]]:
    def fault(name: str) -> int | None:
        found = stage.scene.fault(name)
        return None if found is None else found.number

    assert stage.step is not None
    return resolved_cases(arguments, stage.step, fault, stage.variables)


def resolved_cases(
    arguments: Assert, step: Step, fault: Callable[[str], int | None], variables: Mapping[str, Json]
) -> Iterator[dict[str, Json]]:
    """Give the cases as the journal holds them: faults as numbers, expressions with what they gave.

    `fault` gives the number of the last fault of a name, None where none was injected.
    """
    for number, case in enumerate(arguments.cases):
        yield _resolved(case, number, step, fault, variables)


def _resolved(
    case: Case,
    number: int,
    step: Step,
    fault: Callable[[str], int | None],
    variables: Mapping[str, Json],
) -> dict[str, Json]:
    def numbered(name: str) -> int | str:
        # Of one that was not injected nothing is known: it stands with its name.
        found = fault(name)
        return name if found is None else found

    position: Position = step.positions.get(("cases", number), step.position)
    resolved = case.model_dump(mode="json", exclude_unset=True)
    written = step.raw.get("cases")
    # As in the plan, where nothing is rendered yet, so that both have one name.
    resolved["name"] = case.name or title(written[number] if isinstance(written, list | tuple) else resolved)
    resolved |= {"file": position.file, "line": position.line}
    if case.during is not None:
        resolved["during"] = {"fault": numbered(case.during.fault), "phase": case.during.phase}
    if case.recovery is not None:
        resolved["recovery"] = {
            "fault": numbered(case.recovery.fault),
            "max": case.recovery.max,
            "phase": case.recovery.phase,
        }
    if case.same_identities is not None:
        resolved["same_identities"] = numbered(case.same_identities)
    if case.unchanged is not None:
        resolved["unchanged"] = numbered(case.unchanged)
    if case.latency is not None:
        resolved["latency"] = case.latency.model_dump(mode="json")
    if case.that is not None:
        from runner.language.templates import evaluate

        try:
            resolved["that"] = {"text": case.that, "value": evaluate(case.that, variables)}
        except FtrunError as error:
            resolved["that"] = {"text": case.that, "value": None, "why": error.message}
    return resolved


async def _ray_state(cases: Iterable[Case], stage: Stage) -> dict[str, Json] | None:
    """Ask Ray for each resource that a case reads; what nobody answers for is left out."""
    from runner.steps.ray_state import ask

    answers = {}
    for resource in {case.ray_state.resource for case in cases if case.ray_state is not None}:
        try:
            answers[resource] = await ask(stage.cluster, resource)
        except Unreachable:
            continue
    return answers or None


async def _observed(since: float, stage: Stage) -> None:
    """Wait a little for an observation that was asked for from `since` on: an older one says less."""
    while stage.journal.now() < since + FRESH:
        if stage.scene.observation is not None and stage.scene.observation.asked >= since:
            return
        await stage.scene.changed(since + FRESH - stage.journal.now())


async def _ended(since: float, stage: Stage) -> None:
    """Wait until every request that was sent before `since` has ended, or must have."""
    if not stage.scene.probes:
        return
    from runner.journal.samples import Recordings
    from runner.steps import live

    recordings = Recordings(stage.folder)
    started = list(stage.scene.probes.values())
    patience = max((float(series["timeout"]) for probe in started for series in probe.series), default=0.0)
    while stage.journal.now() < since + patience + 1.0:
        now = stage.journal.now()
        if all(each.until >= since for each in live.streaks(recordings, started, axis=stage.axis, now=now)):
            return
        await stage.scene.changed(TICK)


def _judged(path: str, stage: Stage) -> list[Assertion]:
    """Judge what is journalled so far, and give the cases of this mark."""
    from runner.journal.samples import Recordings
    from runner.timeline.fold import assertions

    return assertions(stage.journal.events, Recordings(stage.folder), path)
