"""What watches say, folded: rows of the state document, endpoints that move, happenings."""

from __future__ import annotations

import copy
from typing import Any

from runner.clusters.kubernetes.slots import Slots
from runner.clusters.kubernetes.world import Happening, World
from tests.clusters.kubernetes.documents import endpoints, pod, raycluster, rayservice

WAITING = {"waiting": {"reason": "ContainerCreating"}}


def world(*documents: Any, **more: Any) -> World:
    made = World("s", Slots.of(2), **more)
    made.listed("rayservices", [rayservice()])
    made.listed("pods", documents)
    return made


def told(happenings: list[Happening]) -> list[tuple[str, str]]:
    return [(each.slot, each.data["event"]) for each in happenings]


def row(there: World, slot: str) -> dict[str, Any]:
    rows = there.rows()
    assert rows is not None
    return next(each for each in rows if each["slot"] == slot)


def test_nobody_knows_of_processes_before_pods_were_listed() -> None:
    assert World("s", Slots.of(1)).rows() is None
    rows = World("s", Slots.of(1))
    rows.listed("pods", [])
    assert [each["state"] for each in rows.rows() or ()] == ["waiting", "waiting"]


def test_pods_of_another_cluster_are_no_members() -> None:
    there = world(pod("h", "head"), pod("x", cluster="other"))
    assert row(there, "worker-1")["pod"] is None


def test_the_first_cluster_counts_before_it_serves() -> None:
    there = World("s", Slots.of(1))
    there.listed("rayservices", [rayservice(active="", pending="s-abc")])
    there.listed("pods", [pod("h", "head")])
    assert (there.cluster, row(there, "head")["pod"]) == ("s-abc", "h")


def test_a_pod_on_a_host_that_is_not_ready_is_down() -> None:
    there = world(pod("h", "head"), pod("a"))
    ready = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
    there.listed("nodes", [{"metadata": {"name": "node1"}, "status": {"conditions": [ready]}}])
    assert row(there, "worker-1")["state"] == "down"


def test_where_a_member_stands_is_said_once_and_again_when_it_moved() -> None:
    there = world(pod("h", "head", address="10.0.0.9"), pod("a"), pod("z", address=None))
    assert there.urls == {"head": "http://10.0.0.9:8000", "worker-1": "http://10.0.0.1:8000"}
    assert there.changed("pods", "MODIFIED", pod("a")) == []
    there.changed("pods", "DELETED", pod("a"))
    assert there.urls["worker-1"] == "http://10.0.0.1:8000"
    said = there.changed("pods", "ADDED", pod("b", address="10.0.0.2"))
    [moved] = [each for each in said if each.data["event"] == "moved"]
    assert (moved.slot, moved.data["url"], moved.data["name"]) == ("worker-1", "http://10.0.0.2:8000", "b")
    # The dead rows of Ray's list still belong to somebody.
    assert there.addresses == {"10.0.0.9": "head", "10.0.0.1": "worker-1", "10.0.0.2": "worker-1"}


def test_the_service_is_its_cluster_address_and_the_port_called_serve() -> None:
    there = world()
    service = {
        "metadata": {"name": "s-serve-svc", "namespace": "ns"},
        "spec": {
            "clusterIP": "10.96.0.7",
            "ports": [{"name": "x", "port": 1}, {"name": "serve", "port": 80}],
        },
    }
    assert told(there.changed("services", "ADDED", service)) == [("service", "moved")]
    assert there.urls["service"] == "http://10.96.0.7:80"


def test_a_pod_tells_its_life() -> None:
    there = world()
    life = [
        pod("a", state=None, host=None, address=None, ready=False),
        pod("a", state=WAITING, address=None, ready=False, init={"running": {}}),
        pod("a", state=WAITING, ready=False),
        pod("a", ready=False),
        pod("a"),
        pod("a", state={"terminated": {"exitCode": 1}}, ready=False),
        pod("a", restarts=1, ready=False),
        pod("a", restarts=1),
        pod("a", restarts=1, deleting=True),
    ]
    found = [[event for _, event in told(there.changed("pods", "MODIFIED", each))] for each in life]
    found.append([event for _, event in told(there.changed("pods", "DELETED", life[-1]))])
    assert found == [
        ["made"],
        ["scheduled", "reason"],
        ["initialized", "moved"],
        ["started"],
        ["up"],
        ["ended", "unready"],
        ["started"],
        ["up"],
        ["deleting"],
        ["ended", "gone"],
    ]


def test_what_was_there_at_the_first_look_has_not_just_happened() -> None:
    there = World("s", Slots.of(1))
    there.listed("rayservices", [rayservice()])
    assert told(there.listed("pods", [pod("a")])) == [("worker-1", "moved")]


def test_a_list_after_a_gap_tells_what_changed_meanwhile() -> None:
    there = world(pod("a", uid="1"), pod("b", address="10.0.0.2"))
    said = told(there.listed("pods", [pod("a", uid="2", address="10.0.0.3"), pod("b", address="10.0.0.2")]))
    assert ("worker-1", "gone") in said
    assert ("worker-1", "up") in said
    assert not any(slot == "worker-2" for slot, _ in said)


def test_endpoints_are_told_by_slot() -> None:
    there = world(pod("h", "head"), pod("pod-a"))
    assert told(there.changed("endpointslices", "ADDED", endpoints(pod_a=True))) == [("worker-1", "endpoint")]
    [said] = there.changed("endpointslices", "MODIFIED", endpoints(pod_a=False))
    assert said.data == {"event": "endpoint", "healthy": False, "pod": "pod-a"}
    assert there.changed("endpointslices", "MODIFIED", endpoints(pod_a=False)) == []


def test_conditions_are_told_when_they_change() -> None:
    there = world()
    [said] = there.changed("rayservices", "MODIFIED", rayservice(Ready="True"))
    assert (said.data["type"], said.data["status"]) == ("Ready", "True")
    assert there.changed("rayservices", "MODIFIED", rayservice(Ready="True")) == []
    assert told(there.changed("rayservices", "MODIFIED", rayservice(active="s-new", Ready="True"))) == [
        ("", "switched")
    ]
    assert told(there.changed("rayservices", "DELETED", rayservice(active="s-new"))) == [("", "gone")]


def test_an_upgrade_hands_the_slots_to_the_new_clusters_pods() -> None:
    there = world(pod("h", "head"), pod("a"), pod("b", address="10.0.0.4"))
    assert {each["cluster"] for each in there.rows() or ()} == {"s-abc"}
    there.changed("pods", "ADDED", pod("n", cluster="s-new", address="10.0.0.5"))
    assert row(there, "worker-1")["pod"] == "a"
    said = there.changed("rayservices", "MODIFIED", rayservice(active="s-new"))
    assert (row(there, "worker-1")["pod"], row(there, "worker-1")["cluster"]) == ("n", "s-new")
    assert ("worker-1", "moved") in told(said)


def upgrading() -> World:
    """Give a cluster of three beside which another one has come up."""
    there = world(pod("h", "head"), pod("a"), pod("b", address="10.0.0.4"))
    there.listed("rayclusters", [raycluster("s-abc")])
    there.changed("rayservices", "MODIFIED", rayservice(pending="s-new"))
    there.changed("rayclusters", "ADDED", raycluster("s-new"))
    # The later of the two is named first by the order that members have.
    for name, index in (("x", "1"), ("y", "0")):
        more = {"ray.io/worker-group-replica-index": index}
        there.changed("pods", "ADDED", pod(name, cluster="s-new", address=f"10.0.1.{index}", **more))
    there.changed("pods", "ADDED", pod("g", "head", cluster="s-new", address="10.0.1.9"))
    return there


def test_the_pods_of_a_cluster_to_come_are_told_of_and_keep_their_numbers_as_members() -> None:
    there = upgrading()
    names = {each: there.seats[each] for each in "gxy"}
    assert names == {"g": "head of s-new", "x": "worker-1 of s-new", "y": "worker-2 of s-new"}
    said = there.changed("pods", "MODIFIED", pod("x", cluster="s-new", address="10.0.1.1", ready=False))
    assert told(said) == [("worker-1 of s-new", "unready")]
    # What happens there moves nobody, and nobody is a member yet.
    assert (there.urls["worker-1"], row(there, "worker-1")["pod"]) == ("http://10.0.0.1:8000", "a")
    there.changed("rayservices", "MODIFIED", rayservice(active="s-new"))
    assert [row(there, slot)["pod"] for slot in ("head", "worker-1", "worker-2")] == ["g", "x", "y"]
    assert row(there, "worker-1")["starts"] == 2


def test_the_pods_of_a_cluster_that_served_go_under_its_name() -> None:
    there = upgrading()
    there.changed("pods", "DELETED", pod("a"))
    there.changed("pods", "ADDED", pod("c"))
    there.changed("rayservices", "MODIFIED", rayservice(active="s-new"))
    assert told(there.changed("pods", "MODIFIED", pod("c", deleting=True))) == [
        ("worker-1 of s-abc", "deleting")
    ]
    assert told(there.changed("pods", "DELETED", pod("c", deleting=True))) == [
        ("worker-1 of s-abc", "ended"),
        ("worker-1 of s-abc", "gone"),
    ]
    assert row(there, "worker-1")["pod"] == "x"


def test_the_clusters_that_there_are_are_known_until_their_last_pod_is_gone() -> None:
    there = upgrading()
    assert there.clusters() == [
        {"name": "s-abc", "serves": True, "pods": 3},
        {"name": "s-new", "serves": False, "pods": 3},
    ]
    there.changed("rayservices", "MODIFIED", rayservice(active="s-new"))
    there.changed("rayclusters", "MODIFIED", raycluster("s-abc", deleting=True))
    there.changed("rayclusters", "DELETED", raycluster("s-abc", deleting=True))
    there.changed("pods", "DELETED", pod("h", "head"))
    assert there.clusters() == [
        {"name": "s-new", "serves": True, "pods": 3},
        {"name": "s-abc", "serves": False, "pods": 2},
    ]
    there.changed("pods", "DELETED", pod("a"))
    there.changed("pods", "DELETED", pod("b"))
    assert there.clusters() == [{"name": "s-new", "serves": True, "pods": 3}]
    assert World("s", Slots.of(1)).clusters() is None


def test_the_stages_of_an_upgrade_are_told() -> None:
    there = world(pod("h", "head"))
    there.listed("rayclusters", [raycluster("s-abc")])

    def heard(document: Any) -> list[str]:
        return [each.text for each in there.changed("rayservices", "MODIFIED", document)]

    assert heard(rayservice(pending="s-new", UpgradeInProgress="True")) == [
        "RayService s: UpgradeInProgress is True (R)"
    ]
    [made] = there.changed("rayclusters", "ADDED", raycluster("s-new"))
    assert (made.slot, made.data["event"], made.data["name"]) == ("", "made", "s-new")
    deploying = rayservice(pending="s-new", apps={"app": "DEPLOYING"}, UpgradeInProgress="True")
    assert heard(deploying) == ["application app is DEPLOYING on s-new"]
    deploying = copy.deepcopy(deploying)
    deploying["status"]["pendingServiceStatus"]["trafficRoutedPercent"] = 20
    assert heard(deploying) == ["20 % of the requests go to s-new"]
    # KubeRay may say both at once.
    assert heard(rayservice(active="s-new", apps={"app": "RUNNING"}, UpgradeInProgress="True")) == [
        "application app is RUNNING on s-new",
        "RayService s serves from s-new",
    ]
    # Of the one that serves it is Serve's own word that counts.
    assert heard(rayservice(active="s-new", apps={"app": "UNHEALTHY"}, UpgradeInProgress="True")) == []
    [going] = there.changed("rayclusters", "MODIFIED", raycluster("s-abc", deleting=True))
    assert (going.data["event"], going.data["kind"]) == ("deleting", "RayCluster")


def test_events_of_others_are_nobodys_business() -> None:
    there = world(pod("s-abc-head", "head"))

    def event(name: str) -> Any:
        return {
            "metadata": {"name": f"{name}.1", "namespace": "ns"},
            "involvedObject": {"kind": "Pod", "name": name},
            "reason": "Pulling",
            "message": "Pulling image",
            "source": {"component": "kubelet"},
        }

    assert told(there.changed("events", "ADDED", event("other"))) == []
    there.listed("events", [])
    [said] = there.changed("events", "ADDED", event("s-abc-head"))
    assert (said.slot, said.data["reason"], said.data["reporter"]) == ("head", "Pulling", "kubelet")


def test_where_nobody_says_which_pods_are_redis_none_is() -> None:
    assert world(pod("h", "head"), pod("a")).pod("redis") is None


def test_redis_and_the_operator_have_rows_where_they_can_be_seen() -> None:
    there = world(pod("r", "", ready=True, app="redis"), redis={"app": "redis"})
    assert [each["slot"] for each in there.rows() or ()] == ["head", "worker-1", "worker-2", "redis"]
    assert (row(there, "redis")["state"], row(there, "redis")["starts"]) == ("up", 1)
    assert told(there.changed("pods", "DELETED", pod("r", "", app="redis"))) == [
        ("redis", "ended"),
        ("redis", "gone"),
    ]
    assert row(there, "redis")["state"] == "waiting"
    there.listed("operator", [])
    assert row(there, "operator")["state"] == "waiting"
