"""What is made in the cluster: a RayService from settings and applications, and the Redis it needs. Pure."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from runner.clusters.kubernetes.claim import PART
from runner.clusters.kubernetes.code import MOUNT, PATH, Code
from runner.clusters.kubernetes.settings import Resources, Settings
from runner.errors import CannotRun
from runner.language.plan import Application
from runner.rayserve import dashboard

Json = Any
Object = Mapping[str, Json]

FAULT_TOLERANT, STORAGE_NAMESPACE = "ray.io/ft-enabled", "ray.io/external-storage-namespace"
CODE = "code"
MARK = "FTRUN_UPGRADE"
"""The variable by which an upgrade tells new pods from old ones."""
REDIS_PORT = 6379

REDIS_CONF = """\
dir /data
port 6379
bind 0.0.0.0
protected-mode no
appendonly yes
save ""
"""
"""The guide's, but for the password: that is in a Secret."""


def config(applications: Sequence[Application]) -> str:
    """Give `serveConfigV2`: all that Serve shall have, with a proxy on every node."""
    entries = [{**each.config, "name": each.name} for each in applications]
    return dashboard.configuration(entries, host="0.0.0.0", port=8000).decode()


def code_map(name: str, code: Code) -> dict[str, Json]:
    """Give the ConfigMap of the applications' code."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-{CODE}"},
        "data": dict(code.data),
        "binaryData": dict(code.binary),
    }


def by_settings(settings: Settings) -> bool:
    """Whether the settings say what the RayService is: it is neither a manifest's nor attached to."""
    return settings.rayservice is None and settings.manifest is None


# -- Redis


def own_redis(settings: Settings) -> bool:
    """Whether ftrun makes the Redis that GCS fault tolerance needs."""
    return (
        by_settings(settings) and settings.gcs_fault_tolerance == "redis" and settings.redis.address is None
    )


def redis(settings: Settings, password: str) -> list[dict[str, Json]]:
    """Give ConfigMap, Secret, Service and Deployment of a Redis for development, as the guide has it."""
    name = f"{settings.name}-redis"
    labels = {"app": name, PART: "redis"}
    container = {
        "name": "redis",
        "image": settings.redis.image,
        "imagePullPolicy": settings.pull_policy,
        # Not the first process of its container: that one nobody in there can kill.
        "command": [
            "sh",
            "-c",
            'redis-server /etc/redis/redis.conf --requirepass "$REDIS_PASSWORD"; exit $?',
        ],
        "env": [
            {
                "name": "REDIS_PASSWORD",
                "valueFrom": {"secretKeyRef": {"name": name, "key": "password"}},
            }
        ],
        "ports": [{"containerPort": REDIS_PORT}],
        "readinessProbe": {"tcpSocket": {"port": REDIS_PORT}, "periodSeconds": 2},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/redis"},
            {"name": "data", "mountPath": "/data"},
        ],
    }
    pod = {
        **_placing(settings),
        "terminationGracePeriodSeconds": 5,
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": name}}, {"name": "data", "emptyDir": {}}],
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name},
            "data": {"redis.conf": REDIS_CONF},
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "stringData": {"password": password},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": labels, "ports": [{"name": "redis", "port": REDIS_PORT}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "replicas": 1,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
    ]


def redis_labels(settings: Settings) -> dict[str, str]:
    """Give the labels by which Redis's pods are found; none where nobody says."""
    if own_redis(settings):
        return {"app": f"{settings.name}-redis", PART: "redis"}
    used = settings.gcs_fault_tolerance == "redis" or not by_settings(settings)
    return dict(settings.redis.labels) if used else {}


# -- the RayService


def made(settings: Settings, text: str, *, options: bool) -> dict[str, Json]:
    """Give a RayService as users write it. `options`: the CRD has gcsFaultToleranceOptions."""
    head, worker = _group(settings, head=True), _group(settings, head=False)
    cluster: dict[str, Json] = {
        "headGroupSpec": head,
        "workerGroupSpecs": [
            {
                "groupName": "workers",
                "replicas": settings.workers,
                "minReplicas": settings.workers,
                "maxReplicas": settings.workers,
                **worker,
            }
        ]
        if settings.workers
        else [],
    }
    if version := ray_version(settings, settings.image):
        cluster["rayVersion"] = version
    document: dict[str, Json] = {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": settings.name},
        "spec": {"serveConfigV2": text, "rayClusterConfig": cluster},
    }
    if settings.exclude_head_from_service:
        document["spec"]["excludeHeadPodFromServeSvc"] = True
    _tolerate(document, settings, options=options)
    return document


def of_manifest(document: Object, text: str) -> dict[str, Json]:
    """Give the user's own RayService with the scenario's applications, and their code mounted."""
    made = copy.deepcopy(dict(document))
    made["spec"]["serveConfigV2"] = text
    cluster = made["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *(cluster.get("workerGroupSpecs") or ())):
        spec = group["template"]["spec"]
        container = spec["containers"][0]
        spec["volumes"] = [*(spec.get("volumes") or ()), _volume(made["metadata"]["name"])]
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), _mount()]
        rest = [each for each in container.get("env") or () if each["name"] != "PYTHONPATH"]
        given: Object = next(
            (each for each in container.get("env") or () if each["name"] == "PYTHONPATH"), {}
        )
        path = ":".join(filter(None, [str(given.get("value") or ""), PATH]))
        container["env"] = [*rest, {"name": "PYTHONPATH", "value": path}]
    return made


def ray_version(settings: Settings, image: str) -> str | None:
    """Give an image's Ray: as the settings say, else the number in its tag."""
    if settings.ray_version:
        return settings.ray_version
    found = re.search(r":(\d+\.\d+\.\d+)", image)
    return found[1] if found else None


def upgraded(document: Object, mark: str, arguments: Object, *, gateway_class: str | None) -> dict[str, Json]:
    """Give the change that makes a RayService's pods others than they are, by their environment.

    `mark` is the value of a variable that no pod has yet.
    """
    cluster = copy.deepcopy(document["spec"]["rayClusterConfig"])
    workers = list(cluster.get("workerGroupSpecs") or ())
    environment = dict(arguments.get("environment") or {})
    head = cluster["headGroupSpec"]
    for group in (head, *workers):
        container = group["template"]["spec"]["containers"][0]
        new = {**environment, **({} if group is head and workers else {MARK: mark})}
        kept = [each for each in container.get("env") or () if each["name"] not in new]
        container["env"] = [*kept, *({"name": name, "value": value} for name, value in new.items())]
    config: dict[str, Json] = {"workerGroupSpecs": workers} if workers else {}
    if environment or not workers:
        config["headGroupSpec"] = head
    spec: dict[str, Json] = {"rayClusterConfig": config}
    if arguments.get("how") == "incremental":
        # KubeRay lets the capacity of both clusters follow the requests: by Ray's autoscaler.
        config["enableInTreeAutoscaling"] = True
        options = {
            "stepSizePercent": arguments["step"],
            "intervalSeconds": round(arguments["interval"]),
            "gatewayClassName": gateway_class,
        }
        spec["upgradeStrategy"] = {
            "type": "NewClusterWithIncrementalUpgrade",
            "clusterUpgradeOptions": options,
        }
    elif (document["spec"].get("upgradeStrategy") or {}).get("type", "NewCluster") != "NewCluster":
        spec["upgradeStrategy"] = {"type": "NewCluster", "clusterUpgradeOptions": None}
    return {"spec": spec}


def _volume(name: str) -> dict[str, Json]:
    # Optional: an application may be installed in the image.
    return {"name": "ftrun-code", "configMap": {"name": f"{name}-{CODE}", "optional": True}}


def _mount() -> dict[str, Json]:
    return {"name": "ftrun-code", "mountPath": MOUNT, "readOnly": True}


def _placing(settings: Settings) -> dict[str, Json]:
    found: dict[str, Json] = {}
    if settings.node_selector:
        found["nodeSelector"] = settings.node_selector
    if settings.tolerations:
        found["tolerations"] = list(settings.tolerations)
    if settings.pull_secrets:
        found["imagePullSecrets"] = [{"name": each} for each in settings.pull_secrets]
    return found


def _resources(given: Resources) -> dict[str, Json]:
    return {
        name: dict(value) for name, value in (("requests", given.requests), ("limits", given.limits)) if value
    }


def _group(settings: Settings, *, head: bool) -> dict[str, Json]:
    parameters = {"num-cpus": str(settings.head_cpus if head else settings.worker_cpus)}
    if settings.object_store is not None:
        parameters["object-store-memory"] = settings.object_store
    environment = {**settings.environment, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": PATH}
    container = {
        "name": "ray-head" if head else "ray-worker",
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "resources": _resources(settings.resources.head if head else settings.resources.worker),
        "volumeMounts": [_mount()],
    }
    pod: dict[str, Json] = {
        **_placing(settings),
        "containers": [container],
        "volumes": [_volume(settings.name)],
    }
    if settings.service_account:
        pod["serviceAccountName"] = settings.service_account
    if settings.spread and (affinity := _affinity(settings, head=head)):
        pod["affinity"] = affinity
    return {"rayStartParams": parameters, "template": {"spec": pod}}


def _affinity(settings: Settings, *, head: bool) -> dict[str, Json]:
    """Have each worker stand on a host of its own, as far as there are hosts, and Redis beside the head."""

    def near(weight: int, **labels: str) -> dict[str, Json]:
        term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
        return {"weight": weight, "podAffinityTerm": term}

    redis = [near(10, **redis_labels(settings))] if own_redis(settings) else []
    preferred = "preferredDuringSchedulingIgnoredDuringExecution"
    if head:
        return {"podAffinity": {preferred: redis}} if redis else {}
    workers = near(100, **{"ray.io/group": "workers", "ray.io/is-ray-node": "yes"})
    heads = near(30, **{"ray.io/node-type": "head", "ray.io/is-ray-node": "yes"})
    return {"podAntiAffinity": {preferred: [workers, heads, *redis]}}


# -- GCS fault tolerance


def _tolerate(document: dict[str, Json], settings: Settings, *, options: bool) -> None:
    """Turn GCS fault tolerance on, in the way that the CRD knows; raises CannotRun where it knows none."""
    if settings.gcs_fault_tolerance == "none":
        return
    if settings.gcs_fault_tolerance == "rocksdb":
        document["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"] = _rocksdb(settings, options=options)
        return
    address = settings.redis.address or f"{settings.name}-redis:{REDIS_PORT}"
    secret = settings.redis.password
    password = (
        {"name": secret.name, "key": secret.key}
        if secret is not None
        else {"name": f"{settings.name}-redis", "key": "password"}
        if settings.redis.address is None
        else None
    )
    if settings.fault_tolerance_by == "options" or (settings.fault_tolerance_by == "auto" and options):
        said: dict[str, Json] = {"redisAddress": address}
        if password is not None:
            said["redisPassword"] = {"valueFrom": {"secretKeyRef": password}}
        if settings.storage_namespace:
            said["externalStorageNamespace"] = settings.storage_namespace
        document["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"] = said
        return
    annotations = {FAULT_TOLERANT: "true"}
    if settings.storage_namespace:
        annotations[STORAGE_NAMESPACE] = settings.storage_namespace
    document["metadata"]["annotations"] = annotations
    head = document["spec"]["rayClusterConfig"]["headGroupSpec"]
    env = head["template"]["spec"]["containers"][0]["env"]
    env.append({"name": "RAY_REDIS_ADDRESS", "value": address})
    if password is not None:
        env.append({"name": "REDIS_PASSWORD", "valueFrom": {"secretKeyRef": password}})
        head["rayStartParams"]["redis-password"] = "$REDIS_PASSWORD"


def _rocksdb(settings: Settings, *, options: bool) -> dict[str, Json]:
    if not settings.operator.rocksdb or not options:
        raise CannotRun(
            "This KubeRay keeps no GCS tables in RocksDB.",
            help="Open its gate GCSFaultToleranceEmbeddedStorage and say so: `operator: {rocksdb: true}`.",
        )
    if settings.storage_claim is None:
        raise CannotRun(
            "RocksDB needs a volume that outlives the head pod.",
            help="Name a PersistentVolumeClaim of the namespace in the inventory: `storage_claim: NAME`.",
        )
    return {"backend": "rocksdb", "storage": {"claimName": settings.storage_claim}}


def has_options(openapi: Object) -> bool:
    """Tell from /openapi/v3/apis/ray.io/v1 whether RayClusters have gcsFaultToleranceOptions."""
    schemas = (openapi.get("components") or {}).get("schemas") or {}
    for name, schema in schemas.items():
        if name.endswith("RayCluster"):
            spec = ((schema.get("properties") or {}).get("spec") or {}).get("properties") or {}
            return "gcsFaultToleranceOptions" in spec
    return False


def has_steps(openapi: Object) -> bool:
    """Tell likewise whether RayServices can be upgraded step by step."""
    schemas = (openapi.get("components") or {}).get("schemas") or {}
    for name, schema in schemas.items():
        if name.endswith("RayService"):
            found: Json = schema
            for key in ("spec", "upgradeStrategy", "clusterUpgradeOptions"):
                found = (found.get("properties") or {}).get(key) or {}
            return bool(found)
    return False


def fault_tolerance(document: Object) -> str:
    """Give where the GCS of a RayService keeps its tables: redis, rocksdb, or none."""
    options = document["spec"]["rayClusterConfig"].get("gcsFaultToleranceOptions")
    if options is not None:
        return str(options.get("backend") or "redis")
    annotations = document["metadata"].get("annotations") or {}
    return "redis" if str(annotations.get(FAULT_TOLERANT)).lower() == "true" else "none"


def image(document: Object) -> str | None:
    """Give the image of a RayService's head; None where it names none, which KubeRay does not take."""
    containers = document["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"]
    return next((each.get("image") for each in containers), None)


def workers(document: Object) -> int:
    """Give how many workers a RayService asks for."""
    groups = document["spec"]["rayClusterConfig"].get("workerGroupSpecs") or ()
    return sum(int(each.get("replicas") or each.get("minReplicas") or 0) for each in groups)
