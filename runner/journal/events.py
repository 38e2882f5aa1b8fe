"""The events of a journal: everything a run decides on or reports is one of these.

A line of journal.jsonl is `{"seq": n, "t": seconds, "kind": "...", ...fields}`. `t` and every other time
in an event is in seconds of CLOCK_MONOTONIC since the run's zero (`RunStart.monotonic`). Unknown fields
are ignored and absent ones take their default, so that a newer journal can be read by an older ftrun of
the same version number. docs/formats.md describes the same for people who write other readers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar

from runner.errors import FtrunError

VERSION = 1
"""The version of journal.jsonl."""

Json = Any
"""A value as JSON has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all events have: a number without gaps, and the instant at which it was written."""

    kind: ClassVar[str] = ""
    seq: int = -1
    t: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStart(Event):
    """The first line: what ran, where, and the two clocks at the run's zero."""

    kind: ClassVar[str] = "run_start"
    version: int = VERSION
    run: str
    ftrun: str
    wall: float
    """Seconds since the epoch at zero."""
    monotonic: float
    """CLOCK_MONOTONIC in seconds at zero."""
    boot_id: str = ""
    time_namespace: str = ""
    argv: tuple[str, ...] = ()
    seed: int = 0
    machine: Mapping[str, Json] = field(default_factory=dict)
    """python, platform, cpus, memory_bytes."""
    inventory: Mapping[str, Json] = field(default_factory=dict)
    """name, file, cluster (its settings, redacted), allow."""
    options: Mapping[str, Json] = field(default_factory=dict)
    """What the command line chose, but for the files: inventory, given, app, path, tags, skip_tags."""
    sources: Mapping[str, Json] = field(default_factory=dict)
    """Where the files it was made of are kept: files (place below sources/, by path), here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioStart(Event):
    """A scenario begins. `steps` lists every plan node, so that those never reached are reported too."""

    kind: ClassVar[str] = "scenario_start"
    scenario: int
    """Index of the scenario in the run, from 0."""
    name: str
    file: str
    line: int = 1
    description: str = ""
    tags: tuple[str, ...] = ()
    steps: tuple[Mapping[str, Json], ...] = ()
    """Each: path, name, kind, file, line, digest; for an assert also `cases`: [{name, says, file, line}]."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Of what the scenario says beside its steps, by what it is."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Digests of its variables."""
    repetition: int | None = None
    """From 1; None where the scenario is not repeated."""
    repetitions: int | None = None
    attempt: int = 1
    """Above 1 where an earlier one came out unknown."""
    seed: int | None = None
    """Of whatever it draws."""
    delay: float | None = None
    """Seconds that its first fault is held back, drawn from the seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts(Event):
    """What survey found, before anything was changed: cluster, layout, versions, endpoints."""

    kind: ClassVar[str] = "facts"
    scenario: int
    document: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStart(Event):
    """A step (or one numbered instance of it) begins."""

    kind: ClassVar[str] = "step_start"
    scenario: int
    path: str
    """Where in the plan, such as `steps[3]`, `steps[4].block[0]`, with `#2` for the second loop instance."""
    name: str
    step: str
    """The step kind."""
    file: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnd(Event):
    """A step ended. state: ok, failed, error, skipped, ignored, unmet, cancelled, withheld."""

    kind: ClassVar[str] = "step_end"
    scenario: int
    path: str
    state: str
    message: str = ""
    result: Json = None
    """What `register` holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoPushed(Event):
    """Written and fsynced before the act it heals."""

    kind: ClassVar[str] = "undo_pushed"
    undo: int
    act: str
    """The kind of undo, such as `start_node`, `link_up`, `close_cluster`."""
    arguments: Mapping[str, Json] = field(default_factory=dict)
    says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoDone(Event):
    """An undo was carried out, or could not be (`error`)."""

    kind: ClassVar[str] = "undo_done"
    undo: int
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeStart(Event):
    """A probe sends from now on. `series` are the prober's specifications, redacted (see docs/formats.md)."""

    kind: ClassVar[str] = "probe_start"
    scenario: int
    probe: str
    origin: str = "cluster"
    """Where requests come from: `cluster`, or `here`, beside ftrun, by a prober of its own."""
    series: tuple[Mapping[str, Json], ...]
    """Each: series (`worker-1/new`), endpoint (`worker-1`), role, through, connection, url, rate, file
    (relative to the run folder), t0 (seconds), period, timeout, slow_after, blind_after, recover_after
    (seconds), identity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSteady(Event):
    """Every series of the probe was good for `steady`: the scope of its assertions begins at `at`."""

    kind: ClassVar[str] = "probe_steady"
    scenario: int
    probe: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeStop(Event):
    """A probe sends no more, and all its deadlines have passed. `at` ends its scope (t1)."""

    kind: ClassVar[str] = "probe_stop"
    scenario: int
    probe: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockPing(Event):
    """A prober that reads another clock was asked for the time: the two clocks are joined by these."""

    kind: ClassVar[str] = "clock_ping"
    scenario: int
    asked: float
    p_ns: int
    """What it answered, by its own CLOCK_MONOTONIC, in nanoseconds."""
    heard: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultIntent(Event):
    """What a fault will hit; written before it hits."""

    kind: ClassVar[str] = "fault_intent"
    scenario: int
    fault: int
    """Number of the fault in the run, from 0."""
    name: str
    """The name it is registered under, else one made of kind and target."""
    path: str
    fault_kind: str
    how: str
    target: str
    """For people: `node head`, `actor replica of sleepy_pid`."""
    hits: tuple[Mapping[str, Json], ...] = ()
    """What it will hit: [{slot, role, ids..., says}]."""
    intended: float = 0.0
    ends: bool = True
    """What it hits is gone for good: a cluster that still lists it has not noticed yet."""
    lasts: bool = False
    """It lasts until its undo is carried out; before that nothing can have recovered from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultInjected(Event):
    """The act was done at `at` (the instant of the act itself, not of this line)."""

    kind: ClassVar[str] = "fault_injected"
    fault: int
    at: float
    evidence: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultConfirmed(Event):
    """The target is known to be hit (pid gone, id changed), or `confirmed` is false and `why` says more."""

    kind: ClassVar[str] = "fault_confirmed"
    fault: int
    confirmed: bool
    why: str = ""
    evidence: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultHealed(Event):
    """What the fault broke was put back by ftrun or its supervisor (a node started again), at `at`.

    Of a fault that lasts: its undo was carried out. A node that was powered off starts then.
    """

    kind: ClassVar[str] = "fault_healed"
    fault: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRecovered(Event):
    """Application, members and probes are as before the fault, seen at `at`."""

    kind: ClassVar[str] = "fault_recovered"
    fault: int
    at: float
    missing: float | None = None
    """When it was last known not to be so yet: the recovery lies between this and `at`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation(Event):
    """What the cluster said. With `document` None it said the same as observation number `same_as`."""

    kind: ClassVar[str] = "observation"
    scenario: int
    asked: float
    """When the question was sent: what is said holds at some instant of [asked, t]."""
    document: Mapping[str, Json] | None = None
    """The versioned state document (docs/state.md)."""
    same_as: int | None = None
    """`seq` of the observation whose document still holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterEvent(Event):
    """Something the cluster's own side did or said: the supervisor started a node, a log line of note."""

    kind: ClassVar[str] = "cluster_event"
    scenario: int
    at: float
    source: str
    """supervisor, forwarder, controller, gcs, raylet, ..."""
    slot: str = ""
    text: str = ""
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssertMark(Event):
    """An assert step was reached: its resolved arguments, and the observation it looks at."""

    kind: ClassVar[str] = "assert_mark"
    scenario: int
    path: str
    cases: tuple[Mapping[str, Json], ...]
    """Each: name, file, line, and the resolved arguments (durations in seconds, faults as numbers)."""
    observation: int | None = None
    """`seq` of the observation whose document `state` reads."""
    ray_state: Mapping[str, Json] | None = None
    """Ray's own answers, by resource, where a case reads them."""
    after_fault: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitEnd(Event):
    """A wait was met, or not; `waited` is what it waited for, `mismatch` the last that was missing."""

    kind: ClassVar[str] = "wait_end"
    scenario: int
    path: str
    met: bool
    waited: str
    mismatch: str = ""
    after_fault: bool = True
    known: Mapping[str, Json] | None = None
    """Why it is known not to be met: issue, until, ray."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said(Event):
    """A line for people: the log step, warnings of the engine."""

    kind: ClassVar[str] = "said"
    scenario: int
    level: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Aborted(Event):
    """A limit of `abort_when` was exceeded: the scenario fails, and is unwound."""

    kind: ClassVar[str] = "aborted"
    scenario: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioEnd(Event):
    """state: finished, skipped, error (`message` says what ended it), aborted, interrupted."""

    kind: ClassVar[str] = "scenario_end"
    scenario: int
    state: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupt(Event):
    """A signal asked the run to stop."""

    kind: ClassVar[str] = "interrupt"
    signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd(Event):
    """The last line of a run that was not killed."""

    kind: ClassVar[str] = "run_end"
    state: str
    """finished, interrupted, error"""
    message: str = ""


KINDS: dict[str, type[Event]] = {
    cls.kind: cls
    for cls in (
        RunStart,
        ScenarioStart,
        Facts,
        StepStart,
        StepEnd,
        UndoPushed,
        UndoDone,
        ProbeStart,
        ProbeSteady,
        ProbeStop,
        ClockPing,
        FaultIntent,
        FaultInjected,
        FaultConfirmed,
        FaultHealed,
        FaultRecovered,
        Observation,
        ClusterEvent,
        AssertMark,
        WaitEnd,
        Said,
        Aborted,
        ScenarioEnd,
        Interrupt,
        RunEnd,
    )
}


_NAMES = {cls: tuple(each.name for each in fields(cls)) for cls in KINDS.values()}


def to_json(event: Event) -> dict[str, Json]:
    """Give the event as the object of one journal line; values inside are shared, not copied."""
    line: dict[str, Json] = {"seq": event.seq, "t": event.t, "kind": event.kind}
    for name in _NAMES[type(event)]:
        line[name] = getattr(event, name)
    return line


def from_json(line: Mapping[str, Json]) -> Event | None:
    """Give the event of one journal line; None for a kind this version does not know."""
    cls = KINDS.get(line.get("kind", ""))
    if cls is None:
        return None
    values: dict[str, Json] = {}
    for each in fields(cls):
        if each.name in line:
            value = line[each.name]
            values[each.name] = tuple(value) if isinstance(value, list) else value
        elif each.default is MISSING and each.default_factory is MISSING:
            raise FtrunError(f"A {cls.kind} event of the journal lacks {each.name!r}.")
    return cls(**values)
