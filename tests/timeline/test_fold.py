"""From a journal and samples to a Run: verdicts, steps, faults, what was never reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from runner.journal import events
from runner.journal.events import Event
from runner.journal.samples import ProberLog, Samples
from runner.timeline.fold import fold
from runner.timeline.run import Run, Verdict
from runner.timeline.windows import QUIET
from tests.timeline.simulator import ORIGIN, Outage, Setting, World

DOCUMENT = {
    "version": 1,
    "unknown": ["actors"],
    "nodes": [{"slot": "head", "is_head": True, "state": "ALIVE"}],
    "actors": [],
    "applications": [{"name": "a", "status": "RUNNING"}],
    "replicas": [{"state": "RUNNING", "actor_id": "r1"}],
}


@dataclass
class Tape:
    """Recordings out of memory."""

    files: dict[str, Samples] = field(default_factory=dict)
    log: ProberLog = QUIET

    def series(self, file: str) -> Samples | None:
        return self.files.get(file)

    def prober(self, scenario: int, origin: str) -> ProberLog:
        return self.log


def journal(*told: tuple[float, Event]) -> list[Event]:
    return [replace(event, seq=number, t=at) for number, (at, event) in enumerate(told)]


ASSERTS = [{"name": "few fail", "file": "s.yaml", "line": 9, "probe": "users", "failed": {"max": 0}}]
PLAN = (
    {"path": "steps[0]", "name": "start", "kind": "probe", "file": "s.yaml", "line": 5},
    {"path": "steps[1]", "name": "kill", "kind": "kill", "file": "s.yaml", "line": 6},
    {"path": "steps[2]", "name": "wait", "kind": "wait_for", "file": "s.yaml", "line": 7},
    {
        "path": "steps[3]",
        "name": "claim",
        "kind": "assert",
        "file": "s.yaml",
        "line": 8,
        "cases": [{"name": "few fail", "says": "probe users, failed max 0", "file": "s.yaml", "line": 9}],
    },
)
START = events.RunStart(
    run="r", ftrun="0.1", wall=1e9, monotonic=ORIGIN / 1e9, inventory={"name": "local"}, argv=("x",), seed=3
)
SCENARIO = events.ScenarioStart(scenario=0, name="one", file="s.yaml", steps=PLAN)
SERIES = {
    "series": "service/new",
    "endpoint": "service",
    "role": "service",
    "connection": "new",
    "url": "http://127.0.0.1/",
    "rate": 100.0,
    "file": "samples/0/a",
    "t0": 0.0,
}
PROBE = events.ProbeStart(scenario=0, probe="users", series=(SERIES,))


def step(number: int, state: str | None = None) -> Event:
    planned = PLAN[number]
    if state is None:
        return events.StepStart(
            scenario=0,
            path=planned["path"],
            name=planned["name"],
            step=planned["kind"],
            file="s.yaml",
            line=planned["line"],
        )
    return events.StepEnd(scenario=0, path=planned["path"], state=state)


def intent(at: float) -> Event:
    return events.FaultIntent(
        scenario=0,
        fault=0,
        name="fault",
        path="steps[1]",
        fault_kind="kill",
        how="crash",
        target="node head",
        hits=({"slot": "head", "says": "head (4711)"},),
        intended=at,
    )


def whole(
    cases: Sequence[dict] = ASSERTS, *, met=True, confirmed=True, state="finished", tail=None
) -> list[Event]:
    """A run in which the head is killed at 5 s, is back at 8 s, and that is asserted at 12 s."""
    return journal(
        (0.0, START),
        (0.0, SCENARIO),
        (0.0, step(0)),
        (0.0, PROBE),
        (2.0, events.ProbeSteady(scenario=0, probe="users", at=2.0)),
        (2.0, step(0, "ok")),
        (3.0, events.Observation(scenario=0, asked=2.9, document=DOCUMENT)),
        (5.0, step(1)),
        (5.0, intent(5.0)),
        (5.01, events.FaultInjected(fault=0, at=5.0)),
        (5.02, events.FaultConfirmed(fault=0, confirmed=confirmed, why="" if confirmed else "its pid is there")),
        (5.1, step(1, "ok")),
        (5.1, step(2)),
        (8.0, events.Observation(scenario=0, asked=7.9, same_as=6)),
        *([(8.0, events.FaultRecovered(fault=0, at=8.0, missing=7.5))] if met else []),
        (8.1, events.WaitEnd(scenario=0, path="steps[2]", met=met, waited="recovered: fault", mismatch="" if met else "no head")),
        (8.1, step(2, "ok" if met else "unmet")),
        (12.0, step(3)),
        (12.0, events.AssertMark(scenario=0, path="steps[3]", cases=tuple(cases), observation=13)),
        (12.0, step(3, "ok")),
        (15.0, events.ProbeStop(scenario=0, probe="users", at=15.0)),
        (15.0, events.ScenarioEnd(scenario=0, state=state)),
        (15.0, tail or events.RunEnd(state=state)),
    )  # fmt: skip


def tape(*outages: Outage, **more) -> Tape:
    samples, stalls = World(Setting(), list(outages), **more).record()
    return Tape({"samples/0/a": samples}, ProberLog(stalls, {0: ""}, {}, {"users": ORIGIN + 15 * 10**9}, ()))


def only(run: Run):
    assert len(run.scenarios) == 1
    return run.scenarios[0]


def test_a_run_without_a_failure_passes():
    run = fold(whole(), tape())
    assert (run.verdict, run.exit_code, run.state) == (Verdict.PASS, 0, "finished")
    scenario = only(run)
    assert scenario.judged == 2
    assert [each.state for each in scenario.steps] == ["ok"] * 4
    assert scenario.assertions[0].case == "one@local: few fail"
    series = scenario.probes[0].series[0]
    assert series.scope == (2.0, 15.0)
    assert series.windows == ()
    assert series.resolution == pytest.approx(0.0105, abs=0.002)


def test_a_run_that_passed_and_left_something_broken_says_so_by_its_exit_code():
    def undo(number: int, *errors: str | None) -> list[events.Event]:
        pushed = events.UndoPushed(undo=number, act="host_command", says=f"switch h{number} on")
        return [pushed, *(events.UndoDone(undo=number, error=error) for error in errors)]

    last = whole()[-1]
    healed = [*whole()[:-1], *undo(0, "It hangs.", None), last]
    assert (fold(healed, tape()).exit_code, fold(healed, tape()).message) == (0, "")
    run = fold([*whole()[:-1], *undo(0, None), *undo(1, "It hangs.", "It is gone."), last], tape())
    assert (run.verdict, run.exit_code) == (Verdict.PASS, 3)
    assert run.message == (
        "Not all was put back: could not switch h1 on: It is gone."
        " `ftrun cleanup` with this run's folder tries again."
    )


def test_an_outage_before_the_mark_fails_and_one_after_it_does_not():
    before, after = (
        fold(whole(), tape(Outage(6.0, 6.5, "refused"))),
        fold(whole(), tape(Outage(13.0, 13.5, "refused"))),
    )
    assert (before.verdict, before.exit_code) == (Verdict.FAIL, 1)
    assert only(before).assertions[0].actual.startswith("service/new: 50")
    assert (after.verdict, after.exit_code) == (Verdict.PASS, 0)
    assert len(only(after).probes[0].series[0].windows) == 1


def test_what_fails_before_steady_is_out_of_scope():
    assert fold(whole(), tape(Outage(1.0, 1.5, "refused"))).verdict is Verdict.PASS


def test_a_blind_prober_leaves_it_unknown():
    run = fold(whole(), tape(freezes=[(6.0, 7.0)]))
    assert (run.verdict, run.exit_code) == (Verdict.UNKNOWN, 3)
    blind = only(run).probes[0].series[0].blind
    assert [each.causes for each in blind] == [("stall",)]


def test_an_outage_of_the_simulated_service_while_our_forwarder_stalled_is_unknown():
    stalled = events.ClusterEvent(
        scenario=0, at=6.6, source="forwarder", text="stalled", data={"event": "stall", "seconds": 0.7}
    )
    told = whole()
    told = [replace(each, seq=n) for n, each in enumerate([*told[:15], replace(stalled, t=6.7), *told[15:]])]
    recorded = tape(Outage(6.0, 6.5, "refused"))
    # Asked through the forwarder nothing is known of that time; asked directly it was an outage all the same.
    assert fold(told, recorded).verdict is Verdict.FAIL
    told[3] = replace(PROBE, seq=3, series=({**SERIES, "simulated": True},))
    run = fold(told, recorded)
    assert run.verdict is Verdict.UNKNOWN
    series = only(run).probes[0].series[0]
    assert series.windows == ()
    assert [each.causes for each in series.blind] == [("forwarder stall",)]


ISSUE = "https://example.org/1"
KNOWN = {"issue": ISSUE, "until": "2001-09-09", "ray": "<2.61"}
"""START's wall clock is a second of that day."""


def known_wait(*, met: bool) -> list[Event]:
    return [
        replace(event, known={**KNOWN, "ray": None}) if isinstance(event, events.WaitEnd) else event
        for event in whole(met=met)
    ]


def test_a_fail_that_is_known_fails_nothing_and_an_unexpected_pass_does():
    facts = replace(events.Facts(scenario=0, document={"ray": {"version": "2.60.0"}}), seq=99, t=0.5)
    down = tape(Outage(6.0, 6.5, "refused"))
    run = fold([*whole([{**ASSERTS[0], "known": KNOWN}]), facts], down)
    (claim,) = only(run).assertions
    assert (run.verdict, run.exit_code) == (Verdict.PASS, 0)
    assert claim.verdict is Verdict.KNOWN
    assert claim.known is not None
    assert ISSUE in claim.why
    # A case that is known counts as judged.
    assert only(run).judged == 2
    late = fold([*whole([{**ASSERTS[0], "known": {**KNOWN, "until": "2001-09-08"}}]), facts], down)
    assert (late.exit_code, "gone by" in only(late).assertions[0].why) == (1, True)
    passes = fold([*whole([{**ASSERTS[0], "known": KNOWN}]), facts], tape())
    assert passes.exit_code == 1
    assert only(passes).assertions[0].expected.startswith("a fail, as is known")
    # Of a Ray of which no version is known a range says nothing.
    assert fold(whole([{**ASSERTS[0], "known": KNOWN}]), down).exit_code == 1
    assert fold([*whole([{**ASSERTS[0], "known": KNOWN}]), facts], tape(freezes=[(6.0, 7.0)])).exit_code == 3


def test_an_unmet_wait_that_is_known_fails_nothing_and_a_met_one_does():
    run = fold(known_wait(met=False), tape())
    assert (run.verdict, run.exit_code) == (Verdict.PASS, 0)
    assert ISSUE in only(run).message
    step = {step.path: step for step in only(run).steps}["steps[2]"]
    assert (step.state, step.known is not None) == ("known", True)
    met = fold(known_wait(met=True), tape())
    assert met.exit_code == 1
    assert "though it is known to fail" in only(met).message
    assert {step.path: step.state for step in only(met).steps}["steps[2]"] == "failed"


def test_an_unmet_wait_after_a_fault_fails():
    run = fold(whole(met=False), tape())
    assert (run.verdict, run.exit_code) == (Verdict.FAIL, 1)
    assert "no head" in only(run).message


def test_an_unmet_wait_at_whose_end_nothing_could_be_seen_is_unknown():
    dark = {
        **DOCUMENT,
        "unknown": ["nodes", "actors"],
        "nodes": [],
        "unseen": "the API server did not answer",
    }

    def told(*, again: bool, wait: bool) -> list[events.Event]:
        """The wait's end after such a document, and after one that could be seen again; or its step's alone."""
        shown = (8.02, events.Observation(scenario=0, asked=8.01, document=dark))
        later = [(8.05, events.Observation(scenario=0, asked=8.03, document=DOCUMENT))] if again else []
        whole_run = [(event.t, event) for event in whole(met=False)]
        if not wait:
            cut = events.StepEnd(scenario=0, path="steps[2]", state="unmet", message="It took too long.")
            whole_run = [each for each in whole_run if not isinstance(each[1], events.WaitEnd)]
            whole_run = [
                (t, cut if isinstance(each, events.StepEnd) and each.path == cut.path else each)
                for t, each in whole_run
            ]
        at = next(n for n, (t, _) in enumerate(whole_run) if t > 8.05)
        return journal(*whole_run[:at], shown, *later, *whole_run[at:])

    for wait in (True, False):
        run = fold(told(again=False, wait=wait), tape())
        assert (run.verdict, run.exit_code) == (Verdict.UNKNOWN, 3)
        said = "no head" if wait else "It took too long"
        assert (
            f"{said}. At its end nothing could be seen: the API server did not answer." in only(run).message
        )
        assert fold(told(again=True, wait=wait), tape()).verdict is Verdict.FAIL


def test_an_unmet_wait_before_any_fault_is_unknown():
    told = journal(
        (0.0, START),
        (0.0, SCENARIO),
        (1.0, events.WaitEnd(scenario=0, path="steps[2]", met=False, waited="app", after_fault=False)),
        (1.0, step(2, "unmet")),
        (2.0, events.ScenarioEnd(scenario=0, state="finished")),
        (2.0, events.RunEnd(state="finished")),
    )
    run = fold(told, Tape())
    assert (run.verdict, run.exit_code) == (Verdict.UNKNOWN, 3)


def test_a_fault_that_was_not_confirmed_leaves_it_unknown():
    run = fold(whole(confirmed=False), tape())
    assert run.verdict is Verdict.UNKNOWN
    assert only(run).faults[0].confirmed is False


def test_a_fault_that_was_intended_only_was_not_injected():
    told = [event for event in whole() if event.seq <= 8]
    fault = only(fold(told, tape())).faults[0]
    assert (fault.intended, fault.injected, fault.hits) == (5.0, None, ("head (4711)",))


def test_an_assertion_never_reached_is_unknown_and_says_so():
    told = [event for event in whole() if event.t < 12.0]
    run = fold(told, tape())
    assert run.state == "killed"
    assert run.exit_code == 3
    assertion = only(run).assertions[0]
    assert (assertion.verdict, assertion.actual) == (Verdict.UNKNOWN, "never reached")
    assert assertion.expected == "probe users, failed max 0"
    assert [each.state for each in only(run).steps][-1] == "not_reached"


def test_a_fail_stands_in_a_run_that_was_killed():
    told = [event for event in whole() if event.t <= 12.0]
    run = fold(told, tape(Outage(6.0, 6.5, "refused")))
    assert (run.state, run.verdict, run.exit_code) == ("killed", Verdict.FAIL, 1)


def test_an_interrupted_run_exits_2_whatever_it_found():
    run = fold(whole(state="interrupted"), tape(Outage(6.0, 6.5, "refused")))
    assert (run.verdict, run.exit_code) == (Verdict.FAIL, 2)


def test_a_scenario_in_error_is_unknown():
    run = fold(whole(state="error"), tape())
    assert (run.verdict, run.exit_code) == (Verdict.UNKNOWN, 3)


def test_a_skipped_scenario_is_no_error():
    other = replace(SCENARIO, scenario=1, name="two")
    told = whole()
    told[-1:-1] = [other, events.ScenarioEnd(scenario=1, state="skipped", message="needs Kubernetes")]
    run = fold(journal(*((event.t, event) for event in told)), tape())
    assert (run.verdict, run.exit_code) == (Verdict.PASS, 0)
    assert run.scenarios[1].assertions == ()


def test_nothing_judged_is_unknown():
    told = journal(
        (0.0, START),
        (0.0, SCENARIO),
        (0.0, step(3)),
        (0.0, step(3, "skipped")),
        (2.0, events.ScenarioEnd(scenario=0, state="finished")),
        (2.0, events.RunEnd(state="finished")),
    )
    run = fold(told, Tape())
    assert only(run).assertions == ()
    assert only(run).verdict is Verdict.UNKNOWN
    assert only(run).message == "Nothing was judged."
    assert (run.verdict, run.exit_code) == (Verdict.UNKNOWN, 3)


def test_fold_works_after_every_event():
    told, recorded = whole(), tape(Outage(6.0, 6.5, "refused"))
    verdicts = [fold(told[:length], recorded).verdict for length in range(len(told) + 1)]
    assert set(verdicts[:18]) == {Verdict.UNKNOWN}
    assert set(verdicts[20:]) == {Verdict.FAIL}


def test_a_missing_sample_file_is_no_evidence():
    run = fold(whole(), Tape())
    assert run.verdict is Verdict.UNKNOWN
    series = only(run).probes[0].series[0]
    assert (series.samples, series.resolution, series.blind[0].causes) == (0, None, ("no sample file",))


CLAIMS = {
    "failed": ({"probe": "users", "failed": {"max": 60}}, Verdict.PASS),
    "failed too few": ({"probe": "users", "failed": {"min": 60}}, Verdict.FAIL),
    "longest": ({"probe": "users", "longest": {"max": 0.6}}, Verdict.PASS),
    "longest in doubt": ({"probe": "users", "longest": {"max": 0.5}}, Verdict.UNKNOWN),
    "longest broken": ({"probe": "users", "longest": {"max": 0.4}}, Verdict.FAIL),
    "total": ({"probe": "users", "total": {"max": 0.6}}, Verdict.PASS),
    "count": ({"probe": "users", "count": {"max": 1}}, Verdict.PASS),
    "count broken": ({"probe": "users", "count": {"max": 0}}, Verdict.FAIL),
    "success": ({"probe": "users", "success": {"min": 0.9}}, Verdict.PASS),
    "success broken": ({"probe": "users", "success": {"min": 0.99}}, Verdict.FAIL),
    "latency": ({"probe": "users", "latency": {"percentile": 99, "max": 0.02}}, Verdict.PASS),
    "latency broken": ({"probe": "users", "latency": {"percentile": 99, "max": 0.001}}, Verdict.FAIL),
    "before": ({"probe": "users", "failed": {"max": 0}, "during": {"fault": 0, "phase": "before"}}, Verdict.PASS),
    "during": ({"probe": "users", "failed": {"max": 0}, "during": {"fault": 0, "phase": "during"}}, Verdict.FAIL),
    "after": ({"probe": "users", "failed": {"max": 0}, "during": {"fault": 0, "phase": "after"}}, Verdict.PASS),
    "no such fault": ({"probe": "users", "failed": {"max": 0}, "during": {"fault": 7, "phase": "after"}}, Verdict.UNKNOWN),
    "no such probe": ({"probe": "others", "failed": {"max": 0}}, Verdict.UNKNOWN),
    "no such endpoint": ({"probe": "users", "endpoint": "head", "failed": {"max": 0}}, Verdict.UNKNOWN),
    "replicas": ({"probe": "users", "same_identities": 0}, Verdict.PASS),
    "recovery": ({"recovery": {"fault": 0, "max": 3.5}}, Verdict.PASS),
    "recovery too late": ({"recovery": {"fault": 0, "max": 2.5}}, Verdict.FAIL),
    "equals": ({"state": "$.applications[0].status", "equals": "RUNNING"}, Verdict.PASS),
    "equals not": ({"state": "$.applications[0].status", "equals": "DEPLOYING"}, Verdict.FAIL),
    "count matches": ({"state": "$.nodes[?(@.is_head==true)]", "count": 1}, Verdict.PASS),
    "unknown list": ({"state": "$.actors[*]", "count": 0}, Verdict.UNKNOWN),
    "ray says": ({"ray_state": {"resource": "actors", "path": "$[*].state"}, "all": "ALIVE"}, Verdict.UNKNOWN),
    "that": ({"that": {"text": "1 < 2", "value": True}}, Verdict.PASS),
    "that not": ({"that": {"text": "1 > 2", "value": False}}, Verdict.FAIL),
}  # fmt: skip


@pytest.mark.parametrize("claim", CLAIMS)
def test_each_claim(claim):
    case, verdict = CLAIMS[claim]
    run = fold(
        whole([{"name": claim, "file": "s.yaml", "line": 9, **case}]), tape(Outage(6.0, 6.5, "refused"))
    )
    assertion = only(run).assertions[0]
    assert assertion.verdict is verdict, assertion
    assert assertion.expected
    assert assertion.actual
    assert verdict is not Verdict.UNKNOWN or assertion.why


# What is told of steps that did not go the straight way


def told(*inside: tuple[float, Event], plan=PLAN, state="finished") -> list[Event]:
    return journal(
        (0.0, START),
        (0.0, replace(SCENARIO, steps=plan)),
        *inside,
        (9.0, events.ScenarioEnd(scenario=0, state=state)),
        (9.0, events.RunEnd(state=state)),
    )


def node(path: str, kind: str, *cases: str) -> dict:
    return {
        "path": path,
        "name": path,
        "kind": kind,
        "file": "s.yaml",
        "line": 1,
        "cases": [{"name": case, "file": "s.yaml", "line": 2} for case in cases],
    }


def begin(path: str, kind: str) -> Event:
    return events.StepStart(scenario=0, path=path, name=path, step=kind, file="s.yaml", line=1)


def finish(path: str, state: str, message: str = "") -> Event:
    return events.StepEnd(scenario=0, path=path, state=state, message=message)


def mark(path: str, name: str, *, value=True) -> Event:
    case = {"name": name, "file": "s.yaml", "line": 2, "that": {"text": "x", "value": value}}
    return events.AssertMark(scenario=0, path=path, cases=(case,))


RESCUE = (
    node("steps[0]", "block"),
    node("steps[0].block[0]", "exec"),
    node("steps[0].rescue[0]", "assert", "in rescue"),
    node("steps[1]", "assert", "after"),
)


def test_a_rescue_that_was_not_needed_is_not_missed():
    run = fold(
        told(
            (1.0, begin("steps[0]", "block")),
            (1.0, begin("steps[0].block[0]", "exec")),
            (2.0, finish("steps[0].block[0]", "ok")),
            (2.0, finish("steps[0]", "ok")),
            (3.0, mark("steps[1]", "after")),
            plan=RESCUE,
        ),
        Tape(),
    )
    assert [each.name for each in only(run).assertions] == ["after"]
    assert {each.path: each.state for each in only(run).steps}["steps[0].rescue[0]"] == "skipped"
    assert run.verdict is Verdict.PASS


def test_a_rescue_that_began_and_did_not_get_there_is_missed():
    plan = (
        *RESCUE[:2],
        node("steps[0].rescue[0]", "exec"),
        node("steps[0].rescue[1]", "assert", "in rescue"),
    )
    run = fold(
        told(
            (1.0, begin("steps[0]", "block")),
            (1.0, begin("steps[0].rescue[0]", "exec")),
            (2.0, finish("steps[0].rescue[0]", "error", "no")),
            (2.0, finish("steps[0]", "error", "no")),
            plan=plan,
            state="error",
        ),
        Tape(),
    )
    assert [(each.name, each.verdict) for each in only(run).assertions] == [("in rescue", Verdict.UNKNOWN)]


def test_what_a_skipped_block_holds_is_not_missed():
    plan = (
        node("steps[0]", "block"),
        node("steps[0].block[0]", "assert", "inside"),
        node("steps[1]", "assert", "after"),
    )
    run = fold(
        told(
            (1.0, begin("steps[0]", "block")),
            (1.0, finish("steps[0]", "skipped")),
            (3.0, mark("steps[1]", "after")),
            plan=plan,
        ),
        Tape(),
    )
    assert [each.name for each in only(run).assertions] == ["after"]


def test_each_instance_of_a_loop_is_judged_and_of_attempts_the_last():
    plan = (node("steps[0]", "assert", "loop"), node("steps[1]", "assert", "again"))
    run = fold(
        told(
            (1.0, mark("steps[0]#1", "loop")),
            (2.0, mark("steps[0]#2", "loop", value=False)),
            (3.0, mark("steps[1]", "again", value=False)),
            (4.0, mark("steps[1]#2", "again", value=False)),
            (5.0, mark("steps[1]#3", "again")),
            plan=plan,
        ),
        Tape(),
    )
    assert [(each.step, each.verdict.value) for each in only(run).assertions] == [
        ("steps[0]#1", "pass"),
        ("steps[0]#2", "fail"),
        ("steps[1]#3", "pass"),
    ]


def test_of_the_attempts_at_a_block_only_the_last_counts():
    plan = (node("steps[0]", "block"), node("steps[0].block[0]", "assert", "claim"))
    first = (
        (1.0, begin("steps[0]", "block")),
        (1.0, begin("steps[0].block[0]", "assert")),
        (1.0, mark("steps[0].block[0]", "claim", value=False)),
        (1.0, finish("steps[0].block[0]", "failed")),
        (1.0, finish("steps[0].block[1]", "withheld", "An assertion did not hold.")),
        (1.0, events.WaitEnd(scenario=0, path="steps[0].block[2]", met=True, waited="x", after_fault=True)),
        (1.0, finish("steps[0]", "ignored")),
        (2.0, begin("steps[0]#2", "block")),
    )
    second = (2.0, mark("steps[0]#2.block[0]", "claim"))
    run = fold(told(*first, second, plan=plan), Tape())
    assert [(each.step, each.verdict.value) for each in only(run).assertions] == [
        ("steps[0]#2.block[0]", "pass")
    ]
    assert (run.verdict, only(run).judged) == (Verdict.PASS, 1)
    assert [step.state for step in only(run).steps if step.path == "steps[0].block[0]"] == ["ignored"]
    # The last attempt did not come to it: nothing is known, whatever an earlier one saw.
    (unreached,) = only(fold(told(*first, plan=plan), Tape())).assertions
    assert (unreached.verdict, unreached.at) == (Verdict.UNKNOWN, None)


def test_ignoring_errors_does_not_touch_assertions():
    run = fold(
        told(
            (1.0, mark("steps[0]", "claim", value=False)),
            (1.0, finish("steps[0]", "ignored")),
            plan=(node("steps[0]", "assert", "claim"),),
        ),
        Tape(),
    )
    assert run.verdict is Verdict.FAIL


def test_a_wait_in_what_was_ignored_may_be_in_vain():
    wait = events.WaitEnd(scenario=0, path="steps[0].block[0]", met=False, waited="x", after_fault=True)
    inside = ((1.0, wait), (1.0, finish("steps[0].block[0]", "unmet")), (3.0, mark("steps[1]", "after")))
    plan = (
        node("steps[0]", "block"),
        node("steps[0].block[0]", "wait_for"),
        node("steps[1]", "assert", "after"),
    )
    ignored = fold(told(*inside, (2.0, finish("steps[0]", "ignored")), plan=plan), Tape())
    assert ignored.verdict is Verdict.PASS
    assert fold(told(*inside, (2.0, finish("steps[0]", "unmet")), plan=plan), Tape()).verdict is Verdict.FAIL


def test_an_until_that_never_held_counts_unless_what_holds_it_was_ignored():
    inside = (
        (1.0, finish("steps[0].block[0]", "unmet", "`x` does not hold.")),
        (3.0, mark("steps[1]", "after")),
    )
    plan = (node("steps[0]", "block"), node("steps[0].block[0]", "exec"), node("steps[1]", "assert", "after"))
    unmet = fold(told(*inside, (2.0, finish("steps[0]", "unmet")), plan=plan), Tape())
    assert unmet.verdict is Verdict.UNKNOWN
    assert "`x` does not hold." in only(unmet).message
    ignored = fold(told(*inside, (2.0, finish("steps[0]", "ignored")), plan=plan), Tape())
    assert ignored.verdict is Verdict.PASS


def test_a_withheld_fault_leaves_it_unknown_and_says_why():
    run = fold(
        told(
            (1.0, mark("steps[0]", "a")), (2.0, finish("steps[1]", "withheld", "The app was sick.")), plan=()
        ),
        Tape(),
    )
    assert (run.verdict, only(run).message) == (Verdict.UNKNOWN, "The app was sick.")


def test_a_document_asked_for_before_the_fault_says_nothing_of_after_it():
    stale = [
        replace(event, observation=6) if isinstance(event, events.AssertMark) else event
        for event in whole([{"name": "one", "state": "$.nodes[*]", "count": 1}])
    ]
    assert only(fold(stale, tape())).assertions[0].verdict is Verdict.UNKNOWN


def test_what_the_cluster_did_becomes_happenings():
    event = events.ClusterEvent(scenario=0, at=3.5, source="supervisor", slot="head", text="started")
    run = fold(told((4.0, event)), Tape())
    (happening,) = only(run).happenings
    assert (happening.at, happening.source, happening.slot, happening.text) == (
        3.5,
        "supervisor",
        "head",
        "started",
    )


def test_a_probe_that_was_started_twice_is_judged_over_both():
    first, _ = World(Setting(length=5), [Outage(1.0, 1.5, "refused")]).record()
    second, _ = World(Setting(length=5)).record()
    later = replace(
        second,
        header={**second.header, "t0_ns": ORIGIN + 6 * 10**9},
        **{name: getattr(second, name) + 6 * 10**9 for name in ("due", "sent", "done")},
    )
    case = {"name": "x", "file": "s.yaml", "line": 1, "probe": "users", "failed": {"max": 0}}
    run = fold(
        told(
            (0.0, PROBE),
            (5.0, events.ProbeStop(scenario=0, probe="users", at=5.0)),
            (6.0, events.ProbeStart(scenario=0, probe="users", series=({**SERIES, "file": "b", "t0": 6.0},))),
            (8.0, events.AssertMark(scenario=0, path="steps[3]", cases=(case,))),
        ),
        Tape({"samples/0/a": first, "b": later}),
    )
    assert [(each.start, each.end) for each in only(run).probes] == [(0.0, 5.0), (6.0, None)]
    assert only(run).assertions[0].verdict is Verdict.FAIL


def test_a_cause_that_is_about_another_series_is_not_named():
    recorded = tape(freezes=[(6.0, 7.0)])
    start, end = ORIGIN + 6 * 10**9, ORIGIN + 7 * 10**9
    line = {
        "kind": "capped",
        "probe": "users",
        "series": "service/new",
        "start_ns": start,
        "end_ns": end,
        "count": 9,
    }

    def causes(others) -> tuple[str, ...]:
        tape = Tape(recorded.files, replace(recorded.log, stalls=(), others=others))
        return only(fold(whole(), tape)).probes[0].series[0].blind[0].causes

    assert causes((line,)) == ("in-flight cap",)
    assert causes(({**line, "series": "head/new"},)) == ()
    assert causes(({**line, "probe": "others"},)) == ()


def test_of_a_probe_that_ran_twice_each_part_has_the_scope_of_its_own():
    told = whole()
    again = {**SERIES, "t0": 9.0, "file": "samples/0/b"}
    told = [
        *told[:4],  # the first part begins, and is never said to be steady
        replace(events.ProbeStop(scenario=0, probe="users", at=8.9), t=8.9),
        replace(PROBE, t=9.0, series=(again,)),
        replace(events.ProbeSteady(scenario=0, probe="users", at=10.0), t=10.0),
        *[each for each in told[5:] if not isinstance(each, events.Observation)],
    ]
    told = [replace(each, seq=number) for number, each in enumerate(sorted(told, key=lambda each: each.t))]
    samples, stalls = World(Setting(length=8.9), [Outage(6.0, 6.5, "refused")]).record()
    run = fold(told, Tape({"samples/0/a": samples}, ProberLog(stalls, {0: ""}, {}, {}, ())))
    first, second = only(run).probes
    assert first.series[0].scope == (0.0, 8.9)
    assert len(first.series[0].windows) == 1
    assert second.series[0].scope[0] == 10.0
    assert run.verdict is Verdict.FAIL


def test_a_fault_has_recovered_when_that_was_first_seen():
    told = whole([{"name": "soon", "recovery": {"fault": 0, "max": 4.0}}])
    later = replace(events.FaultRecovered(fault=0, at=11.0), t=11.0)
    told = sorted([*told, later], key=lambda each: each.t)
    run = fold([replace(each, seq=number) for number, each in enumerate(told)], tape())
    assert only(run).faults[0].recovered == 8.0
    assert only(run).assertions[0].verdict is Verdict.PASS
