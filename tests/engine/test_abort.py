"""A scenario is given up where a probe has seen enough (`abort_when`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.journal import events
from runner.journal.journal import pending
from runner.journal.samples import Recordings
from runner.timeline.run import Verdict
from tests.engine.staging import HEAD, Told, plan_of, play

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

STEPS = """
- deploy:
- probe: {start: head, steady: 2s}
- block:
    - kill: {node: head}
      register: fault
    - assert: [{name: reached, that: fault.confirmed}]
    - pause: 1h
  always:
    - log: tidied
- assert: [{name: not reached, probe: head, failed: {max: 0}}]
"""


async def played(folder: Path, rule: str, steps: str = STEPS) -> Told:
    return await play(plan_of(steps, head=HEAD.replace("steps:", f"abort_when: {rule}\nsteps:")), folder)


@pytest.mark.parametrize(
    ("rule", "least", "most"),
    [
        ("{probe: head, longest: 3s}", 3.0, 5.0),
        ("{probe: head, total: 2s}", 2.0, 4.0),
        ("{probe: head, failed: 20}", 1.0, 3.0),
    ],
)
async def test_a_limit_that_is_exceeded_fails_unwinds_and_heals(
    rule: str, least: float, most: float, tmp_path: Path
) -> None:
    told = await played(tmp_path, rule)
    (scenario,) = told.run.scenarios
    (aborted,) = told.all(events.Aborted)
    hit = scenario.faults[0].injected
    assert hit is not None
    assert least < aborted.t - hit < most
    assert (scenario.state, scenario.verdict, told.run.exit_code) == ("aborted", Verdict.FAIL, 1)
    assert scenario.message == aborted.text
    assert "`abort_when` allows" in aborted.text
    assert {each.name: each.verdict.value for each in scenario.assertions} == {
        "reached": "pass",
        "not reached": "unknown",
    }
    assert [each.text for each in told.all(events.Said)] == ["tidied"]
    assert scenario.end - aborted.t < 10
    assert not pending(told.events)


async def test_a_limit_that_is_kept_lets_it_run(tmp_path: Path) -> None:
    told = await played(tmp_path, "{probe: head, longest: 8s}", STEPS.replace("1h", "30s"))
    assert told.run.scenarios[0].state == "finished"
    assert not told.all(events.Aborted)


async def test_what_fails_before_the_probe_is_steady_does_not_count(tmp_path: Path) -> None:
    # Nothing serves yet: the probe waits for it.
    told = await played(
        tmp_path,
        "{probe: users, failed: 0}",
        """
        - {deploy: {wait: null}, background: true}
        - probe: {start: users, steady: 2s}
        - assert: [{name: served, probe: users, failed: {max: 0}}]
        """,
    )
    assert told.run.scenarios[0].probes[0].series[0].scope[0] > 3.0
    assert told.run.scenarios[0].state == "finished"
    assert not told.all(events.Aborted)


async def test_a_limit_is_watched_at_the_same_cost_after_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def since(self: Recordings, file: str, at: int):
        samples = whole(self, file, at)
        read.append(0 if samples is None else len(samples.n))
        return samples

    whole = Recordings.since
    monkeypatch.setattr(Recordings, "since", since)
    # Two outages of 5 s, and half a minute between them: neither is too long, both together are.
    told = await played(
        tmp_path,
        "{probe: head, longest: 8s, total: 8s}",
        """
        - deploy:
        - probe: {start: head, steady: 2s}
        - pause: 100s
        - kill: {node: head}
        - pause: 30s
        - kill: {node: head}
        - pause: 30s
        """,
    )
    (aborted,) = told.all(events.Aborted)
    assert "downtime in all of head (head/new) is 8." in aborted.text
    assert len(read) > 130
    # 20 requests a second: while all is well, a timeout of 2 s and 5 s beyond it, and what an outage takes.
    assert max(read) < 20 * 14
