"""What is still missing for a cluster to be as before a fault."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runner.steps.recovery import exchanging, lingers, missing, remains, unsettled
from runner.steps.scene import Fault
from runner.steps.wait_for import _recovered


def document() -> dict[str, Any]:
    """Give a head and a worker with one replica."""

    def node(slot: str) -> dict[str, Any]:
        head = slot == "head"
        return {"slot": slot, "id": f"n-{slot}", "is_head": head, "state": "ALIVE", "dead": False}

    return {
        "version": 1,
        "unknown": [],
        "nodes": [node("head"), node("worker-1")],
        "actors": [
            {"id": "c", "role": "controller", "state": "ALIVE", "dead": False, "pid": 1, "node_id": "n-head"},
            {"id": "r", "role": "replica", "state": "ALIVE", "dead": False, "pid": 2, "node_id": "n-worker-1"},
        ],
        "applications": [{"name": "app", "status": "RUNNING", "message": ""}],
        "deployments": [{"app": "app", "name": "D", "message": "", "target_replicas": 1, "options": {}}],
        "replicas": [{"app": "app", "deployment": "D", "state": "RUNNING", "actor_id": "r", "pid": 2,
                      "node_id": "n-worker-1", "slot": "worker-1"}],
        "proxies": [{"node_id": "n-head", "slot": "head", "status": "HEALTHY", "actor_id": "p"}],
        "processes": [{"slot": slot, "state": "up", "starts": 1} for slot in ("head", "worker-1")],
    }  # fmt: skip


def test_the_same_document_misses_nothing_unless_it_is_stale() -> None:
    assert missing(document(), document()) is None


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("processes", 0, "state"), "waiting", "head is waiting"),
        (("unknown",), ["applications"], "nobody could say what the applications are"),
        (("applications", 0, "status"), "DEPLOYING", "application app is DEPLOYING"),
        (("applications",), [], "application app is not there"),
        (("replicas", 0, "state"), "STARTING", "replicas 0 of 1 of D"),
        (("nodes", 1, "state"), "DEAD", "workers 0 of 1"),
        (("proxies", 0, "status"), "UNHEALTHY", "proxies 0 of 1"),
        (("actors", 0, "state"), "RESTARTING", "controllers 0 of 1"),
    ],
)
def test_what_is_missing_is_named(path: tuple[Any, ...], value: Any, said: str) -> None:
    now = document()
    place: Any = now
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert missing(now, document()) == said


def test_a_pod_that_was_ready_has_to_be_ready_again() -> None:
    before, now = document(), document()
    now["processes"][1]["ready"] = False
    assert missing(now, before) is None  # nobody said that it was
    before["processes"][1]["ready"] = True
    assert missing(now, before) == "worker-1 is not Ready"
    assert missing(before, before) is None


def test_a_killed_node_that_is_still_listed_as_alive_is_stale() -> None:
    hits = [{"slot": "worker-1", "role": "worker", "session": 5}]
    assert remains(document(), document(), hits) == "worker-1 that was killed is still listed (a node)"
    fresh = copy.deepcopy(document())
    fresh["nodes"][1]["id"] = "n-new"
    said = remains(fresh, document(), hits)
    assert said is not None
    assert "(an actor)" in said
    fresh["actors"][1]["node_id"] = fresh["replicas"][0]["node_id"] = "n-new"
    assert remains(fresh, document(), hits) is None


def test_an_actor_that_keeps_its_id_is_fresh_with_another_process() -> None:
    hits = [{"slot": "head", "role": "controller", "actor_id": "c", "pid": 1, "node_id": "n-head"}]
    assert "still listed" in str(remains(document(), document(), hits))
    fresh = document()
    fresh["actors"][0]["pid"] = 99
    assert remains(fresh, document(), hits) is None


def test_an_actor_that_restarts_is_not_stale_but_missing() -> None:
    hits = [{"slot": "head", "role": "controller", "actor_id": "c", "pid": 1, "node_id": "n-head"}]
    now = document()
    now["actors"][0] |= {"state": "RESTARTING", "pid": None}
    assert remains(now, document(), hits) is None
    assert missing(now, document()) == "controllers 0 of 1"


WORKER = {"slot": "worker-1", "role": "worker", "session": 5}


def fault(number: int, *hits: dict[str, Any], before: dict[str, Any] | None = None, **changes: Any) -> Fault:
    """Give a fault that hit, and from which nothing has recovered yet."""
    given = {"intent": 1.0, "injected": 1.0, "confirmed": True} | changes
    return Fault(number, f"f{number}", "it", hits, document(), before or document(), **given)


def test_what_an_earlier_fault_killed_must_be_gone_too() -> None:
    controller = {"slot": "head", "role": "controller", "actor_id": "c", "pid": 7, "node_id": "n-head"}
    first, second = fault(0, WORKER), fault(1, controller)
    assert lingers(document(), [second], second) is None
    assert lingers(document(), [first, second], second) == (
        "worker-1 that was killed is still listed (a node)"
    )
    for settled in ({"recovered": 3.0}, {"ends": False}, {"confirmed": False}):
        assert lingers(document(), [fault(0, WORKER, **settled), second], second) is None
    # What was not seen to be hit itself is no excuse.
    unsure = fault(0, WORKER, confirmed=False)
    assert "still listed" in str(lingers(document(), [unsure], unsure))


def test_a_node_that_is_killed_while_nobody_says_which_nodes_there_are_is_known_from_before() -> None:
    blind = document() | {"unknown": ["nodes", "actors"], "nodes": [], "actors": []}
    it = fault(1, WORKER, before=blind)
    assert lingers(document(), [it], it) == "worker-1 that was killed is still listed (a node)"
    fresh = document()
    fresh["nodes"][1] |= {"state": "DEAD", "dead": True}
    fresh["actors"][1]["node_id"] = fresh["replicas"][0]["node_id"] = "n-new"
    assert lingers(fresh, [it], it) is None


def test_what_was_unknown_before_is_not_asked_for() -> None:
    lists = ("nodes", "actors", "applications", "deployments", "replicas", "proxies")
    nothing = {
        "version": 1,
        "unknown": [*lists, "processes"],
        "processes": [],
        **{name: [] for name in lists},
    }
    assert missing(nothing, nothing) is None
    assert remains(nothing, nothing, [{"slot": "break", "role": "command", "pid": 5}]) is None


def test_machines_that_nobody_can_say_anything_of_are_not_known_to_be_down() -> None:
    blind = document() | {"unknown": ["processes"], "processes": []}
    assert missing(blind, document()) == "nobody could say what the processes are"


def test_a_killed_proxy_is_stale_as_long_as_serve_lists_it() -> None:
    hits = [{"slot": "head", "role": "proxy", "actor_id": "p", "pid": 7, "node_id": "n-head"}]
    # Ray knows already that its actor is dead; Serve still calls the proxy healthy.
    assert "(a proxy)" in str(remains(document(), document(), hits))
    fresh = document()
    fresh["proxies"][0]["actor_id"] = "p-new"
    assert remains(fresh, document(), hits) is None


@pytest.mark.parametrize(
    ("field", "said"), [("cut_off", "head is cut off"), ("frozen", "head has frozen processes")]
)
def test_what_is_cut_off_or_frozen_is_not_as_before_unless_it_was(field: str, said: str) -> None:
    now = document()
    now["processes"][0][field] = 1
    assert missing(now, document()) == said
    assert missing(now, now) is None


def test_a_head_that_lost_its_redis_is_settled_once_it_was_started_again_or_could_have_ended() -> None:
    hits = [{"slot": "redis", "role": "redis"}]
    assert "lost its Redis" in str(unsettled(document(), document(), hits, 2.0))
    again = document()
    again["processes"][0]["starts"] = 2
    assert unsettled(again, document(), hits, 2.0) is None
    assert unsettled(document(), document(), hits, 16.0) is None
    assert unsettled(document(), document(), [{"slot": "head", "role": "head"}], 2.0) is None


def test_replicas_are_as_many_as_are_declared_now() -> None:
    before = document()
    before["deployments"][0]["target_replicas"] = 2
    before["replicas"] *= 2
    assert missing(document(), before) is None


def test_an_exchanged_cluster_has_to_be_gone_and_another_to_serve() -> None:
    before = document()
    hit = {"slot": "worker-1", "role": "worker", "exchanged": "old"}
    new = {"name": "new", "serves": True, "pods": 2}

    def after(*rows: dict[str, Any]) -> dict[str, Any]:
        now = copy.deepcopy(before)
        for row in now["nodes"]:
            row["id"] += "-new"
        for name in ("actors", "replicas", "proxies"):
            now[name] = []
        return {**now, "clusters": list(rows)}

    assert remains(before, before, [hit]) == "nobody could say which RayClusters there are"
    assert remains(after({"name": "old", "serves": True, "pods": 2}), before, [hit]) == (
        "the RayCluster old still serves"
    )
    assert remains(after({"name": "old", "serves": False, "pods": 1}, new), before, [hit]) == (
        "the RayCluster old is still there"
    )
    assert remains(after({**new, "serves": False}), before, [hit]) == "no RayCluster serves"
    assert remains(after(new), before, [hit]) is None
    # What Ray lists must be the new one's, too.
    assert remains({**before, "clusters": [new]}, before, [hit]) is not None


async def test_as_long_as_an_exchanged_cluster_is_there_the_recovery_is_known_to_be_missing() -> None:
    hits = ({"slot": "head", "role": "head", "exchanged": "old"},)
    upgraded = fault(0, *hits, before=document())
    scene = SimpleNamespace(
        faults=[upgraded], fault=lambda _name: upgraded, observation=SimpleNamespace(asked=7.0)
    )
    check = _recovered("fault0", cast("Any", None), cast("Any", SimpleNamespace(scene=scene)))
    for rows, known in (([], None), (None, None), ([{"name": "old", "serves": False, "pods": 1}], 7.0)):
        scene.fresh = {**document(), "clusters": rows}
        assert exchanging(scene.fresh, hits) == (known is not None)
        assert await check() is not None
        assert upgraded.missing == known
