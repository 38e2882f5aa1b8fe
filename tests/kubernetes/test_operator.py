"""The stand-in's loops: what they do in which order, when, and what they leave alone. Against an API server in memory."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.kubernetes.standin import conditions
from tests.kubernetes.standin.api import MERGE, Refused, path
from tests.kubernetes.standin.operator import Operator
from tests.kubernetes.standin.serve import Unanswered
from tests.kubernetes.test_pods import sample
from tests.kubernetes.test_rayservices import another_variable

Json = Any

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

PODS = path("v1", "ours", "pods")
SERVICES = path("v1", "ours", "services")
CLUSTERS = path("ray.io/v1", "ours", "rayclusters")
DEMO = path("ray.io/v1", "ours", "rayservices", "demo")
SLICES = path("discovery.k8s.io/v1", "ours", "endpointslices")
EVENTS = path("events.k8s.io/v1", "ours", "events")


class Memory:
    """As much of an API server as the stand-in uses: objects, finalizers, owners, watches."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.refuse_pods = False
        self._versions = itertools.count(1)
        self._watchers: list[tuple[str, asyncio.Queue[Json]]] = []

    def put(self, where: str, thing: Json) -> Json:
        thing["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[where] = thing
        for prefix, queue in self._watchers:
            if path_of_all(where) == prefix:
                queue.put_nowait(copy.deepcopy(thing))
        return copy.deepcopy(thing)

    def all(self, place: str) -> list[Json]:
        return [thing for where, thing in self.objects.items() if where.rsplit("/", 1)[0] == place]

    def delete(self, where: str) -> None:
        """Delete an object, unless a finalizer holds it; what it owns goes with it."""
        thing = self.objects[where]
        if thing["metadata"].get("finalizers"):
            thing["metadata"].setdefault("deletionTimestamp", "2026-01-01T00:00:00Z")
            self.put(where, thing)
            return
        self.put(where, self.objects[where])  # tell, as a watch does
        del self.objects[where]
        for other in [
            key
            for key, value in self.objects.items()
            if any(
                owner["uid"] == thing["metadata"]["uid"]
                for owner in value["metadata"].get("ownerReferences", ())
            )
        ]:
            if other in self.objects:
                self.delete(other)

    async def ask(self, method: str, where: str, body: Json = None, form: str = "", **query: str) -> Json:
        await asyncio.sleep(0)
        is_status = where.endswith("/status")
        where = where.removesuffix("/status")
        if method == "POST":
            return self._make(where, copy.deepcopy(body))
        if method == "GET" and where not in self.objects and "labelSelector" in query:
            wanted = dict(part.split("=") for part in query["labelSelector"].split(","))
            found = [
                thing for thing in self.all(where) if wanted.items() <= thing["metadata"]["labels"].items()
            ]
            return {"items": copy.deepcopy(found)}
        if where not in self.objects:
            raise Refused(404, f"{where} not found")
        old = self.objects[where]
        if method == "GET":
            return copy.deepcopy(old)
        if method == "DELETE":
            self.delete(where)
            return {}
        if method == "PATCH":
            assert form == MERGE
            return self.put(where, merged(old, body))
        if body["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"]:
            raise Refused(409, "the object has been modified")
        new = copy.deepcopy(body if not is_status else {**old, "status": body["status"]})
        if new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
        if new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers"):
            self.objects[where] = new
            self.delete(where)
            return new
        return self.put(where, new)

    async def find(self, where: str) -> Json | None:
        return await self.ask("GET", where) if where in self.objects else None

    def _make(self, place: str, thing: Json) -> Json:
        if self.refuse_pods and place == PODS:
            raise Refused(403, "exceeded quota")
        meta = thing["metadata"]
        number = next(self._versions)
        meta.setdefault("name", f"{meta.get('generateName', '')}{number:05d}")
        meta |= {"uid": f"uid-{number}", "generation": 1}
        meta.setdefault("labels", {})
        where = f"{place}/{meta['name']}"
        if where in self.objects:
            raise Refused(409, "already exists")
        if place == SERVICES:
            thing["spec"].setdefault("clusterIP", "10.96.0.9")
        return self.put(where, thing)

    async def watch(self, where: str, **query: str) -> AsyncIterator[Json]:
        queue: asyncio.Queue[Json] = asyncio.Queue()
        for place, thing in self.objects.items():
            if path_of_all(place) == where:
                queue.put_nowait(copy.deepcopy(thing))
        self._watchers.append((where, queue))
        while True:
            yield await queue.get()


def path_of_all(where: str) -> str:
    """Give the path of all objects of a kind, from that of one."""
    root, _, rest = where.partition("/namespaces/")
    return f"{root}/{rest.split('/')[1]}"


def merged(old: Json, patch: Json) -> Json:
    return {
        **old,
        **{
            key: merged(old.get(key, {}), value) if isinstance(value, dict) else value
            for key, value in patch.items()
        },
    }


class Deaf:
    """Serve: what it knows, what it was given, and whether it answers."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.given: list[str] = []
        self.dead = False
        self.healthy = True

    async def proxy_answers(self, address: str, port: int) -> bool:
        return bool(address) and self.healthy

    async def applications(self, dashboard: str) -> Json:
        if self.dead:
            raise Unanswered("nobody there")
        said = self.known.get(dashboard)
        return {"applications": {"whoami": {"status": said, "deployments": {}}} if said else {}}

    async def submit(self, dashboard: str, text: str) -> None:
        self.given.append(dashboard.partition("-head-svc")[0])
        self.known[dashboard] = "RUNNING"


class Stage:
    """The stand-in at work on one RayService; pods run as soon as `play` is called."""

    def __init__(self) -> None:
        self.server = Memory()
        self.serve = Deaf()
        self._task: asyncio.Task[None] | None = None
        service = sample()
        del service["metadata"]["uid"]
        self.server._make(DEMO.rsplit("/", 1)[0], service)

    def start(self) -> None:
        self._task = asyncio.create_task(Operator(self.server, self.serve).run())  # type: ignore[arg-type]

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    @property
    def status(self) -> Json:
        return self.server.objects[DEMO]["status"]

    def pods(self, role: str = "") -> list[str]:
        return sorted(
            pod["metadata"]["name"]
            for pod in self.server.all(PODS)
            if pod["metadata"]["labels"]["ray.io/node-type"].startswith(role)
        )

    def clusters(self) -> list[str]:
        return [cluster["metadata"]["name"] for cluster in self.server.all(CLUSTERS)]

    def reasons(self) -> list[str]:
        return [event["reason"] for event in self.server.all(EVENTS)]

    def play(self) -> None:
        """Let all pods run and be ready, and be endpoints where a service selects them: kubelet's and others' part."""
        for number, (where, pod) in enumerate(list(self.server.objects.items())):
            if where.startswith(PODS):
                ready = {"type": "Ready", "status": "True"}
                status = {"phase": "Running", "podIP": f"10.0.0.{number}", "conditions": [ready]}
                self.server.put(where, {**pod, "status": status})
        self.endpoints()

    def endpoints(self) -> None:
        service = self.server.objects.get(f"{SERVICES}/demo-serve-svc")
        if service is None:
            return
        chosen = [
            {"targetRef": {"uid": pod["metadata"]["uid"]}, "conditions": {"ready": True}}
            for pod in self.server.all(PODS)
            if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        ]
        labels = {"kubernetes.io/service-name": "demo-serve-svc"}
        meta = {"name": "demo-1", "uid": "slice", "labels": labels}
        self.server.put(f"{SLICES}/demo-1", {"metadata": meta, "endpoints": chosen})

    async def until_it_serves(self) -> None:
        self.start()
        for _ in range(8):
            await asyncio.sleep(2.5)
            self.play()
        assert self.status["serviceStatus"] == "Running"


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    yield made
    await made.stop()


async def test_a_service_comes_up_step_by_step(stage: Stage) -> None:
    stage.start()
    await asyncio.sleep(1)
    assert stage.server.objects[DEMO]["metadata"]["finalizers"] == ["ray.io/rayservice-finalizer"]
    assert not stage.clusters()
    (name,) = [stage.status["pendingServiceStatus"]["rayClusterName"]]
    assert "numServeEndpoints" not in stage.status
    assert "serviceStatus" not in stage.status
    await asyncio.sleep(2)
    assert stage.clusters() == [name]
    await asyncio.sleep(3)
    assert len(stage.pods("head")) == 1
    assert len(stage.pods("worker")) == 2
    assert f"{SERVICES}/{name}-head-svc" in stage.server.objects
    assert f"{SERVICES}/demo-serve-svc" not in stage.server.objects
    assert stage.serve.given == []
    stage.play()
    await asyncio.sleep(5)
    assert stage.serve.given == [name]
    assert f"{SERVICES}/demo-serve-svc" in stage.server.objects
    assert stage.status["activeServiceStatus"]["rayClusterName"] == name
    stage.play()
    await asyncio.sleep(5)
    assert (stage.status["serviceStatus"], stage.status["numServeEndpoints"]) == ("Running", 3)
    assert stage.serve.given == [name]
    assert {"CreatedRayCluster", "CreatedHeadPod", "CreatedWorkerPod", "UpdatedServeApplications"} <= set(
        stage.reasons()
    )


async def test_a_head_that_is_gone_is_replaced_and_nothing_else_is_touched(stage: Stage) -> None:
    await stage.until_it_serves()
    workers, (head,) = stage.pods("worker"), stage.pods("head")
    stage.server.delete(f"{PODS}/{head}")
    await asyncio.sleep(3)
    (new,) = stage.pods("head")
    assert new != head
    assert stage.pods("worker") == workers
    stage.endpoints()
    await asyncio.sleep(3)
    # The head is there, but not ready: Serve is not asked, endpoints are counted.
    assert conditions.holds(stage.status, "Ready")
    assert stage.status["activeServiceStatus"]["applicationStatuses"] == {}
    assert stage.status["numServeEndpoints"] == 2
    stage.play()
    await asyncio.sleep(5)
    assert stage.status["activeServiceStatus"]["applicationStatuses"]["whoami"]["status"] == "RUNNING"
    assert len(stage.serve.given) == 1


async def test_while_serve_does_not_answer_the_status_is_frozen(stage: Stage) -> None:
    await stage.until_it_serves()
    stage.serve.dead = True
    slices = f"{SLICES}/demo-1"
    stage.server.put(slices, {**stage.server.objects[slices], "endpoints": []})
    await asyncio.sleep(10)
    assert conditions.holds(stage.status, "Ready")
    assert stage.status["numServeEndpoints"] == 3
    stage.serve.dead = False
    await asyncio.sleep(20)  # the wait has grown
    assert conditions.find(stage.status, "Ready")["reason"] == "ZeroServeEndpoints"


async def test_without_a_head_the_status_is_frozen_too(stage: Stage) -> None:
    await stage.until_it_serves()
    stage.server.refuse_pods = True
    stage.server.delete(f"{PODS}/{stage.pods('head')[0]}")
    await asyncio.sleep(10)
    assert stage.status["activeServiceStatus"]["applicationStatuses"]["whoami"]["status"] == "RUNNING"
    assert stage.status["numServeEndpoints"] == 3


async def test_serve_gets_its_configuration_again_when_it_forgot_it_and_when_the_operator_did(
    stage: Stage,
) -> None:
    await stage.until_it_serves()
    assert len(stage.serve.given) == 1
    stage.serve.known.clear()
    await asyncio.sleep(2.5)
    assert len(stage.serve.given) == 2
    await stage.stop()
    stage.start()
    await asyncio.sleep(2.5)
    assert len(stage.serve.given) == 3
    await asyncio.sleep(30)
    assert len(stage.serve.given) == 3


async def test_while_it_is_away_nothing_is_replaced(stage: Stage) -> None:
    await stage.until_it_serves()
    await stage.stop()
    stage.server.delete(f"{PODS}/{stage.pods('head')[0]}")
    frozen = copy.deepcopy(stage.status)
    await asyncio.sleep(60)
    assert stage.pods("head") == []
    assert stage.status == frozen
    stage.start()
    await asyncio.sleep(2)
    assert len(stage.pods("head")) == 1


async def test_the_heads_proxy_decides_whether_it_serves(stage: Stage) -> None:
    await stage.until_it_serves()
    (head,) = stage.pods("head")
    labels = stage.server.objects[f"{PODS}/{head}"]["metadata"]["labels"]
    assert labels["ray.io/serve"] == "true"
    stage.serve.healthy = False
    await asyncio.sleep(2.5)
    assert stage.server.objects[f"{PODS}/{head}"]["metadata"]["labels"]["ray.io/serve"] == "false"


async def test_an_upgrade_switches_and_deletes_the_old_cluster_after_its_delay(stage: Stage) -> None:
    await stage.until_it_serves()
    (old,) = stage.clusters()
    front = f"{SERVICES}/demo-serve-svc"
    patched = copy.deepcopy(stage.server.objects[front])
    patched["spec"] |= {"type": "NodePort"}
    stage.server.put(front, patched)
    service = copy.deepcopy(stage.server.objects[DEMO])
    another_variable(service)
    service["metadata"]["generation"] += 1
    stage.server.put(DEMO, service)
    await asyncio.sleep(10)
    assert len(stage.clusters()) == 2
    (new,) = set(stage.clusters()) - {old}
    assert conditions.find(stage.status, "UpgradeInProgress")["reason"] == "BothActivePendingClustersExist"
    assert stage.server.objects[front]["spec"]["selector"]["ray.io/cluster"] == old
    stage.play()
    await asyncio.sleep(5)
    assert stage.status["activeServiceStatus"]["rayClusterName"] == new
    spec = stage.server.objects[front]["spec"]
    assert (spec["selector"]["ray.io/cluster"], spec["type"], spec["clusterIP"]) == (
        new,
        "ClusterIP",
        "10.96.0.9",
    )
    assert old in stage.clusters()
    await asyncio.sleep(15)  # 5 s of delay, then its finalizer
    assert stage.clusters() == [new]
    assert len(stage.pods()) == 3


async def test_deleting_the_service_leaves_nothing(stage: Stage) -> None:
    await stage.until_it_serves()
    stage.server.delete(DEMO)
    await asyncio.sleep(20)
    assert [where for where in stage.server.objects if not where.startswith((EVENTS, SLICES))] == []


async def test_a_pod_that_may_not_be_made_is_told_rarely_and_made_later(stage: Stage) -> None:
    stage.server.refuse_pods = True
    stage.start()
    await asyncio.sleep(20)
    (cluster,) = stage.server.all(CLUSTERS)
    assert conditions.find(cluster["status"], "ReplicaFailure")["reason"] == "FailedCreateHeadPod"
    told = [event for event in stage.server.all(EVENTS) if event["reason"] == "FailedToCreateHeadPod"]
    assert len(told) < 4  # one for each status that the cluster had meanwhile
    assert told[-1]["series"]["count"] == 2
    stage.server.refuse_pods = False
    await asyncio.sleep(60)
    assert len(stage.pods()) == 3
    (cluster,) = stage.server.all(CLUSTERS)
    assert not conditions.find(cluster["status"], "ReplicaFailure")


async def test_what_is_refused_is_said_and_nothing_is_made(stage: Stage) -> None:
    stage.server.objects[DEMO]["metadata"]["annotations"] = {"ray.io/ft-enabled": "true"}
    stage.start()
    await asyncio.sleep(20)
    assert conditions.find(stage.status, "Ready")["reason"] == "ValidationFailed"
    assert stage.clusters() == []
    assert stage.reasons() == ["InvalidRayServiceSpec"]
