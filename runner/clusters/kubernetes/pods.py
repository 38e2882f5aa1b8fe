"""Pods as the API has them, read into what ftrun asks of them; and the members that they are. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Json = Any
Object = Mapping[str, Json]

CLUSTER, NODE_TYPE, GROUP, INDEX = (
    "ray.io/cluster",
    "ray.io/node-type",
    "ray.io/group",
    "ray.io/worker-group-replica-index",
)
ORIGIN = "ray.io/originated-from-cr-name"

PULLING = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
BROKEN = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, seen as the machine of a Ray node, or of what stands beside them."""

    name: str
    uid: str
    labels: Mapping[str, str]
    created: str
    address: str | None
    host: str | None
    phase: str
    deleting: bool
    ready: bool
    initialized: bool
    container: str
    """The first one, which runs Ray."""
    state: str
    """Of that container: waiting, running, terminated; absent before the kubelet has said anything."""
    reason: str
    """Why it waits, or how it ended."""
    message: str
    exit_code: int | None
    restarts: int
    container_id: str
    unscheduled: str
    """Why no host was found for it; empty where one was."""
    grace: float = 30.0
    """Seconds between SIGTERM and SIGKILL."""
    sees: str = ""
    """The setting by which its processes see others than their container's; empty where they do not."""

    @property
    def role(self) -> str:
        """`head`, `worker`, or empty where it is no Ray node."""
        kind = self.labels.get(NODE_TYPE, "")
        return kind if kind in ("head", "worker") else ""

    @property
    def over(self) -> bool:
        """Whether it has ended for good."""
        return self.phase in ("Failed", "Succeeded")

    @property
    def doing(self) -> str:
        """Its `state` as the state document has it."""
        if self.over or self.state == "terminated":
            return "waiting"
        if self.state == "running":
            return "up"
        if self.unscheduled or self.host is None or self.reason == "CrashLoopBackOff":
            return "waiting"
        return "starting"


def read(document: Object) -> Pod:
    """Read a pod of the API."""
    meta, spec, status = document["metadata"], document["spec"], document.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    container = spec["containers"][0]["name"]
    said: Object = next(
        (each for each in status.get("containerStatuses") or () if each["name"] == container), {}
    )
    # Until the Ray container waits for nothing else, what keeps it is said of an init container.
    initial = next(
        (
            each
            for each in status.get("initContainerStatuses") or ()
            if not each.get("ready") and "terminated" not in each["state"]
        ),
        None,
    )
    state: str
    about: Object
    state, about = next(iter((said.get("state") or {}).items()), ("absent", {}))
    if initial is not None and state != "running" and "waiting" in initial["state"]:
        about = initial["state"]["waiting"]
    scheduled = conditions.get("PodScheduled", {})
    return Pod(
        name=meta["name"],
        uid=meta["uid"],
        labels=meta.get("labels") or {},
        created=meta.get("creationTimestamp") or "",
        address=status.get("podIP"),
        host=spec.get("nodeName"),
        phase=status.get("phase") or "Pending",
        deleting="deletionTimestamp" in meta,
        ready=conditions.get("Ready", {}).get("status") == "True",
        initialized=conditions.get("Initialized", {}).get("status") == "True",
        container=container,
        state=state,
        reason=str(about.get("reason") or ""),
        message=str(about.get("message") or status.get("message") or ""),
        exit_code=about.get("exitCode"),
        restarts=int(said.get("restartCount") or 0),
        container_id=str(said.get("containerID") or ""),
        unscheduled=str(scheduled.get("message") or scheduled.get("reason") or "")
        if scheduled.get("status") == "False"
        else "",
        grace=float(spec.get("terminationGracePeriodSeconds", 30.0)),
        sees=next((each for each in ("hostPID", "shareProcessNamespace") if spec.get(each)), ""),
    )


def order(pod: Pod) -> tuple[str, int, str, str]:
    """Give what pods are put in order by: the group, the number that KubeRay gave it, then age and name."""
    index = pod.labels.get(INDEX, "")
    return pod.labels.get(GROUP, ""), int(index) if index.isdigit() else 1 << 30, pod.created, pod.name


def stuck(pod: Pod) -> str | None:
    """Say why a pod will not come up by itself; None where nothing is known to stand in its way."""
    if pod.reason in PULLING:
        return f"the image of {pod.name} cannot be pulled ({pod.reason}): {pod.message}"
    if pod.reason in BROKEN:
        return f"the container of {pod.name} cannot be made ({pod.reason}): {pod.message}"
    if pod.reason == "CrashLoopBackOff":
        return f"the container of {pod.name} ends again and again: {pod.message}"
    if pod.unscheduled:
        return f"no host has room for {pod.name}: {pod.unscheduled}"
    return None


def wall(stamp: str) -> float:
    """Give the seconds since the epoch of a time that the API gives; they are whole ones, mostly."""
    return datetime.fromisoformat(stamp).timestamp()
