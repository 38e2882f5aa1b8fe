"""What a cluster is, and what may be done in it: read without changing anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runner.clusters.contract import Context
from runner.clusters.kubernetes import rayservice
from runner.clusters.kubernetes.api import Api, Refused, place
from runner.clusters.kubernetes.manifests import Manifest
from runner.clusters.kubernetes.settings import Settings
from runner.errors import CannotRun, ClusterError

Json = Any

VERSION = "ray.io/kuberay-version"
"""The annotation by which an operator says who it is."""


async def read(api: Api, settings: Settings, name: str, manifest: Manifest | None = None) -> dict[str, Json]:
    """Give the facts that hold before anything is made; raises CannotRun with what is missing."""
    namespace = settings.namespaces[0]
    version = await api.get("/version")
    try:
        await api.get(place("rayservices", namespace), limit="1")
        openapi: Mapping[str, Json] = await api.get("/openapi/v3/apis/ray.io/v1")
    except Refused as error:
        if error.reason == "NoCRD":
            raise CannotRun(error.message, help=error.help) from error
        raise
    try:
        if await api.find(place("namespaces", None, namespace)) is None:
            raise CannotRun(
                f"There is no namespace {namespace} {_of(api)}.",
                help=f"`kubectl create namespace {namespace}` makes it.",
            )
    except Refused:
        pass  # it may not be looked at, with rights inside of it alone
    facts: dict[str, Json] = {
        "kind": "kubernetes",
        "context": settings.context,
        "namespaces": list(settings.namespaces),
        "kubernetes": version.get("gitVersion"),
        "operator": await operator(api, settings),
        "crd": {
            "gcs_fault_tolerance_options": rayservice.has_options(openapi),
            "incremental_upgrade": rayservice.has_steps(openapi),
        },
        "gateway_api": await gateways(api),
        "rayservice": name,
        "resubmit": True,
    }
    if manifest is not None:
        return facts | _said(manifest.rayservice)
    if settings.rayservice is None:
        return facts | {
            "image": settings.image,
            "gcs_fault_tolerance": settings.gcs_fault_tolerance,
            "exclude_head_from_service": settings.exclude_head_from_service,
            "environment": dict(settings.environment),
            "head_cpus": settings.head_cpus,
            "worker_cpus": settings.worker_cpus,
        }
    there = await api.find(place("rayservices", namespace, settings.rayservice))
    if there is None:
        raise CannotRun(
            f"There is no RayService {settings.rayservice} in namespace {namespace}.",
            help=f"`kubectl -n {namespace} get rayservices` lists them.",
        )
    return facts | {"attached": True, **_said(there)}


def _said(document: Mapping[str, Json]) -> dict[str, Json]:
    """Give what a RayService says of itself that settings do not make."""
    return {
        "image": rayservice.image(document),
        "gcs_fault_tolerance": rayservice.fault_tolerance(document),
        "exclude_head_from_service": bool(document["spec"].get("excludeHeadPodFromServeSvc")),
    }


def _of(api: Api) -> str:
    return f"in the cluster {api.access}"


def named(rayclusters: Sequence[Mapping[str, Json]]) -> str | None:
    """Give what RayClusters say of the operator that made them."""
    said = [(each["metadata"].get("annotations") or {}).get(VERSION) for each in rayclusters]
    return next((str(each) for each in said if each), None)


async def operator(api: Api, settings: Settings) -> str | None:
    """Give which operator reconciles: what RayClusters say, else its image; None where nobody may look."""
    try:
        found = await api.get(place("rayclusters", settings.namespaces[0]))
        if (said := named(found["items"])) is not None:
            return said
        path = place("deployments", settings.operator.namespace, settings.operator.deployment)
        there = await api.find(path)
    except ClusterError:
        return None  # it may not be looked at
    if there is None:
        return None
    return str(there["spec"]["template"]["spec"]["containers"][0]["image"])


async def gateways(api: Api) -> bool:
    """Whether a Gateway API is served, by which requests can be moved step by step."""
    try:
        groups = (await api.get("/apis"))["groups"]
    except (ClusterError, KeyError, TypeError):
        return False  # nobody may ask, so nobody knows
    return any(each["name"] == "gateway.networking.k8s.io" for each in groups)


def cannot(settings: Settings, facts: Mapping[str, Json]) -> tuple[str, ...]:
    """Say what of the settings cannot be had; of those that make nothing here, nothing is said."""
    said = []
    if not settings.resubmit:
        said.append("KubeRay always hands Serve its configuration again.")
    if not rayservice.by_settings(settings):
        return tuple(said)
    try:
        rayservice.made(settings, "", options=bool(facts["crd"]["gcs_fault_tolerance_options"]))
    except CannotRun as error:
        said.append(error.message)
    return tuple(said)


def capabilities(settings: Settings, context: Context, facts: Mapping[str, Json]) -> frozenset[str]:
    """Give what can be done, by what the inventory allows."""
    can = {"observe", "node", "actor", "process", "freeze", "drain", "evict"}
    if not facts.get("attached"):
        can |= {"deploy", "upgrade"}
        if settings.gateway_class and facts.get("gateway_api") and facts["crd"]["incremental_upgrade"]:
            can.add("incremental_upgrade")
    if "exec" in context.allow:
        can.add("exec")
    own = rayservice.own_redis(settings)
    if own or (rayservice.redis_labels(settings) and "shared-redis" in context.allow):
        can.add("redis")
    if "operator-faults" in context.allow:
        can.add("operator")
    if "node-faults" in context.allow:
        can.add("host")
        if context.hosts.get("power"):
            can.add("power_off")
        if context.hosts.get("link"):
            can.add("partition")
    if context.hosts.get("network_policy") and not context.hosts.get("link"):
        can.add("partition")
    return frozenset(can)
