"""What took time: bars between what was said, and the path through them."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.timeline.cast import cast
from runner.timeline.causes import Bar, bars, happened, path, rows, shares
from tests.timeline.telling import HEAD, NEW, ONE, WELL, but, proxy, said, seen

REPLICA = {"replica": "r3", "deployment": "Model", "app": "app"}


def drawn(*events, observed=()):
    observed = (seen(0.0, WELL), *observed)
    return bars(happened(events, observed), cast(observed, events))


def found(every, *, rank=None):
    return [
        (bar.cause, bar.who, bar.start, bar.end)
        for bar in sorted(every, key=lambda bar: (bar.start, bar.cause))
        if rank is None or bar.rank == rank
    ]


def test_a_unit_is_restarted():
    every = drawn(
        said(10, "supervisor", "worker-1", "ended", "ended (SIGKILL)"),
        said(15, "supervisor", "worker-1", "awaits", "waits for 10.1.0.2:6400"),
        said(17, "supervisor", "worker-1", "started", "started again"),
        said(24, "supervisor", "worker-1", "up"),
        said(23, "raylet", "worker-1", "raylet_starting", node_id=NEW),
        said(23.5, "raylet", "worker-1", "agent_awaited", agent="dashboard_agent"),
        said(23.6, "raylet", "worker-1", "agent_awaited", agent="runtime_env_agent"),
        said(30, "raylet", "worker-1", "raylet_started", node_id=NEW),
    )
    assert found(every) == [
        ("restart delay", "worker-1", 10, 15),
        ("waiting for what it needs", "worker-1", 15, 17),
        ("worker process starting", "worker-1", 17, 24),
        ("raylet starting", "worker-1", 23, 30),
        ("raylet waiting for its agents", "worker-1", 23.5, 30),
    ]
    assert every[2].evidence in {bar.evidence for bar in every}
    assert next(bar for bar in every if bar.cause == "restart delay").evidence == (
        "ended (SIGKILL) ... waits for 10.1.0.2:6400"
    )


def test_a_pod_is_deleted_and_another_takes_its_place():
    def pod(at, event, **data):
        return said(at, "kubernetes", "worker-1", event, f"pod {event}", **data)

    every = drawn(
        pod(0, "deleting"),
        pod(0.2, "endpoint", healthy=False),
        pod(1, "ended"),
        pod(1, "gone"),
        pod(1.5, "made"),
        pod(2, "scheduled"),
        pod(3, "pulling"),
        pod(8, "pulled"),
        pod(12, "initialized"),
        pod(13, "started"),
        pod(20, "up"),
        pod(20.5, "endpoint", healthy=True),
    )
    assert found(every) == [
        ("pod deletion", "worker-1", 0, 1),
        ("out of the service", "worker-1 in the service", 0.2, 20.5),
        ("restart delay", "worker-1", 1, 1),
        ("waiting for another pod", "worker-1", 1, 1.5),
        ("pod scheduling", "worker-1", 1.5, 2),
        ("init containers", "worker-1", 2, 12),
        ("image pull", "worker-1", 3, 8),
        ("container starting", "worker-1", 12, 13),
        ("worker process starting", "worker-1", 13, 20),
        ("endpoint update", "worker-1 in the service", 20, 20.5),
    ]


def test_a_container_that_starts_again_in_place_waits_for_the_kubelet_alone():
    every = drawn(
        said(0, "kubernetes", "head", "ended", "the container ended"),
        said(12, "kubernetes", "head", "started", "the container started again"),
        said(20, "kubernetes", "head", "up", "Ready"),
    )
    assert found(every) == [
        ("restart delay", "head", 0, 12),
        ("head process starting", "head", 12, 20),
    ]


def test_a_replica_starts_and_its_constructor_takes_what_the_controller_says():
    document = but(
        replicas=[*WELL["replicas"], {**WELL["replicas"][0], "id": "r3", "actor_id": "actor-r3"}],
    )
    every = drawn(
        said(2, "controller", "head", "replica_starting", **REPLICA),
        said(2.1, "gcs", "head", "actor_registered", actor_id="actor-r3"),
        said(5, "gcs", "head", "actor_placed", actor_id="actor-r3", node_id=ONE),
        said(8, "gcs", "head", "actor_created", actor_id="actor-r3"),
        said(
            19, "controller", "head", "replica_started", **REPLICA, seconds=17.0, construct=10.0, node_id=ONE
        ),
        observed=(seen(20.0, document),),
    )
    assert found(every) == [
        ("replica starting", "replica Model r3 on worker-1", 2, 19),
        ("replica actor scheduling", "replica Model r3 on worker-1", 2.1, 5),
        ("replica actor starting", "replica Model r3 on worker-1", 5, 8),
        ("replica constructing", "replica Model r3 on worker-1", 9, 19),
    ]


def test_a_replica_that_a_new_controller_finds_alive_constructs_nothing():
    every = drawn(
        said(1, "controller", "head", "recovering", deployment="Model", app="app", replicas=1),
        said(1, "controller", "head", "replica_recovering", **REPLICA),
        said(
            1.5, "controller", "head", "replica_started", **REPLICA, seconds=0.5, construct=10.0, node_id=ONE
        ),
        said(1.6, "controller", "head", "recovered", seconds=0.6),
    )
    assert found(every) == [
        ("controller recovering", "controller", 1, 1.6),
        ("replica recovering", "replica Model r3 on worker-1", 1, 1.5),
    ]


def test_a_replica_that_is_only_configured_anew_constructs_nothing():
    started = {**REPLICA, "seconds": 15.0, "construct": 10.0, "node_id": ONE}
    every = drawn(
        said(2, "controller", "head", "replica_starting", **REPLICA),
        said(17, "controller", "head", "replica_started", **started),
        said(40, "controller", "head", "replica_started", **started),
    )
    assert [bar[2:] for bar in found(every) if bar[0] == "replica constructing"] == [(7.0, 17)]


def test_strikes_are_counted_up_to_what_it_takes():
    every = drawn(
        *(said(at, "controller", "head", "proxy_check_failed", node_id=ONE) for at in (5, 15, 25)),
        said(25.1, "controller", "head", "proxy_unhealthy", node_id=ONE, strikes=3),
        *(
            said(at, "gcs", "head", "node_check_failed", node_id=ONE, left=left)
            for at, left in ((3, 4), (6, 3))
        ),
    )
    assert found(every) == [
        ("node health check strikes 2 of 5", "worker-1", 3, 6),
        ("proxy health check strikes 2 of 3", "proxy on worker-1", 5, 15),
        ("proxy health check strikes 3 of 3", "proxy on worker-1", 15, 25),
    ]


def test_checks_that_failed_before_one_passed_are_another_row():
    failed = [said(at, "controller", "head", "health_check_failed", **REPLICA) for at in (5, 8, 20, 23, 26)]
    events = happened(
        [
            *failed,
            said(11, "controller", "head", "health_check_passed", **REPLICA, strikes=2),
            said(26.1, "controller", "head", "replica_unhealthy", **REPLICA, strikes=3),
        ],
        (),
    )
    assert [([each.at for each in row.strikes], row.of) for row in rows(events)] == [
        ([5, 8], None),
        ([20, 23, 26], 3),
    ]
    again = happened([said(n, "gcs", "head", "node_check_failed", node_id=ONE, left=4) for n in (1, 9)], ())
    assert [len(row.strikes) for row in rows(again)] == [1, 1]


def test_a_proxy_has_started_when_it_is_seen_healthy_and_the_service_polls_after_that():
    starting = but(proxies=[proxy(HEAD), proxy(ONE, "STARTING")])
    every = drawn(
        said(1, "forwarder", "worker-1", "endpoint", "endpoint removed", healthy=False),
        said(10, "controller", "head", "proxy_starting", node_id=ONE),
        said(11, "gcs", "head", "actor_registered", actor_id="proxy-b"),
        said(12, "gcs", "head", "actor_placed", actor_id="proxy-b", node_id=ONE),
        said(13, "gcs", "head", "actor_created", actor_id="proxy-b"),
        said(16, "forwarder", "worker-1", "endpoint", "endpoint added", healthy=True),
        observed=(seen(10.5, starting), seen(13.5, WELL)),
    )
    assert found(every) == [
        ("out of the service", "worker-1 in the service", 1, 16),
        ("proxy starting", "proxy on worker-1", 10, 13.5),
        ("proxy actor scheduling", "proxy on worker-1", 11, 12),
        ("proxy actor starting", "proxy on worker-1", 12, 13),
        ("readiness poll of the service", "worker-1 in the service", 13, 16),
    ]
    assert {bar.opens for bar in every} == {"service", "worker-1"}


def test_an_application_that_is_not_running_is_a_bar_that_yields_to_all_others():
    unhealthy = but(applications=[{"name": "app", "status": "UNHEALTHY"}])
    blind = but(unknown=["applications"], applications=[])
    every = drawn(observed=(seen(3.0, unhealthy), seen(4.0, blind), seen(9.0, WELL), seen(11.0, unhealthy)))
    assert found(every) == [
        ("application UNHEALTHY", "application app", 3.0, 9.0),
        ("application UNHEALTHY", "application app", 11.0, None),
    ]
    assert {bar.rank for bar in every} == {10}


def test_what_has_no_end_is_a_bar_without_one():
    assert found(drawn(said(3, "supervisor", "head", "ended"))) == [("restart delay", "head", 3, None)]


# The path


def bar(start, end, rank=40, **fields):
    return Bar(f"{start}-{end}", "", start, end, "gcs", "", rank, **fields)


INSTANTS = st.integers(0, 60).map(lambda n: n / 2)
BARS = st.lists(
    st.builds(
        lambda start, length, rank, thread, slot, opens: Bar(
            "x", "", start, None if length is None else start + length, "gcs", "", rank, thread, slot, opens
        ),
        INSTANTS,
        st.one_of(st.none(), INSTANTS),
        st.sampled_from([10, 30, 40, 50]),
        st.sampled_from(["", "a", "b"]),
        st.sampled_from(["", "head", "worker-1"]),
        st.sampled_from(["", "worker-1", "service"]),
    ),
    max_size=12,
)


@given(
    every=BARS,
    more=BARS,
    start=INSTANTS,
    length=st.integers(1, 60),
    endpoint=st.sampled_from(["", "worker-1"]),
)
def test_a_path_lies_within_the_stretch_overlaps_nothing_and_more_bars_explain_no_less(
    every, more, start, length, endpoint
):
    end = start + length / 2
    segments = path(every, start, end, endpoint=endpoint, home=("head",))
    for nth, early, late in segments:
        assert start <= early < late <= end
        assert every[nth].start <= early
        assert late <= (math.inf if every[nth].end is None else every[nth].end)
    for after, before in pairwise(segments):
        assert before[2] <= after[1]
    taken = shares(segments, start, end)
    assert all(share > 0 for share in taken.values())
    assert sum(taken.values()) <= 1 + 1e-9
    wider = shares(path([*every, *more], start, end, endpoint=endpoint, home=("head",)), start, end)
    assert sum(wider.values()) >= sum(taken.values()) - 1e-9


def causes(every, *stretch, **fields):
    return [(every[nth].cause, early, late) for nth, early, late in path(every, *stretch, **fields)]


def test_the_more_specific_takes_the_time_of_the_less():
    every = [bar(0, 10, 20), bar(3, 5, 50)]
    assert causes(every, 0, 10) == [("0-10", 5, 10), ("3-5", 3, 5), ("0-10", 0, 3)]


def test_a_gap_stays_unexplained():
    every = [bar(0, 4), bar(6, 10)]
    assert causes(every, 0, 10) == [("6-10", 6, 10), ("0-4", 0, 4)]
    assert shares(path(every, 0, 10), 0, 10) == {1: pytest.approx(0.4), 0: pytest.approx(0.4)}


def test_nothing_waited_for_what_had_not_ended():
    assert causes([bar(0, 12), bar(0, None)], 0, 10) == []
    assert causes([bar(0, 10.5)], 0, 10) == [("0-10.5", 0, 10)]


def test_what_brings_the_endpoint_back_comes_first_then_what_went_on_where_the_fault_hit():
    every = [bar(0, 10, 50), bar(5, 10, 30, opens="worker-1"), bar(0, 6, 40, slot="worker-1")]
    assert causes(every, 0, 10, endpoint="worker-1", home=("worker-1",)) == [("5-10", 5, 10), ("0-6", 0, 5)]
    assert causes(every, 0, 10) == [("0-10", 0, 10)]


def test_polls_of_the_service_are_waited_for_by_those_alone_who_ask_there():
    poll = [bar(4, 8, opens="service")]
    assert causes(poll, 0, 10, endpoint="head") == []
    assert causes(poll, 0, 10, endpoint="service") == [("4-8", 4, 8)]


def test_of_equals_the_path_stays_with_its_thread():
    every = [bar(0, 5, thread="a"), bar(0, 5, thread="b"), bar(5, 9, thread="a")]
    assert causes(every, 0, 9) == [("5-9", 5, 9), ("0-5", 0, 5)]
    assert [nth for nth, *_ in path(every, 0, 9)] == [2, 0]
    assert [nth for nth, *_ in path([every[1], every[0], every[2]], 0, 9)] == [2, 1]
