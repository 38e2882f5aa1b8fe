"""Each claim of docs/assertions.md against evidence made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from runner.journal.samples import Outcome, ProberLog
from runner.timeline.clocks import Axis
from runner.timeline.evidence import gather, timing
from runner.timeline.judge import Evidence, Observed, judge
from runner.timeline.recovery import Measured
from runner.timeline.run import Bracket, Fault, Phase, Verdict
from runner.timeline.series import Track
from runner.timeline.verdict import Interval
from tests.timeline.simulator import ORIGIN, Setting, table

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN

WHO = {0: "", 1: "pid 1", 2: "pid 2", 3: "pid 3"}


FAILURES = {"b": Outcome.REFUSED, "5": Outcome.HTTP_5XX, "r": Outcome.RESET}


def track(letters: str, who: str = "", *, name: str = "worker-1/new", identity: object = "body") -> Track:
    """Give a series at 10/s, a letter each; who by sample, a digit each.

    g good (1 ms), s slow (700 ms), b refused, 5 an error 5xx, r reset, - never sent.
    """
    there = [n for n, letter in enumerate(letters) if letter != "-"]
    sent = [ORIGIN + n * 100_000_000 for n in there]
    samples = table(
        Setting(rate=10.0, blind_after=0.2),
        there,
        sent,
        sent,
        [at + (700 if letters[n] == "s" else 1) * 1_000_000 for n, at in zip(there, sent, strict=True)],
        [FAILURES.get(letters[n], Outcome.OK) for n in there],
        [int(who[n]) for n in there] if who else None,
    )
    endpoint, connection = name.split("/")
    return Track(
        spec={"series": name, "endpoint": endpoint, "connection": connection, "identity": identity},
        began=0.0,
        scope=(0.0, len(letters) / 10),
        axis=Axis(ORIGIN),
        log=ProberLog((), WHO, {}, {}, ()),
        stopped=True,
        timing=timing(samples.header),
        evidence=gather(samples, ()),
    )


FAULT = Fault(
    name="fault", kind="kill", how="crash", target="node head", hits=(), intended=2.0, injected=2.0,
    confirmed=True, healed=None, recovered=4.0,
)  # fmt: skip


def given(*tracks: Track, fault: Fault = FAULT, at: float = 6.0, **more) -> Evidence:
    return Evidence(at=at, tracks={"p": tracks} if tracks else {}, faults={0: fault}, **more)


def verdict(case: dict, evidence: Evidence) -> Verdict:
    finding = judge(case, evidence)
    assert finding.expected
    assert finding.actual
    assert finding.verdict is not UNKNOWN or finding.why
    return finding.verdict


GOOD = "g" * 60
DOWN = "g" * 25 + "b" * 5 + "g" * 30


def test_every_series_counts_and_the_worst_decides():
    case = {"probe": "p", "failed": {"max": 0}}
    other = track(DOWN, name="worker-2/reused")
    assert verdict(case, given(track(GOOD))) is PASS
    assert verdict(case, given(track(GOOD), other)) is FAIL
    assert "worker-2/reused" in judge(case, given(track(GOOD), other)).why
    assert verdict({**case, "endpoint": "worker-1"}, given(track(GOOD), other)) is PASS
    assert verdict({**case, "connection": "reused"}, given(track(GOOD), other)) is FAIL
    assert verdict({**case, "endpoint": "head"}, given(track(GOOD), other)) is UNKNOWN


def test_all_that_a_case_says_must_hold():
    case = {"probe": "p", "failed": {"max": 5}, "longest": {"max": 0.1}}
    finding = judge(case, given(track(DOWN)))
    assert finding.verdict is FAIL
    assert finding.expected == "failed requests of p at most 5; longest downtime of p at most 100 ms"


def test_a_limit_on_a_duration_prints_its_resolution():
    finding = judge({"probe": "p", "longest": {"max": 5.0}}, given(track(DOWN)))
    assert finding.actual == "worker-1/new: more than 399 ms to 601 ms (resolution 100 ms)"


def test_blind_time_makes_it_unknown_and_is_named():
    finding = judge({"probe": "p", "failed": {"max": 0}}, given(track("g" * 20 + "-" * 10 + "g" * 30)))
    assert finding.verdict is UNKNOWN
    assert finding.actual == "worker-1/new: 0 to 10 (blind for 1.1 s)"
    assert finding.why == "too little is known of worker-1/new"


def test_nothing_sent_is_unknown():
    assert verdict({"probe": "p", "failed": {"max": 0}}, given(track("-" * 60))) is UNKNOWN
    missing = replace(track(GOOD), evidence=None, timing=None)
    assert verdict({"probe": "p", "failed": {"max": 0}}, given(missing)) is UNKNOWN
    assert verdict({"probe": "p", "failed": {"max": 0}}, given()) is UNKNOWN


@pytest.mark.parametrize(("phase", "expected"), [("before", PASS), ("during", FAIL), ("after", PASS)])
def test_phases_of_a_fault(phase, expected):
    case = {"probe": "p", "failed": {"max": 0}, "during": {"fault": 0, "phase": phase}}
    assert verdict(case, given(track(DOWN))) is expected


def test_during_lasts_until_the_mark_where_no_recovery_was_seen_and_after_is_unknown():
    case = {"probe": "p", "failed": {"max": 0}, "during": {"fault": 0, "phase": "during"}}
    late = track("g" * 50 + "b" * 5 + "g" * 5)
    assert verdict(case, given(late)) is PASS
    assert verdict(case, given(late, fault=replace(FAULT, recovered=None))) is FAIL
    after = {**case, "during": {"fault": 0, "phase": "after"}}
    assert verdict(after, given(track(GOOD), fault=replace(FAULT, recovered=None))) is UNKNOWN


@pytest.mark.parametrize("broken", [{"confirmed": False}, {"confirmed": None}, {"injected": None}])
def test_what_depends_on_a_fault_that_is_not_known_to_have_hit_is_unknown(broken):
    fault = replace(FAULT, **broken)
    for case in (
        {"probe": "p", "failed": {"max": 0}, "during": {"fault": 0, "phase": "before"}},
        {"probe": "p", "same_identities": 0},
        {"recovery": {"fault": 0, "max": 60.0}},
    ):
        assert verdict(case, given(track(GOOD, "1" * 60), fault=fault)) is UNKNOWN


def test_success_and_latency_count_what_was_not_seen_both_ways():
    blind = track("g" * 20 + "-" * 10 + "g" * 30)
    assert verdict({"probe": "p", "success": {"min": 0.8}}, given(blind)) is PASS
    assert verdict({"probe": "p", "success": {"min": 0.9}}, given(blind)) is UNKNOWN
    assert verdict({"probe": "p", "latency": {"percentile": 80, "max": 0.01}}, given(blind)) is PASS
    assert verdict({"probe": "p", "latency": {"percentile": 90, "max": 0.01}}, given(blind)) is UNKNOWN
    assert verdict({"probe": "p", "latency": {"percentile": 99, "max": 0.0001}}, given(track(GOOD))) is FAIL
    assert (
        verdict({"probe": "p", "latency": {"percentile": 99, "max": 1.0}}, given(track("b" * 60))) is UNKNOWN
    )


def test_a_series_without_a_right_answer_hides_no_failure_of_another():
    case = {"probe": "p", "latency": {"percentile": 99, "max": 0.0001}}
    finding = judge(case, given(track("b" * 60), track(GOOD, name="w/new")))
    assert finding.verdict is FAIL
    assert finding.actual.startswith("worker-1/new: no right answer; ")
    assert finding.why == "failed on w/new"


def test_error_classes_that_are_not_allowed_fail_and_are_named():
    case = {"probe": "p", "errors": {"allow": ["refused", "reset"]}}
    assert verdict(case, given(track(GOOD))) is PASS
    assert verdict(case, given(track("gggbbrgggs" * 6))) is PASS
    other = track("ggg55b" * 10, name="w/new")
    finding = judge(case, given(track(DOWN), other))
    assert finding.verdict is FAIL
    assert finding.expected == "requests of p fail by refused or reset only"
    assert finding.actual == "worker-1/new: refused 5; w/new: http_5xx 20, refused 10"
    assert finding.why == "failed on w/new by http_5xx 20"
    assert judge({**case, "errors": {"allow": []}}, given(track(DOWN))).verdict is FAIL
    assert verdict({**case, "endpoint": "worker-1"}, given(track(DOWN), other)) is PASS
    assert verdict({**case, "during": {"fault": 0, "phase": "before"}}, given(other)) is FAIL


def test_blind_time_can_only_hide_more_ways_to_fail():
    case = {"probe": "p", "errors": {"allow": ["refused"]}}
    blind = "g" * 20 + "-" * 10 + "g" * 15 + "{}" + "g" * 14
    assert verdict(case, given(track(blind.format("g")))) is UNKNOWN
    assert verdict(case, given(track(blind.format("b")))) is UNKNOWN
    assert verdict(case, given(track(blind.format("5")))) is FAIL
    assert "blind for 1.1 s" in judge(case, given(track(blind.format("5")))).actual


def test_a_slow_answer_counts_in_latency_and_not_as_failed():
    slow = track("g" * 30 + "s" + "g" * 29)
    assert verdict({"probe": "p", "failed": {"max": 0}}, given(slow)) is PASS
    assert verdict({"probe": "p", "count": {"max": 0}}, given(slow)) is FAIL
    assert verdict({"probe": "p", "latency": {"percentile": 100, "max": 0.5}}, given(slow)) is FAIL
    assert verdict({"probe": "p", "success": {"min": 1}}, given(slow)) is FAIL


def test_same_identities():
    case = {"probe": "p", "same_identities": 0}
    assert verdict(case, given(track(GOOD, "12" * 10 + "1" * 21 + "3" * 19))) is PASS
    finding = judge(case, given(track(GOOD, "12" * 10 + "13" * 10 + "3" * 20)))
    assert finding.verdict is FAIL
    assert "pid 3" in finding.actual
    # What one series saw before the fault, another may see after it.
    assert verdict(case, given(track(GOOD, "1" * 60), track(GOOD, "2" * 20 + "1" * 40, name="w/new"))) is PASS
    assert verdict(case, given(track(GOOD, "0" * 60))) is UNKNOWN
    assert verdict(case, given(track("g" * 20 + "b" * 40, "1" * 60))) is UNKNOWN


def test_how_many_answered_counts_all_series_and_what_nobody_saw_may_be_more():
    two = given(track("g" * 20, "12" * 10), track("g" * 20, "1" * 20, name="w/new"))
    assert verdict({"probe": "p", "identities": {"min": 2, "max": 2}}, two) is PASS
    assert verdict({"probe": "p", "identities": {"min": 3}}, two) is FAIL
    assert verdict({"probe": "p", "identities": {"max": 1}}, two) is FAIL
    assert verdict({"probe": "p", "endpoint": "w", "identities": {"max": 1}}, two) is PASS
    blind = given(track("g" * 5 + "-" * 10 + "g" * 45, "1" * 60))
    assert verdict({"probe": "p", "identities": {"min": 1}}, blind) is PASS
    finding = judge({"probe": "p", "identities": {"max": 1}}, blind)
    assert finding.verdict is UNKNOWN
    assert finding.why == "who answered 10 more requests is not known"
    assert finding.actual == "1 to 11 answered"
    assert verdict({"probe": "p", "identities": {"min": 1}}, given(track(GOOD, identity=None))) is UNKNOWN


def test_who_answered_in_blind_time_or_said_no_name_may_be_a_new_one():
    case = {"probe": "p", "same_identities": 0}
    blind = "g" * 20 + "g" * 5 + "-" * 10 + "g" * 25
    finding = judge(case, given(track(blind, "1" * 60)))
    assert finding.verdict is UNKNOWN
    assert finding.why == "who answered 10 more requests is not known"
    assert (
        verdict(case, given(track(blind, "1" * 40 + "2" * 20), fault=replace(FAULT, recovered=5.0))) is FAIL
    )
    assert verdict(case, given(track(GOOD, "1" * 25 + "0" + "1" * 34))) is UNKNOWN
    assert verdict(case, given(track("g" * 45 + "-" * 10 + "g" * 5, "1" * 60))) is PASS


def nodes(at: float, *states: str, unknown: bool = False) -> Observed:
    """Give what was observed of nodes: `alive` and `dead` ones, or that nobody could say."""
    rows = [{"slot": f"n{number}", "state": state} for number, state in enumerate(states)]
    return Observed(
        at - 0.1, at, {"unknown": ["nodes"], "nodes": []} if unknown else {"unknown": [], "nodes": rows}
    )


ALIVE = '$.nodes[?(@.state=="ALIVE")]'


def test_a_state_during_a_fault_has_to_be_so_in_every_observation_of_that_time():
    case = {"state": ALIVE, "count": {"max": 1}, "during": {"fault": 0, "phase": "during"}}
    seen = [nodes(1.0, "ALIVE"), nodes(2.5, unknown=True), nodes(3.0, "ALIVE"), nodes(3.9, "DEAD", "ALIVE")]
    two = nodes(3.5, "ALIVE", "ALIVE")
    # What is so at the mark, and was so before the fault, does not count.
    others = [nodes(1.5, "ALIVE", "ALIVE"), nodes(5.0, "ALIVE", "ALIVE")]
    passed = judge(case, given(observations=sorted([*seen, *others], key=lambda each: each.at)))
    assert passed.verdict is PASS
    assert passed.actual == "so it was in 2 observations; in 1 more nobody could say"
    failed = judge(case, given(observations=[*seen, two]))
    assert failed.verdict is FAIL
    assert "as was seen at 3.5 s" in failed.actual
    assert verdict(case, given(observations=[nodes(2.5, unknown=True)])) is UNKNOWN
    assert verdict(case, given(observations=others)) is UNKNOWN
    after = {**case, "during": {"fault": 0, "phase": "after"}}
    assert verdict(after, given(observations=[*seen, nodes(5.0, "ALIVE", "ALIVE")])) is FAIL
    assert verdict(case, given(observations=seen, fault=replace(FAULT, confirmed=False))) is UNKNOWN


def starts(at: float, *numbers: int | None) -> Observed:
    rows = [{"slot": f"w{number}", "starts": each} for number, each in enumerate(numbers)]
    return Observed(at - 0.1, at, {"unknown": [], "processes": rows})


def test_unchanged_compares_with_the_last_observation_before_the_fault():
    case = {"state": "$.processes[*].starts", "unchanged": 0}

    def now(*numbers: int | None) -> Evidence:
        seen = [starts(0.5, 7, 7), starts(1.9, 1, 2), starts(3.0, 8, 8)]
        return given(observations=seen, document=starts(5.9, *numbers).document)

    assert verdict(case, now(1, 2)) is PASS
    assert verdict(case, now(2, 1)) is PASS
    assert verdict(case, now(1, 3)) is FAIL
    assert verdict(case, now(1)) is FAIL
    assert verdict(case, now(1, None)) is UNKNOWN
    assert "before it 2 matches: 1, 2" in judge(case, now(1, 3)).actual
    nothing = {"state": "$.processes[*].cluster", "unchanged": 0}
    assert verdict(nothing, now(1, 2)) is UNKNOWN
    assert verdict(case, given(document=starts(5.9, 1).document)) is UNKNOWN
    assert verdict({**case, "unchanged": "gone"}, now(1, 2)) is UNKNOWN
    every = {**case, "during": {"fault": 0, "phase": "during"}}
    assert verdict(every, now(1, 2)) is FAIL


def test_unchanged_looks_further_back_where_nobody_could_say():
    case = {"state": ALIVE + ".slot", "unchanged": 0}
    seen = [nodes(1.0, "ALIVE"), nodes(1.9, unknown=True)]
    assert verdict(case, given(observations=seen, document=nodes(5.0, "ALIVE").document)) is PASS
    dark = given(observations=seen[1:], document=nodes(5.0, "ALIVE").document)
    assert judge(case, dark).why == "at that moment nobody could answer for nodes"


def test_a_fault_that_was_never_injected_stands_with_its_name_and_leaves_it_unknown():
    for case in (
        {"probe": "p", "failed": {"max": 0}, "during": {"fault": "gone", "phase": "before"}},
        {"probe": "p", "same_identities": "gone"},
        {"recovery": {"fault": "gone", "max": 60.0}},
    ):
        finding = judge(case, given(track(GOOD, "1" * 60)))
        assert (finding.verdict, finding.why) == (UNKNOWN, "the fault gone was not injected")


def document(*replicas: str, unknown: tuple[str, ...] = ()) -> dict:
    rows = [{"state": "RUNNING", "actor_id": each} for each in replicas]
    return {"unknown": unknown, "replicas": [*rows, {"state": "STARTING", "actor_id": "new"}]}


def test_an_identity_that_is_new_may_be_a_replica_that_had_not_answered_before():
    case = {"probe": "p", "same_identities": 0}

    def found(who: str, *running: str, **narrow: str):
        other = track(GOOD, "4" * 60, name="w/new")
        before = (
            Observed(0.5, 0.6, document("x", "y", "z", "u", "v")),
            Observed(1.0, 1.1, document(*running)),
        )
        return judge({**case, **narrow}, given(track(GOOD, who), other, observations=before))

    one_new, two_new = "12" * 10 + "13" * 10 + "1" * 20, "12" * 10 + "135" * 6 + "1" * 22
    assert found(one_new, "a", "b", "c").verdict is FAIL
    finding = found(one_new, "a", "b", "c", "d")
    assert finding.verdict is UNKNOWN
    assert finding.why == "1 of the replicas that ran before the fault had not answered by then"
    assert found(two_new, "a", "b", "c", "d").verdict is FAIL
    assert found("12" * 30, "a", "b", "c", "d").verdict is PASS
    # Who answers at one endpoint only was heard all the same.
    assert found(one_new, "a", "b", "c", endpoint="worker-1").verdict is FAIL


def test_a_process_id_that_several_replicas_have_is_nobodys_name():
    """As in containers, which number their processes alike: a new replica may have an old one's."""

    def seen(at: float, *replicas: tuple[str, str]) -> Observed:
        rows = [{"state": "RUNNING", "actor_id": actor, "pid": pid} for actor, pid in replicas]
        return Observed(at, at + 0.1, {"unknown": [], "replicas": rows})

    same = {"probe": "p", "same_identities": 0}
    alike = track(GOOD, "12" * 30)
    both = seen(1.0, ("a", "pid 1"), ("b", "pid 2"))
    assert judge(same, given(alike, observations=(both, seen(3.0, ("a", "pid 1"))))).verdict is PASS
    again = (both, seen(3.0, ("c", "pid 1"), ("b", "pid 2")))
    finding = judge(same, given(alike, observations=again))
    assert finding.verdict is UNKNOWN
    assert finding.why == (
        "pid 1 is the process id of 2 replicas: let answers say what only one has, as actor ids"
    )
    assert judge(same, given(track(GOOD, "12" * 10 + "13" * 20), observations=again)).verdict is FAIL

    # All that ran had been heard, two of them by each name: the new one is none of them.
    twice = seen(1.0, ("a", "pid 1"), ("b", "pid 2"), ("c", "pid 1"), ("d", "pid 2"))
    third = track(GOOD, "12" * 10 + "13" * 20)
    assert judge(same, given(third, observations=(twice,))).verdict is FAIL
    one_silent = seen(1.0, ("a", "pid 1"), ("b", "pid 2"), ("c", "pid 1"), ("d", "pid 3"))
    finding = judge(same, given(third, observations=(one_silent,)))
    assert finding.verdict is UNKNOWN
    assert finding.why == "1 of the replicas that ran before the fault had not answered by then"

    four = (seen(1.0, ("a", "pid 1"), ("b", "pid 2"), ("c", "pid 1"), ("d", "pid 1")),)
    for limit, verdict in (
        ({"min": 2}, PASS),
        ({"min": 4}, UNKNOWN),
        ({"min": 5}, FAIL),
        ({"max": 3}, UNKNOWN),
    ):
        finding = judge({"probe": "p", "identities": limit}, given(alike, observations=four))
        assert finding.verdict is verdict
        assert finding.actual == "2 to 4 answered"
        assert ("pid 1 is the process id of 3 replicas" in finding.why) is (verdict is UNKNOWN)


def test_without_an_identity_the_observed_replicas_are_compared_and_it_is_said():
    case = {"probe": "p", "same_identities": 0}
    before = Observed(1.0, 1.1, document("a", "b"))
    silent = Observed(2.5, 2.6, document("z", unknown=("replicas",)))

    def found(*observations: Observed):
        return judge(case, given(track(GOOD, identity=None), observations=observations))

    same = found(before, silent, Observed(3.5, 3.6, document("b")))
    assert same.verdict is PASS
    assert "no identity" in same.why
    assert found(before, Observed(3.5, 3.6, document("b", "c"))).verdict is FAIL
    assert found(before, silent).verdict is UNKNOWN
    # What was asked before the fault and answered after it belongs to neither.
    assert found(before, Observed(1.9, 2.1, document("c"))).verdict is UNKNOWN
    assert found(before, Observed(3.5, 3.6, document("a")), Observed(5.0, 5.1, document("c"))).verdict is PASS


def test_recovery():
    case = {"recovery": {"fault": 0, "max": 3.0}}
    never = replace(FAULT, recovered=None)
    assert verdict(case, given()) is PASS
    # Seen recovered after 2 s; when it was last seen not to be tells whether 1 s was kept.
    late = {"recovery": {"fault": 0, "max": 1.0}}
    assert verdict(late, given(fault=replace(FAULT, evidence={"missing_at": 3.5}))) is FAIL
    assert verdict(late, given(fault=replace(FAULT, evidence={"missing_at": 2.5}))) is UNKNOWN
    assert verdict(late, given()) is UNKNOWN
    assert verdict(case, given(fault=never)) is UNKNOWN
    waited = "the cluster recovered from fault"
    assert verdict(case, given(fault=never, unmet=[(5.5, waited)])) is FAIL
    assert verdict(case, given(fault=never, unmet=[(4.5, waited)])) is UNKNOWN
    assert verdict(case, given(fault=never, unmet=[(5.5, "job x")])) is UNKNOWN
    # Another fault's recovery, or a wait for more, says nothing of this one.
    assert verdict(case, given(fault=never, unmet=[(5.5, waited + "2")])) is UNKNOWN
    assert verdict(case, given(fault=never, unmet=[(5.5, waited + " and job x")])) is UNKNOWN


@pytest.mark.parametrize(
    ("after", "interval", "expected"),
    [
        (Bracket(1.0, 1.5, 2.0), Interval(1.0, 2.0), PASS),
        (Bracket(2.9, 3.0, 3.1), Interval(2.9, 3.1), UNKNOWN),
        (Bracket(3.1, 3.2, 3.3), Interval(3.1, 3.3), FAIL),
        (None, Interval(0.0, 0.0), PASS),
        (None, Interval(4.0, float("inf")), FAIL),
        (None, Interval(0.5, float("inf")), UNKNOWN),
        (None, None, UNKNOWN),
    ],
)
def test_a_phase_before_the_recovery_is_judged_by_its_bracket(after, interval, expected):
    asked = []

    def phase(number, name):
        asked.append((number, name))
        return Measured(Phase(name, after, "all traffic was good again", "users"), interval)

    case = {"recovery": {"fault": 0, "max": 3.0, "phase": "mitigation"}}
    finding = judge(case, given(phase=phase))
    assert finding.verdict is expected
    assert finding.expected == "all traffic good again at most 3 s after the fault"
    assert asked == [(0, "mitigation")]
    if after is not None and expected is UNKNOWN:
        assert finding.actual == (
            "mitigation 2.9 s to 3.1 s after the fault: all traffic was good again (users)"
        )
        assert finding.why == "it lies 2.9 s to 3.1 s after the fault"
    assert verdict(case, given(phase=lambda _number, _name: None)) is UNKNOWN


def test_ray_state_and_expressions():
    case = {"ray_state": {"resource": "actors", "path": "$[*].state"}, "all": "ALIVE"}
    assert verdict(case, given(ray_state={"actors": [{"state": "ALIVE"}]})) is PASS
    assert verdict(case, given(ray_state={"actors": [{"state": "DEAD"}]})) is FAIL
    assert verdict(case, given(ray_state={"nodes": []})) is UNKNOWN
    assert verdict({"that": {"text": "x > 1", "value": 2}}, given()) is PASS
    assert verdict({"that": {"text": "x > 1", "value": 0}}, given()) is FAIL
    assert verdict({"that": {"text": "x > 1", "value": None}}, given()) is UNKNOWN
    failed = {"text": "x.y > 1", "value": None, "why": "x has no y"}
    assert judge({"that": failed}, given()).why == "x has no y"
    assert verdict({"name": "nothing"}, given()) is UNKNOWN


def test_identities_are_those_of_right_answers_in_scope():
    found = track("gggbgg", "112332").identities((0.0, 0.45))
    assert found == {"pid 1": 2, "pid 2": 1, "pid 3": 1}
    assert np.all(np.array(list(found.values())) > 0)
