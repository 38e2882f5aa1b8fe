"""The two loops: RayServices, each looked at every two seconds, and RayClusters, looked at when something of them changes."""

from __future__ import annotations

import asyncio
import json
import secrets
import string
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp

from . import conditions, pods, rayclusters, rayservices
from .api import MERGE, Refused, Server, path
from .due import Due
from .serve import Serve, Unanswered

Json = Any

RAY = "ray.io/v1"
PERIOD = 2.0
"""Seconds between two looks at a RayService."""
SELDOM = 300.0
"""Seconds between two looks at a RayCluster of which nothing changes."""
HEAD_GOES = 10.0
"""Seconds until it is looked again whether the head of a deleted cluster is gone."""

NAME = "kuberay-operator"


def now() -> str:
    """Give the time as statuses have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def cluster_name(service: str) -> str:
    """Draw the name of a new cluster."""
    return f"{service}-{''.join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(5))}"


def log(level: str, message: str, **more: Json) -> None:
    """Write a line as KubeRay's log has it."""
    print(
        json.dumps({"level": level, "ts": datetime.now(UTC).isoformat(), "msg": message, **more}), flush=True
    )


class Postponed(Exception):
    """It cannot be gone on with now; it is tried again after a wait that grows."""


class Operator:
    """What it remembers is gone after a restart: configurations handed in, clusters about to be deleted, events."""

    def __init__(self, server: Server, serve: Serve) -> None:
        self._server = server
        self._serve = serve
        self._services = Due()
        self._clusters = Due()
        self._submitted: dict[str, str] = {}
        self._doomed: dict[str, float] = {}
        self._told: dict[tuple[str, ...], tuple[str, int]] = {}
        self._seen: dict[str, Json] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._work(self._services, self._look_at_service))
            tasks.create_task(self._work(self._clusters, self._look_at_cluster))
            for place, heard in (
                (path(RAY, "", "rayservices"), self._service_changed),
                (path(RAY, "", "rayclusters"), self._cluster_changed),
                (path("v1", "", "pods"), self._part_changed),
                (path("v1", "", "services"), self._part_changed),
            ):
                tasks.create_task(self._listen(place, heard))

    async def _work(self, due: Due, look: Callable[[str], Awaitable[float | None]]) -> None:
        while True:
            key = await due.next()
            try:
                wait = await look(key)
            except (Refused, Unanswered, aiohttp.ClientError, TimeoutError, Postponed) as error:
                log(
                    "error",
                    "Reconciler error",
                    object=key,
                    error=str(error) or repr(error),
                    again=due.failed(key),
                )
                continue
            due.worked(key)
            if wait is not None:
                due.after(key, wait)

    async def _listen(self, place: str, heard: Callable[[Json], None]) -> None:
        query = {"labelSelector": "ray.io/node-type in (head,worker)"} if place.endswith("/pods") else {}
        while True:
            try:
                async for thing in self._server.watch(place, **query):
                    heard(thing)
            except (Refused, aiohttp.ClientError, TimeoutError) as error:
                log("error", "watch broken", path=place, error=str(error) or repr(error))
                await asyncio.sleep(1)

    def _service_changed(self, service: Json) -> None:
        if self._is_news(service):
            self._services.after(_key(service["metadata"]))

    def _cluster_changed(self, cluster: Json) -> None:
        if self._is_news(cluster):
            self._clusters.after(_key(cluster["metadata"]))
        self._part_changed(cluster)

    def _part_changed(self, part: Json) -> None:
        meta = part["metadata"]
        for owner in meta.get("ownerReferences", ()):
            due = {"RayService": self._services, "RayCluster": self._clusters}.get(owner["kind"])
            if due is not None and owner.get("controller"):
                due.after(f"{meta['namespace']}/{owner['name']}")

    def _is_news(self, thing: Json) -> bool:
        """Whether more than the status has changed."""
        meta = thing["metadata"]
        aspects = [meta.get(key) for key in ("generation", "labels", "annotations", "deletionTimestamp")]
        return self._seen.get(meta["uid"]) != aspects and not self._seen.update({meta["uid"]: aspects})

    # --- RayServices

    async def _look_at_service(self, key: str) -> float | None:
        namespace, name = key.split("/")
        where = path(RAY, namespace, "rayservices", name)
        service = await self._server.find(where)
        if service is None:
            return None
        service.setdefault("kind", "RayService")
        left = await self._clean(service)
        meta = service["metadata"]
        if meta.get("deletionTimestamp"):
            if left:
                return PERIOD
            await self._finalize(where, service, rayservices.FINALIZER)
            return None
        if rayservices.FINALIZER not in meta.get("finalizers", ()):
            meta.setdefault("finalizers", []).append(rayservices.FINALIZER)
            await self._server.ask("PUT", where, service)
            return 0.0
        why = rayservices.mistake(service)
        if why is not None:
            await self._tell(service, "Warning", "InvalidRayServiceSpec", "Validate", f"{key}: {why}")
            await self._write_status(where, service, rayservices.refused(service, why, now()))
            return None
        look = await self._look(service)
        new = rayservices.status(service, look, now(), cluster_name)
        if rayservices.differs(service.get("status", {}), new):
            await self._write_status(where, service, new)
        return PERIOD

    async def _write_status(self, where: str, thing: Json, status: Json) -> None:
        """Write a status; what is 0 or empty is left out, as Go does it."""
        said = {key: value for key, value in status.items() if value not in (0, "")}
        body = {**thing, "status": {**said, "lastUpdateTime": now()}}
        await self._server.ask("PUT", f"{where}/status", body)

    async def _finalize(self, where: str, thing: Json, finalizer: str) -> None:
        meta = thing["metadata"]
        if finalizer in meta.get("finalizers", ()):
            meta["finalizers"].remove(finalizer)
            await self._server.ask("PUT", where, thing)

    async def _clean(self, service: Json) -> bool:
        """Delete clusters that the service has turned away from, each after its delay; say whether there are any."""
        meta, spec = service["metadata"], service["spec"]
        labels = f"ray.io/originated-from-cr-name={meta['name']},ray.io/originated-from-crd=RayService"
        own = await self._server.ask("GET", path(RAY, meta["namespace"], "rayclusters"), labelSelector=labels)
        left = rayservices.left_behind(service, own["items"])
        clock = asyncio.get_running_loop().time()
        delay = spec.get("rayClusterDeletionDelaySeconds", rayservices.DELETION_DELAY)
        for cluster in left:
            key = _key(cluster["metadata"])
            at = self._doomed.setdefault(key, clock + delay)
            if meta.get("deletionTimestamp") or clock > at:
                place = path(RAY, meta["namespace"], "rayclusters", cluster["metadata"]["name"])
                await self._server.ask("DELETE", place, propagationPolicy="Background")
                await self._tell(
                    service, "Normal", "DeletedRayCluster", "Delete", f"Deleted the RayCluster {key}"
                )
        return bool(left)

    async def _look(self, service: Json) -> rayservices.Look:
        """Do what is to be done for a RayService, and give what was found."""
        state = service.get("status", {})
        active = await self._cluster_of(service, "activeServiceStatus")
        pending = await self._cluster_of(service, "pendingServiceStatus")
        name = state.get("pendingServiceStatus", {}).get("rayClusterName")
        if name and pending is None:
            pending = await self._make_cluster(service, name)
        else:
            upgrading = conditions.holds(state, "UpgradeInProgress")
            if active is not None and not upgrading and _is_stale(service, active, by_version=True):
                active = await self._change_cluster(service, active)
            if pending is not None and _is_stale(service, pending, by_version=False):
                pending = await self._change_cluster(service, pending)
        for cluster in (active, pending):
            if cluster is not None:
                await self._label_head(service, cluster)
        said: Mapping[str, Json] | None = None
        chosen = pending
        if pending is not None:
            said = await self._ask_serve(service, pending)
        elif active is not None and not rayservices.needs_new_cluster(service, active, None):
            chosen = active
            said = await self._ask_serve(service, active)
        target = ""
        if chosen is not None and said is not None and rayservices.all_run(said):
            for wanted in rayservices.services(service, chosen):
                target = await self._point(service, wanted)
        return rayservices.Look(
            active=active,
            pending=pending,
            active_applications=said if chosen is active else None,
            pending_applications=said if chosen is pending else None,
            target=target,
            endpoints=await self._endpoints(service),
        )

    async def _cluster_of(self, service: Json, part: str) -> Json | None:
        name = service.get("status", {}).get(part, {}).get("rayClusterName")
        if not name:
            return None
        return await self._server.find(path(RAY, service["metadata"]["namespace"], "rayclusters", name))

    async def _make_cluster(self, service: Json, name: str) -> Json:
        wanted = rayservices.cluster(service, name)
        made = await self._server.ask(
            "POST", path(RAY, wanted["metadata"]["namespace"], "rayclusters"), wanted
        )
        note = f"Created the RayCluster {_key(made['metadata'])}"
        await self._tell(service, "Normal", "CreatedRayCluster", "Create", note)
        return made

    async def _change_cluster(self, service: Json, existing: Json) -> Json:
        meta = existing["metadata"]
        wanted = rayservices.cluster(service, meta["name"])
        body = {
            **existing,
            "metadata": {**meta, **{key: wanted["metadata"][key] for key in ("labels", "annotations")}},
            "spec": wanted["spec"],
        }
        place = path(RAY, meta["namespace"], "rayclusters", meta["name"])
        changed = await self._server.ask("PUT", place, body)
        await self._tell(
            service, "Normal", "UpdatedRayCluster", "Update", f"Updated the RayCluster {_key(meta)}"
        )
        return changed

    async def _pods(self, cluster: Json) -> list[Json]:
        meta = cluster["metadata"]
        place = path("v1", meta["namespace"], "pods")
        found = await self._server.ask("GET", place, labelSelector=f"ray.io/cluster={meta['name']}")
        return list(found["items"])

    async def _label_head(self, service: Json, cluster: Json) -> None:
        """Take the head among those who serve while its proxy answers. Without a head there is nothing to look at."""
        heads = [
            pod
            for pod in await self._pods(cluster)
            if pod["metadata"]["labels"].get("ray.io/node-type") == "head"
        ]
        if len(heads) != 1:
            raise Postponed(f"found {len(heads)} head. cluster name {cluster['metadata']['name']}")
        meta = heads[0]["metadata"]
        port = rayclusters.ports(cluster).get("serve", pods.SERVE)
        healthy = not service["spec"].get("excludeHeadPodFromServeSvc") and await self._serve.proxy_answers(
            heads[0].get("status", {}).get("podIP", ""), port
        )
        label = str(healthy).lower()
        if meta["labels"].get("ray.io/serve") != label:
            place = path("v1", meta["namespace"], "pods", meta["name"])
            await self._server.ask("PATCH", place, {"metadata": {"labels": {"ray.io/serve": label}}}, MERGE)
            note = f'Updated the serve label to "{label}" for the Head Pod {_key(meta)}'
            await self._tell(service, "Normal", "UpdatedHeadPodServeLabel", "Update", note)

    async def _ask_serve(self, service: Json, cluster: Json) -> Mapping[str, Json] | None:
        """Ask Serve for its applications and hand in the configuration where it must be; nothing while the head is not ready."""
        if not conditions.holds(cluster.get("status", {}), "HeadPodReady"):
            return None
        meta = cluster["metadata"]
        key = _key(meta)
        name = f"{meta['name']}-head-svc"
        head_service = await self._server.ask("GET", path("v1", meta["namespace"], "services", name))
        ports = {port["name"]: port["port"] for port in head_service["spec"]["ports"]}
        dashboard = f"{pods.head_address(cluster)}:{ports['dashboard']}"
        applications = rayservices.applications(await self._serve.applications(dashboard))
        if rayservices.must_submit(service, self._submitted.get(key), applications):
            text = service["spec"].get("serveConfigV2", "")
            try:
                await self._serve.submit(dashboard, text)
            except Unanswered as error:
                note = f"Failed to update serve applications to the RayCluster {key}: {error}"
                await self._tell(service, "Warning", "FailedToUpdateServeApplications", "Update", note)
                raise
            self._submitted[key] = text
            note = f"Updated serve applications to the RayCluster {key}"
            await self._tell(service, "Normal", "UpdatedServeApplications", "Update", note)
        return applications

    async def _point(self, service: Json, wanted: Json) -> str:
        """Make one of the two services, or turn it to another cluster: then its whole spec is written. Give where it points."""
        meta = wanted["metadata"]
        places = path("v1", meta["namespace"], "services")
        existing = await self._server.find(f"{places}/{meta['name']}")
        if existing is None:
            await self._server.ask("POST", places, wanted)
            await self._tell(
                service, "Normal", "CreatedService", "Create", f"Created the service {_key(meta)}"
            )
        elif rayservices.points_at(existing) != rayservices.points_at(wanted):
            spec = {**wanted["spec"], "clusterIP": existing["spec"]["clusterIP"]}
            await self._server.ask("PUT", f"{places}/{meta['name']}", {**existing, "spec": spec})
            await self._tell(
                service, "Normal", "UpdatedService", "Update", f"Updated the service {_key(meta)}"
            )
        return rayservices.points_at(wanted)

    async def _endpoints(self, service: Json) -> int:
        place = path("discovery.k8s.io/v1", service["metadata"]["namespace"], "endpointslices")
        selector = f"kubernetes.io/service-name={rayservices.serve_service_name(service)}"
        found = await self._server.ask("GET", place, labelSelector=selector)
        return rayservices.ready_endpoints(found["items"])

    # --- RayClusters

    async def _look_at_cluster(self, key: str) -> float | None:
        namespace, name = key.split("/")
        where = path(RAY, namespace, "rayclusters", name)
        cluster = await self._server.find(where)
        if cluster is None:
            self._doomed.pop(key, None)
            self._submitted.pop(key, None)
            return None
        cluster.setdefault("kind", "RayCluster")
        meta = cluster["metadata"]
        if meta.get("deletionTimestamp"):
            return await self._let_go(where, cluster)
        if pods.fault_tolerance(cluster) == "redis" and rayclusters.REDIS_FINALIZER not in meta.get(
            "finalizers", ()
        ):
            meta.setdefault("finalizers", []).append(rayclusters.REDIS_FINALIZER)
            await self._server.ask("PUT", where, cluster)
            return PERIOD
        head_service = await self._head_service(cluster)
        failure = await self._carry_out(cluster, rayclusters.steps(cluster, await self._pods(cluster)))
        new = rayclusters.status(cluster, await self._pods(cluster), head_service, failure, now())
        changed = rayclusters.differs(cluster.get("status", {}), new)
        if changed:
            await self._write_status(where, cluster, new)
        if failure:
            raise Postponed(failure[1])
        return PERIOD if changed else SELDOM

    async def _let_go(self, where: str, cluster: Json) -> float | None:
        """Delete the pods of a cluster that is being deleted; what Redis holds of it stays, unlike with KubeRay."""
        if rayclusters.REDIS_FINALIZER not in cluster["metadata"].get("finalizers", ()):
            return None
        found = await self._pods(cluster)
        for pod in found:
            if not pod["metadata"].get("deletionTimestamp"):
                await self._delete_pod(pod)
        if any(pod["metadata"]["labels"].get("ray.io/node-type") == "head" for pod in found):
            return HEAD_GOES
        await self._finalize(where, cluster, rayclusters.REDIS_FINALIZER)
        return None

    async def _delete_pod(self, pod: Json) -> None:
        place = path("v1", pod["metadata"]["namespace"], "pods", pod["metadata"]["name"])
        try:
            await self._server.ask("DELETE", place)
        except Refused as error:
            if error.status != 404:
                raise

    async def _head_service(self, cluster: Json) -> Json:
        wanted = rayclusters.head_service(cluster)
        places = path("v1", wanted["metadata"]["namespace"], "services")
        existing = await self._server.find(f"{places}/{wanted['metadata']['name']}")
        if existing is None:
            existing = await self._server.ask("POST", places, wanted)
            note = f"Created service {_key(wanted['metadata'])}"
            await self._tell(cluster, "Normal", "CreatedService", "Create", note)
        return existing

    async def _carry_out(self, cluster: Json, steps: rayclusters.Steps) -> tuple[str, str] | None:
        """Delete and make pods; give what went wrong: a reason, if it is one for ReplicaFailure, and a sentence."""
        for pod in steps.delete:
            role = pod["metadata"]["labels"]["ray.io/node-type"].capitalize()
            await self._delete_pod(pod)
            note = f"Deleted {role.lower()} Pod {_key(pod['metadata'])}; Pod status: {pod['status'].get('phase')}"
            await self._tell(cluster, "Normal", f"Deleted{role}Pod", "Delete", note)
        for pod in steps.create:
            role = pod["metadata"]["labels"]["ray.io/node-type"].capitalize()
            try:
                made = await self._server.ask("POST", path("v1", pod["metadata"]["namespace"], "pods"), pod)
            except Refused as error:
                note = f"Failed to create {role.lower()} Pod for the cluster {_key(cluster['metadata'])}, {error}"
                await self._tell(cluster, "Warning", f"FailedToCreate{role}Pod", "Create", note)
                return f"FailedCreate{role}Pod", note
            note = f"Created {role.lower()} Pod {_key(made['metadata'])}"
            await self._tell(cluster, "Normal", f"Created{role}Pod", "Create", note)
        return ("", steps.trouble) if steps.trouble else None

    # --- Events

    async def _tell(self, about: Json, kind: str, reason: str, action: str, note: str) -> None:
        """Write an event.

        While the object stays as it is, the second of a reason raises the first one's count to two, and later ones
        are not written, whatever their text.
        """
        log("info" if kind == "Normal" else "error", note, reason=reason)
        meta = about["metadata"]
        key = (meta["uid"], meta["resourceVersion"], kind, reason, action)
        name, count = self._told.get(key, (f"{meta['name']}.{secrets.token_hex(8)}", 0))
        self._told[key] = (name, count + 1)
        places = path("events.k8s.io/v1", meta["namespace"], "events")
        instant = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        event = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": meta["namespace"]},
            "eventTime": instant,
            "reportingController": f"{about['kind'].lower()}-controller",
            "reportingInstance": NAME,
            "action": action,
            "reason": reason,
            "regarding": {
                "apiVersion": RAY,
                "kind": about["kind"],
                "name": meta["name"],
                "namespace": meta["namespace"],
                "uid": meta["uid"],
            },
            "note": note[:1024],
            "type": kind,
        }
        try:
            if count == 0:
                await self._server.ask("POST", places, event)
            elif count == 1:
                series = {"series": {"count": 2, "lastObservedTime": instant}}
                await self._server.ask("PATCH", f"{places}/{name}", series, MERGE)
        except Refused as error:  # an event is never worth a failure
            log("error", "event not written", error=str(error))


def _key(meta: Json) -> str:
    return f"{meta['namespace']}/{meta['name']}"


def _is_stale(service: Json, cluster: Json, *, by_version: bool) -> bool:
    """Whether a cluster is to be changed in place."""
    version = cluster["metadata"].get("annotations", {}).get(rayservices.VERSION)
    return (by_version and version != pods.VERSION) or rayservices.only_groups_were_appended(service, cluster)
