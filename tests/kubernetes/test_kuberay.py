"""A RayService in a real Kubernetes: the operator there, stand-in or KubeRay, keeps what ftrun relies on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.kubernetes.fixtures import Kubernetes, until
from tests.kubernetes.kuberay import Operator
from tests.kubernetes.standin import conditions, pods, rayclusters, rayservices

Json = Any

SPACE = "kuberay-tests"
MANIFEST = Path(__file__).parent / "rayservice.yaml"

RARELY = 2.0
"""Seconds between two looks where Ray starts: it needs the processors."""

pytestmark = pytest.mark.timeout(600)

# What is the operator's own affair: its version, and texts that are for people.
OWN = {"ray.io/kuberay-version", "ray.io/upgrade-strategy-recreate-hash", "RAY_USAGE_STATS_EXTRA_TAGS"}


@dataclass(frozen=True, slots=True)
class Demo:
    """The RayService `demo`, as the API server shows it."""

    kubernetes: Kubernetes
    operator: Operator

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        return self.kubernetes.kubectl(f"--namespace={SPACE}", *arguments, text=text)

    def get(self, *what: str) -> Json:
        return json.loads(self.kubectl("get", *what, "--output=json"))

    @property
    def status(self) -> Json:
        return self.get("rayservice", "demo").get("status", {})

    @property
    def cluster(self) -> Json:
        return self.get("raycluster", self.status["activeServiceStatus"]["rayClusterName"])

    def pods(self, role: str) -> list[Json]:
        return list(self.get("pods", f"--selector=ray.io/node-type={role}")["items"])

    def uids(self, role: str) -> set[str]:
        return {pod["metadata"]["uid"] for pod in self.pods(role)}

    def is_whole(self) -> bool:
        status = self.status
        active = status.get("activeServiceStatus", {})
        return (
            status.get("numServeEndpoints") == 3
            and conditions.holds(status, "Ready")
            and {"whoami"} == set(active.get("applicationStatuses", {}))
            and rayservices.all_run(active["applicationStatuses"])
        )

    def patch(self, thing: str, change: Json) -> None:
        self.kubectl("patch", *thing.split("/"), "--type=merge", f"--patch={json.dumps(change)}")


@pytest.fixture(scope="module")
def demo(kubernetes: Kubernetes, kuberay: Operator) -> Iterator[Demo]:
    """The RayService of rayservice.yaml, whole."""
    kubernetes.kubectl("create", "namespace", SPACE)
    made = Demo(kubernetes, kuberay)
    try:
        made.kubectl("apply", "--filename=-", text=MANIFEST.read_text())
        until(made.is_whole, 240, RARELY)
        yield made
    finally:
        kubernetes.kubectl("delete", "namespace", SPACE, "--timeout=180s")


def lacks(wanted: Json, real: Json, where: str = "") -> list[str]:
    """Say where an object is not what is wanted; what it has beside that is its own affair."""
    if isinstance(wanted, Mapping) and isinstance(real, Mapping):
        return [
            line
            for key, value in wanted.items()
            if key not in OWN
            for line in lacks(value, real.get(key), f"{where}.{key}")
        ]
    if isinstance(wanted, list) and isinstance(real, list):
        return [line for item, other in zip(wanted, real, strict=False) for line in lacks(item, other, where)]
    if isinstance(wanted, str) and isinstance(real, str):
        wanted, real = " ".join(wanted.split()), " ".join(real.split())
    return [] if wanted == real or not (wanted or real) else [f"{where}: {real!r}, not {wanted!r}"]


def named(items: list[Json]) -> dict[str, Json]:
    return {
        item["name"]: item
        for item in items
        if item["name"] not in OWN and "kube-api-access" not in item["name"]
    }


def essence(pod: Json) -> Json:
    """Give a pod with its lists by name, without what the operator words as it likes."""
    spec = pod["spec"]

    def container(item: Json) -> Json:
        more = {"env": named(item["env"]), "volumeMounts": named(item.get("volumeMounts", []))}
        text = {"args": None} if item["name"] == "wait-gcs-ready" else {}
        return {**item, **more, **text}

    lists = {key: [container(item) for item in spec.get(key, [])] for key in ("containers", "initContainers")}
    return {
        "metadata": {"annotations": {}, **pod["metadata"]},
        "spec": {**spec, **lists, "volumes": named(spec["volumes"])},
    }


def test_its_pods_are_those_that_the_stand_in_makes(demo: Demo) -> None:
    cluster = demo.cluster
    group = cluster["spec"]["workerGroupSpecs"][0]
    (head,) = demo.pods("head")
    workers = sorted(
        demo.pods("worker"), key=lambda pod: pod["metadata"]["labels"]["ray.io/worker-group-replica-index"]
    )
    expected = [pods.head(cluster), *(pods.worker(cluster, group, index) for index in range(2))]
    for real, wanted in zip([head, *workers], expected, strict=True):
        if wanted["metadata"]["labels"]["ray.io/node-type"] == "head":
            wanted["metadata"]["labels"]["ray.io/serve"] = "true"  # by now
        there, here = essence(real), essence(wanted)
        assert lacks(here, there) == []
        for part in ("labels", "annotations"):
            assert set(there["metadata"][part]) - OWN == set(here["metadata"][part]) - OWN
        for ours, theirs in zip(here["spec"]["containers"], there["spec"]["containers"], strict=True):
            assert set(theirs["env"]) == set(ours["env"])
        assert set(there["spec"]["volumes"]) == set(here["spec"]["volumes"])
        assert (there["spec"]["restartPolicy"], there["spec"]["terminationGracePeriodSeconds"]) == (
            "Always",
            30,
        )


def test_its_services_are_those_that_the_stand_in_makes(demo: Demo) -> None:
    service, cluster = demo.get("rayservice", "demo"), demo.cluster
    wanted = [rayclusters.head_service(cluster), *rayservices.services(service, cluster)]
    for made in wanted:
        real = demo.get("service", made["metadata"]["name"])
        assert lacks(made, real) == []
        assert set(real["metadata"]["labels"]) == set(made["metadata"]["labels"])
        assert len(real["spec"]["ports"]) == len(made["spec"]["ports"])


def test_its_statuses_are_those_that_the_stand_in_writes(demo: Demo) -> None:
    def said(status: Json) -> dict[str, tuple[str, str]]:
        return {item["type"]: (item["status"], item["reason"]) for item in status["conditions"]}

    service, cluster = demo.get("rayservice", "demo"), demo.cluster
    assert service["metadata"]["finalizers"] == [rayservices.FINALIZER]
    assert said(service["status"]) == {
        "Ready": ("True", "NonZeroServeEndpoints"),
        "UpgradeInProgress": ("False", "NoPendingCluster"),
    }
    assert service["status"]["serviceStatus"] == "Running"
    assert cluster["metadata"]["finalizers"] == [rayclusters.REDIS_FINALIZER]
    wanted = rayservices.cluster(service, cluster["metadata"]["name"])
    del wanted["metadata"]["annotations"][rayservices.HASH]  # each operator's own
    assert lacks(wanted, cluster) == []
    assert rayservices.HASH in cluster["metadata"]["annotations"]
    everything = [*demo.pods("head"), *demo.pods("worker")]
    head_service = demo.get("service", f"{cluster['metadata']['name']}-head-svc")
    new = rayclusters.status({**cluster, "status": {}}, everything, head_service, None, "")
    assert said(new) == said(cluster["status"])
    del new["conditions"], new["stateTransitionTimes"]
    assert lacks(new, cluster["status"]) == []


async def test_users_reach_both_replicas_through_the_service(demo: Demo) -> None:
    address = demo.get("service", "demo-serve-svc")["spec"]["clusterIP"]
    names = set()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
        for _ in range(20):
            async with http.get(f"http://{address}:8000/") as answer:
                assert answer.status == 200
                names.add((await answer.text()).split()[0])
    assert names <= {pod["metadata"]["name"] for pod in demo.pods("worker")}


def test_a_head_that_is_deleted_is_replaced_and_its_workers_stay(demo: Demo) -> None:
    workers, head = demo.uids("worker"), demo.uids("head")
    demo.kubectl("delete", "pod", "--selector=ray.io/node-type=head", "--grace-period=0", "--force")
    until(lambda: demo.uids("head") - head, 60)
    assert demo.uids("worker") == workers
    assert conditions.holds(demo.status, "Ready")
    assert demo.cluster["status"]["state"] == "ready"
    until(lambda: not demo.status["activeServiceStatus"].get("applicationStatuses"), 60)
    until(demo.is_whole, 120, RARELY)
    assert demo.uids("worker") == workers


def test_while_the_operator_is_away_a_head_is_not_replaced_and_the_status_stands_still(demo: Demo) -> None:
    demo.operator.scale(0)
    demo.kubectl("delete", "pod", "--selector=ray.io/node-type=head", "--grace-period=0", "--force")
    before = demo.status
    time.sleep(10)
    assert demo.pods("head") == []
    assert demo.status == before
    demo.operator.scale(1)
    until(lambda: demo.pods("head"), 60)
    until(lambda: not demo.status["activeServiceStatus"].get("applicationStatuses"), 60)
    until(demo.is_whole, 120, RARELY)


def test_an_operator_whose_pod_is_deleted_comes_back(demo: Demo) -> None:
    demo.operator.kubectl("delete", "pod", "--all", "--grace-period=0", "--force")
    demo.operator.scale(1)
    until(demo.is_whole, 120, RARELY)


def test_a_changed_configuration_is_handed_in_and_makes_no_new_cluster(demo: Demo) -> None:
    cluster = demo.cluster["metadata"]["name"]
    text = demo.get("rayservice", "demo")["spec"]["serveConfigV2"]
    more = text.replace(
        "route_prefix: /", "route_prefix: /\n    deployments: [{name: Whoami, max_ongoing_requests: 7}]"
    )
    demo.patch("rayservice/demo", {"spec": {"serveConfigV2": more}})
    dashboard = f"/api/v1/namespaces/{SPACE}/services/demo-head-svc:8265/proxy/api/serve/applications/"

    def limit() -> int:
        said = json.loads(demo.kubernetes.kubectl("get", "--raw", dashboard))
        return int(
            said["applications"]["whoami"]["deployments"]["Whoami"]["deployment_config"][
                "max_ongoing_requests"
            ]
        )

    until(lambda: limit() == 7, 60)
    until(demo.is_whole, 60, RARELY)
    assert demo.cluster["metadata"]["name"] == cluster


def test_another_template_makes_a_new_cluster_and_a_patched_service_is_written_anew(demo: Demo) -> None:
    old = demo.cluster["metadata"]["name"]
    demo.patch("service/demo-serve-svc", {"spec": {"type": "NodePort"}})
    groups = demo.get("rayservice", "demo")["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    groups[0]["template"]["spec"]["containers"][0]["env"].append({"name": "NEW", "value": "1"})
    demo.patch("rayservice/demo", {"spec": {"rayClusterConfig": {"workerGroupSpecs": groups}}})
    _soon(lambda: conditions.holds(demo.status, "UpgradeInProgress"))
    until(lambda: demo.status["activeServiceStatus"]["rayClusterName"] != old, 300, RARELY)
    service = demo.get("service", "demo-serve-svc")
    assert rayservices.points_at(service) == demo.cluster["metadata"]["name"]
    assert service["spec"]["type"] == "ClusterIP"
    until(lambda: len(demo.get("rayclusters")["items"]) == 1, 90, RARELY)
    until(demo.is_whole, 120, RARELY)


def test_a_service_that_is_refused_says_why(demo: Demo) -> None:
    service = demo.get("rayservice", "demo")
    wrong = {
        "apiVersion": service["apiVersion"],
        "kind": "RayService",
        "metadata": {"name": "wrong", "annotations": {"ray.io/ft-enabled": "true"}},
        "spec": service["spec"],
    }
    demo.kubectl("create", "--filename=-", text=json.dumps(wrong))

    def refusal() -> Json:
        return conditions.find(demo.get("rayservice", "wrong").get("status", {}), "Ready")

    _soon(lambda: refusal().get("reason") == "ValidationFailed")
    assert "both set" in refusal()["message"]
    demo.kubectl("delete", "rayservice", "wrong", "--timeout=60s")


def test_a_service_that_is_deleted_leaves_nothing(demo: Demo) -> None:
    demo.kubectl("delete", "rayservice", "demo", "--timeout=120s")

    def left() -> list[Json]:
        return [*demo.get("rayclusters")["items"], *demo.pods("head"), *demo.pods("worker")]

    until(lambda: left() == [], 120, RARELY)


def _soon(happened: Callable[[], object]) -> None:
    until(happened, 30)
