"""The phases of a fault, their brackets, and where its time went."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.timeline.recovery import Explanation
from runner.timeline.run import Blind, Bracket
from runner.timeline.verdict import Interval
from tests.timeline.telling import (
    HEAD,
    ONE,
    TWO,
    WELL,
    account,
    actor,
    but,
    injury,
    lane,
    node,
    proxy,
    replica,
    said,
    seen,
    window,
)

WORKER = {"slot": "worker-1", "role": "worker"}
REPLICA = {"slot": "worker-1", "role": "replica", "actor_id": "actor-r1"}
PROXY = {"slot": "worker-1", "role": "proxy", "actor_id": "proxy-b"}
CONTROLLER = {"slot": "head", "role": "controller", "actor_id": "control"}
HEADS = {"slot": "head", "role": "head"}
OTHER = {"replica": "r2", "deployment": "Model", "app": "app"}
MINE = {"replica": "r1", "deployment": "Model", "app": "app"}
BEFORE = seen(9.0, WELL)
LOGS = said(1, "gcs", "head", "gcs_started")


def phase(name, *args, **fields):
    return Explanation(account(*args, **fields)).phase(0, name)


def after(measured):
    found = measured.phase.after
    return found and (found.earliest, found.at, found.latest)


# Impact and mitigation


def test_impact_and_mitigation_are_the_edges_of_the_windows_that_began_after_the_fault():
    lanes = (
        lane(window(2, 4), window(11, 14), window(20, 21)),
        lane(window(10.02, 30), name="nodes", endpoint="head"),
    )
    measured = phase("impact", injury(10.0), lanes=lanes)
    assert after(measured) == pytest.approx((0.0, 0.02, 0.07))
    assert (measured.phase.source, measured.phase.by) == (
        "nodes head/new",
        "the first requests were lost: refused 9",
    )
    measured = phase("mitigation", injury(10.0), lanes=lanes)
    assert after(measured) == pytest.approx((19.95, 20.0, 20.05))
    assert measured.phase.source == "nodes head/new"


def test_without_a_window_no_traffic_was_lost_unless_blind_time_may_hide_that():
    for name, interval in (("impact", Interval(190.0, float("inf"))), ("mitigation", Interval(0.0, 0.0))):
        measured = phase(name, injury(10.0), lanes=(lane(),))
        assert (measured.phase.after, measured.phase.by, measured.interval) == (
            None,
            "no traffic was lost",
            interval,
        )
    dark = (lane(blind=(Blind(3.0, 4.0, ()), Blind(12.0, 12.5, ("stall",)))),)
    measured = phase("mitigation", injury(10.0), lanes=dark)
    assert measured.phase.by == (
        "no traffic was seen to be lost, but users service/new was blind for 0.500 s at 12.000 s"
    )
    assert measured.interval == Interval(0.0, 2.5)
    assert phase("impact", injury(10.0), lanes=dark).interval == Interval(2.0, float("inf"))


def test_what_is_still_down_is_not_mitigated():
    measured = phase("mitigation", injury(10.0), lanes=(lane(window(11, 14), window(20, None)),))
    assert measured.phase.after is None
    assert measured.phase.by == "users service/new was still down at its end"
    assert measured.interval == Interval(190.0, float("inf"))


def test_without_a_probe_nothing_is_known():
    for name in ("impact", "mitigation"):
        measured = phase(name, injury(10.0))
        assert (measured.phase.after, measured.phase.by, measured.interval) == (None, "no probe ran", None)


def test_windows_are_put_down_to_the_last_fault_before_them_and_who_else_lasted_is_said():
    told = Explanation(
        account(
            injury(10.0, recovered=60.0),
            injury(20.0, recovered=50.0, number=1),
            lanes=(lane(window(12, 15), window(22, 40)),),
        )
    )
    assert after(told.phase(0, "mitigation")) == pytest.approx((4.95, 5.0, 5.05))
    assert after(told.phase(1, "mitigation")) == pytest.approx((19.95, 20.0, 20.05))
    assert told.phase(1, "mitigation").phase.by.endswith("; fault0 lasted too")
    assert told.phase(2, "mitigation") is None


# Detection


@pytest.mark.parametrize(
    ("hit", "event"),
    [
        (WORKER, said(13, "gcs", "head", "node_check_failed", node_id=ONE, left=4)),
        (WORKER, said(13, "gcs", "head", "node_dead", node_id=ONE)),
        (WORKER, said(13, "raylet", "worker-2", "node_dead", node_id=ONE)),
        (WORKER, said(13, "controller", "head", "replica_unhealthy", **MINE, reason="crashed")),
        (WORKER, said(13, "controller", "head", "proxy_check_failed", node_id=ONE)),
        (REPLICA, said(13, "gcs", "head", "actor_dead", actor_id="actor-r1")),
        (REPLICA, said(13, "controller", "head", "health_check_failed", **MINE)),
        (PROXY, said(13, "controller", "head", "proxy_unhealthy", node_id=ONE, strikes=3)),
        (CONTROLLER, said(13, "gcs", "head", "actor_restarting", actor_id="control")),
        (HEADS, said(13, "raylet", "worker-2", "gcs_lost")),
    ],
)
def test_the_cluster_detects_by_a_line_about_the_target(hit, event):
    early = said(9, event.source, event.slot, **event.data)
    measured = phase("detection", injury(10.0, hit), events=(early, event), observed=(BEFORE,))
    assert after(measured) == (3.0, 3.0, 3.0)
    assert measured.phase.source == event.source
    assert measured.phase.by.endswith(event.text)


@pytest.mark.parametrize(
    ("hit", "event"),
    [
        (WORKER, said(13, "gcs", "head", "node_dead", node_id=TWO)),
        (WORKER, said(13, "raylet", "worker-1", "node_dead", node_id=ONE)),
        (WORKER, said(13, "raylet", "worker-2", "gcs_lost")),
        (WORKER, said(13, "supervisor", "worker-1", "ended")),
        (REPLICA, said(13, "controller", "head", "replica_unhealthy", **OTHER, reason="crashed")),
        (HEADS, said(13, "raylet", "head", "gcs_lost")),
        (CONTROLLER, said(13, "controller", "head", "replica_stopping", **MINE)),
    ],
)
def test_what_is_about_others_or_said_by_the_target_or_by_ftrun_is_no_detection(hit, event):
    measured = phase("detection", injury(10.0, hit), events=(LOGS, event), observed=(BEFORE,))
    assert (measured.phase.after, measured.phase.by) == (None, "the cluster said nothing about it")
    assert measured.interval == Interval(190.0, float("inf"))


def test_what_is_said_after_the_same_was_hit_again_is_said_of_that():
    events = (LOGS, said(25, "gcs", "head", "actor_restarting", actor_id="control"))
    for hit, expected in ((CONTROLLER, None), (WORKER, (15.0, 15.0, 15.0))):
        told = Explanation(
            account(injury(10.0, CONTROLLER), injury(20.0, hit, number=1), events=events, observed=(BEFORE,))
        )
        assert after(told.phase(0, "detection")) == expected


def test_where_something_beside_ray_was_hit_whatever_goes_wrong_counts():
    redis = {"slot": "redis", "role": "redis"}
    events = (
        LOGS,
        said(14, "raylet", "worker-2", "gcs_lost"),
        said(20, "gcs", "head", "node_dead", node_id=TWO),
    )
    assert after(phase("detection", injury(10.0, redis), events=events, observed=(BEFORE,))) == (
        4.0,
        4.0,
        4.0,
    )


def test_that_ray_knows_of_its_own_kill_is_no_detection():
    dead = but(actors=[actor("actor-r1", "replica", "SERVE_REPLICA::app#Model#r1", ONE, "DEAD")])
    events = (
        said(10.1, "gcs", "head", "actor_dead", actor_id="actor-r1"),
        said(14, "controller", "head", "replica_unhealthy", **MINE, reason="crashed"),
    )
    how = {"events": events, "observed": (BEFORE, seen(10.5, dead))}
    assert after(phase("detection", injury(10.0, REPLICA, how="ray_kill"), **how)) == (4.0, 4.0, 4.0)
    assert after(phase("detection", injury(10.0, REPLICA), **how)) == pytest.approx((0.0, 0.1, 0.1))


@pytest.mark.parametrize(
    ("hit", "wrong", "by"),
    [
        (WORKER, {"nodes": [node(HEAD), node(ONE, "DEAD"), node(TWO)]}, "node DEAD"),
        (REPLICA, {"replicas": [replica("r1", ONE, "STOPPING"), replica("r2", TWO)]}, "replica STOPPING"),
        (REPLICA, {"replicas": [replica("r2", TWO)]}, "replica not listed"),
        (PROXY, {"proxies": [proxy(HEAD), proxy(ONE, "UNHEALTHY"), proxy(TWO)]}, "proxy UNHEALTHY"),
        (
            CONTROLLER,
            {"actors": [actor("control", "controller", "C", HEAD, "RESTARTING")]},
            "actor RESTARTING",
        ),
    ],
)
def test_what_is_seen_lies_between_the_last_question_that_found_it_well_and_the_answer_that_did_not(
    hit, wrong, by
):
    observed = (BEFORE, seen(10.3, WELL, asked=10.1), seen(12.0, WELL, asked=11.9), seen(12.6, but(**wrong)))
    measured = phase("detection", injury(10.0, hit), events=(LOGS,), observed=observed)
    assert after(measured) == pytest.approx((1.9, 2.6, 2.6))
    assert (measured.phase.source, measured.phase.by) == ("state", by)


def test_where_nobody_could_say_the_bracket_is_wider_and_nobody_is_taken_for_dead():
    blind = but(
        unknown=["nodes", "actors", "replicas", "proxies"], nodes=[], actors=[], replicas=[], proxies=[]
    )
    observed = (BEFORE, seen(10.3, WELL, asked=10.1), seen(15.0, blind))
    measured = phase("detection", injury(10.0, WORKER), events=(LOGS,), observed=observed)
    assert measured.phase.after is None
    dead = but(nodes=[node(HEAD), node(ONE, "DEAD"), node(TWO)])
    observed = (*observed, seen(20.0, dead))
    assert after(
        phase("detection", injury(10.0, WORKER), events=(LOGS,), observed=observed)
    ) == pytest.approx((0.1, 10.0, 10.0))


def test_the_first_of_several_counts():
    dead = but(nodes=[node(HEAD), node(ONE, "DEAD"), node(TWO)])
    measured = phase(
        "detection",
        injury(10.0, WORKER),
        events=(said(12.5, "gcs", "head", "node_dead", node_id=ONE),),
        observed=(BEFORE, seen(12.0, WELL, asked=11.9), seen(12.6, dead)),
    )
    assert after(measured) == pytest.approx((1.9, 2.5, 2.5))
    assert measured.phase.source == "gcs"


def test_a_line_whose_instant_is_not_sure_is_a_bracket():
    event = said(13, "gcs", "head", "node_dead", node_id=ONE, within=0.5)
    measured = phase("detection", injury(10.0, WORKER), events=(event,), observed=(BEFORE,))
    assert after(measured) == (2.5, 3.0, 3.0)


def test_where_logs_were_not_followed_or_lines_dropped_silence_says_nothing():
    measured = phase("detection", injury(10.0, WORKER), observed=(BEFORE,))
    assert (measured.phase.by, measured.interval) == (
        "nothing was seen, but the logs were not followed",
        None,
    )
    dropped = said(12, "gcs", "head", "dropped", lines=9)
    measured = phase("detection", injury(10.0, WORKER), events=(LOGS, dropped), observed=(BEFORE,))
    assert (measured.phase.by, measured.interval) == (
        "nothing was seen, but lines of the logs were dropped",
        None,
    )


# Full recovery


def test_recovery_lies_between_when_something_was_missing_last_and_when_all_was_seen_well():
    measured = phase("recovery", injury(10.0, recovered=40.0, evidence={"missing_at": 39.4}))
    assert after(measured) == pytest.approx((29.4, 30.0, 30.0))
    assert measured.interval == Interval(pytest.approx(29.4), 30.0, above=True)
    assert phase("recovery", injury(10.0)).phase.by == "nobody saw that all was as before"
    assert phase("recovery", injury(10.0, recovered=40.0), end=30.0).phase.after is None


# Where the time went


def explained(*args, **fields):
    (found,) = Explanation(account(*args, **fields)).recoveries()
    return found


def test_the_longest_downtime_is_explained_and_whose_it_is_is_said():
    found = explained(
        injury(10.0, WORKER, recovered=60.0),
        lanes=(lane(window(11, 13)), lane(window(10, 50), window(52, 53), name="nodes", endpoint="worker-1")),
        observed=(BEFORE,),
        events=(
            said(11.0, "gcs", "head", "node_check_failed", node_id=ONE, left=4),
            said(10.1, "supervisor", "worker-1", "ended"),
            said(15.1, "supervisor", "worker-1", "started"),
            said(22.0, "supervisor", "worker-1", "up"),
            said(40.0, "controller", "head", "proxy_starting", node_id=ONE),
            said(50.0, "controller", "head", "proxy_stopped", node_id=ONE),
        ),
    )
    assert (found.explained, found.series) == ((10.0, 50.0), "nodes worker-1/new")
    assert found.downtime == {"nodes": pytest.approx(41.0), "users": pytest.approx(2.0)}
    assert {each.cause: round(each.share * 40, 6) for each in found.causes} == {
        "node health check strikes 1 of 5": 0.1,
        "restart delay": 5.0,
        "worker process starting": 6.9,
        "proxy starting": 10.0,
    }
    assert found.unexplained == pytest.approx(18 / 40)
    assert sum(each.share for each in found.causes) + found.unexplained == pytest.approx(1.0)


def test_where_no_traffic_was_lost_it_is_the_full_recovery():
    found = explained(
        injury(10.0, REPLICA, recovered=30.0),
        lanes=(lane(),),
        observed=(BEFORE,),
        events=(
            said(14.0, "controller", "head", "replica_unhealthy", **MINE, reason="crashed"),
            said(14.0, "controller", "head", "replica_starting", replica="r3", deployment="Model", app="app"),
            said(
                *(29.0, "controller", "head", "replica_started"),
                replica="r3",
                deployment="Model",
                app="app",
                node_id=ONE,
                construct=10.0,
            ),
        ),
    )
    assert (found.explained, found.series) == ((10.0, 30.0), "")
    assert {each.cause: round(each.share * 20, 6) for each in found.causes} == {
        "dead until the next health check": 4.0,
        "replica starting": 5.0,
        "replica constructing": 10.0,
    }
    assert found.unexplained == pytest.approx(1 / 20)


def test_a_controller_that_nobody_restarts_waits_for_who_hands_in_the_configuration_again():
    found = explained(
        injury(10.0, CONTROLLER, recovered=16.0, how="ray_kill"),
        lanes=(lane(),),
        observed=(BEFORE,),
        events=(said(14.0, "supervisor", "head", "resubmitted", "configuration handed in again"),),
    )
    assert [(each.cause, each.start, each.end, each.evidence) for each in found.causes] == [
        ("no controller until resubmitted", 10.0, 14.0, "kill of something ... configuration handed in again")
    ]


def test_a_controller_that_ray_restarts_waits_for_nobody_to_hand_in_anything():
    found = explained(
        injury(10.0, CONTROLLER, recovered=16.0),
        lanes=(lane(),),
        observed=(BEFORE,),
        events=(
            said(12.0, "gcs", "head", "actor_created", actor_id="control"),
            said(14.0, "operator", "operator", "resubmitted", "configuration handed in again"),
        ),
    )
    assert "no controller until resubmitted" not in {each.cause for each in found.causes}


OLD = tuple({"slot": slot, "role": "worker", "exchanged": "s-old"} for slot in ("head", "worker-1"))


def kubernetes(at, slot, event, **data):
    return said(at, "kubernetes", slot, event, **data)


def grown(slot, pod, *instants):
    """Give the life of a pod up to Ready."""
    events = ("made", "scheduled", "initialized", "started", "up")
    return [kubernetes(at, slot, each, pod=pod) for at, each in zip(instants, events, strict=True)]


UPGRADE = (
    kubernetes(11, "", "condition", kind="RayService", type="UpgradeInProgress", status="True"),
    kubernetes(12, "", "made", kind="RayCluster", name="s-new"),
    *grown("head of s-new", "g", 14, 15, 16, 18, 30),
    # Its worker is Ready once it is a member.
    *grown("worker-1 of s-new", "x", 14, 15, 26, 28, 61)[:4],
    kubernetes(40, "", "application", cluster="s-new", app="app", status="DEPLOYING"),
    kubernetes(58, "", "application", cluster="s-new", app="app", status="RUNNING"),
    kubernetes(60, "", "switched", kind="RayService", cluster="s-new"),
    kubernetes(61, "worker-1", "up", pod="x"),
    kubernetes(60, "worker-1", "endpoint", healthy=False),
    kubernetes(120, "", "deleting", kind="RayCluster", name="s-old"),
    kubernetes(121, "worker-1 of s-old", "deleting", pod="a"),
    kubernetes(150, "worker-1 of s-old", "ended", pod="a"),
    kubernetes(151, "worker-1 of s-old", "gone", pod="a"),
    kubernetes(122, "", "gone", kind="RayCluster", name="s-old"),
)


def upgraded(events=UPGRADE, lanes=(), **fields):
    values = {"kind": "upgrade", "how": "new_cluster", "target": "the cluster", **fields}
    return explained(injury(10.0, *OLD, **values), events=events, lanes=lanes)


def test_an_upgrade_is_explained_by_its_stages_and_what_went_on_in_them():
    found = upgraded(recovered=152.0)
    bars = {each.cause: (each.who, each.start, each.end) for each in found.causes}
    assert bars["until a new RayCluster was made"] == ("KubeRay", 10.0, 12)
    assert bars["new RayCluster starting"] == ("s-new", 12, 40)
    assert bars["applications starting on the new RayCluster"] == ("s-new", 40, 58)
    assert bars["until the services were switched"] == ("s-new", 58, 60)
    assert bars["old RayCluster kept"] == ("s-old", 60, 120)
    assert bars["old RayCluster being removed"] == ("s-old", 120, 151)
    assert bars["head process starting"] == ("head of s-new", 18, 30)
    assert bars["worker process starting"] == ("worker-1 of s-new", 28, 61)
    assert bars["pod deletion"] == ("worker-1 of s-old", 121, 151)
    # That the old members ceased to be endpoints is no fault that somebody had to notice.
    assert "until the service took it out" not in bars
    # Nobody waits for another pod of the old cluster, nor starts it again, nor waits for one that would be one.
    assert "restart delay" not in bars
    assert all(each.end is not None for each in found.causes)
    assert found.unexplained < 0.1


def test_what_went_before_a_downtime_that_begins_late_has_no_share_in_it():
    found = upgraded(recovered=152.0, lanes=(lane(window(60, 62)),))
    assert found.explained == (60.0, 62.0)
    bars = {each.cause for each in found.causes}
    assert {"until a new RayCluster was made", "new RayCluster starting"} <= bars
    assert {each.cause: each.share for each in found.causes if each.share > 0} == {
        "worker process starting": pytest.approx(0.5)
    }
    assert found.unexplained == pytest.approx(0.5)


def test_a_downtime_that_the_fault_began_is_explained_from_the_fault_on():
    found = explained(injury(10.05, WORKER, recovered=60.0), lanes=(lane(window(10, 50)),))
    assert found.explained == (10.05, 50.0)


def test_an_upgrade_is_noticed_when_it_is_taken_up():
    phases = {each.phase: each for each in upgraded(recovered=152.0).phases}
    assert phases["detection"].after == Bracket(0.0, 1.0, 1.0)
    assert phases["detection"].source == "kubernetes"


def test_an_upgrade_that_nobody_takes_up_is_not_taken_for_one():
    found = upgraded(events=(kubernetes(5, "", "made", kind="RayCluster", name="s-old"),))
    assert {each.phase: each.after for each in found.phases}["detection"] is None
    assert [(each.cause, each.end) for each in found.causes] == [("until a new RayCluster was made", None)]


def test_an_upgrade_that_gets_stuck_is_told_as_far_as_it_came():
    found = upgraded(events=UPGRADE[:2])
    assert {each.cause: each.end for each in found.causes} == {
        "until a new RayCluster was made": 12,
        "new RayCluster starting": None,
    }


def test_of_what_is_neither_recovered_nor_down_nothing_is_explained():
    found = explained(injury(10.0, REPLICA), lanes=(lane(),))
    assert (found.explained, found.causes, found.unexplained, found.until) == (None, (), 1.0, 200.0)


def test_bars_are_kept_up_to_a_number_those_on_the_path_first():
    noise = [
        said(at, "controller", "head", event, replica=f"x{n}", deployment="Model", app="app")
        for n in range(200)
        for at, event in ((20.0, "replica_stopping"), (21.0, "replica_stopped"))
    ]
    found = explained(
        injury(10.0, WORKER, recovered=60.0),
        lanes=(lane(),),
        observed=(BEFORE,),
        events=(
            *noise,
            said(10.1, "supervisor", "worker-1", "ended"),
            said(59.0, "supervisor", "worker-1", "started"),
        ),
    )
    assert len(found.causes) == 100
    assert sum(each.share for each in found.causes) + found.unexplained == pytest.approx(1.0)
    assert next(each.share for each in found.causes if each.cause == "restart delay") > 0.9


TIMES = st.floats(0, 100, allow_nan=False)


@given(
    windows=st.lists(st.tuples(TIMES, st.one_of(st.none(), TIMES)), max_size=6),
    faults=st.lists(st.tuples(TIMES, st.one_of(st.none(), TIMES)), min_size=1, max_size=3),
    blind=st.lists(st.tuples(TIMES, TIMES), max_size=3),
    told=st.lists(
        st.tuples(TIMES, st.sampled_from(["ended", "started", "up", "node_dead", "raylet_starting"])),
        max_size=10,
    ),
)
def test_whatever_happened_brackets_are_ordered_and_shares_add_up(windows, faults, blind, told):
    lanes = (
        lane(
            *(window(one, None if two is None else one + two) for one, two in windows),
            blind=tuple(Blind(min(pair), max(pair), ()) for pair in blind),
        ),
    )
    injuries = [
        injury(at, WORKER, recovered=None if took is None else at + took, number=n)
        for n, (at, took) in enumerate(sorted(faults, key=lambda each: each[0]))
    ]
    events = [
        said(at, "supervisor", "worker-1", event, node_id=ONE)
        for at, event in sorted(told, key=lambda each: each[0])
    ]
    for found in Explanation(
        account(*injuries, lanes=lanes, events=tuple(events), observed=(BEFORE,))
    ).recoveries():
        assert sum(each.share for each in found.causes) + found.unexplained == pytest.approx(1.0)
        assert all(each.share >= 0 for each in found.causes)
        assert [each.phase for each in found.phases] == ["impact", "detection", "mitigation", "recovery"]
        for each in found.phases:
            if each.after is not None:
                assert isinstance(each.after, Bracket)
                assert 0 <= each.after.earliest <= each.after.at <= each.after.latest
