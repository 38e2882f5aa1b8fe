"""Watches a probe while a scenario runs, and ends the scenario where that has gone too far (`abort_when`)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from runner.journal.events import ProbeStart, ProbeSteady, StepEnd, StepStart
from runner.journal.samples import Recordings
from runner.language.plan import Abort
from runner.steps.stage import Stage
from runner.timeline.fold import tracks
from runner.timeline.run import Verdict
from runner.timeline.series import Track
from runner.timeline.verdict import at_most
from runner.timeline.words import number, seconds

EVERY = 1.0
"""Seconds between two looks at the samples."""


async def exceeded(rule: Abort, stage: Stage) -> str:
    """Return once a limit is exceeded for certain, by the same evidence as the verdict; say by what."""
    recordings = Recordings(stage.folder)
    while True:
        await asyncio.sleep(EVERY)
        if rule.probe not in stage.scene.probes or _starting(rule.probe, stage):
            continue
        for track in tracks(stage.journal.events, recordings, stage.number, rule.probe):
            for said in over(rule, track):
                return said


def over(rule: Abort, track: Track) -> Iterator[str]:
    """Say which limits a series has exceeded, whatever is not seen."""
    analysis = track.analyse(track.scope)
    if analysis is None:
        return
    for limit, measured, say, noun in (
        (rule.longest, analysis.longest, seconds, "longest downtime"),
        (rule.total, analysis.total, seconds, "downtime in all"),
        (rule.failed, analysis.failed, number, "failed requests"),
    ):
        if limit is not None and at_most(measured, limit) is Verdict.FAIL:
            yield (
                f"Aborted: {noun} of {rule.probe} ({track.name}) is {say(measured.lo)} or more, "
                f"and `abort_when` allows {say(limit)}."
            )


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
