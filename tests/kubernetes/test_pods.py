"""The stand-in's pods are KubeRay's: names, labels, commands, environment, probes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes.standin import pods, rayservices

Json = Any

ADDRESS = "demo-abcde-head-svc.ours.svc.cluster.local"


def sample() -> Json:
    items = yaml.safe_load((Path(__file__).parent / "rayservice.yaml").read_text())["items"]
    service = copy.deepcopy(next(item for item in items if item["kind"] == "RayService"))
    service["metadata"] |= {"namespace": "ours", "uid": "service-uid", "generation": 1}
    return service


def made(service: Json) -> Json:
    cluster = rayservices.cluster(service, "demo-abcde")
    cluster["metadata"] |= {"uid": "cluster-uid", "generation": 1}
    return cluster


def environment(container: Json) -> dict[str, Json]:
    names = [item["name"] for item in container["env"]]
    assert len(names) == len(set(names))
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}


def test_the_head_is_named_labelled_and_owned_as_kuberay_does_it() -> None:
    pod = pods.head(made(sample()))
    meta = pod["metadata"]
    assert meta["generateName"] == "demo-abcde-head-"
    assert meta["labels"] == {
        "ray.io/cluster": "demo-abcde",
        "ray.io/is-ray-node": "yes",
        "ray.io/node-type": "head",
        "ray.io/group": "headgroup",
        "ray.io/identifier": "demo-abcde-head",
        "ray.io/serve": "false",
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/created-by": "kuberay-operator",
    }
    assert meta["annotations"] == {
        "ray.io/ft-enabled": "true",
        "ray.io/external-storage-namespace": "cluster-uid",
        "ray.io/kuberay-version": "stand-in",
    }
    (owner,) = meta["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == (
        "RayCluster",
        "demo-abcde",
        "cluster-uid",
        True,
    )


def test_the_head_starts_ray_and_finds_redis() -> None:
    container = pods.head(made(sample()))["spec"]["containers"][0]
    assert container["command"] == ["/bin/bash", "-c", "--"]
    (script,) = container["args"]
    limit, start = script.split("; ")
    assert limit == "ulimit -n ${RAY_START_ULIMIT_OPEN_FILES:-65536}"
    assert start == (
        "ray start --head --block --dashboard-agent-listen-port=52365 --dashboard-host=0.0.0.0"
        " --memory=2147483648 --metrics-export-port=8080 --num-cpus=0 --object-store-memory=80000000"
        " --redis-password=$REDIS_PASSWORD"
    )
    variables = environment(container)
    assert variables["KUBERAY_GEN_RAY_START_CMD"] == start
    assert variables["RAY_REDIS_ADDRESS"] == "redis:6379"
    assert variables["REDIS_PASSWORD"] == {"secretKeyRef": {"name": "redis", "key": "password"}}
    assert variables["RAY_external_storage_namespace"] == "cluster-uid"
    assert variables["RAY_ADDRESS"] == "127.0.0.1:6379"
    assert variables["RAY_CLOUD_INSTANCE_ID"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert variables["PYTHONPATH"] == "/application"
    assert variables["RAY_SERVE_KV_TIMEOUT_S"] == variables["RAY_gcs_server_request_timeout_seconds"] == "5"
    assert variables["RAY_timeout_ms_task_wait_for_death_info"] == "0"
    assert container["ports"] == [{"name": "metrics", "containerPort": 8080}]


def test_a_worker_waits_for_the_head_and_joins_it() -> None:
    cluster = made(sample())
    pod = pods.worker(cluster, cluster["spec"]["workerGroupSpecs"][0], 1)
    assert pod["metadata"]["generateName"] == "demo-abcde-workers-worker-"
    labels = pod["metadata"]["labels"]
    assert labels["ray.io/worker-group-replica-index"] == "1"
    assert (labels["ray.io/node-type"], labels["ray.io/group"], labels["ray.io/serve"]) == (
        "worker",
        "workers",
        "true",
    )
    (waiting,) = pod["spec"]["initContainers"]
    assert waiting["name"] == "wait-gcs-ready"
    assert f"ray health-check --address {ADDRESS}:6379" in waiting["args"][0]
    assert waiting["image"] == "rayproject/ray:2.60.0"
    assert environment(waiting)["FQ_RAY_IP"] == ADDRESS
    container = pod["spec"]["containers"][0]
    assert container["args"][0].endswith(
        f"; ray start --address={ADDRESS}:6379 --block --dashboard-agent-listen-port=52365"
        " --memory=2147483648 --metrics-export-port=8080 --num-cpus=1 --object-store-memory=80000000"
    )
    variables = environment(container)
    assert variables["FQ_RAY_IP"] == ADDRESS
    assert variables["RAY_IP"] == "demo-abcde-head-svc"
    assert variables["RAY_gcs_rpc_server_reconnect_timeout_s"] == "600"
    assert "RAY_REDIS_ADDRESS" not in variables


def test_probes_ask_the_head_for_ray_and_a_worker_for_its_proxy_too() -> None:
    cluster = made(sample())
    head = pods.head(cluster)["spec"]["containers"][0]
    worker = pods.worker(cluster, cluster["spec"]["workerGroupSpecs"][0], 0)["spec"]["containers"][0]

    def timing(probe: Json) -> tuple[int, ...]:
        return tuple(
            probe[f"{key}"]
            for key in ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold")
        )

    address = {"path": "/api/healthz", "port": 52365}
    assert head["readinessProbe"]["httpGet"] == head["livenessProbe"]["httpGet"] == address
    assert timing(head["readinessProbe"]) == (10, 5, 5, 10)
    assert timing(head["livenessProbe"]) == (30, 5, 5, 120)
    assert worker["livenessProbe"]["httpGet"] == address
    assert timing(worker["livenessProbe"]) == (30, 5, 2, 120)
    assert timing(worker["readinessProbe"]) == (10, 5, 2, 1)
    asked = worker["readinessProbe"]["exec"]["command"][-1]
    assert "52365/api/local_raylet_healthz" in asked
    assert "8000/-/healthz" in asked
    assert asked.count("grep success") == 2


@pytest.mark.parametrize("version", [None, "2.52.1", "nightly"])
def test_without_a_version_that_has_one_address_for_it_health_is_asked_by_commands(
    version: str | None,
) -> None:
    service = sample()
    service["spec"]["rayClusterConfig"].pop("rayVersion")
    if version:
        service["spec"]["rayClusterConfig"]["rayVersion"] = version
    probe = pods.head(made(service))["spec"]["containers"][0]["livenessProbe"]
    assert "httpGet" not in probe
    assert "8265/api/gcs_healthz" in probe["exec"]["command"][-1]


def test_without_fault_tolerance_nothing_of_redis_is_left() -> None:
    service = sample()
    del service["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"]
    cluster = made(service)
    pod = pods.head(cluster)
    assert pod["metadata"]["annotations"]["ray.io/ft-enabled"] == "false"
    assert "redis" not in str(pod).lower()
    worker = pods.worker(cluster, cluster["spec"]["workerGroupSpecs"][0], 0)
    assert "RAY_gcs_rpc_server_reconnect_timeout_s" not in environment(worker["spec"]["containers"][0])


def test_the_annotations_of_before_the_options_still_work() -> None:
    service = sample()
    config = service["spec"]["rayClusterConfig"]
    del config["gcsFaultToleranceOptions"]
    service["metadata"]["annotations"] = {
        "ray.io/ft-enabled": "true",
        "ray.io/external-storage-namespace": "mine",
    }
    config["headGroupSpec"]["rayStartParams"]["redis-password"] = "open"
    config["headGroupSpec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"}
    ]
    pod = pods.head(made(service))
    variables = environment(pod["spec"]["containers"][0])
    assert variables["RAY_REDIS_ADDRESS"] == "redis:6379"
    assert variables["REDIS_PASSWORD"] == "open"
    assert variables["RAY_external_storage_namespace"] == "mine"
    assert pod["metadata"]["annotations"]["ray.io/external-storage-namespace"] == "mine"


def test_tables_on_a_volume() -> None:
    service = sample()
    service["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"] = {
        "backend": "rocksdb",
        "storage": {"claimName": "tables"},
    }
    pod = pods.head(made(service))
    variables = environment(pod["spec"]["containers"][0])
    assert (variables["RAY_gcs_storage"], variables["RAY_gcs_storage_path"]) == ("rocksdb", "/data/gcs")
    assert {"name": "gcs-storage", "persistentVolumeClaim": {"claimName": "tables"}} in pod["spec"]["volumes"]


def test_what_the_template_says_wins_but_for_what_makes_it_a_pod_of_ray() -> None:
    service = sample()
    group = service["spec"]["rayClusterConfig"]["headGroupSpec"]
    group["template"]["metadata"] = {"labels": {"app.kubernetes.io/name": "mine", "ray.io/cluster": "other"}}
    container = group["template"]["spec"]["containers"][0]
    container["command"], container["args"] = ["echo"], ["first"]
    container["readinessProbe"] = {"exec": {"command": ["true"]}}
    container["env"] = [{"name": "RAY_PORT", "value": "1"}]
    pod = pods.head(made(service))
    labels = pod["metadata"]["labels"]
    assert (labels["app.kubernetes.io/name"], labels["ray.io/cluster"]) == ("mine", "demo-abcde")
    done = pod["spec"]["containers"][0]
    assert done["args"][0].startswith("echo first && ulimit")
    assert done["readinessProbe"] == {"exec": {"command": ["true"]}}
    assert environment(done)["RAY_PORT"] == "1"
    assert "command" in container  # the template itself is left alone
    assert container["args"] == ["first"]


def test_a_command_that_starts_ray_itself_is_left_alone() -> None:
    service = sample()
    container = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    container["command"] = ["bash", "-c", "ray start --head"]
    assert pods.head(made(service))["spec"]["containers"][0]["command"] == ["bash", "-c", "ray start --head"]
    container["command"] = ["sleep", "1"]
    service["metadata"]["annotations"] = {"ray.io/overwrite-container-cmd": "true"}
    assert pods.head(made(service))["spec"]["containers"][0]["command"] == ["sleep", "1"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", 0.5), ("2", 2), (3, 3), ("2Gi", 2**31), ("1k", 1000), ("1.5Ki", 1536), ("100M", 1e8)],
)
def test_quantities(text: str, value: float) -> None:
    assert pods.amount(text) == value


def test_parts_of_a_processor_count_as_whole_ones() -> None:
    service = sample()
    group = service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]
    del group["rayStartParams"]["num-cpus"]
    group["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "500m"}}
    cluster = made(service)
    pod = pods.worker(cluster, cluster["spec"]["workerGroupSpecs"][0], 0)
    assert "--num-cpus=1" in pod["spec"]["containers"][0]["args"][0]
