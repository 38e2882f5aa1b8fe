"""What a RayService wants, and what its status says, as KubeRay has it. Pure."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import conditions, pods, rayclusters

Json = Any

FINALIZER = "ray.io/rayservice-finalizer"
HASH = "ray.io/hash-without-replicas-and-workers-to-delete"
GROUPS = "ray.io/num-worker-groups"
VERSION = "ray.io/kuberay-version"

DELETION_DELAY = 60.0
"""Seconds that a cluster outlives its service's turning away from it, unless the RayService says otherwise."""


def mistake(service: Json) -> str | None:
    """Say why a RayService is refused, if it is."""
    spec = service["spec"]
    cluster = spec["rayClusterConfig"]
    annotations = service["metadata"].get("annotations", {})
    options = cluster.get("gcsFaultToleranceOptions")
    head = cluster["headGroupSpec"]
    variables = {item["name"] for item in head["template"]["spec"]["containers"][0].get("env", ())}
    parameters = head.get("rayStartParams", {})
    strategy = (spec.get("upgradeStrategy") or {}).get("type", "NewCluster")
    if len(service["metadata"]["name"]) > 47:
        return "RayService name should be no more than 47 characters"
    if strategy not in ("NewCluster", "None"):
        return f"the stand-in of the KubeRay operator knows the upgrade strategies NewCluster and None, not {strategy}"
    for group in cluster.get("workerGroupSpecs", ()):
        if group["minReplicas"] > group["maxReplicas"]:
            return f"worker group {group['groupName']} has minReplicas greater than maxReplicas"
    if annotations.get(pods.FAULT_TOLERANT) and options is not None:
        return f"{pods.FAULT_TOLERANT} annotation and gcsFaultToleranceOptions are both set"
    tolerant = options is not None or annotations.get(pods.FAULT_TOLERANT, "").lower() == "true"
    if not tolerant and "RAY_REDIS_ADDRESS" in variables:
        return "RAY_REDIS_ADDRESS is set, but gcsFaultToleranceOptions is not"
    if options is not None:
        for variable in ("REDIS_PASSWORD", "RAY_REDIS_ADDRESS"):
            if variable in variables:
                return f"cannot set {variable} in the head Pod when gcsFaultToleranceOptions is enabled"
        if parameters.get("redis-password"):
            return "cannot set redis-password in rayStartParams when gcsFaultToleranceOptions is enabled"
        if annotations.get(pods.STORAGE_NAMESPACE):
            return (
                f"cannot set the annotation {pods.STORAGE_NAMESPACE} when gcsFaultToleranceOptions is enabled"
            )
        if options.get("backend") == "rocksdb" and options.get("redisAddress"):
            return "cannot set redisAddress when the backend is rocksdb"
        if options.get("backend") == "rocksdb" and not options.get("storage"):
            return "the stand-in of the KubeRay operator makes no volume: name a claim in storage.claimName"
        if options.get("backend") != "rocksdb" and options.get("storage"):
            return "cannot set storage when the backend is redis"
    if parameters.get("redis-username") or "REDIS_USERNAME" in variables:
        return "cannot set the Redis user name other than by gcsFaultToleranceOptions.redisUsername"
    return None


def spec_hash(cluster_spec: Json, groups: int | None = None) -> str:
    """Hash what a change of makes a new cluster necessary; with `groups`, of its first worker groups alone."""
    spec = copy.deepcopy(cluster_spec)
    if groups is not None:
        spec["workerGroupSpecs"] = spec.get("workerGroupSpecs", [])[:groups]
    for group in [spec["headGroupSpec"], *spec.get("workerGroupSpecs", ())]:
        for muted in ("replicas", "minReplicas", "maxReplicas", "scaleStrategy"):
            group.pop(muted, None)
        for muted in ("tolerations", "schedulingGates"):
            group["template"]["spec"].pop(muted, None)
    digest = hashlib.sha1(json.dumps(spec, sort_keys=True).encode(), usedforsecurity=False).digest()
    return base64.b32hexencode(digest).decode()


def cluster(service: Json, name: str) -> Json:
    """Make the RayCluster that the RayService wants now."""
    meta = service["metadata"]
    spec = copy.deepcopy(service["spec"]["rayClusterConfig"])
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": {
                **meta.get("labels", {}),
                "ray.io/originated-from-cr-name": meta["name"],
                "ray.io/originated-from-crd": "RayService",
            },
            "annotations": {
                **meta.get("annotations", {}),
                HASH: spec_hash(spec),
                GROUPS: str(len(spec.get("workerGroupSpecs", ()))),
                VERSION: pods.VERSION,
            },
            "ownerReferences": [pods.owner(service)],
        },
        "spec": spec,
    }


def _same(service: Json, existing: Json) -> bool:
    return bool(existing["metadata"]["annotations"][HASH] == spec_hash(service["spec"]["rayClusterConfig"]))


def only_groups_were_appended(service: Json, existing: Json) -> bool:
    """Whether a cluster differs from what is wanted, but only by groups at the end: it is changed in place."""
    annotations = existing["metadata"]["annotations"]
    spec = service["spec"]["rayClusterConfig"]
    first = int(annotations[GROUPS])
    return (
        not _same(service, existing)
        and len(spec.get("workerGroupSpecs", ())) >= first
        and annotations[HASH] == spec_hash(spec, first)
    )


def needs_new_cluster(service: Json, active: Json | None, pending: Json | None) -> bool:
    """Whether a cluster is to be made beside the one that serves, or the first one."""
    if active is None and pending is None:
        return True
    latest = pending or active
    if _same(service, latest) or only_groups_were_appended(service, latest):
        return False
    return (service["spec"].get("upgradeStrategy") or {}).get("type") != "None"


def must_submit(service: Json, submitted: str | None, applications: Mapping[str, Json]) -> bool:
    """Whether Serve is to be given its configuration: never given, forgotten by Serve, or another one now."""
    return not submitted or not applications or submitted != service["spec"].get("serveConfigV2", "")


def applications(details: Json) -> dict[str, Json]:
    """Take what the status holds from what Serve's REST API says."""
    return {
        name or "default": {
            "status": application["status"],
            "message": application.get("message", ""),
            "serveDeploymentStatuses": {
                key: {"status": item["status"], "message": item.get("message", "")}
                for key, item in application.get("deployments", {}).items()
            },
        }
        for name, application in details.get("applications", {}).items()
    }


def all_run(found: Mapping[str, Json]) -> bool:
    """Whether Serve has applications and all of them are RUNNING."""
    return bool(found) and all(application["status"] == "RUNNING" for application in found.values())


def serve_service_name(service: Json) -> str:
    """Give the name of the service for users."""
    own = (service["spec"].get("serveService") or {}).get("metadata", {}).get("name")
    return own or f"{service['metadata']['name']}-serve-svc"


def services(service: Json, existing: Json) -> tuple[Json, Json]:
    """Make the RayService's own two services, pointing at that cluster: the head's and the one for users."""
    meta = service["metadata"]
    labels = {"ray.io/originated-from-cr-name": meta["name"], "ray.io/originated-from-crd": "RayService"}
    head = rayclusters.head_service(existing)
    head["metadata"] = {
        "name": f"{meta['name']}-head-svc",
        "namespace": meta["namespace"],
        "labels": {**labels, "ray.io/node-type": "head", "ray.io/identifier": f"{meta['name']}-head"},
        "ownerReferences": [pods.owner(service)],
    }
    own = copy.deepcopy(service["spec"].get("serveService") or {})
    named = {port.get("name"): port for port in own.get("spec", {}).get("ports", ())}
    ports = [
        named.get(name, {"name": name, "port": port})
        for name, port in rayclusters.ports(existing).items()
        if name == "serve" or name.startswith("serve-")
    ]
    kind = service["spec"]["rayClusterConfig"]["headGroupSpec"].get("serviceType") or "ClusterIP"
    serve = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": serve_service_name(service),
            "namespace": meta["namespace"],
            "labels": {
                **own.get("metadata", {}).get("labels", {}),
                **labels,
                "ray.io/serve": f"{meta['name']}-serve",
            },
            "annotations": own.get("metadata", {}).get("annotations", {}),
            "ownerReferences": [pods.owner(service)],
        },
        "spec": {
            "type": kind,
            **own.get("spec", {}),
            "selector": {"ray.io/cluster": existing["metadata"]["name"], "ray.io/serve": "true"},
            "ports": ports or list(named.values()),
        },
    }
    return head, serve


def points_at(kubernetes_service: Json) -> str:
    """Give the name of the cluster that a service selects."""
    return str(kubernetes_service["spec"]["selector"]["ray.io/cluster"])


def ready_endpoints(slices: Iterable[Json]) -> int:
    """Count the pods that a service sends requests to."""
    return len(
        {
            endpoint["targetRef"]["uid"]
            for piece in slices
            for endpoint in piece.get("endpoints") or ()
            if endpoint.get("conditions", {}).get("ready") and endpoint.get("targetRef", {}).get("uid")
        }
    )


@dataclass(frozen=True, slots=True)
class Look:
    """What was found at one look: clusters, what Serve said of each, where the services point, who is behind them."""

    active: Json | None = None
    pending: Json | None = None
    active_applications: Mapping[str, Json] | None = None
    pending_applications: Mapping[str, Json] | None = None
    target: str = ""
    """The cluster that the services select; empty while none was ready at this look."""
    endpoints: int = 0


def status(service: Json, look: Look, now: str, name: Callable[[str], str]) -> Json:
    """Give the status that follows; `name` draws the name of a new cluster."""
    new: Json = copy.deepcopy(service.get("status", {}))
    new["observedGeneration"] = service["metadata"].get("generation", 0)
    for key, found, said in (
        ("activeServiceStatus", look.active, look.active_applications),
        ("pendingServiceStatus", look.pending, look.pending_applications),
    ):
        part = new.setdefault(key, {})
        part["rayClusterStatus"] = (found or {}).get("status", {})
        part["applicationStatuses"] = dict(said or {})
    serving = bool(look.target) and look.target == new["pendingServiceStatus"].get("rayClusterName")
    if look.target and look.target != new["activeServiceStatus"].get("rayClusterName"):
        new["activeServiceStatus"], new["pendingServiceStatus"] = new["pendingServiceStatus"], {}
    if not serving and needs_new_cluster(service, look.active, look.pending):
        new["pendingServiceStatus"] = {"rayClusterName": name(service["metadata"]["name"])}
    new["numServeEndpoints"] = look.endpoints
    _judge(new, now)
    new["serviceStatus"] = "Running" if conditions.holds(new, "Ready") else ""
    return new


def _judge(new: Json, now: str) -> None:
    """Set the conditions. Ready means one endpoint, not an application."""
    if not new.get("conditions"):
        for kind in ("Ready", "UpgradeInProgress"):
            conditions.put(
                new, kind, now=now, is_=False, reason="Initializing", message="RayService is initializing"
            )
    if new["numServeEndpoints"]:
        message = "Number of serve endpoints is greater than 0"
        conditions.put(new, "Ready", now=now, is_=True, reason="NonZeroServeEndpoints", message=message)
    elif conditions.holds(new, "Ready"):
        message = "Number of serve endpoints dropped to 0"
        conditions.put(new, "Ready", now=now, is_=False, reason="ZeroServeEndpoints", message=message)
    active = new["activeServiceStatus"].get("rayClusterName")
    pending = new["pendingServiceStatus"].get("rayClusterName")
    upgrade: tuple[bool | None, str, str] | None = None
    if active and pending:
        upgrade = (True, "BothActivePendingClustersExist", "Both active and pending Ray clusters exist")
    elif active:
        upgrade = (False, "NoPendingCluster", "Active Ray cluster exists and no pending Ray cluster")
    elif conditions.find(new, "UpgradeInProgress").get("reason") != "Initializing":
        upgrade = (
            None,
            "NoActiveCluster",
            "No active Ray cluster exists, and the RayService is not initializing",
        )
    if upgrade is not None:
        is_, reason, message = upgrade
        conditions.put(new, "UpgradeInProgress", now=now, is_=is_, reason=reason, message=message)


def refused(service: Json, why: str, now: str) -> Json:
    """Give the status of a RayService that is not carried out."""
    new: Json = copy.deepcopy(service.get("status", {}))
    conditions.put(new, "Ready", now=now, is_=False, reason="ValidationFailed", message=why)
    return new


def differs(old: Json, new: Json) -> bool:
    """Whether a status is worth writing: the clusters' own status in it, and its times, alone are not."""
    return bool(_essence(old) != _essence(new))


def _essence(document: Json) -> Json:
    parts = ("activeServiceStatus", "pendingServiceStatus")
    return [
        document.get("serviceStatus") or "",
        document.get("numServeEndpoints") or 0,
        document.get("conditions") or [],
        *(
            [
                document.get(part, {}).get("rayClusterName"),
                document.get(part, {}).get("applicationStatuses") or {},
            ]
            for part in parts
        ),
    ]


def left_behind(service: Json, clusters: Sequence[Json]) -> list[Json]:
    """Give the clusters of a RayService that it has turned away from; all of them while it is being deleted."""
    if service["metadata"].get("deletionTimestamp"):
        return list(clusters)
    state = service.get("status", {})
    kept = {
        state.get(key, {}).get("rayClusterName") for key in ("activeServiceStatus", "pendingServiceStatus")
    }
    return [item for item in clusters if item["metadata"]["name"] not in kept]
