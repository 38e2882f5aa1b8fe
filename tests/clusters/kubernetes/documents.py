"""Documents of an API server, as short as tests need them."""

from __future__ import annotations

from typing import Any

Json = Any


def pod(
    name: str,
    role: str = "worker",
    *,
    uid: str = "",
    cluster: str = "s-abc",
    address: str | None = "10.0.0.1",
    host: str | None = "node1",
    state: Json = "running",
    restarts: int = 0,
    ready: bool = True,
    deleting: bool = False,
    phase: str = "Running",
    conditions: tuple[Json, ...] = (),
    init: Json = None,
    **labels: str,
) -> Json:
    """Give a pod; `state` is a word or what the API says of the container."""
    told = {"running": {"startedAt": "2026-01-01T00:00:00Z"}} if state == "running" else state
    status: Json = {
        "phase": phase,
        "podIP": address,
        "conditions": [
            {"type": "Ready", "status": "True" if ready else "False"},
            {"type": "Initialized", "status": "True" if init is None else "False"},
            *conditions,
        ],
    }
    if told is not None:
        status["containerStatuses"] = [
            {
                "name": "ray",
                "state": told,
                "restartCount": restarts,
                "containerID": f"c-{uid or name}-{restarts}",
            }
        ]
        if "waiting" in told and not restarts:
            del status["containerStatuses"][0]["containerID"]
    if init is not None:
        status["initContainerStatuses"] = [{"name": "wait", "ready": False, "state": init}]
    meta = {
        "name": name,
        "namespace": "ns",
        "uid": uid or f"u-{name}",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"ray.io/cluster": cluster, "ray.io/node-type": role, **labels},
    }
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:01:00Z"
    return {
        "metadata": meta,
        "spec": {"nodeName": host, "containers": [{"name": "ray", "image": "ray"}]},
        "status": status,
    }


def raycluster(name: str, *, deleting: bool = False) -> Json:
    """Give a RayCluster."""
    meta = {"name": name, "namespace": "ns", **({"deletionTimestamp": "now"} if deleting else {})}
    return {"metadata": meta, "status": {}}


def rayservice(
    name: str = "s",
    active: str = "s-abc",
    pending: str = "",
    *,
    apps: dict[str, str] | None = None,
    **conditions: str,
) -> Json:
    """Give a RayService that serves from a cluster; `apps` are of the pending one, else of that."""
    told = {"applicationStatuses": {app: {"status": status} for app, status in (apps or {}).items()}}
    return {
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"serveConfigV2": "", "rayClusterConfig": {}},
        "status": {
            "activeServiceStatus": {"rayClusterName": active, **({} if pending else told)} if active else {},
            "pendingServiceStatus": {"rayClusterName": pending, **told} if pending else {},
            "conditions": [
                {"type": key, "status": value, "reason": "R"} for key, value in conditions.items()
            ],
        },
    }


def endpoints(**ready: bool) -> Json:
    """Give an EndpointSlice of pods."""
    return {
        "metadata": {"name": "s-serve-svc-1", "namespace": "ns"},
        "endpoints": [
            {"targetRef": {"kind": "Pod", "name": name.replace("_", "-")}, "conditions": {"ready": word}}
            for name, word in ready.items()
        ],
    }
