"""parallel: steps side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.clusters.fake.cluster import Fake
from runner.engine.execution import gravest
from runner.engine.injection import Withheld
from runner.errors import CannotRun, FtrunError, Unmet
from runner.journal import events
from tests.engine.staging import play


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_steps_run_at_once_and_all_end_before_it_does(tmp_path: Path) -> None:
    told = await play(
        """
        - parallel:
            - {pause: 10s}
            - block: [{pause: 5s}, {log: inner}]
            - {log: now, register: said}
        - log: "after {{ said.failed }}"
        """,
        tmp_path,
    )
    steps = {step.path: step for step in told.run.scenarios[0].steps}
    whole = steps["steps[0]"]
    assert whole.kind == "parallel"
    assert whole.end - whole.start == pytest.approx(10, abs=0.01)
    assert {path: step.state for path, step in steps.items()} == {
        "steps[0]": "ok",
        "steps[0].parallel[0]": "ok",
        "steps[0].parallel[1]": "ok",
        "steps[0].parallel[1].block[0]": "ok",
        "steps[0].parallel[1].block[1]": "ok",
        "steps[0].parallel[2]": "ok",
        "steps[1]": "ok",
    }
    assert [event.text for event in told.all(events.Said)] == ["now", "inner", "after False"]


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_an_error_does_not_keep_the_others_from_ending_and_a_rescue_takes_it(tmp_path: Path) -> None:
    told = await play(
        """
        - block:
            - parallel:
                - {http: {endpoint: service}}
                - {http: {endpoint: head}}
                - {pause: 10s}
          rescue:
            - log: rescued
        """,
        tmp_path,
    )
    states = told.states()
    assert states["steps[0].block[0].parallel[2]"] == "ok"
    assert states["steps[0].block[0]"] == "error"
    assert told.messages()["steps[0].block[0]"] == (
        "service refused the connection; head refused the connection."
    )
    assert [event.text for event in told.all(events.Said)] == ["rescued"]


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_its_timeout_cancels_all_of_them(tmp_path: Path) -> None:
    told = await play("- {timeout: 5s, parallel: [{pause: 1h}, {pause: 1s}, {pause: 2h}]}", tmp_path)
    states = told.states()
    assert [states[f"steps[0].parallel[{n}]"] for n in range(3)] == ["cancelled", "ok", "cancelled"]
    assert told.messages()["steps[0]"] == "It took longer than its timeout of 5s."


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_each_assertion_is_judged_and_a_false_one_keeps_its_weight(tmp_path: Path) -> None:
    told = await play(
        """
        - parallel:
            - assert: {name: right, that: 1 == 1}
            - assert: {name: wrong, that: 1 == 2}
        - pause: 1s
        """,
        tmp_path,
    )
    assert {each.name: each.verdict.value for each in told.run.scenarios[0].assertions} == {
        "right": "pass",
        "wrong": "fail",
    }
    assert told.states()["steps[1]"] == "ok"


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_faults_hit_together_however_long_one_takes_to_arm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    arm = Fake.arm

    async def slow(self: Fake, action: Any) -> Any:
        if action.kind == "actor":
            await asyncio.sleep(7)
        return await arm(self, action)

    monkeypatch.setattr(Fake, "arm", slow)
    told = await play(
        """
        - deploy:
        - parallel:
            - kill: {node: head}
              register: head
            - kill: {actor: replica}
              register: replica
            - kill: {node: {worker: 1}}
              when: 1 > 2
        - wait_for: {recovered: replica}
        - wait_for: {recovered: head}
        - assert: {that: "head.confirmed and replica.confirmed and head.fault != replica.fault"}
        """,
        tmp_path,
    )
    hits = [event.at for event in told.all(events.FaultInjected)]
    assert len(hits) == 2
    assert hits[0] == pytest.approx(hits[1], abs=0.001)
    assert told.run.exit_code == 0, told.messages()


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_fault_that_cannot_be_armed_holds_nobody_back(tmp_path: Path) -> None:
    told = await play(
        """
        - deploy:
        - parallel:
            - kill: {node: {worker: 1}}
            - kill: {actor: replica, app: nothing}
        """,
        tmp_path,
    )
    assert told.states()["steps[1].parallel[0]"] == "ok"
    assert told.states()["steps[1].parallel[1]"] == "error"
    assert "could hit" in told.messages()["steps[1]"]


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_asserts_behind_a_failed_parallel_are_judged_also_inside_of_one(tmp_path: Path) -> None:
    told = await play(
        """
        - deploy:
        - kill: {node: {worker: 1}}
        - http: {endpoint: nobody, timeout: 1s}
        - parallel:
            - assert: {name: still judged, that: 1 == 1}
            - pause: 1h
        """.replace("nobody", "worker-1"),
        tmp_path,
    )
    assert [(each.name, each.verdict.value) for each in told.run.scenarios[0].assertions] == [
        ("still judged", "pass")
    ]


def test_the_gravest_error_stands_for_all() -> None:
    unmet, error, withheld = Unmet("Nothing came."), CannotRun("It broke.", help="Mend it."), Withheld("No.")
    assert gravest([unmet]) is unmet
    assert type(gravest([unmet, Unmet("Nor this.")])) is Unmet
    both = gravest([unmet, error])
    assert (type(both), str(both)) == (FtrunError, "Nothing came; It broke.")
    assert isinstance(both, FtrunError)
    assert both.help == "Mend it."
    assert type(gravest([error, withheld])) is Withheld
    bug = KeyError("x")
    assert gravest([withheld, bug]) is bug
