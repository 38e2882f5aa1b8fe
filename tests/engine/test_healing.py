"""Faults that last: healed in time, by a step, or when the scenario ends; never recovered from before that."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from runner.clusters.contract import Undo
from runner.clusters.fake.cluster import Fake
from runner.errors import ClusterError, InvalidInput
from runner.journal import events
from runner.journal.journal import pending
from runner.timeline.run import Verdict
from tests.engine.staging import Told, plan_of, play

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

BEGUN = """
- deploy:
- probe: {start: all, steady: 2s}
"""


def instants(told: Told) -> tuple[float, float | None, float | None]:
    """Give when the only fault was injected, healed, recovered."""
    (fault,) = told.run.scenarios[0].faults
    assert fault.confirmed
    assert fault.injected is not None
    return fault.injected, fault.healed, fault.recovered


def undone(told: Told, act: str) -> list[events.UndoDone]:
    """Give how often what undoes this kind of act was carried out."""
    numbers = {event.undo for event in told.all(events.UndoPushed) if event.act == act}
    return [event for event in told.all(events.UndoDone) if event.undo in numbers]


@pytest.mark.parametrize(
    ("fault", "act"),
    [
        ("partition: {node: {worker: 1}, for: 8s}", "link_up"),
        ("partition: {node: head, for: 8s}", "link_up"),
        ("freeze: {node: {worker: 2}, for: 8s}", "thaw"),
        ("freeze: {node: {worker: 1}, process: raylet, for: 8s}", "thaw"),
        ("freeze: {process: gcs_server, for: 8s}", "thaw"),
        ("freeze: {actor: replica, mode: all, for: 8s}", "thaw"),
        ("freeze: {actor: controller, for: 8s}", "thaw"),
        ("freeze: {actor: proxy, node: {worker: 1}, for: 8s}", "thaw"),
    ],
)
async def test_what_lasts_is_healed_in_time_and_the_step_does_not_wait(
    fault: str, act: str, tmp_path: Path
) -> None:
    told = await play(
        BEGUN + f"- {fault}\n  register: fault\n- log: on it goes\n- wait_for: {{recovered: fault}}\n"
        "- assert: [{name: short, recovery: {fault: fault, max: 12s}}]\n",
        tmp_path,
    )
    injected, healed, recovered = instants(told)
    assert healed == pytest.approx(injected + 8, abs=0.001)
    assert recovered is not None
    assert healed <= recovered < healed + 3
    (step,) = [event for event in told.all(events.StepEnd) if event.path == "steps[3]"]
    assert step.t < injected + 1
    assert [event.error for event in undone(told, act)] == [None]
    assert told.run.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("fault", "act"),
    [
        ("partition: {node: {worker: 1}}", "link_up"),
        ("freeze: {node: head}", "thaw"),
        ("kill: {node: {worker: 1}, how: power_off}", "start_node"),
        ("kill: {service: redis, how: power_off}", "start_service"),
    ],
)
async def test_a_step_heals_once_and_again_is_no_error(fault: str, act: str, tmp_path: Path) -> None:
    told = await play(
        BEGUN
        + f"- {fault}\n  register: fault\n- pause: 10s\n- heal: fault\n  register: healed\n- heal: fault\n"
        '- assert: [{name: healed, that: "healed.healed > fault.injected + 9"}]\n'
        "- wait_for: {recovered: fault}\n",
        tmp_path,
    )
    injected, healed, recovered = instants(told)
    assert healed == pytest.approx(injected + 10, abs=0.1)
    assert recovered is not None
    assert recovered > healed
    assert [event.error for event in undone(told, act)] == [None]
    assert len(told.all(events.FaultHealed)) == 1
    assert told.run.verdict is Verdict.PASS


@pytest.mark.parametrize(
    "fault",
    [
        "partition: {node: {worker: 1}}",
        "freeze: {node: {worker: 1}, process: raylet}",  # the fake serves on without it, and all looks well
        "kill: {service: redis, how: power_off}",
    ],
)
async def test_nothing_recovers_from_what_lasts(fault: str, tmp_path: Path) -> None:
    told = await play(
        BEGUN + f"- {fault}\n  register: fault\n- wait_for: {{recovered: fault, timeout: 30s}}\n", tmp_path
    )
    injected, healed, recovered = instants(told)
    assert recovered is None
    assert "fault lasts: it was not healed yet" in told.messages()["steps[3]"]
    # The unwinding heals it, after the probes have ended.
    assert healed is not None
    assert healed >= injected + 30
    assert not pending(told.events)
    assert told.run.verdict is Verdict.FAIL


async def test_what_was_seen_while_it_lasted_is_no_recovery(tmp_path: Path) -> None:
    told = await play(
        BEGUN + "- freeze: {process: raylet, for: 20s}\n  register: fault\n- wait_for: {recovered: fault}\n",
        tmp_path,
    )
    _, healed, recovered = instants(told)
    assert healed is not None
    assert recovered is not None
    # All was well all along: but what is asked since the healing, and a second of good answers since, count.
    assert recovered >= healed + 1


async def test_the_end_of_the_scenario_comes_before_the_time_to_heal(tmp_path: Path) -> None:
    told = await play(BEGUN + "- partition: {node: {worker: 1}, for: 10m}\n  register: fault\n", tmp_path)
    injected, healed, _ = instants(told)
    assert healed is not None
    assert healed < injected + 10
    assert told.all(events.ScenarioEnd)[0].t < injected + 60
    assert [event.error for event in undone(told, "link_up")] == [None]
    assert told.run.scenarios[0].state == "finished"


async def test_an_interrupted_run_heals(tmp_path: Path) -> None:
    asyncio.get_running_loop().call_later(20, os.kill, os.getpid(), signal.SIGINT)
    told = await play(
        BEGUN + "- partition: {node: {worker: 1}, for: 10m}\n  register: fault\n- pause: 1h\n", tmp_path
    )
    assert told.run.state == "interrupted"
    _, healed, _ = instants(told)
    assert healed is not None
    assert [event.error for event in undone(told, "link_up")] == [None]
    assert not pending(told.events)


async def test_an_undo_that_is_under_way_when_the_run_is_interrupted_is_done_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undo = Fake.undo
    begun = 0

    async def slow(self: Fake, what: Undo) -> float:
        nonlocal begun
        begun += what.kind == "link_up"
        await asyncio.sleep(5)
        return await undo(self, what)

    monkeypatch.setattr(Fake, "undo", slow)
    told = await play(
        """
        - deploy:
        - partition: {node: head, for: 8s}
          register: fault
        - {pause: 9s, timeout: 9s}
        """,
        tmp_path,
    )
    _, healed, _ = instants(told)
    assert begun == 1
    assert healed is not None
    assert [event.error for event in undone(told, "link_up")] == [None]


async def test_an_undo_that_failed_in_time_is_tried_again_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undo = Fake.undo
    tries = 0

    async def fails_first(self: Fake, what: Undo) -> float:
        nonlocal tries
        tries += what.kind == "link_up"
        if what.kind == "link_up" and tries == 1:
            raise ClusterError("The link is stuck.")
        return await undo(self, what)

    monkeypatch.setattr(Fake, "undo", fails_first)
    told = await play(
        BEGUN + "- partition: {node: head}\n  register: fault\n- pause: 3s\n- heal: fault\n", tmp_path
    )
    assert "Could not join head to the network: The link is stuck." in told.messages()["steps[4]"]
    assert told.states()["steps[4]"] == "error"
    assert [event.error for event in undone(told, "link_up")] == ["The link is stuck.", None]
    assert len(told.all(events.FaultHealed)) == 1


async def test_each_of_several_links_is_joined_before_the_fault_is_healed(tmp_path: Path) -> None:
    told = await play(
        BEGUN
        + "- partition: {node: {worker: all}, for: 5s}\n  register: fault\n- wait_for: {recovered: fault}\n",
        tmp_path,
    )
    done = undone(told, "link_up")
    assert len(done) == 2
    (healed,) = told.all(events.FaultHealed)
    assert healed.seq > max(event.seq for event in done)


async def test_a_node_that_is_started_again_is_cut_off_still(tmp_path: Path) -> None:
    told = await play(
        BEGUN
        + "- partition: {node: {worker: 1}}\n  register: cut\n- kill: {node: {worker: 1}}\n  register: dead\n"
        "- pause: 20s\n- heal: cut\n- wait_for: {recovered: dead}\n- wait_for: {recovered: cut}\n",
        tmp_path,
    )
    cut, dead = told.run.scenarios[0].faults
    assert cut.injected is not None
    assert cut.healed == pytest.approx(cut.injected + 20, abs=0.5)
    assert dead.healed is not None
    assert dead.healed < cut.healed
    assert cut.recovered is not None
    assert cut.recovered >= cut.healed


async def test_a_process_takes_its_node_along_which_comes_back_as_another(tmp_path: Path) -> None:
    told = await play(
        BEGUN
        + "- kill: {process: raylet, node: {worker: 1}}\n  register: fault\n- wait_for: {recovered: fault}\n"
        "- assert: [{name: one more start, state: '$.processes[?(@.slot==\"worker-1\")].starts', equals: 2}]\n",
        tmp_path,
    )
    injected, healed, recovered = instants(told)
    assert healed is not None
    assert recovered is not None
    assert injected + 5 <= healed <= recovered
    assert told.run.verdict is Verdict.PASS


async def test_a_drained_node_has_recovered_only_as_another(tmp_path: Path) -> None:
    told = await play(
        BEGUN
        + "- drain: {node: {worker: 1}, deadline: 20s}\n  register: fault\n- wait_for: {recovered: fault}\n"
        "- assert: [{name: slow, recovery: {fault: fault, max: 40s}}]\n",
        tmp_path,
    )
    injected, healed, recovered = instants(told)
    assert healed is not None
    assert recovered is not None
    assert injected + 25 <= healed <= recovered


async def test_a_head_that_has_lost_its_redis_has_not_recovered_because_redis_is_back(tmp_path: Path) -> None:
    told = await play(
        BEGUN + "- kill: {service: redis}\n  register: fault\n- wait_for: {recovered: fault}\n", tmp_path
    )
    injected, healed, recovered = instants(told)
    assert healed is not None
    assert recovered is not None
    assert injected + 5 <= healed < injected + 6
    # The fake's head gets along without: that is known once it could have ended.
    assert recovered == pytest.approx(injected + 15, abs=0.5)


async def test_there_is_nothing_to_heal_where_nothing_was_injected(tmp_path: Path) -> None:
    told = await play(
        "- deploy:\n- kill: {node: head}\n  register: fault\n  when: false\n- heal: fault\n", tmp_path
    )
    assert 'No fault "fault" was injected' in told.messages()["steps[2]"]


async def test_what_is_no_fault_is_found_before_the_run() -> None:
    with pytest.raises(InvalidInput) as caught:
        plan_of("- deploy:\n- kill: {node: head}\n  register: fault\n- heal: folt\n")
    (problem,) = caught.value.problems
    assert problem.code == "unknown-fault"
    assert "`fault`" in str(problem.help)
    with pytest.raises(InvalidInput, match="unknown-fault"):
        plan_of("- heal: fault\n")


async def test_actors_are_hit_as_many_as_the_mode_says(tmp_path: Path) -> None:
    told = await play(
        "- deploy: {set: {}}\n- kill: {actor: replica, mode: {fixed: 2}}\n  register: two\n"
        "- pause: 5s\n- kill: {actor: replica, mode: {percent: 50}}\n  register: half\n",
        tmp_path,
    )
    assert [len(event.hits) for event in told.all(events.FaultIntent)] == [2, 1]
