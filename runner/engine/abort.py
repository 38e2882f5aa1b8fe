"""Watches a probe while a scenario runs, and ends the scenario where that has gone too far (`abort_when`)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping
from typing import Any

from runner.journal.events import ClusterEvent, ProbeStart, ProbeSteady, StepEnd, StepStart
from runner.journal.samples import Recordings
from runner.language.plan import Abort
from runner.steps.stage import Stage
from runner.timeline.evidence import gather, timing
from runner.timeline.fold import deaf
from runner.timeline.live import Toll, lull, settled
from runner.timeline.run import Verdict
from runner.timeline.verdict import at_most
from runner.timeline.words import number, seconds

EVERY = 1.0
"""Seconds between two looks at the samples."""


async def exceeded(rule: Abort, stage: Stage) -> str:
    """Return once a limit is exceeded for certain, by the same evidence as the verdict; say by what."""
    watch = _Watch(stage)
    while True:
        await asyncio.sleep(EVERY)
        if rule.probe not in stage.scene.probes or _starting(rule.probe, stage):
            continue
        for start, spec, scope in _scopes(rule.probe, stage):
            for said in over(rule, str(spec["series"]), watch.look(start, spec, scope)):
                return said


class _Watch:
    """What the series have suffered; what can change no more is read and counted once."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._recordings = Recordings(stage.folder)
        self._counted: dict[str, tuple[int, Toll]] = {}
        """By sample file, the instant from which on its samples still count, and what those before it say."""

    def look(self, start: ProbeStart, spec: Mapping[str, Any], scope: float) -> Toll:
        """Count what a series has seen since its scope began (seconds since the run's zero)."""
        file, axis = str(spec["file"]), self._stage.axis.of(start.origin)
        begin = axis.instants(scope)
        if file not in self._counted and begin is not None:
            # What surely was sent since, where the prober reads another clock.
            self._counted[file] = begin[1], Toll()
        since, toll = self._counted.get(file, (0, Toll()))
        if not since:
            return toll
        samples = self._recordings.since(file, since)
        if samples is None or not len(samples.n):
            return toll
        rule = timing(samples.header)
        unheard = deaf(self._own(), axis) if spec.get("simulated") else ()
        seen = gather(samples, self._recordings.stalls(start.scenario, since, start.origin), unheard)
        # An outage is counted as one: what is over ends with a good sample.
        until = lull(seen, settled(samples))
        if until is not None:
            toll = toll.grown(seen.within(since, until), rule)
            since = until + 1
            self._counted[file] = since, toll
        return toll.grown(seen.within(since, int(samples.sent[-1])), rule)

    def _own(self) -> Iterator[ClusterEvent]:
        """Give what the scenario's cluster said."""
        for event in self._stage.journal.events:
            if isinstance(event, ClusterEvent) and event.scenario == self._stage.number:
                yield event


def over(rule: Abort, series: str, toll: Toll) -> Iterator[str]:
    """Say which limits a series has exceeded, whatever is not seen."""
    for limit, measured, say, noun in (
        (rule.longest, toll.longest, seconds, "longest downtime"),
        (rule.total, toll.total, seconds, "downtime in all"),
        (rule.failed, toll.failed, number, "failed requests"),
    ):
        if limit is not None and at_most(measured, limit) is Verdict.FAIL:
            yield (
                f"Aborted: {noun} of {rule.probe} ({series}) is {say(measured.lo)} or more, "
                f"and `abort_when` allows {say(limit)}."
            )


def _scopes(probe: str, stage: Stage) -> list[tuple[ProbeStart, Mapping[str, Any], float]]:
    """Give the series of each start of a probe, and when the scope of assertions on it began."""
    found: list[tuple[ProbeStart, float]] = []
    for event in stage.journal.events:
        match event:
            case ProbeStart() if event.scenario == stage.number and event.probe == probe:
                found.append((event, -math.inf))
            case ProbeSteady() if event.scenario == stage.number and event.probe == probe and found:
                found[-1] = found[-1][0], event.at
            case _:
                pass
    return [(start, spec, max(float(spec["t0"]), steady)) for start, steady in found for spec in start.series]


def _starting(probe: str, stage: Stage) -> bool:
    """Tell whether a step still waits for the probe to be steady: what fails until then does not count."""
    begun: dict[str, int] = {}
    started = -1
    for event in stage.journal.events:
        match event:
            case StepStart(step="probe") if event.scenario == stage.number:
                begun[event.path] = event.seq
            case StepEnd() if event.scenario == stage.number:
                begun.pop(event.path, None)
            case ProbeStart() if event.scenario == stage.number and event.probe == probe:
                started = event.seq
            case ProbeSteady() if event.scenario == stage.number and event.probe == probe:
                started = -1
            case _:
                pass
    return any(started > seq for seq in begun.values())
