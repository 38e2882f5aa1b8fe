"""A stored run is judged again by other assertions; whatever else differs is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from runner.clusters.contract import Completed
from runner.clusters.fake.cluster import Fake
from runner.engine.rejudge import places, rejudged
from runner.errors import InvalidInput
from runner.journal.events import AssertMark, ScenarioStart
from runner.journal.samples import Recordings
from runner.reports import run_json
from runner.steps.catalogue import catalogue
from runner.timeline.fold import fold
from runner.timeline.run import Run, Scenario, Verdict
from tests.engine.staging import HEAD, Told, plan_of, play

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

STEPS = """
- deploy:
- probe: {start: all, steady: 2s}
- {exec: echo, register: echoed, timeout: 5s}
- pause: 1s
- assert: [{name: before, probe: head, failed: {max: 0}}]
- kill: {node: head}
  register: fault
- wait_for: {recovered: fault, timeout: 60s}
- block:
    - assert:
        - {name: head was down, probe: head, longest: {min: 1s}}
        - {name: users barely notice, probe: users, failed: {max: 3}}
    - log: "round {{ item }}"
  loop: [one, two]
- log: "{{ limit }} {{ fault.name }}"
  vars: {limit: 3}
"""
VARS = HEAD.replace("steps:", "vars: {most: 5, limit: 7}\nsteps:")


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(self: Fake, command: str, *, where: str = "here", timeout: float = 60.0) -> Completed:
        return Completed(0, command, "")

    monkeypatch.setattr(Fake, "exec", run)


async def stored(folder: Path, steps: str = STEPS, head: str = VARS) -> Told:
    return await play(plan_of(steps, head=head), folder)


def again(told: Told, steps: str = STEPS, *, head: str = VARS, more: Sequence[str] = ()) -> Run:
    plan = plan_of(steps, head=head, more=more)
    return fold(rejudged(told.events, plan.scenarios, catalogue()), Recordings(told.folder))


def verdicts(scenario: Scenario) -> list[tuple[str, str, str]]:
    return [(each.name, each.verdict.value, each.step) for each in scenario.assertions]


async def test_by_the_same_file_it_is_the_same(tmp_path: Path) -> None:
    told = await stored(tmp_path)
    run, same = told.run, again(told)
    assert run_json.render(same) == run_json.render(run)
    assert run.verdict is Verdict.PASS


async def test_other_limits_and_other_cases_are_judged_at_the_marks_of_the_run(tmp_path: Path) -> None:
    told = await stored(tmp_path)
    text = STEPS.replace("longest: {min: 1s}", "longest: {min: 1h}").replace(
        "{name: users barely notice, probe: users, failed: {max: 3}}",
        """{name: back soon, recovery: {fault: fault, max: 60s}}
        - {name: runs, state: '$.applications[*].status', all: RUNNING}
        - {name: echoed, that: echoed.exit_code == 0 and item == 'two'}
        - {name: same, probe: users, same_identities: fault}
        - {name: actors, ray_state: {resource: actors, path: '$.result[*]'}, count: {min: 1}}""",
    )
    run = again(told, text)
    block = "steps[7]#{}.block[0]"
    assert verdicts(run.scenarios[0]) == [
        ("before", "pass", "steps[4]"),
        *(
            (name, verdict, block.format(number))
            for number in (1, 2)
            for name, verdict in (
                ("head was down", "fail"),
                ("back soon", "pass"),
                ("runs", "pass"),
                ("echoed", "fail" if number == 1 else "pass"),
                ("same", "pass"),
                # What nobody asked Ray for during the run nobody knows now.
                ("actors", "unknown"),
            )
        ),
    ]
    assert run.exit_code == 1
    states = {step.path: step.state for step in run.scenarios[0].steps}
    assert states[block.format(1)] == "failed"
    assert states["steps[4]"] == "ok"


async def test_an_assert_more_or_less_moves_nothing_else(tmp_path: Path) -> None:
    told = await stored(tmp_path)
    text = STEPS.replace("- assert: [{name: before, probe: head, failed: {max: 0}}]\n", "")
    text = text.replace(
        "- block:", "- assert: {name: nowhere, probe: head, failed: {max: 0}}\n- block:", 1
    ).replace('    - log: "round', '    - assert: {name: beside, that: fault.confirmed}\n    - log: "round')
    run = again(told, text)
    found = {(name, verdict) for name, verdict, _ in verdicts(run.scenarios[0])}
    assert found == {
        ("head was down", "pass"),
        ("users barely notice", "pass"),
        # It stands in the gap of another assert, so it is judged there.
        ("beside", "pass"),
        # The run made no mark there.
        ("nowhere", "unknown"),
    }
    assert run.exit_code == 3
    assert "steps[4]" not in {step.path for step in run.scenarios[0].steps}


async def test_known_may_change_too(tmp_path: Path) -> None:
    steps = STEPS.replace("timeout: 60s", "timeout: 1s")
    told = await stored(tmp_path, steps)
    assert told.run.exit_code == 1
    known = "known: {issue: 'https://example.org/1', until: '2999-12-31'}"
    run = again(told, steps.replace("timeout: 1s", f"timeout: 1s, {known}"))
    assert {step.path: step.state for step in run.scenarios[0].steps}["steps[6]"] == "known"


@pytest.mark.parametrize(
    ("old", "new", "sentence", "line"),
    [
        ("kill: {node: head}", "kill: {node: {worker: 1}}", "This `kill` differs", 15),
        ("timeout: 60s}", "timeout: 61s}", "This `wait_for` differs", 17),
        ("exec: echo", "exec: cat", "This `exec` differs", 12),
        ("loop: [one, two]", "loop: [one]", "This `block` differs", 18),
        ("- pause: 1s\n", "", "Where this `kill` stands, the run had a `pause`", 14),
        ("- deploy:\n", "- deploy:\n- pause: 1s\n", "Where this `pause` stands, the run had a `probe`", 11),
        ("vars: {limit: 3}", "vars: {limit: 4}", "This `log` differs", 24),
        (
            "- assert: [{name: before",
            "- when: false\n  assert: [{name: before",
            "modifier of this `assert` differs",
            14,
        ),
    ],
)
async def test_what_differs_beside_assertions_is_refused_and_named(
    old: str, new: str, sentence: str, line: int, tmp_path: Path
) -> None:
    told = await stored(tmp_path)
    assert old in STEPS
    with pytest.raises(InvalidInput) as refused:
        again(told, STEPS.replace(old, new))
    (problem,) = refused.value.problems
    assert sentence in problem.message
    assert (problem.code, problem.file) == ("differs", "s0.yaml")
    assert "assertions only" in (problem.help or "")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("head: {endpoint: head}", "head: {endpoint: head, rate: 5}", "The probe `head` differs"),
        ("app: app.yaml", "app: app.yaml\ncluster: {workers: 3}", "`cluster` differs"),
        ("app: app.yaml", "app: app.yaml\nrepeat: 2", "`repeat` differs"),
        ("app: app.yaml", "app: app.yaml\nabort_when: {probe: head, failed: 99}", "`abort_when` differs"),
        ("name: a scenario", "name: another", "The run has no scenario `another`"),
    ],
)
async def test_so_is_what_the_scenario_says_beside_its_steps(
    old: str, new: str, sentence: str, tmp_path: Path
) -> None:
    told = await stored(tmp_path)
    with pytest.raises(InvalidInput, match=sentence):
        again(told, head=VARS.replace(old, new))


async def test_a_variable_may_differ_where_only_assertions_read_it(tmp_path: Path) -> None:
    steps = STEPS.replace("max: 3", 'max: "{{ most }}"').replace("  vars: {limit: 3}\n", "")
    told = await stored(tmp_path, steps)
    run = again(told, steps.replace('failed: {max: "{{', 'failed: {min: "{{'), head=VARS.replace("5", "6"))
    assert ("users barely notice", "fail", "steps[7]#1.block[0]") in verdicts(run.scenarios[0])
    with pytest.raises(InvalidInput, match="The variable `limit`, which this step reads, differs"):
        again(told, steps, head=VARS.replace("limit: 7", "limit: 8"))


async def test_every_repetition_is_judged_again_and_other_scenarios_stay(tmp_path: Path) -> None:
    head = HEAD.replace("steps:", "repeat: 2\nsteps:")
    steps = "\n- assert: [{name: claim, that: 1 > 2}]"
    other = "\n- assert: [{name: other, that: 1 > 2}]"
    told = await play(plan_of(steps, head=head, more=[other]), tmp_path)
    run = again(told, steps.replace("1 > 2", "1 < 2"), head=head)
    assert [each.verdict.value for each in run.scenarios] == ["pass", "pass", "fail", "fail"]


async def test_a_run_that_did_not_note_what_it_did_cannot_be_judged_again(tmp_path: Path) -> None:
    told = await stored(tmp_path, "\n- assert: [{name: claim, that: 1 > 2}]")
    told.events = tuple(
        replace(event, digests={}) if isinstance(event, ScenarioStart) else event for event in told.events
    )
    with pytest.raises(InvalidInput, match="did not note what"):
        again(told, "\n- assert: [{name: claim, that: 1 > 2}]")


async def test_places_are_told_by_what_is_no_assertion() -> None:
    kinds = {
        "steps[0]": "assert", "steps[1]": "deploy", "steps[3]": "assert", "steps[4]": "assert", "steps[5]": "block",
        "steps[5].block[0]": "assert", "steps[5].block[1]": "log", "steps[5].always[2]": "log",
    }  # fmt: skip
    assert places([{"path": path, "kind": kind} for path, kind in kinds.items()]) == {
        "steps[0]": "steps<0>", "steps[1]": "steps[0]", "steps[3]": "steps<1>", "steps[4]": "steps<1>",
        "steps[5]": "steps[1]", "steps[5].block[0]": "steps[1].block<0>", "steps[5].block[1]": "steps[1].block[0]",
        "steps[5].always[2]": "steps[1].always[0]",
    }  # fmt: skip


async def test_a_fault_is_the_last_of_its_name_before_the_mark(tmp_path: Path) -> None:
    steps = """
- deploy:
- probe: {start: head, steady: 2s}
- block:
    - kill: {node: {worker: "{{ item }}"}}
      register: fault
    - assert: [{name: claim, that: 1 < 2}]
  loop: [1, 2]
"""
    told = await stored(tmp_path, steps)
    other = steps.replace(
        "that: 1 < 2", "probe: head, failed: {max: 0}, during: {fault: fault, phase: before}"
    )
    journal = rejudged(told.events, plan_of(other, head=VARS).scenarios, catalogue())
    marks = [event for event in journal if isinstance(event, AssertMark)]
    assert [mark.cases[0]["during"]["fault"] for mark in marks] == [0, 1]
