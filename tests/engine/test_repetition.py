"""Repetitions, their delays and seeds, and what is run again because it came out unknown."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.clusters.fake.cluster import Fake
from runner.engine.repetition import LONGEST, of_scenario
from runner.engine.run import perform
from runner.journal import events
from runner.timeline.run import Run, Verdict
from tests.engine.staging import HEAD, Told, plan_of

KILLED = """
- deploy:
- probe: {start: all, steady: 2s}
- kill: {node: head}
  register: fault
- wait_for: {recovered: fault, timeout: 60s}
- assert: [{name: workers serve, probe: workers, failed: {max: 0}}]
"""
REPEATED = HEAD.replace("steps:", 'repeat: "{{ times }}"\nvars: {times: 3}\nsteps:')
(SCENARIO,) = plan_of(KILLED, head=REPEATED).scenarios


async def played(folder: Path, text: str = KILLED, *, head: str = HEAD, retry: int = 0, **more) -> Told:
    run = folder / "run"
    run.mkdir()
    await perform(replace(plan_of(text, head=head), **more), run, retry_unknown=retry)
    return Told(run)


@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_any_repetition_is_played_again_alone_by_its_own_seed(seed: int, times: int) -> None:
    turns = of_scenario(replace(SCENARIO, repeat=times), seed)
    assert [turn.repetition for turn in turns] == list(range(1, times + 1))
    assert turns[0].seed == seed
    for turn in turns:
        (alone,) = of_scenario(replace(SCENARIO, repeat=1), turn.seed)
        assert (alone.seed, alone.delay) == (turn.seed, turn.delay)
        assert alone.draw().random() == turn.draw().random()
        assert turn.delay is not None
        assert 0 <= turn.delay < LONGEST


def test_delays_are_spread_evenly() -> None:
    delays = [turn.delay or 0.0 for turn in of_scenario(replace(SCENARIO, repeat=1000), 1)]
    counts = [sum(math.floor(delay) == second for delay in delays) for second in range(10)]
    assert min(counts) > 60
    assert max(counts) < 140


@pytest.mark.looptime
async def test_a_repeated_scenario_delays_its_fault_each_time_on_one_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Fake] = []
    start = Fake.start

    async def counted(self: Fake) -> None:
        started.append(self)
        await start(self)

    monkeypatch.setattr(Fake, "start", counted)
    told = await played(tmp_path, head=REPEATED)
    begun = told.all(events.ScenarioStart)
    assert [(each.scenario, each.repetition, each.repetitions) for each in begun] == [
        (0, 1, 3), (1, 2, 3), (2, 3, 3),
    ]  # fmt: skip
    assert len(started) == 1
    assert len({each.delay for each in begun}) == 3
    steps = {(event.scenario, event.path): event.t for event in told.all(events.StepStart)}
    for each, intent in zip(begun, told.all(events.FaultIntent), strict=True):
        assert intent.t - steps[each.scenario, "steps[2]"] == pytest.approx(each.delay, abs=0.1)
    run = told.run
    assert run.exit_code == 0
    assert len({each.assertions[0].case for each in run.scenarios}) == 1
    (found,) = run.repeated
    assert [turn.seed for turn in found.turns] == [each.seed for each in begun]
    head = next(each for each in found.downtime if each.of == "head")
    assert head.min.shortest <= 5.0 <= head.max.longest
    assert found.recovery[0].count == 3


@pytest.mark.looptime
async def test_only_the_first_fault_is_delayed_and_a_scenario_that_is_not_repeated_has_no_delay(
    tmp_path: Path,
) -> None:
    text = """
    - deploy:
    - kill: {node: {worker: 1}}
    - kill: {node: {worker: 2}}
    """
    told = await played(tmp_path, text, head=REPEATED.replace("times: 3", "times: 1"))
    ends = {event.path: event.t for event in told.all(events.StepEnd)}
    begun = {event.path: event.t for event in told.all(events.StepStart)}
    delay = told.all(events.ScenarioStart)[0].delay
    assert delay is not None
    assert delay <= ends["steps[1]"] - begun["steps[1]"] < delay + 0.3
    assert ends["steps[2]"] - begun["steps[2]"] < 0.3
    (again := tmp_path / "again").mkdir()
    plain = await played(again, text)
    assert plain.all(events.ScenarioStart)[0].delay is None
    assert plain.run.repeated == ()
    assert plain.all(events.FaultIntent)[0].t - plain.all(events.StepStart)[1].t < 1.0


UNKNOWN_AT_FIRST = """
- deploy:
- exec: flaky
  register: flaky
  ignore_errors: true
- assert: [{name: claim, that: "true if not flaky.failed else none"}]
"""


def flaky(monkeypatch: pytest.MonkeyPatch, bad: int) -> list[str]:
    """Let the command fail so many times; give the commands as they were run."""
    from runner.clusters.contract import Completed

    ran: list[str] = []

    async def run(self: Fake, command: str, *, where: str = "here", timeout: float = 60.0) -> Completed:
        ran.append(command)
        return Completed(int(len(ran) <= bad), "", "")

    monkeypatch.setattr(Fake, "exec", run)
    return ran


def attempts(run: Run) -> list[tuple[int, str, bool]]:
    return [(each.attempt, each.verdict.value, each.superseded) for each in run.scenarios]


@pytest.mark.looptime
async def test_what_came_out_unknown_is_run_again_and_the_last_attempt_is_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flaky(monkeypatch, 1)
    told = await played(tmp_path, UNKNOWN_AT_FIRST, retry=3)
    assert attempts(told.run) == [(1, "unknown", True), (2, "pass", False)]
    assert (told.run.verdict, told.run.exit_code) == (Verdict.PASS, 0)
    assert len({each.seed for each in told.all(events.ScenarioStart)}) == 1


@pytest.mark.looptime
async def test_it_is_run_again_no_more_often_than_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = flaky(monkeypatch, 9)
    told = await played(tmp_path, UNKNOWN_AT_FIRST, retry=2)
    assert attempts(told.run) == [(1, "unknown", True), (2, "unknown", True), (3, "unknown", False)]
    assert len(ran) == 3
    assert told.run.exit_code == 3


@pytest.mark.looptime
async def test_what_failed_or_was_skipped_is_not_run_again(tmp_path: Path) -> None:
    told = await played(tmp_path, "\n- assert: [{name: claim, that: 1 > 2}]", retry=3)
    assert attempts(told.run) == [(1, "fail", False)]
    (again := tmp_path / "again").mkdir()
    head = HEAD.replace("steps:", "requires: [redis]\ncluster: {gcs_fault_tolerance: none}\nsteps:")
    told = await played(again, "\n- assert: [{name: claim, that: 1 > 2}]", head=head, retry=3)
    assert [(each.state, each.attempt) for each in told.run.scenarios] == [("skipped", 1)]


@pytest.mark.looptime
async def test_a_cluster_that_does_not_come_up_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runner.errors import CannotRun

    start, tries = Fake.start, iter((True, False))

    async def reluctant(self: Fake) -> None:
        if next(tries):
            raise CannotRun("The head did not come up.")
        await start(self)

    monkeypatch.setattr(Fake, "start", reluctant)
    told = await played(tmp_path, "\n- assert: [{name: claim, that: 1 < 2}]", retry=1)
    assert [each.state for each in told.run.scenarios] == ["error", "finished"]
    assert told.run.exit_code == 0


@pytest.mark.looptime
async def test_each_repetition_has_its_own_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flaky(monkeypatch, 1)
    told = await played(tmp_path, UNKNOWN_AT_FIRST, head=REPEATED, retry=1)
    found = [(each.repetition, each.attempt, each.superseded) for each in told.run.scenarios]
    assert found == [(1, 1, True), (1, 2, False), (2, 1, False), (3, 1, False)]
    assert [turn.repetition for turn in told.run.repeated[0].turns] == [1, 2, 3]
