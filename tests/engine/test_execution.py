"""Steps and blocks with what modifies them: when, loop, until, retries, timeout, rescue, always, register."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.clusters.contract import Completed
from runner.clusters.fake.cluster import Fake
from runner.journal import events
from runner.journal.journal import pending
from tests.engine.staging import Told, play

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let `bad` end with 1 and `flaky` with 1 twice; give the commands as they were run."""
    ran: list[str] = []

    async def run(self: Fake, command: str, *, where: str = "here", timeout: float = 60.0) -> Completed:
        ran.append(command)
        failing = command == "bad" or (command == "flaky" and ran.count("flaky") < 3)
        return Completed(int(failing), f"{command} said", "")

    monkeypatch.setattr(Fake, "exec", run)
    return ran


def said(told: Told) -> list[str]:
    return [event.text for event in told.all(events.Said)]


async def test_register_is_what_the_journal_holds_and_later_steps_read_it(tmp_path: Path) -> None:
    told = await play(
        """
        - exec: ls
          register: listing
        - log: "{{ listing.stdout }}, {{ listing.exit_code + 1 }}"
        - log: not this one
          when: listing.exit_code != 0
        - log: this one
          when: [not listing.failed, listing.stdout == "ls said"]
        """,
        tmp_path,
    )
    assert told.results()["steps[0]"] == {
        "failed": False, "skipped": False, "exit_code": 0, "stdout": "ls said", "stderr": "",
    }  # fmt: skip
    assert said(told) == ["ls said, 1", "this one"]
    assert told.states()["steps[2]"] == "skipped"


async def test_a_loop_runs_numbered_instances_also_of_blocks(tmp_path: Path) -> None:
    told = await play(
        """
        - block:
            - log: "{{ item }}"
            - log: "{{ item }} again"
          loop: [a, b]
        - exec: "{{ item }}"
          loop: [x, y]
          register: both
        - log: "{{ both.results | map(attribute='stdout') | join(' ') }}"
        """,
        tmp_path,
    )
    assert said(told) == ["a", "a again", "b", "b again", "x said y said"]
    assert "steps[0]#2.block[1]" in told.states()
    assert told.states()["steps[1]#2"] == "ok"


async def test_when_and_vars_of_a_loop_are_those_of_each_item(tmp_path: Path) -> None:
    told = await play(
        """
        - exec: "{{ doubled }}"
          loop: [1, 2, 3]
          when: item != 2
          vars: {doubled: "d{{ item * 2 }}"}
          register: some
        - log: "{{ some.results | map(attribute='skipped') | join(' ') }} {{ some.skipped }}"
        - log: never
          loop: [1, 2]
          when: item > 2
          register: nobody
        - log: "skipped: {{ nobody.skipped }}"
        - block: [{log: "block {{ item }}"}]
          loop: [x, y]
          when: item == 'y'
        - log: no list, and none is needed
          loop: "{{ nobody.missing }}"
          when: not nobody.skipped
        """,
        tmp_path,
    )
    states = told.states()
    assert [states[f"steps[0]#{n}"] for n in (1, 2, 3)] == ["ok", "skipped", "ok"]
    assert [states[f"steps[2]#{n}"] for n in (1, 2)] == ["skipped", "skipped"]
    assert said(told) == ["False True False False", "skipped: True", "block y"]
    assert states["steps[5]"] == "skipped"
    assert told.results()["steps[0]#3"]["stdout"] == "d6 said"
    assert told.run.scenarios[0].state == "finished"


async def test_until_tries_again_and_only_the_last_attempt_counts(
    tmp_path: Path, commands: list[str]
) -> None:
    told = await play(
        """
        - exec: flaky
          register: flaky
          until: not flaky.failed
          retries: 5
          delay: 10s
        """,
        tmp_path,
    )
    assert commands == ["flaky"] * 3
    assert told.states() == {"steps[0]": "ignored", "steps[0]#2": "ignored", "steps[0]#3": "ok"}
    ends = [event.t for event in told.all(events.StepEnd)]
    assert ends[2] - ends[0] == pytest.approx(20.0)


async def test_retries_that_are_used_up_end_the_scenario(tmp_path: Path, commands: list[str]) -> None:
    told = await play(
        """
        - block:
            - exec: good
          register: done
          until: done.failed
          retries: 2
          delay: 1s
        - log: never
        """,
        tmp_path,
    )
    assert commands == ["good"] * 3
    assert told.states()["steps[0]#3"] == "unmet"
    assert "steps[1]" not in told.states()
    assert told.run.exit_code == 3


async def test_an_error_ends_a_block_unless_it_is_rescued_and_always_runs(tmp_path: Path) -> None:
    told = await play(
        """
        - block:
            - exec: bad
            - log: never
          rescue:
            - log: rescued
          always:
            - log: always
        - block:
            - exec: bad
          always:
            - log: still
        - log: never
        """,
        tmp_path,
    )
    assert said(told) == ["rescued", "always", "still"]
    assert told.states()["steps[0]"] == "ok"
    assert told.states()["steps[1]"] == "error"
    assert told.run.scenarios[0].state == "error"
    assert told.run.exit_code == 3


async def test_ignored_errors_are_seen_and_harmless(tmp_path: Path) -> None:
    told = await play(
        """
        - exec: bad
          ignore_errors: true
          register: bad
        - log: "{{ bad.failed }}: {{ bad.message }}"
        """,
        tmp_path,
    )
    assert told.states()["steps[0]"] == "ignored"
    assert said(told) == ["True: The command ended with exit code 1.\nbad said"]


async def test_a_timeout_ends_a_step_with_a_sentence(tmp_path: Path) -> None:
    told = await play("- {pause: 1h, timeout: 5s}\n", tmp_path)
    assert told.states() == {"steps[0]": "error"}
    assert told.messages()["steps[0]"] == "It took longer than its timeout of 5s."
    assert told.all(events.StepEnd)[0].t - told.all(events.StepStart)[0].t == pytest.approx(5.0)


async def test_always_runs_when_the_scenario_is_cut_short(tmp_path: Path) -> None:
    told = await play(
        """
        - block:
            - pause: 1h
          always:
            - log: cleaned
          timeout: 5s
        """,
        tmp_path,
    )
    assert said(told) == ["cleaned"]


async def test_variables_of_a_block_stay_inside(tmp_path: Path) -> None:
    told = await play(
        """
        - block:
            - log: "{{ greeting }} {{ name }}"
              vars: {name: "{{ greeting | upper }}"}
          vars: {greeting: hello}
        """,
        tmp_path,
    )
    assert said(told) == ["hello HELLO"]


async def test_what_is_not_to_be_logged_is_known_to_the_run_alone(tmp_path: Path) -> None:
    told = await play(
        """
        - exec: "echo 4711"
          register: secret
          no_log: true
        - log: known
          when: secret.stdout == "echo 4711 said"
        """,
        tmp_path,
    )
    assert said(told) == ["known"]
    assert told.results()["steps[0]"] is None
    assert "4711 said" not in (told.folder / "journal.jsonl").read_text()


async def test_what_a_step_without_log_says_of_its_failure_is_hidden(tmp_path: Path) -> None:
    told = await play(
        """
        - exec: {command: "echo 4711", exit_codes: [9]}
          no_log: true
        """,
        tmp_path,
    )
    assert told.states()["steps[0]"] == "error"
    assert "hidden by no_log" in told.messages()["steps[0]"]
    assert "4711" not in (told.folder / "journal.jsonl").read_text()


async def test_a_template_that_fails_is_an_error_of_its_step(tmp_path: Path) -> None:
    told = await play("- exec: ls\n  register: a\n- log: '{{ a.nothing }}'\n", tmp_path)
    assert told.states()["steps[1]"] == "error"
    assert "nothing" in told.messages()["steps[1]"]
    assert not pending(told.events)


async def test_the_plan_in_the_journal_says_what_each_assertion_claims(tmp_path: Path) -> None:
    told = await play(
        """
        - exec: bad
        - assert: [{name: few fail, that: "1 == 1"}, {that: "2 == 2"}]
        """,
        tmp_path,
    )
    [start] = told.all(events.ScenarioStart)
    assert [(case["name"], case["says"]) for case in start.steps[1]["cases"]] == [
        ("few fail", "that 1 == 1"),
        ("that 2 == 2", "that 2 == 2"),
    ]
    assert [each.expected for each in told.run.scenarios[0].assertions] == ["that 1 == 1", "that 2 == 2"]


async def test_of_the_attempts_at_a_block_only_the_last_is_judged(
    tmp_path: Path, commands: list[str]
) -> None:
    told = await play(
        """
        - deploy:
        - probe: {start: head, steady: 1s}
        - block:
            - exec: flaky
              register: flaky
              ignore_errors: true
            - assert: [{name: it worked, that: not flaky.failed}]
              register: seen
            - wait_for: {members: {workers: "{{ 2 if seen.verdicts['it worked'] == 'pass' else 9 }}"}, timeout: 1s}
            - kill: {node: head}
              when: not seen.failed
              register: fault
          register: block
          until: not block.failed
          retries: 5
        - assert: [{name: the head was hit, that: fault.confirmed}]
        """,
        tmp_path,
    )
    assert commands == ["flaky"] * 3
    scenario = told.run.scenarios[0]
    assert [(each.step, each.verdict.value) for each in scenario.assertions] == [
        ("steps[2]#3.block[1]", "pass"),
        ("steps[3]", "pass"),
    ]
    # What went wrong in an attempt that was not the last withholds no fault, either.
    assert len(told.all(events.FaultIntent)) == 1
    assert told.run.exit_code == 0
    assert told.states()["steps[2].block[2]"] == "unmet"
    assert {step.path: step.state for step in scenario.steps}["steps[2].block[2]"] == "ignored"


async def test_a_fault_that_an_attempt_withholds_is_tried_again_with_its_block(
    tmp_path: Path, commands: list[str]
) -> None:
    told = await play(
        """
        - deploy:
        - block:
            - exec: flaky
              register: flaky
              ignore_errors: true
            - assert: [{name: it worked, that: not flaky.failed}]
            - kill: {node: head}
              register: fault
          register: block
          until: not block.failed
        """,
        tmp_path,
    )
    assert [told.states()[f"steps[1]{attempt}"] for attempt in ("", "#2", "#3")] == [
        "ignored",
        "ignored",
        "ok",
    ]
    assert told.states()["steps[1].block[2]"] == "withheld"
    assert told.run.exit_code == 0


async def test_an_assert_with_until_is_tried_again_and_its_last_attempt_is_the_verdict(
    tmp_path: Path, commands: list[str]
) -> None:
    text = """
        - deploy:
        - kill: {{node: head}}
        - pause: 1s
        - assert: [{{name: the head is alive, state: '$.processes[?(@.slot=="head")].state', equals: up}}]
          register: seen
          until: seen.verdicts["the head is alive"] == "pass"
          retries: {retries}
          delay: 2s
        - log: it goes on
        """
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir(), second.mkdir()
    told = await play(text.format(retries=20), first)
    (judged,) = told.run.scenarios[0].assertions
    assert judged.verdict.value == "pass"
    assert judged.step != "steps[3]"
    assert told.states()["steps[3]"] == "ignored"
    told = await play(text.replace("equals: up", "equals: gone").format(retries=1), second)
    assert told.states()["steps[3]#2"] == "failed"
    assert said(told) == ["it goes on"]
    assert told.run.exit_code == 1
