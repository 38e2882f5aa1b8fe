"""A run from end to end on a fake cluster, its rules before and after the first fault, its signals."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import signal
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import replace
from pathlib import Path

import pytest

from runner import clock
from runner.clusters.contract import Action, Armed, Completed, Facts, Prober, Saying
from runner.clusters.fake.cluster import Fake
from runner.clusters.fake.prober import ScriptedProber
from runner.clusters.fake.world import Replica, World
from runner.errors import CannotRun, InvalidInput, Lost, Unreachable
from runner.journal import events
from runner.journal.journal import Journal, pending
from runner.language.plan import Application
from runner.timeline.run import Verdict
from tests.engine.staging import HEAD, plan_of, play

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

KILLED = """
- deploy:
- probe: {start: all, steady: 2s}
- kill: {node: head}
  register: fault
- wait_for: {recovered: fault, timeout: 60s}
- assert:
    - {name: workers serve, probe: workers, failed: {max: 0}}
    - {name: same, probe: users, same_identities: fault}
    - {name: head was down, probe: head, longest: {min: 1s}}
"""


async def test_a_head_is_killed_and_all_is_judged(tmp_path: Path) -> None:
    told = await play(KILLED, tmp_path)
    assert told.run.verdict is Verdict.PASS
    assert told.run.exit_code == 0
    (fault,) = told.run.scenarios[0].faults
    assert fault.confirmed
    assert fault.injected is not None
    assert fault.healed is not None
    assert fault.recovered is not None
    assert fault.injected < fault.healed <= fault.recovered
    assert told.run.scenarios[0].state == "finished"
    assert not pending(told.events)
    assert len(told.all(events.ProbeStop)) == 3


async def test_what_somebody_else_takes_away_ends_the_scenario_and_is_no_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe = Fake.observe

    async def taken(self: Fake) -> AsyncIterator[Saying]:
        began = asyncio.get_running_loop().time()
        async for saying in observe(self):
            yield saying
            if self.world.replicas and asyncio.get_running_loop().time() > began + 20:
                raise Lost("Somebody else deleted it.", help="Ask around.")

    monkeypatch.setattr(Fake, "observe", taken)
    text = """
        - deploy:
        - probe: {start: all, steady: 2s}
        - block:
            - kill: {node: head}
              register: fault
            - wait_for: {members: {workers: 9}, timeout: 300s}
          always:
            - log: tidied
        - assert: [{name: workers serve, probe: workers, failed: {max: 0}}]
        """
    told = await play(text, tmp_path)
    assert (told.run.verdict, told.run.exit_code) == (Verdict.UNKNOWN, 3)
    scenario = told.run.scenarios[0]
    assert (scenario.state, scenario.message) == ("error", "Somebody else deleted it. Ask around.")
    assert len(told.all(events.ProbeStop)) == 3
    assert not pending(told.events)


async def test_the_intent_and_the_undo_stand_in_the_journal_before_the_act(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strike = Fake.strike
    before: list[str] = []

    def struck(self: Fake, action: Action, replicas: list[Replica], at: float) -> None:
        assert not before
        before.extend((tmp_path / "run" / "journal.jsonl").read_text().splitlines())
        strike(self, action, replicas, at)

    monkeypatch.setattr(Fake, "strike", struck)
    told = await play(KILLED, tmp_path)
    assert any('"act":"start_node"' in line for line in before)
    assert any('"kind":"fault_intent"' in line and '"slot":"head"' in line for line in before)
    assert not any('"kind":"fault_injected"' in line for line in before)
    assert [event.kind for event in told.events if event.kind.startswith("fault")] == [
        "fault_intent", "fault_injected", "fault_confirmed", "fault_healed", "fault_recovered",
    ]  # fmt: skip


async def test_a_false_assert_before_the_fault_withholds_it_and_fails(tmp_path: Path) -> None:
    told = await play(
        """
        - deploy:
        - {block: [{probe: {start: head, steady: 1s}}, {pause: 1s}]}
        - assert: [{name: wrong, probe: head, count: {min: 1}}]
        - kill: {node: head}
          register: fault
        - assert: [{name: later, probe: head, failed: {max: 0}}]
        """,
        tmp_path,
    )
    assert told.states()["steps[2]"] == "failed"
    assert told.states()["steps[3]"] == "withheld"
    assert not told.all(events.FaultIntent)
    assert told.run.exit_code == 1
    assert {each.name: each.verdict for each in told.run.scenarios[0].assertions} == {
        "wrong": Verdict.FAIL,
        "later": Verdict.UNKNOWN,
    }


@pytest.mark.parametrize(
    "step",
    [
        "- wait_for: {members: {workers: 9}, timeout: 3s}",
        "- probe: {start: head, steady: 1h, timeout: 3s}",
        "- {deploy: {set: {D: {max_ongoing_requests: 3}}, wait: 1ms}}",
    ],
)
async def test_an_unmet_wait_before_the_fault_withholds_it_and_proves_nothing(
    step: str, tmp_path: Path
) -> None:
    text = f"""
- deploy:
- block:
    {step}
  rescue:
    - log: rescued
- kill: {{node: head}}
"""
    told = await play(text, tmp_path)
    assert told.states()["steps[1].block[0]"] == "unmet"
    assert told.states()["steps[2]"] == "withheld"
    assert not told.all(events.FaultIntent)
    assert told.run.exit_code == 3


async def test_a_false_assert_after_a_fault_is_a_verdict_and_the_run_goes_on(tmp_path: Path) -> None:
    told = await play(
        """
        - deploy:
        - probe: {start: head, steady: 1s}
        - kill: {node: head}
          register: fault
        - wait_for: {recovered: fault}
        - block:
            - assert: [{name: wrong, probe: head, failed: {max: 0}}]
            - log: it goes on
          rescue:
            - log: not for verdicts
        """,
        tmp_path,
    )
    assert told.states()["steps[4].block[0]"] == "failed"
    assert told.states()["steps[4].block[1]"] == "ok"
    assert "steps[4].rescue[0]" not in told.states()
    assert told.run.scenarios[0].state == "finished"
    assert told.run.exit_code == 1


async def test_an_unmet_wait_after_a_fault_fails_and_the_asserts_of_its_block_are_judged(
    tmp_path: Path,
) -> None:
    told = await play(
        """
        - deploy:
        - probe: {start: workers, steady: 1s}
        - kill: {node: head}
          register: fault
        - wait_for: {members: {workers: 9}, timeout: 3s}
        - log: not any more
        - assert: [{name: still judged, probe: workers, failed: {max: 0}}]
        """,
        tmp_path,
    )
    assert told.states()["steps[3]"] == "unmet"
    assert "steps[4]" not in told.states()
    assert told.states()["steps[5]"] == "ok"
    assert told.run.scenarios[0].assertions[0].verdict is Verdict.PASS
    assert told.run.exit_code == 1
    (wait,) = [event for event in told.all(events.WaitEnd) if not event.met]
    assert wait.after_fault
    assert wait.mismatch == "nobody could say how many workers there are"


async def test_a_wait_counts_only_what_was_asked_after_the_fault(tmp_path: Path) -> None:
    told = await play(
        """
        - deploy:
        - kill: {node: worker-1}
        """.replace("worker-1", "{worker: 1}")
        + """
        - wait_for: {app: RUNNING, timeout: 30s}
        """,
        tmp_path,
    )
    injected = told.all(events.FaultInjected)[0].at
    wait = told.all(events.WaitEnd)[-1]
    assert wait.met
    deciding = [event for event in told.all(events.Observation) if event.seq < wait.seq][-1]
    assert deciding.asked >= injected


async def test_what_was_good_before_a_fault_is_no_recovery_from_it(tmp_path: Path) -> None:
    told = await play(
        """
        - deploy:
        - probe: {start: head, steady: 5s}
        - kill: {command: break_it}
          register: fault
        - wait_for: {recovered: fault}
        """,
        tmp_path,
    )
    (fault,) = told.run.scenarios[0].faults
    assert fault.injected is not None
    assert fault.recovered is not None
    (start,) = told.all(events.ProbeStart)
    assert fault.recovered - fault.injected >= start.series[0]["recover_after"]


async def test_a_wait_cut_short_by_its_steps_timeout_is_unmet_too(tmp_path: Path) -> None:
    told = await play(
        """
        - deploy:
        - kill: {node: head}
        - {wait_for: {members: {workers: 9}}, timeout: 3s}
        """,
        tmp_path,
    )
    assert told.states()["steps[2]"] == "unmet"
    assert told.run.exit_code == 1


async def test_a_prober_that_is_gone_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probers: list[ScriptedProber] = []
    make = Fake.prober

    async def kept(self: Fake, program: Path, directory: Path, _away: Collection[str] = ()) -> Prober:
        probers.append(await make(self, program, directory))  # type: ignore[arg-type]
        return probers[-1]

    def end(event: events.Event) -> None:
        if isinstance(event, events.ProbeSteady):
            probers[0]._said.put_nowait(None)

    monkeypatch.setattr(Fake, "prober", kept)
    told = await play("- deploy:\n- probe: {start: head, steady: 1s}\n- pause: 5s\n", tmp_path, hear=[end])
    assert any("The prober is gone" in event.text for event in told.all(events.Said))


async def test_the_first_signal_unwinds_and_says_interrupted(tmp_path: Path) -> None:
    def stop(event: events.Event) -> None:
        if isinstance(event, events.FaultConfirmed):
            os.kill(os.getpid(), signal.SIGINT)

    told = await play(KILLED, tmp_path, hear=[stop])
    assert told.run.exit_code == 2
    assert told.all(events.Interrupt)[0].signal == "SIGINT"
    assert told.states()["steps[2]"] in ("ok", "cancelled")
    assert not pending(told.events)
    assert len(told.all(events.ProbeStop)) == 3
    assert told.all(events.RunEnd)[0].state == "interrupted"


@pytest.mark.parametrize("always", ["exec: 'false'", "pause: 1h", "assert: [{that: 1 > 2}]"])
async def test_what_fails_in_always_does_not_hide_the_signal(
    always: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(self: Fake, command: str, **_: object) -> Completed:
        return Completed(1, "", "")

    def stop(event: events.Event) -> None:
        if isinstance(event, events.StepStart) and event.path == "steps[0].block[0]":
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Fake, "exec", failing)
    block = f"- {{block: [{{pause: 1h}}], always: [{{{always}}}]}}"
    told = await play(plan_of(block, more=["- log: not reached"]), tmp_path, hear=[stop])
    assert told.states()["steps[0].block[0]"] == "cancelled"
    assert told.run.exit_code == 2
    assert len(told.all(events.ScenarioStart)) == 1


async def test_the_second_signal_leaves_at_once(tmp_path: Path) -> None:
    left: list[bool] = []

    def stop(event: events.Event) -> None:
        if isinstance(event, events.FaultConfirmed | events.Interrupt):
            os.kill(os.getpid(), signal.SIGTERM)

    from runner.engine.run import perform

    run = tmp_path / "run"
    run.mkdir()
    await perform(plan_of(KILLED), run, hear=[stop], leave=lambda: left.append(True))
    assert left == [True]


async def test_background_steps_end_with_the_scenario_and_may_be_waited_for(tmp_path: Path) -> None:
    told = await play(
        """
        - {pause: 5s, background: true, register: job}
        - {pause: 1h, background: true, register: other}
        - wait_for: {job: job, timeout: 10s}
        """,
        tmp_path,
    )
    assert told.states() == {"steps[0]": "ok", "steps[1]": "cancelled", "steps[2]": "ok"}


@pytest.mark.parametrize(("ignore", "exit_code"), [("false", 3), ("true", 0)])
async def test_an_error_in_the_background_is_not_lost(ignore: str, exit_code: int, tmp_path: Path) -> None:
    told = await play(
        f"""
        - deploy:
        - kill: {{node: {{worker: 9}}}}
          background: true
          register: second
          ignore_errors: {ignore}
        - pause: 1s
        - assert: [{{name: fine, that: 1 < 2}}]
        """,
        tmp_path,
    )
    assert told.run.exit_code == exit_code
    assert ("The background step second failed" in told.run.scenarios[0].message) == (exit_code == 3)


async def test_background_steps_of_one_name_all_end_with_the_scenario(tmp_path: Path) -> None:
    told = await play(
        """
        - block: [{pause: 1h, background: true, register: job}]
          loop: [1, 2]
        - pause: 1s
        """,
        tmp_path,
    )
    assert told.states()["steps[0]#1.block[0]"] == told.states()["steps[0]#2.block[0]"] == "cancelled"
    assert told.run.scenarios[0].end < 60


@pytest.mark.parametrize("silent", [3, 10_000])
async def test_who_is_too_busy_to_answer_is_asked_again_before_a_fault(
    silent: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = Fake.arm
    asked = 0

    async def busy(self: Fake, action: Action) -> Armed:
        nonlocal asked
        asked += 1
        if asked <= silent:
            raise Unreachable("The head does not answer.")
        return await arm(self, action)

    monkeypatch.setattr(Fake, "arm", busy)
    told = await play("- deploy:\n- kill: {node: head}", tmp_path)
    assert len(told.all(events.FaultConfirmed)) == (silent == 3)
    assert told.states()["steps[1]"] == ("ok" if silent == 3 else "error")
    assert 3 < asked < 40


async def test_faults_at_the_same_time_have_numbers_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = Fake.arm

    async def slowly(self: Fake, action: Action) -> Armed:
        await asyncio.sleep(1)
        return await arm(self, action)

    monkeypatch.setattr(Fake, "arm", slowly)
    told = await play(
        """
        - deploy:
        - kill: {node: {worker: 1}}
          background: true
        - kill: {node: {worker: 2}}
        - pause: 1s
        """,
        tmp_path,
    )
    assert [event.fault for event in told.all(events.FaultIntent)] == [0, 1]
    assert len(told.run.scenarios[0].faults) == 2


async def test_a_scenario_ends_at_its_timeout(tmp_path: Path) -> None:
    told = await play(plan_of("- pause: 1h\n", head=HEAD.replace("app:", "timeout: 10s\napp:")), tmp_path)
    assert told.states() == {"steps[0]": "cancelled"}
    assert told.run.scenarios[0].message == "It took longer than its timeout of 10s."
    assert told.run.exit_code == 3


async def test_the_next_scenario_reuses_a_cluster_that_fits_and_is_clean(tmp_path: Path) -> None:
    told = await play(plan_of(KILLED, more=[KILLED]), tmp_path)
    assert told.run.exit_code == 0
    closings = [event for event in told.all(events.UndoPushed) if event.act == "close_cluster"]
    assert len(closings) == 1
    assert not pending(told.events)


async def test_a_cluster_whose_proxy_hears_of_no_change_is_not_reused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(World, "__post_init__", deafened(World.__post_init__))
    told = await play(plan_of(KILLED, more=[KILLED]), tmp_path)
    assert told.run.exit_code == 0
    assert [each.attempt for each in told.all(events.ScenarioStart)] == [1, 1]
    assert sum(event.act == "close_cluster" for event in told.all(events.UndoPushed)) == 2


def deafened(init: Callable[[World], None]) -> Callable[[World], None]:
    def post(self: World) -> None:
        init(self)
        self.deaf = {"worker-1"}

    return post


@pytest.mark.parametrize("second", [KILLED, "- deploy:\n"])
async def test_what_is_held_up_on_a_used_cluster_is_run_again_on_a_new_one(
    second: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy = World.deploy

    def spoilt(self: World, applications: tuple[Application, ...], at: float) -> None:
        deploy(self, applications, at)
        if not applications:
            self.proxies = {slot: [(at, math.inf)] for slot in self.proxies}

    monkeypatch.setattr(World, "deploy", spoilt)
    told = await play(plan_of(KILLED, more=[second]), tmp_path)
    assert [(each.name, each.attempt) for each in told.all(events.ScenarioStart)] == [
        ("scenario 0", 1), ("scenario 1", 1), ("scenario 1", 2),
    ]  # fmt: skip
    assert told.run.exit_code == (0 if second == KILLED else 3)
    assert [each.verdict for each in told.run.scenarios[:2]] == [Verdict.PASS, Verdict.UNKNOWN]
    assert told.run.scenarios[1].superseded
    assert sum(event.act == "close_cluster" for event in told.all(events.UndoPushed)) == 2
    assert "on a cluster of its own" in " ".join(each.text for each in told.all(events.Said))


async def test_what_is_unknown_after_a_fault_is_not_run_again_though_its_cluster_was_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = KILLED.replace("users, same", "head, endpoint: worker-1, same")
    told = await play(plan_of(KILLED, more=[unknown]), tmp_path)
    assert told.run.scenarios[1].verdict is Verdict.UNKNOWN
    assert len(told.all(events.ScenarioStart)) == 2


async def test_another_cluster_is_made_where_settings_differ(tmp_path: Path) -> None:
    other = HEAD.replace("a scenario", "another").replace("app:", "cluster: {workers: 1}\napp:")
    plan = plan_of(HEAD + "- deploy:\n", head="", more=[other + "- deploy:\n"])
    told = await play(plan, tmp_path)
    assert sum(event.act == "close_cluster" for event in told.all(events.UndoPushed)) == 2
    assert [event.document["workers"] for event in told.all(events.Facts)] == [2, 2, 1, 1]


async def test_what_it_cost_to_look_is_told_at_the_end_of_each_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = itertools.count(10, 3)
    monkeypatch.setattr(clock, "cpu", lambda: float(next(taken)))
    probed = "- deploy:\n- probe: {start: head, steady: 1s}\n"
    told = await play(plan_of(probed, more=["- pause: 4s\n"]), tmp_path)
    observers = [each.cluster["observer"] for each in told.run.scenarios]
    assert [each["runner_cpu_s"] for each in observers] == [3.0, 3.0]
    assert observers[0]["requests"] > 0
    assert observers[0]["prober_cpu_s"] == 0.002
    # Of the second one nobody knows what probers took: there was none.
    assert "prober_cpu_s" not in observers[1]
    assert observers[1]["seconds"] == pytest.approx(4.0, abs=0.5)
    assert observers[1]["requests_per_second"] == pytest.approx(
        observers[1]["requests"] / observers[1]["seconds"], abs=0.01
    )
    first, second, *_ = told.all(events.Facts)
    assert "observer" not in first.document
    assert second.document["observer"] == observers[0]


async def test_a_scenario_about_what_cannot_be_had_is_skipped_and_the_reason_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey = Fake.survey

    async def poor(self: Fake) -> Facts:
        return replace(await survey(self), cannot=("There is no such thing here.",))

    monkeypatch.setattr(Fake, "survey", poor)
    told = await play(KILLED, tmp_path)
    assert told.run.scenarios[0].state == "skipped"
    assert told.run.scenarios[0].message == "There is no such thing here."
    assert not told.all(events.FaultIntent)


async def test_a_scenario_whose_requirement_is_lacking_is_skipped(tmp_path: Path) -> None:
    plan = plan_of("- deploy:\n")
    poor = replace(plan.scenarios[0], requires=("redis",), cluster={"gcs_fault_tolerance": "none"})
    told = await play(replace(plan, scenarios=(poor,)), tmp_path)
    assert told.run.scenarios[0].state == "skipped"
    # Some of what a cluster can do it may do only where the inventory allows it.
    assert told.all(events.ScenarioEnd)[0].message == (
        "It requires redis, which this cluster has not, or the inventory does not allow."
    )


@pytest.mark.parametrize(
    ("fault", "undo"),
    [
        ("kill: {node: head}", "start_node"),
        ("kill: {node: head, how: power_off}", "start_node"),
        ("kill: {service: redis, how: power_off}", "start_service"),
        ("partition: {node: {worker: 1}, for: 5s}", "link_up"),
        ("freeze: {actor: replica}", "thaw"),
    ],
)
async def test_after_a_crash_behind_any_line_all_that_may_be_broken_is_pending(
    fault: str, undo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash after line k leaves the first k lines: each act that was done by then has its undo among them."""
    lines: list[events.Event] = []
    acts: dict[str, int] = {}
    strike, start = Fake.strike, Fake.start

    def struck(self: Fake, action: Action, replicas: list[Replica], at: float) -> None:
        acts[undo] = len(lines)
        strike(self, action, replicas, at)

    async def started(self: Fake) -> None:
        acts["close_cluster"] = len(lines)
        await start(self)

    monkeypatch.setattr(Fake, "strike", struck)
    monkeypatch.setattr(Fake, "start", started)
    told = await play(KILLED.replace("kill: {node: head}", fault), tmp_path, hear=[lines.append])
    assert acts.keys() == {undo, "close_cluster"}
    pushed = {event.act: event.undo for event in told.all(events.UndoPushed)}
    done = {event.undo: event.seq for event in told.all(events.UndoDone)}
    for act, written in acts.items():
        for k in range(written, len(told.events) + 1):
            left = [event.act for event in pending(told.events[:k])]
            assert (act in left) == (k <= done[pushed[act]]), f"after line {k}"


async def test_a_full_disk_unwinds_what_was_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        """A disk that takes no line after the fault."""

        def __init__(self, file: object) -> None:
            self.file = file
            self.full = False

        def write(self, line: bytes) -> int:
            if self.full:
                raise OSError(28, "No space left on device")
            self.full = b"fault_confirmed" in line
            return self.file.write(line)  # type: ignore[attr-defined,no-any-return]

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

    init = Journal.__init__

    def wrapped(self: Journal, file: object, *args: object, **named: object) -> None:
        init(self, Full(file), *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "__init__", wrapped)
    heard: list[events.Event] = []
    with pytest.raises(CannotRun, match="could not be written to its end"):
        await play(KILLED, tmp_path, hear=[heard.append])
    assert not pending(heard)


async def test_what_a_cluster_cannot_do_is_said_before_anything_starts(tmp_path: Path) -> None:
    from runner.engine.run import survey

    with pytest.raises(InvalidInput) as refused:
        await survey(plan_of("- exec: ls\n", allow=[]), tmp_path)
    assert [problem.code for problem in refused.value.problems] == ["not-allowed"]
    assert refused.value.problems[0].line


async def test_the_head_s_api_is_asked_only_where_there_is_one(tmp_path: Path) -> None:
    from runner.engine.run import survey

    external = {"cluster": {"kind": "external"}, "commands": {}}
    steps = "- http: {endpoint: dashboard}\n"
    head = "name: a scenario\nsteps:\n"
    with pytest.raises(InvalidInput) as refused:
        await survey(plan_of(steps, head=head, endpoints={"db": "http://127.0.0.1:9"}, **external), tmp_path)
    assert [problem.code for problem in refused.value.problems] == ["cannot"]
    own = {"dashboard": "http://127.0.0.1:9"}
    assert await survey(plan_of(steps, head=head, endpoints=own, **external), tmp_path)
    assert await survey(plan_of(steps), tmp_path)


async def test_what_an_assertion_cannot_be_asked_about_is_unknown_and_the_others_are_judged(
    tmp_path: Path,
) -> None:
    told = await play(
        """
        - deploy:
        - probe: {start: head, steady: 1s}
        - log: hello
          register: hello
        - kill: {node: head}
          register: fault
        - kill: {node: head}
          register: other
          when: fault.injected < 0
        - assert:
            - {name: no such thing, that: hello.nothing.more > 1}
            - {name: never hit, probe: head, same_identities: other}
            - {name: hit, that: fault.confirmed}
        """,
        tmp_path,
    )
    found = {each.name: each for each in told.run.scenarios[0].assertions}
    assert {name: each.verdict.value for name, each in found.items()} == {
        "no such thing": "unknown",
        "never hit": "unknown",
        "hit": "pass",
    }
    assert "nothing" in found["no such thing"].why
    assert found["never hit"].why == "the fault other was not injected"
