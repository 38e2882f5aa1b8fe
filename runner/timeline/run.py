"""The Run: what a journal and its samples say, folded once. Reports are pure functions of it.

The tree mirrors run.json (docs/formats.md): the same names, the same units. Times are seconds since the
run's zero, durations are seconds, counts are integers. `None` is "not known", never "zero".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Json = Any


class Verdict(StrEnum):
    """Three-valued; merged fail > unknown > pass. A case that fails as is known fails nothing."""

    PASS = "pass"  # noqa: S105 (a verdict)
    KNOWN = "known"
    """Of a case or a wait only: a fail that is excused. Merged, it is as good as a pass."""
    UNKNOWN = "unknown"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Bracket:
    """An edge: it lies somewhere in [earliest, latest]; `at` is the best single value."""

    earliest: float
    at: float
    latest: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One request of an excerpt."""

    sent: float
    took: float
    outcome: str
    """`good`, `slow`, `void`, or the name of what was wrong."""
    status: int | None
    """None where no head came."""
    who: str
    """Who answered; empty where that is not known."""
    detail: str
    """What was wrong, as the prober wrote it down; empty where nothing was."""
    skipped: int
    """How many requests are left out between the one before and this one."""


@dataclass(frozen=True, slots=True)
class Error:
    """A text that bad samples of a window have in common, and how many do."""

    outcome: str
    status: int | None
    detail: str
    count: int


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A window looked at closely, cut to a few lines: its edges sample by sample, its errors verbatim."""

    samples: tuple[Sample, ...]
    errors: tuple[Error, ...]
    """The most frequent first."""
    others: int
    """How many bad samples have an error that is not among these."""


@dataclass(frozen=True, slots=True)
class Window:
    """A downtime window. `end` is None where it was still open when the probe stopped."""

    start: Bracket
    end: Bracket | None
    shortest: float
    longest: float
    open: bool
    outcomes: Mapping[str, int]
    """How many samples of each bad outcome it holds."""
    excerpt: Excerpt | None = None
    """Of the longest windows of a series; None of the others."""


@dataclass(frozen=True, slots=True)
class Blind:
    """A stretch without evidence: no downtime, no uptime, only its likely causes."""

    start: float
    end: float
    causes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from the instant a request was due to its answer."""

    p50: float
    p90: float
    p99: float
    p999: float
    max: float


@dataclass(frozen=True, slots=True)
class Lateness:
    """Seconds from the instant a request was due to its sending."""

    p50: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Chart:
    """A series made small enough to draw: one column a pixel, none of which hides a bad sample.

    Arrays have one value a column over [start, end] of the scenario. worst: 0 nothing was sent, 1 good,
    2 blind, 3 slow, 4 bad. latency_max in seconds, nan where nothing was answered.
    """

    start: float
    end: float
    worst: npt.NDArray[np.uint8]
    latency_p50: npt.NDArray[np.float64]
    latency_max: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Series:
    """One probe at one endpoint over one kind of connection."""

    series: str
    endpoint: str
    role: str
    connection: str
    simulated: bool
    url: str
    rate: float
    samples: int
    bad: int
    failed: int
    """Bad samples that are not merely slow."""
    void: int
    outcomes: Mapping[str, int]
    latency: Latency | None
    lateness: Lateness | None
    resolution: float | None
    """Largest gap between two pieces of evidence: shorter outages are not claimed."""
    scope: tuple[float, float]
    blind: tuple[Blind, ...]
    windows: tuple[Window, ...]
    identities: Mapping[str, int]
    unsure: float | None = 0.0
    """By how many seconds its place on the run's axis may be off, where its prober reads another clock; None
    where the two clocks cannot be joined."""
    through: str = ""
    """What stood between, where that is more than a network: `port-forward to pod x, and to no other`."""
    chart: Chart | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe of the scenario and its series."""

    name: str
    series: tuple[Series, ...]
    start: float
    end: float | None


@dataclass(frozen=True, slots=True)
class Known:
    """What is written beside a claim that today's Ray breaks, and what came of it."""

    issue: str
    until: str
    """The last day of it, `2027-01-31`, in UTC."""
    ray: str | None
    """Only for these versions of Ray, such as `<2.61`."""
    state: str
    """`fails`: as is known; `passes`: unexpectedly; `late`: it fails, and the day has gone by; `unknown`;
    `elsewhere`: for other versions of Ray, so that it counted for nothing."""
    says: str


@dataclass(frozen=True, slots=True)
class Step:
    """A step as it went.

    state: ok, failed, error, skipped, ignored, unmet, known, cancelled, withheld, not_reached.
    """

    path: str
    name: str
    kind: str
    state: str
    file: str
    line: int
    start: float | None
    end: float | None
    message: str
    known: Known | None = None
    """Of a wait."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault as it went; None for what did not happen or is not known."""

    name: str
    kind: str
    how: str
    target: str
    hits: tuple[str, ...]
    intended: float | None
    injected: float | None
    confirmed: bool | None
    healed: float | None
    recovered: float | None
    evidence: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Assertion:
    """One judged case. `expected` and `actual` are for people; the verdict is what counts."""

    case: str
    name: str
    verdict: Verdict
    expected: str
    actual: str
    why: str
    """Why it is unknown, or which series failed; empty where nothing needs saying."""
    file: str
    line: int
    step: str
    at: float | None
    known: Known | None = None


@dataclass(frozen=True, slots=True)
class Happening:
    """A mark on the axis: what the cluster's own side did or said."""

    at: float
    source: str
    slot: str
    text: str


@dataclass(frozen=True, slots=True)
class Phase:
    """How far a recovery had come, from the fault's injection on.

    `phase` is `impact` (the first request that it cost), `detection` (somebody of the cluster said that
    something is wrong), `mitigation` (all traffic good again), `recovery` (all members as before).
    """

    phase: str
    after: Bracket | None
    """Seconds after the injection; None where it did not come to that, or nobody saw it."""
    by: str
    """What ended it, in words; where `after` is None, why nothing is known."""
    source: str
    """Who said so: a series, `state`, `supervisor`, `controller`, `gcs`, ...; empty where nobody did."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A bar of the recovery waterfall: something that was seen to take time, from an event to another."""

    cause: str
    """Such as `replica constructing`, `head process starting`, `restart delay`."""
    who: str
    """Of what, such as `replica SleepyPid 44q7diqp on worker-1`; empty where it has no name."""
    start: float
    end: float | None
    """Seconds since the run's zero; None while it still lasted at the end."""
    source: str
    evidence: str
    """What was said at its start and its end, verbatim."""
    share: float
    """Part of what is explained that is put down to it: the path that its end waited for, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """Why it took so long: the phases of one fault, and where its time went."""

    fault: str
    injected: float
    until: float
    """End of what is told: full recovery, or the end of the scenario."""
    phases: tuple[Phase, ...]
    downtime: Mapping[str, float]
    """Seconds of down time of each probe's worst series that began after the fault: {probe: seconds}."""
    explained: tuple[float, float] | None
    """The stretch whose shares are given: the longest downtime, or, where no traffic was lost, from the
    injection to the full recovery. None where neither is known."""
    series: str
    """Whose longest downtime that is, as people are told; empty where no traffic was lost."""
    causes: tuple[Cause, ...]
    unexplained: float
    """The share of `explained` for which nothing was seen; shares and this add up to 1."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch in which a member was in one state."""

    start: float
    end: float
    state: str
    """`up`, `starting`, `dead`, `unknown`; `frozen` or `cut off` while a fault holds it so."""
    says: str
    """Ray's own word and what else is known, such as `RUNNING, process 4711`."""


@dataclass(frozen=True, slots=True)
class Member:
    """A lane of the report: a node, a replica, a proxy, the controller, over the whole scenario."""

    name: str
    role: str
    """`head`, `worker`, `controller`, `proxy`, `replica`, `service`"""
    slot: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Availability:
    """Meaningful availability of a series (NSDI 2020): the worst window of each size.

    `worst` is the least share of up time that any window of that size has, an interval: blind time may
    have been either. It keeps one long outage apart from many short ones.
    """

    probe: str
    series: str
    sizes: tuple[float, ...]
    worst: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario as it went."""

    name: str
    file: str
    line: int
    description: str
    tags: tuple[str, ...]
    verdict: Verdict
    state: str
    """finished, skipped, error, aborted, interrupted, killed"""
    message: str
    start: float
    end: float
    judged: int
    """How many assertions, and waits met after a fault, were judged."""
    steps: tuple[Step, ...]
    probes: tuple[Probe, ...]
    faults: tuple[Fault, ...]
    assertions: tuple[Assertion, ...]
    happenings: tuple[Happening, ...]
    cluster: Mapping[str, Json]
    """The facts of its survey."""
    recoveries: tuple[Recovery, ...] = ()
    """One a fault that hit."""
    members: tuple[Member, ...] = ()
    availability: tuple[Availability, ...] = ()
    repetition: int | None = None
    """From 1; None where the scenario is not repeated."""
    repetitions: int | None = None
    attempt: int = 1
    superseded: bool = False
    """A later attempt followed, which counts in its place."""
    seed: int | None = None
    delay: float | None = None
    """Seconds that its first fault was held back."""


@dataclass(frozen=True, slots=True)
class Length:
    """A measured duration, somewhere in [shortest, longest]; `at` is the best single value, inf unlimited."""

    shortest: float
    at: float
    longest: float


@dataclass(frozen=True, slots=True)
class Spread:
    """How a duration came out over the repetitions of a scenario; ranks are nearest ranks."""

    of: str
    """The probe's or the fault's name."""
    count: int
    """How many repetitions it is known of."""
    min: Length
    median: Length
    p90: Length
    max: Length
    worst: int
    """The repetition that has the greatest."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One repetition: what it drew, how it ended, and how it is played again alone."""

    repetition: int
    seed: int
    delay: float
    verdict: Verdict
    state: str
    command: str


@dataclass(frozen=True, slots=True)
class Repeated:
    """A scenario that ran several times, each time with its first fault delayed by another length."""

    name: str
    turns: tuple[Turn, ...]
    downtime: tuple[Spread, ...]
    """One a probe: all downtime of its worst series."""
    recovery: tuple[Spread, ...]
    """One a fault: from its injection to its full recovery."""
    worst: int | None
    """The repetition with the greatest downtime, else with the longest recovery; None where there is none."""


@dataclass(frozen=True, slots=True)
class Run:
    """A whole run."""

    run: str
    ftrun: str
    verdict: Verdict
    exit_code: int
    wall: float
    monotonic: float
    state: str
    """finished, interrupted, error, killed (the journal has no end)"""
    message: str
    argv: tuple[str, ...]
    seed: int
    machine: Mapping[str, Json]
    inventory: Mapping[str, Json]
    scenarios: tuple[Scenario, ...]
    options: Mapping[str, Json] = field(default_factory=dict)
    """What the command line chose, but for the files."""
    repeated: tuple[Repeated, ...] = ()
    judged_by: str | None = None
    """The file of other assertions by which it was judged again."""
