"""What a RayCluster wants, and what its status says, as KubeRay has it. Pure."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from . import conditions, pods

Json = Any

REDIS_FINALIZER = "ray.io/gcs-ft-redis-cleanup-finalizer"

DEFAULT_PORTS = {
    "client": pods.CLIENT,
    "dashboard": pods.DASHBOARD,
    "gcs-server": pods.GCS,
    "metrics": pods.METRICS,
    "serve": pods.SERVE,
}

HEAD_KEYS = (
    "ray.io/cluster",
    "ray.io/node-type",
    "ray.io/identifier",
    "app.kubernetes.io/name",
    "app.kubernetes.io/created-by",
)


@dataclass(frozen=True, slots=True)
class Steps:
    """What is to be done about the pods now. After a deletion nothing is made until the next look."""

    delete: Sequence[Json] = ()
    create: Sequence[Json] = ()
    trouble: str = ""
    """Why the next look comes soon."""


@dataclass(slots=True)
class _Found:
    """Pods by what they are for."""

    heads: list[Json] = field(default_factory=list)
    groups: dict[str, list[Json]] = field(default_factory=dict)


def ports(cluster: Json) -> dict[str, int]:
    """Give the ports of the head by name: those of its container, else the usual ones."""
    container = cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    named = {
        port.get("name") or f"{port['containerPort']}-port": port["containerPort"]
        for port in container.get("ports", ())
    }
    return {"metrics": pods.METRICS, **(named or DEFAULT_PORTS)}


def head_service(cluster: Json) -> Json:
    """Make the headless service that workers find the head by."""
    meta = cluster["metadata"]
    own = pods.head(cluster)["metadata"]["labels"]
    selector = {key: own[key] for key in HEAD_KEYS}
    spec: Json = {
        "selector": selector,
        "ports": [
            {"name": name, "port": port, "appProtocol": "tcp"}
            for name, port in sorted(ports(cluster).items())
        ],
    }
    kind = cluster["spec"]["headGroupSpec"].get("serviceType") or "ClusterIP"
    if kind == "ClusterIP":
        spec |= {"clusterIP": "None", "publishNotReadyAddresses": True}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": f"{meta['name']}-head-svc",
            "namespace": meta["namespace"],
            "labels": dict(selector),
            "annotations": dict(cluster["spec"].get("headServiceAnnotations", {})),
            "ownerReferences": [pods.owner(cluster)],
        },
        "spec": {**spec, "type": kind},
    }


def wanted(group: Json) -> int:
    """Give how many workers a group is to have, within its limits."""
    low, high = group.get("minReplicas", 0), group.get("maxReplicas", 2**31 - 1)
    return int(min(max(group.get("replicas", 0), low), high))


def steps(cluster: Json, found: Sequence[Json]) -> Steps:
    """Compare the pods with the spec. A pod that is being deleted counts until it is gone."""
    sorted_ = _sort(found)
    delete: list[Json] = []
    create: list[Json] = []
    if len(sorted_.heads) > 1:
        return Steps(trouble=f"{len(sorted_.heads)} head pods found: please delete the others")
    if any(_ended(pod) for pod in sorted_.heads):
        return Steps(delete=sorted_.heads, trouble="the head pod has ended")
    if not sorted_.heads:
        create.append(pods.head(cluster))
    for group in cluster["spec"].get("workerGroupSpecs", ()):
        present = sorted_.groups.get(group["groupName"], [])
        ended = [pod for pod in present if _ended(pod)]
        if ended:
            return Steps([*delete, *ended], create, f"{len(ended)} worker pods have ended")
        named = set(group.get("scaleStrategy", {}).get("workersToDelete", ()))
        delete += [pod for pod in present if pod["metadata"]["name"] in named]
        present = [pod for pod in present if pod["metadata"]["name"] not in named]
        missing = wanted(group) - len(present)
        if missing < 0:
            delete += present[:-missing]
        taken = {
            pod["metadata"].get("labels", {}).get("ray.io/worker-group-replica-index") for pod in present
        }
        free = [index for index in range(wanted(group) + len(taken)) if str(index) not in taken]
        create += [pods.worker(cluster, group, index) for index in free[: max(missing, 0)]]
    return Steps(delete, create)


def _sort(found: Sequence[Json]) -> _Found:
    result = _Found()
    for pod in found:
        labels = pod["metadata"].get("labels", {})
        if labels.get("ray.io/node-type") == "head":
            result.heads.append(pod)
        else:
            result.groups.setdefault(labels.get("ray.io/group", ""), []).append(pod)
    return result


def _ended(pod: Json) -> bool:
    return pod.get("status", {}).get("phase") in ("Failed", "Succeeded")


def _running_and_ready(pod: Json) -> bool:
    status = pod.get("status", {})
    return status.get("phase") == "Running" and conditions.holds(status, "Ready")


def _all_run(found: Sequence[Json]) -> bool:
    return bool(found) and all(_running_and_ready(pod) for pod in found)


def status(
    cluster: Json, found: Sequence[Json], service: Json | None, failure: tuple[str, str] | None, now: str
) -> Json:
    """Give the status that follows from the pods; `failure` is what could not be done: a reason, and a sentence.

    `state` and `RayClusterProvisioned` never go back.
    """
    new: Json = copy.deepcopy(cluster.get("status", {}))
    groups = cluster["spec"].get("workerGroupSpecs", ())
    workers = [pod for pod in found if pod["metadata"]["labels"].get("ray.io/node-type") == "worker"]
    heads = [pod for pod in found if pod["metadata"]["labels"].get("ray.io/node-type") == "head"]
    new["observedGeneration"] = cluster["metadata"].get("generation", 0)
    new["desiredWorkerReplicas"] = sum(wanted(group) for group in groups)
    new["minWorkerReplicas"] = sum(group.get("minReplicas", 0) for group in groups)
    new["maxWorkerReplicas"] = min(sum(group.get("maxReplicas", 2**31 - 1) for group in groups), 2**31 - 1)
    new["availableWorkerReplicas"] = sum(pod.get("status", {}).get("phase") == "Running" for pod in workers)
    new["readyWorkerReplicas"] = sum(_running_and_ready(pod) for pod in workers)
    if failure is None and len(found) == new["desiredWorkerReplicas"] + 1 and _all_run(found):
        if new.get("state") != "ready":
            new.setdefault("stateTransitionTimes", {})["ready"] = now
        new["state"] = "ready"
    _replica_failure(new, failure, now)
    is_ready, reason, message = (
        _head_readiness(heads[0]) if heads else (False, "HeadPodNotFound", "Head Pod not found")
    )
    conditions.put(new, "HeadPodReady", now=now, is_=is_ready, reason=reason, message=message)
    if not conditions.holds(new, "RayClusterProvisioned"):
        done = _all_run(found)
        conditions.put(
            new,
            "RayClusterProvisioned",
            now=now,
            is_=done,
            reason="AllPodRunningAndReadyFirstTime" if done else "RayClusterPodsProvisioning",
            message="All Ray Pods are ready for the first time"
            if done
            else "RayCluster Pods are being provisioned",
        )
    for never in ("RayClusterSuspended", "RayClusterSuspending"):
        conditions.put(new, never, now=now, is_=False, reason=never)
    pod = heads[0] if heads else {}
    address = pod.get("status", {}).get("podIP", "")
    new["head"] = {"podIP": address, "podName": pod.get("metadata", {}).get("name", "")}
    if service is not None:
        cluster_ip = service["spec"].get("clusterIP", "None")
        new["head"]["serviceName"] = service["metadata"]["name"]
        new["head"]["serviceIP"] = address if cluster_ip == "None" else cluster_ip
        new["endpoints"] = {
            port["name"]: str(port.get("nodePort") or port.get("targetPort") or port["port"])
            for port in service["spec"]["ports"]
        }
    new["head"] = {key: value for key, value in new["head"].items() if value}
    return new


def _replica_failure(new: Json, failure: tuple[str, str] | None, now: str) -> None:
    """Say that a pod could not be made or deleted, until a look goes well."""
    if failure is None:
        new["conditions"] = [item for item in new.get("conditions", ()) if item["type"] != "ReplicaFailure"]
    elif failure[0]:
        conditions.put(new, "ReplicaFailure", now=now, is_=True, reason=failure[0], message=failure[1])


def _head_readiness(pod: Json) -> tuple[bool | None, str, str]:
    """Say what the pod's Ready says, and why not: by the first container that waits or has ended."""
    ready = conditions.find(pod.get("status", {}), "Ready")
    if not ready:
        return False, "Unknown", ""
    reason, message = ready.get("reason", ""), ready.get("message", "")
    if ready["status"] == "True":
        return True, reason or "HeadPodRunningAndReady", message
    if reason == "ContainersNotReady":
        for container in pod["status"].get("containerStatuses", ()):
            state = container.get("state", {})
            why = state.get("waiting") or state.get("terminated")
            if why:
                more = f"{container['name']}: {why.get('message', '')}"
                return False, why.get("reason", "Unknown"), f"{message}; {more}" if message else more
    return (None if ready["status"] == "Unknown" else False), reason or "Unknown", message


def differs(old: Json, new: Json) -> bool:
    """Whether a status is worth writing: its times alone are not."""
    ignored = ("lastUpdateTime", "observedGeneration", "stateTransitionTimes")
    return bool(_without(old, ignored) != _without(new, ignored))


def _without(document: Json, keys: Sequence[str]) -> Json:
    return {
        key: value
        for key, value in document.items()
        if key not in keys and value not in (0, "", {}, [], None)
    }
