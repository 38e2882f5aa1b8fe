"""Logs that waits listen to, and recoveries that are explained, through a run on a fake cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner.clusters.contract import Saying
from runner.clusters.fake.cluster import Fake
from runner.journal import events
from runner.timeline.run import Verdict
from tests.engine.staging import play

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def test_the_lines_that_a_scenario_waits_for_are_listened_for_before_its_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_to: list[tuple[float, str, str]] = []
    observe = Fake.observe

    async def listen(self: Fake, source: str, pattern: str) -> None:
        told_to.append((self.now(), source, pattern))

    async def observed(self: Fake) -> AsyncIterator[Saying]:
        async for saying in observe(self):
            yield saying
            if self.done:
                at, text = self.now(), "a line that was cut before it comes to the po"
                data = {"event": "line", "matches": ["point$"]}
                yield Saying(at, at, "controller", slot="head", text=text, data=data)

    monkeypatch.setattr(Fake, "listen", listen)
    monkeypatch.setattr(Fake, "observe", observed)
    told = await play(
        """
        - pause: 5s
        - deploy:
        - kill: {actor: controller}
          register: fault
        - wait_for: {log: {of: controller, matches: "point$"}, timeout: 10s}
        - wait_for: {log: {of: gcs, matches: "{{ fault.name }}"}, timeout: 1s}
          ignore_errors: true
        """,
        tmp_path,
    )
    first = next(event.t for event in told.events if isinstance(event, events.StepStart))
    zero = told.events[0].monotonic
    assert told_to[0][1:] == ("controller", "point$")
    assert told_to[0][0] - zero <= first
    assert ("gcs", "fault") in [each[1:] for each in told_to]
    assert told.states()["steps[3]"] == "ok"
    assert told.states()["steps[4]"] == "ignored"


async def test_a_run_tells_how_soon_each_phase_came_and_asserts_on_it(tmp_path: Path) -> None:
    told = await play(
        """
        - deploy:
        - probe: {start: all, steady: 2s}
        - kill: {node: head}
          register: fault
        - wait_for: {recovered: fault, timeout: 60s}
        - assert:
            - {name: soon good, recovery: {fault: fault, phase: mitigation, max: 30s}}
            - {name: too soon, recovery: {fault: fault, phase: mitigation, max: 1s}}
            - {name: noticed, recovery: {fault: fault, phase: detection, max: 30s}}
        """,
        tmp_path,
    )
    scenario = told.run.scenarios[0]
    (recovery,) = scenario.recoveries
    phases = {each.phase: each.after for each in recovery.phases}
    assert phases["impact"] is not None
    assert phases["mitigation"] is not None
    assert phases["recovery"] is not None
    assert phases["impact"].at < phases["mitigation"].at <= phases["recovery"].latest
    assert recovery.downtime["head"] == pytest.approx(phases["mitigation"].at, abs=0.1)
    assert {each.name: each.verdict for each in scenario.assertions} == {
        "soon good": Verdict.PASS,
        "too soon": Verdict.FAIL,
        "noticed": Verdict.PASS,
    }
    states = {each.name: [span.state for span in each.spans] for each in scenario.members}
    assert "dead" in states["head"]
    assert {each.probe for each in scenario.availability} == {"users", "workers", "head"}
