"""Lanes of members: up, starting, dead, unknown, and held by a fault."""

from __future__ import annotations

from runner.timeline.cast import cast
from runner.timeline.members import members
from runner.timeline.run import Span
from tests.timeline.telling import (
    HEAD,
    NODES,
    ONE,
    TWO,
    WELL,
    actor,
    but,
    injury,
    node,
    proxy,
    replica,
    said,
    seen,
)

AXIS = (0.0, 30.0)


def lanes(*observed, events=(), faults=()):
    found = members(
        observed, events, [(each.fault, each.hits) for each in faults], cast(observed, events), AXIS
    )
    return {each.name: [(span.start, span.end, span.state) for span in each.spans] for each in found}


def units(**states):
    return [
        {"slot": slot, "role": "node", "state": states.get(slot.replace("-", "_"), "up")}
        for slot in NODES.values()
    ]


def often(first: float, last: float, document):
    """Give the document every two seconds from `first` on, before `last`."""
    return [seen(first + 2 * n, document) for n in range(int((last - first) / 2 + 0.999))]


def test_every_member_has_a_lane_ordered_by_role():
    found = members([seen(1.0, WELL)], (), (), cast([seen(1.0, WELL)], ()), (0.0, 5.0))
    assert [(each.name, each.role, each.slot) for each in found] == [
        ("head", "head", "head"),
        ("worker-1", "worker", "worker-1"),
        ("worker-2", "worker", "worker-2"),
        ("controller", "controller", "head"),
        ("proxy on head", "proxy", "head"),
        ("proxy on worker-1", "proxy", "worker-1"),
        ("proxy on worker-2", "proxy", "worker-2"),
        ("Model r1", "replica", "worker-1"),
        ("Model r2", "replica", "worker-2"),
    ]
    assert found[-1].spans == (Span(1.0, 5.0, "up", "RUNNING"),)
    assert found[0].spans == (Span(1.0, 5.0, "up", "processes up, ALIVE"),)


def test_a_node_that_dies_is_dead_to_the_instant_starting_and_up_when_it_has_joined():
    dead = but(processes=units(worker_1="waiting"))
    starting = but(processes=units(worker_1="starting"), nodes=[node(HEAD), node(ONE, "DEAD"), node(TWO)])
    joining = but(nodes=[node(HEAD), node(ONE, "DEAD"), node(TWO)])
    found = lanes(
        seen(1, WELL),
        seen(5.4, dead),
        seen(11, starting),
        seen(14.2, joining),
        seen(20, WELL),
        events=(
            said(5.1, "supervisor", "worker-1", "ended"),
            said(10.6, "supervisor", "worker-1", "started"),
            said(14.0, "supervisor", "worker-1", "up"),
        ),
    )
    assert found["worker-1"] == [
        (1, 5.1, "up"),
        (5.1, 10.6, "dead"),
        (10.6, 14.0, "starting"),
        (14.0, 20, "starting"),
        (20, 30.0, "up"),
    ]


def test_while_nobody_can_say_members_are_unknown_and_machines_are_what_their_keeper_says():
    blind = but(
        unknown=["nodes", "actors", "applications", "deployments", "replicas", "proxies"],
        nodes=[], actors=[], replicas=[], proxies=[], processes=units(head="waiting"),
    )  # fmt: skip
    found = lanes(*often(1, 7, WELL), *often(7, 15, blind), *often(15, 29, WELL))
    assert found["head"] == [(1, 7, "up"), (7, 15, "dead"), (15, 30.0, "up")]
    assert found["worker-1"] == [(1, 7, "up"), (7, 15, "up"), (15, 30.0, "up")]
    for name in ("controller", "proxy on worker-1", "Model r2"):
        assert found[name] == [(1, 7, "up"), (7, 15, "unknown"), (15, 30.0, "up")]


def test_a_time_in_which_nobody_asked_is_unknown():
    found = lanes(seen(1, WELL), seen(18, WELL), seen(19, WELL))
    assert found["Model r1"] == [(1, 11, "up"), (11, 18, "unknown"), (18, 29, "up"), (29, 30.0, "unknown")]


def test_a_replica_is_replaced_and_each_has_a_lane_of_its_own():
    stopping = but(replicas=[replica("r1", ONE, "STOPPING"), replica("r2", TWO)])
    starting = but(replicas=[replica("r2", TWO), replica("r3", ONE, "STARTING")], actors=[])
    running = but(replicas=[replica("r2", TWO), replica("r3", ONE)], actors=[])
    found = lanes(
        *often(1, 5, WELL), *often(5, 7, stopping), *often(7, 15, starting), *often(15, 29, running)
    )
    assert found["Model r1"] == [(1, 5, "up"), (5, 7, "dead"), (7, 30.0, "dead")]
    assert found["Model r3"] == [(7, 15, "starting"), (15, 30.0, "up")]
    assert found["controller"] == [(1, 7, "up"), (7, 30.0, "dead")]


def test_what_a_new_controller_does_not_list_yet_is_unknown_while_its_actor_lives():
    empty = but(replicas=[], proxies=[])
    gone = but(replicas=[], proxies=[], actors=[actor("proxy-b", "proxy", "P", ONE, "DEAD")])
    found = lanes(*often(1, 5, WELL), *often(5, 7, empty), *often(7, 29, gone))
    for name in ("Model r1", "proxy on worker-1"):
        assert found[name] == [(1, 5, "up"), (5, 7, "unknown"), (7, 30.0, "dead")]


def test_a_proxy_is_up_while_it_drains_and_dead_when_it_is_unhealthy():
    draining = but(proxies=[proxy(HEAD), proxy(ONE, "DRAINING"), proxy(TWO, "UNHEALTHY")])
    found = lanes(*often(1, 5, WELL), *often(5, 29, draining))
    assert found["proxy on worker-1"] == [(1, 5, "up"), (5, 30.0, "up")]
    assert found["proxy on worker-2"] == [(1, 5, "up"), (5, 30.0, "dead")]


def test_a_fault_holds_what_it_freezes_or_cuts_off_until_it_is_healed():
    hit = {"slot": "worker-1", "role": "worker"}
    faults = (
        injury(4.0, hit, kind="freeze", healed=6.0),
        injury(8.0, hit, kind="partition", number=1),
        injury(9.0, {"slot": "head", "role": "head"}, number=2),
    )
    found = lanes(*often(1, 29, WELL), faults=faults)
    held = [(1, 4.0, "up"), (4.0, 6.0, "frozen"), (6.0, 8.0, "up"), (8.0, 30.0, "cut off")]
    for name in ("worker-1", "Model r1", "proxy on worker-1"):
        assert found[name] == held
    assert found["worker-2"] == found["head"] == [(1, 30.0, "up")]


def test_a_frozen_raylet_holds_its_node_and_not_the_actors_that_run_on():
    hit = {"slot": "worker-1", "role": "worker", "process": "raylet", "pid": 5}
    found = lanes(*often(1, 29, WELL), faults=[injury(4.0, hit, kind="freeze", healed=6.0)])
    assert found["worker-1"] == [(1, 4.0, "up"), (4.0, 6.0, "frozen"), (6.0, 30.0, "up")]
    assert found["Model r1"] == found["proxy on worker-1"] == [(1, 30.0, "up")]


def test_where_nobody_knows_anything_there_are_no_lanes():
    lists = ("nodes", "actors", "applications", "deployments", "replicas", "proxies", "processes")
    nothing = {"version": 1, "unknown": list(lists), **{name: [] for name in lists}}
    assert lanes(seen(1, nothing)) == {}
