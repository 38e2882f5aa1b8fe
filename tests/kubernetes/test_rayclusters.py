"""The stand-in replaces pods, and judges a RayCluster, as KubeRay does."""

from __future__ import annotations

import copy
from typing import Any

from tests.kubernetes.standin import conditions, rayclusters
from tests.kubernetes.test_pods import made, sample

Json = Any

EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"


def pod(
    role: str, name: str, phase: str = "Running", ready: bool = True, index: int = 0, **status: Json
) -> Json:
    group = "headgroup" if role == "head" else "workers"
    return {
        "metadata": {
            "name": name,
            "labels": {
                "ray.io/node-type": role,
                "ray.io/group": group,
                "ray.io/worker-group-replica-index": str(index),
            },
        },
        "status": {
            "phase": phase,
            "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            **status,
        },
    }


def whole() -> list[Json]:
    return [pod("head", "h"), pod("worker", "w0"), pod("worker", "w1", index=1)]


def names(things: Any) -> list[str]:
    return [thing["metadata"].get("name") or thing["metadata"]["generateName"] for thing in things]


def test_a_new_cluster_gets_its_head_and_all_workers_at_once() -> None:
    steps = rayclusters.steps(made(sample()), [])
    assert names(steps.create) == [
        "demo-abcde-head-",
        "demo-abcde-workers-worker-",
        "demo-abcde-workers-worker-",
    ]
    assert [item["metadata"]["labels"].get("ray.io/worker-group-replica-index") for item in steps.create] == [
        None,
        "0",
        "1",
    ]
    assert not steps.delete


def test_a_whole_cluster_is_left_alone_and_so_is_one_whose_containers_restart() -> None:
    cluster = made(sample())
    assert rayclusters.steps(cluster, whole()) == rayclusters.Steps([], [])
    sick = [pod("head", "h", ready=False), pod("worker", "w0", "Pending", ready=False), pod("worker", "w1")]
    assert rayclusters.steps(cluster, sick) == rayclusters.Steps([], [])


def test_a_pod_that_is_gone_is_replaced_under_its_index() -> None:
    cluster = made(sample())
    steps = rayclusters.steps(cluster, [pod("head", "h"), pod("worker", "w1", index=1)])
    (new,) = steps.create
    assert new["metadata"]["labels"]["ray.io/worker-group-replica-index"] == "0"
    assert names(rayclusters.steps(cluster, whole()[1:]).create) == ["demo-abcde-head-"]


def test_a_pod_that_is_going_counts_until_it_is_gone() -> None:
    going = whole()
    going[1]["metadata"]["deletionTimestamp"] = EARLY
    assert rayclusters.steps(made(sample()), going) == rayclusters.Steps([], [])


def test_a_pod_that_has_ended_is_deleted_first_and_replaced_later() -> None:
    cluster = made(sample())
    ended = [pod("head", "h"), pod("worker", "w0", "Failed"), pod("worker", "w1", "Succeeded", index=1)]
    steps = rayclusters.steps(cluster, ended)
    assert (names(steps.delete), names(steps.create)) == (["w0", "w1"], [])
    assert steps.trouble
    steps = rayclusters.steps(cluster, [pod("head", "h", "Failed"), pod("worker", "w0")])
    assert (names(steps.delete), names(steps.create)) == (["h"], [])


def test_fewer_replicas_delete_the_first_and_named_ones_go_whatever_the_number() -> None:
    cluster = made(sample())
    group = cluster["spec"]["workerGroupSpecs"][0]
    group["replicas"] = group["minReplicas"] = 1
    assert names(rayclusters.steps(cluster, whole()).delete) == ["w0"]
    group["replicas"] = 2
    group["scaleStrategy"] = {"workersToDelete": ["w1"]}
    steps = rayclusters.steps(cluster, whole())
    assert (names(steps.delete), len(steps.create)) == (["w1"], 1)


def test_replicas_stay_within_their_limits() -> None:
    assert rayclusters.wanted({"replicas": 5, "minReplicas": 1, "maxReplicas": 3}) == 3
    assert rayclusters.wanted({"replicas": 0, "minReplicas": 1, "maxReplicas": 3}) == 1


def test_two_heads_are_a_matter_for_people() -> None:
    steps = rayclusters.steps(made(sample()), [pod("head", "a"), pod("head", "b")])
    assert (list(steps.delete), list(steps.create)) == ([], [])
    assert "2 head pods" in steps.trouble


def test_the_heads_service_is_headless_and_tells_of_a_head_that_is_not_ready() -> None:
    service = rayclusters.head_service(made(sample()))
    assert service["metadata"]["name"] == "demo-abcde-head-svc"
    assert service["metadata"]["ownerReferences"][0]["kind"] == "RayCluster"
    assert (service["spec"]["clusterIP"], service["spec"]["publishNotReadyAddresses"]) == ("None", True)
    assert {port["name"]: port["port"] for port in service["spec"]["ports"]} == {
        "client": 10001,
        "dashboard": 8265,
        "gcs-server": 6379,
        "metrics": 8080,
        "serve": 8000,
    }
    assert service["spec"]["selector"] == {
        "ray.io/cluster": "demo-abcde",
        "ray.io/identifier": "demo-abcde-head",
        "ray.io/node-type": "head",
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/created-by": "kuberay-operator",
    }


def test_named_ports_of_the_head_replace_the_usual_ones() -> None:
    service = sample()
    container = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    container["ports"] = [{"name": "serve", "containerPort": 9000}]
    assert rayclusters.ports(made(service)) == {"metrics": 8080, "serve": 9000}


def after(cluster: Json, found: list[Json], failure: tuple[str, str] | None = None, now: str = LATE) -> Json:
    return rayclusters.status(cluster, found, rayclusters.head_service(cluster), failure, now)


def test_a_cluster_whose_pods_are_not_there_yet() -> None:
    status = after(made(sample()), [])
    assert conditions.find(status, "HeadPodReady")["reason"] == "HeadPodNotFound"
    assert conditions.find(status, "RayClusterProvisioned")["reason"] == "RayClusterPodsProvisioning"
    assert "state" not in status
    assert (
        status["desiredWorkerReplicas"],
        status["availableWorkerReplicas"],
        status["readyWorkerReplicas"],
    ) == (
        2,
        0,
        0,
    )
    assert status["head"] == {"serviceName": "demo-abcde-head-svc"}


def test_a_whole_cluster_is_ready_and_stays_so_when_its_head_is_gone() -> None:
    cluster = made(sample())
    cluster["status"] = after(cluster, whole(), now=EARLY)
    assert cluster["status"]["state"] == "ready"
    assert conditions.find(cluster["status"], "HeadPodReady")["reason"] == "HeadPodRunningAndReady"
    assert cluster["status"]["head"]["podName"] == "h"
    assert cluster["status"]["head"]["serviceIP"] == "10.0.0.1"
    status = after(cluster, [pod("worker", "w0", ready=False), pod("worker", "w1", index=1)])
    assert status["state"] == "ready"
    assert (status["availableWorkerReplicas"], status["readyWorkerReplicas"]) == (2, 1)
    assert conditions.find(status, "RayClusterProvisioned")["reason"] == "AllPodRunningAndReadyFirstTime"
    assert conditions.holds(status, "RayClusterProvisioned")
    assert conditions.find(status, "HeadPodReady")["reason"] == "HeadPodNotFound"
    assert conditions.find(status, "HeadPodReady")["lastTransitionTime"] == LATE
    assert conditions.find(status, "RayClusterProvisioned")["lastTransitionTime"] == EARLY
    assert status["head"] == {"serviceName": "demo-abcde-head-svc"}


def test_why_a_head_is_not_ready_is_what_its_container_says() -> None:
    cluster = made(sample())
    not_ready = [
        {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "unready: [ray]"}
    ]
    waiting = [{"name": "ray", "state": {"waiting": {"reason": "ContainerCreating"}}}]
    ended = [{"name": "ray", "state": {"terminated": {"reason": "Error", "message": "gone"}}}]

    def reason(**status: Json) -> str:
        return str(conditions.find(after(cluster, [pod("head", "h", **status)]), "HeadPodReady")["reason"])

    assert reason(conditions=not_ready, containerStatuses=waiting) == "ContainerCreating"
    assert reason(conditions=not_ready, containerStatuses=ended) == "Error"
    assert reason(conditions=not_ready, containerStatuses=[{"name": "ray", "state": {"running": {}}}]) == (
        "ContainersNotReady"
    )
    assert reason(conditions=[]) == "Unknown"


def test_a_pod_that_cannot_be_made_is_told_until_it_can() -> None:
    cluster = made(sample())
    cluster["status"] = after(cluster, whole()[:1], ("FailedCreateWorkerPod", "exceeded quota"))
    failure = conditions.find(cluster["status"], "ReplicaFailure")
    assert (failure["status"], failure["reason"], failure["message"]) == (
        "True",
        "FailedCreateWorkerPod",
        "exceeded quota",
    )
    assert not conditions.find(after(cluster, whole()), "ReplicaFailure")


def test_a_status_is_written_only_for_what_matters() -> None:
    cluster = made(sample())
    old = after(cluster, whole(), now=EARLY)
    assert not rayclusters.differs(
        old, copy.deepcopy(old) | {"lastUpdateTime": LATE, "observedGeneration": 9}
    )
    assert rayclusters.differs(old, after(cluster, whole()[1:]))
