"""The pods of a RayCluster, as KubeRay makes them. Pure."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from typing import Any

Json = Any

VERSION = "stand-in"
"""What stands where KubeRay writes its version."""

GCS, AGENT, DASHBOARD, METRICS, CLIENT, SERVE = 6379, 52365, 8265, 8080, 10001, 8000

FAULT_TOLERANT = "ray.io/ft-enabled"
STORAGE_NAMESPACE = "ray.io/external-storage-namespace"
UNCHANGED_COMMAND = "ray.io/overwrite-container-cmd"

UNITS = {
    "": 1,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}

# Flags of `ray start` that take `true` and `false` as a value; all others are there or not.
VALUED = ("include-dashboard", "include-log-monitor", "log-color")


def amount(quantity: str | float) -> float:
    """Read a quantity of Kubernetes."""
    text = str(quantity)
    number = text.rstrip("".join(UNITS))
    return float(number) * UNITS[text[len(number) :]]


def _whole(quantity: str | float) -> str:
    return str(math.ceil(amount(quantity)))


def fault_tolerance(cluster: Json) -> str | None:
    """Say where the GCS keeps its tables: `redis`, `rocksdb`, or nowhere."""
    options = cluster["spec"].get("gcsFaultToleranceOptions")
    if options is not None:
        return str(options.get("backend") or "redis")
    annotations = cluster["metadata"].get("annotations", {})
    return "redis" if annotations.get(FAULT_TOLERANT, "").lower() == "true" else None


def head_address(cluster: Json) -> str:
    """Give the name by which workers find the head."""
    meta = cluster["metadata"]
    return f"{meta['name']}-head-svc.{meta['namespace']}.svc.cluster.local"


def owner(thing: Json) -> Json:
    """Refer to the object that controls another one."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": thing["kind"],
        "name": thing["metadata"]["name"],
        "uid": thing["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def serves(cluster: Json) -> bool:
    """Whether a RayService made this cluster."""
    return bool(cluster["metadata"].get("labels", {}).get("ray.io/originated-from-crd") == "RayService")


def head(cluster: Json) -> Json:
    """Make the head pod."""
    group = cluster["spec"]["headGroupSpec"]
    pod = _pod(cluster, group, "head", "headgroup", cluster["metadata"]["name"])
    container = pod["spec"]["containers"][0]
    parameters = _parameters(group)
    parameters.setdefault("dashboard-host", "0.0.0.0")
    backend = fault_tolerance(cluster)
    annotations = pod["metadata"]["annotations"]
    annotations |= {FAULT_TOLERANT: str(backend is not None).lower(), "ray.io/kuberay-version": VERSION}
    if backend == "redis":
        _redis(cluster, container, parameters, annotations)
    elif backend == "rocksdb":
        _rocksdb(cluster, pod["spec"], container)
    _command(container, "ray start --head", parameters, annotations)
    port = parameters.get("port", str(GCS))
    _environment(cluster, container, "127.0.0.1", port)
    _add(
        container,
        RAY_USAGE_STATS_EXTRA_TAGS=f"kuberay_version={VERSION};kuberay_crd={'RayService' if serves(cluster) else 'RayCluster'}",
    )
    _probe(cluster, container, head=True, parameters=parameters)
    for first in pod["spec"].get("initContainers", []):
        address = head_address(cluster)
        _add(first, FQ_RAY_IP=address, RAY_IP=address.split(".")[0])
    if serves(cluster):
        pod["metadata"]["labels"]["ray.io/serve"] = "false"  # true once the proxy answers
    return pod


def worker(cluster: Json, group: Json, index: int) -> Json:
    """Make a worker pod of a group: its replica number `index`."""
    name = group["groupName"]
    pod = _pod(cluster, group, "worker", name, f"{cluster['metadata']['name']}-{name}")
    pod["metadata"]["labels"]["ray.io/worker-group-replica-index"] = str(index)
    container = pod["spec"]["containers"][0]
    address = head_address(cluster)
    port = cluster["spec"]["headGroupSpec"].get("rayStartParams", {}).get("port", str(GCS))
    waiting = _wait_for_gcs(group["template"]["spec"]["containers"][0], f"{address}:{port}")
    pod["spec"].setdefault("initContainers", []).append(waiting)
    for first in pod["spec"]["initContainers"]:
        _add(first, FQ_RAY_IP=address, RAY_IP=address.split(".")[0])
    parameters = _parameters(group)
    parameters.setdefault("address", f"{address}:{port}")
    if fault_tolerance(cluster):
        _add(container, RAY_gcs_rpc_server_reconnect_timeout_s="600")
    _command(container, "ray start", parameters, pod["metadata"]["annotations"])
    _add(container, FQ_RAY_IP=address, RAY_IP=address.split(".")[0])
    _environment(cluster, container, address, port)
    _probe(cluster, container, head=False, parameters=parameters)
    if serves(cluster):
        pod["metadata"]["labels"]["ray.io/serve"] = "true"  # its readiness probe asks the proxy
    return pod


def _pod(cluster: Json, group: Json, role: str, group_name: str, prefix: str) -> Json:
    """Make what head and worker have in common; the first container is Ray's."""
    template = copy.deepcopy(group["template"])
    meta = template.get("metadata", {})
    name = cluster["metadata"]["name"]
    fixed = {"ray.io/cluster": name, "ray.io/node-type": role, "ray.io/group": group_name}
    labels = {
        "ray.io/is-ray-node": "yes",
        "ray.io/identifier": f"{name}-{role}"[-63:],
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/created-by": "kuberay-operator",
        **meta.get("labels", {}),
        **group.get("labels", {}),
        **fixed,
    }
    annotations = dict(meta.get("annotations", {}))
    if cluster["metadata"].get("annotations", {}).get(UNCHANGED_COMMAND, "").lower() == "true":
        annotations[UNCHANGED_COMMAND] = "true"
    spec = template["spec"]
    container = spec["containers"][0]
    ports = container.setdefault("ports", [])
    if not any(port.get("name") == "metrics" for port in ports):
        ports.append({"name": "metrics", "containerPort": METRICS})
    mounts = container.setdefault("volumeMounts", [])
    if "plasma-directory" not in group.get("rayStartParams", {}) and all(
        mount["mountPath"] != "/dev/shm" for mount in mounts
    ):
        mounts.append({"name": "shared-mem", "mountPath": "/dev/shm"})
        resources = container.get("resources", {})
        memory = resources.get("limits", {}).get("memory") or resources.get("requests", {}).get("memory")
        room = {"medium": "Memory"} | ({"sizeLimit": memory} if memory else {})
        spec.setdefault("volumes", []).append({"name": "shared-mem", "emptyDir": room})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{prefix[:50]}-{role}-".lower(),
            "namespace": cluster["metadata"]["namespace"],
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner(cluster)],
        },
        "spec": spec,
    }


def _parameters(group: Json) -> dict[str, str]:
    """Give what `ray start` is told for every node."""
    parameters: dict[str, str] = dict(group.get("rayStartParams", {}))
    if group.get("labels"):
        parameters["labels"] = ",".join(f"{key}={group['labels'][key]}" for key in sorted(group["labels"]))
    others = {}
    for name, quantity in group.get("resources", {}).items():
        flag = {"cpu": "num-cpus", "memory": "memory", "gpu": "num-gpus"}.get(name.lower())
        if flag:
            parameters[flag] = _whole(quantity)
        else:
            number = amount(quantity)
            others[name] = int(number) if number.is_integer() else number
    if others:
        parameters["resources"] = f"'{json.dumps(others, separators=(',', ':'))}'"
    parameters.setdefault("metrics-export-port", str(METRICS))
    parameters.setdefault("dashboard-agent-listen-port", str(AGENT))
    return parameters | {"block": "true"}


def _command(container: Json, start: str, parameters: dict[str, str], annotations: Mapping[str, str]) -> None:
    """Let the container run `ray start`, after what its template runs; the command stands in its environment, too."""
    limits = container.get("resources", {}).get("limits", {})
    requests = container.get("resources", {}).get("requests", {})
    cpus = limits.get("cpu") or requests.get("cpu")
    if cpus and amount(cpus):
        parameters.setdefault("num-cpus", _whole(cpus))
    if limits.get("memory"):
        parameters.setdefault("memory", _whole(limits["memory"]))
    words = [start]
    for flag in sorted(parameters):
        value = parameters[flag]
        if value.lower() not in ("true", "false") or flag in VALUED:
            words.append(f"--{flag}={value}")
        elif value.lower() == "true":
            words.append(f"--{flag}")
    ray_start = " ".join(words)
    _add(container, KUBERAY_GEN_RAY_START_CMD=ray_start)
    before = " ".join([*container.get("command", []), *container.get("args", [])])
    if annotations.get(UNCHANGED_COMMAND) == "true" or "ray start" in before:
        return
    container["command"] = ["/bin/bash", "-c", "--"]
    own = f"ulimit -n ${{RAY_START_ULIMIT_OPEN_FILES:-65536}}; {ray_start}"
    container["args"] = [f"{before} && {own}" if before else own]


def _add(container: Json, **variables: str | Json) -> None:
    """Add environment variables that the template does not set: a text, or whence it is taken."""
    environment = container.setdefault("env", [])
    known = {variable["name"] for variable in environment}
    for name, value in variables.items():
        if name not in known:
            environment.append({"name": name, **({"value": value} if isinstance(value, str) else value)})


def _field(path: str) -> Json:
    return {"valueFrom": {"fieldRef": {"fieldPath": path}}}


def _environment(cluster: Json, container: Json, address: str, port: str) -> None:
    _add(
        container,
        RAY_CLUSTER_NAME=_field("metadata.labels['ray.io/cluster']"),
        RAY_CLUSTER_NAMESPACE=_field("metadata.namespace"),
        RAY_CLOUD_INSTANCE_ID=_field("metadata.name"),
        RAY_NODE_TYPE_NAME=_field("metadata.labels['ray.io/group']"),
        RAY_PORT=port,
        RAY_ADDRESS=f"{address}:{port}",
        RAY_USAGE_STATS_KUBERAY_IN_USE="1",
        RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE="1",
    )
    if serves(cluster):
        _add(
            container,
            RAY_timeout_ms_task_wait_for_death_info="0",
            RAY_gcs_server_request_timeout_seconds="5",
            RAY_SERVE_KV_TIMEOUT_S="5",
        )


def _redis(cluster: Json, container: Json, parameters: dict[str, str], annotations: dict[str, str]) -> None:
    """Let the GCS keep its tables in Redis: by the options, or by the annotations of before KubeRay 1.3."""
    meta = cluster["metadata"]
    options = cluster["spec"].get("gcsFaultToleranceOptions")
    namespace = meta.get("annotations", {}).get(STORAGE_NAMESPACE) or meta["uid"]
    if options is None:
        if "redis-password" in parameters:
            _add(container, REDIS_PASSWORD=parameters["redis-password"])
    else:
        namespace = options.get("externalStorageNamespace") or namespace
        _add(container, RAY_REDIS_ADDRESS=options.get("redisAddress", ""))
        for key, variable in (("Username", "REDIS_USERNAME"), ("Password", "REDIS_PASSWORD")):
            credential = options.get(f"redis{key}")
            if credential is not None:
                parameters[f"redis-{key.lower()}"] = f"${variable}"
                _add(container, **{variable: credential})
    annotations[STORAGE_NAMESPACE] = namespace
    _add(container, RAY_external_storage_namespace=namespace)


def _rocksdb(cluster: Json, spec: Json, container: Json) -> None:
    """Let the GCS keep its tables on a volume."""
    storage = cluster["spec"]["gcsFaultToleranceOptions"]["storage"]
    _add(container, RAY_gcs_storage="rocksdb", RAY_gcs_storage_path="/data/gcs")
    inside = {"subPath": storage["subPath"]} if storage.get("subPath") else {}
    container["volumeMounts"].append({"name": "gcs-storage", "mountPath": "/data/gcs", **inside})
    claim = {"claimName": storage["claimName"]}
    spec.setdefault("volumes", []).append({"name": "gcs-storage", "persistentVolumeClaim": claim})


def _wait_for_gcs(container: Json, address: str) -> Json:
    """Make the container that holds a worker back until the GCS answers."""
    few = {"cpu": "200m", "memory": "256Mi"}
    loop = f"until ray health-check --address {address} >/dev/null 2>&1; do echo 'No GCS at {address} yet.'; sleep 5; done"
    return {
        "name": "wait-gcs-ready",
        "command": ["/bin/bash", "-c", "--"],
        "args": [loop],
        "resources": {"limits": few, "requests": dict(few)},
        **copy.deepcopy(
            {
                key: container[key]
                for key in ("image", "imagePullPolicy", "securityContext", "env", "volumeMounts")
                if key in container
            }
        ),
    }


def _probe(cluster: Json, container: Json, *, head: bool, parameters: Mapping[str, str]) -> None:
    """Add the probes that the template does not have."""
    agent = int(parameters["dashboard-agent-listen-port"])
    asked = [_wget(2, agent, "api/local_raylet_healthz")]
    if head:
        asked.append(_wget(10, int(parameters.get("dashboard-port", DASHBOARD)), "api/gcs_healthz"))
    one_address = _at_least(cluster["spec"].get("rayVersion", ""), (2, 53))
    health = {"httpGet": {"path": "/api/healthz", "port": agent}} if one_address else _run(asked)
    timing = {"periodSeconds": 5, "timeoutSeconds": 5 if head else 2, "successThreshold": 1}
    container.setdefault(
        "livenessProbe", {"initialDelaySeconds": 30, "failureThreshold": 120, **timing, **health}
    )
    ready = {"initialDelaySeconds": 10, "failureThreshold": 10, **timing, **health}
    if serves(cluster) and not head:
        ports = {port.get("name"): port["containerPort"] for port in container["ports"]}
        asked.append(_wget(10, ports.get("serve", SERVE), "-/healthz"))
        ready = {"initialDelaySeconds": 10, "failureThreshold": 1, **timing, **_run(asked)}
    container.setdefault("readinessProbe", ready)


def _wget(timeout: int, port: int, path: str) -> str:
    return f"wget --tries 1 -T {timeout} -q -O- http://localhost:{port}/{path} | grep success"


def _run(commands: list[str]) -> Json:
    return {"exec": {"command": ["bash", "-c", " && ".join(commands)]}}


def _at_least(version: str, wanted: tuple[int, int]) -> bool:
    try:
        major, minor = version.split(".")[:2]
        return (int(major), int(minor)) >= wanted
    except ValueError:
        return False
