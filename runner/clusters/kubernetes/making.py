"""Makes and changes the RayService of a run, and waits until Ray stands in its pods."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runner import clock
from runner.clusters.kubernetes import pods, rayservice
from runner.clusters.kubernetes.api import Api, Refused, place
from runner.clusters.kubernetes.claim import RUN, Claim
from runner.clusters.kubernetes.code import DIGEST, MOUNT, gather
from runner.clusters.kubernetes.manifests import PLURALS, Manifest, where
from runner.clusters.kubernetes.settings import Settings
from runner.clusters.kubernetes.world import World
from runner.errors import CannotRun, ClusterError, Unreachable
from runner.language.plan import Application
from runner.rayserve import dashboard

Json = Any
Object = Mapping[str, Json]

GOING = 120.0
"""Seconds that an earlier RayService, which is being deleted, may take to be gone."""

SURE = 20.0
"""Seconds for which something must stand in the way before it counts."""

HEARD = 60.0
"""Seconds within which an operator that is there says something of a RayService."""

LEAVING = 30.0
"""Seconds that what an earlier run owned may take to be gone once that run is."""

SPREAD = 120.0
"""Seconds that changed code may take to arrive in all pods."""


async def free(api: Api, namespace: str, name: str) -> None:
    """See that no RayService of this name stands in the way; one that is going is waited for."""
    end = clock.monotonic() + GOING
    while (there := await api.find(place("rayservices", namespace, name))) is not None:
        meta = there["metadata"]
        run = (meta.get("labels") or {}).get(RUN)
        if "deletionTimestamp" not in meta:
            if run is None:
                raise CannotRun(
                    f"There is a RayService {name} in namespace {namespace} that ftrun did not make.",
                    help="Attach to it with `rayservice: NAME`, or give `name: OTHER` in the inventory.",
                )
            raise CannotRun(
                f"The RayService {name} in namespace {namespace} was left by the run {run}.",
                help=f"`ftrun cleanup -i INVENTORY {run}` removes it.",
            )
        if clock.monotonic() > end:
            raise CannotRun(
                f"The RayService {name} of an earlier run has been going for {GOING:g} s and is still there.",
                help="Does KubeRay's operator run? It has to let go of it (its finalizer).",
            )
        await asyncio.sleep(1.0)


@dataclass(slots=True)
class Maker:
    """What makes the RayService of one run."""

    api: Api
    namespace: str
    settings: Settings
    claim: Claim
    world: World
    until: Callable[[Callable[[], bool], float], Awaitable[bool]]

    async def deploy(
        self,
        applications: tuple[Application, ...],
        manifest: Manifest | None,
        digest: str,
        *,
        options: bool,
        ask: dashboard.Ask,
        password: str,
    ) -> str:
        """Have these applications served; give the digest of their code, which was `digest` before."""
        name, text = self.world.name, rayservice.config(applications)
        if applications:
            code = gather(applications)
            if code.digest != digest:
                code_map = rayservice.code_map(name, code)
                if digest:
                    await self._apply(code_map, "code")
                else:
                    await self._create(code_map, "code")
                if self.world.rayservice is not None:
                    await self._spread(code.digest)
                digest = code.digest
        if self.world.rayservice is None:
            await self._make(manifest, text, password, options=options)
            await self._up(ask)
        elif self.world.rayservice["spec"].get("serveConfigV2") != text:
            path = place("rayservices", self.namespace, name)
            await self.api.patch(path, {"spec": {"serveConfigV2": text}})
        return digest

    async def _make(self, manifest: Manifest | None, text: str, password: str, *, options: bool) -> None:
        if manifest is not None:
            for each in manifest.others:
                await self._create(each, "manifest")
            await self._create(rayservice.of_manifest(manifest.rayservice, text), "rayservice")
            return
        if rayservice.own_redis(self.settings):
            for each in rayservice.redis(self.settings, password):
                await self._create(each, "redis")
        await self._create(rayservice.made(self.settings, text, options=options), "rayservice")

    async def _create(self, document: Object, part: str) -> None:
        """Make an object; raises CannotRun where one of its name stays: it is somebody's, and not changed.

        Whether there is one is found out without the right to read it. What is made is applied, so that a
        later version of it takes away what only this one has.
        """
        kind, name = document["kind"], document["metadata"]["name"]
        kinds = place(PLURALS[kind], self.namespace)
        end = clock.monotonic() + LEAVING
        while True:
            try:
                await self.api.create(kinds, self._owned(document, part), dry=True)
                break
            except Refused as error:
                if error.status != 409:
                    raise
                if clock.monotonic() > end:
                    raise CannotRun(
                        f"There is a {kind} {name} in namespace {self.namespace}: this run did not make it.",
                        help="Remove it, or choose another name or namespace in the inventory;"
                        " `ftrun cleanup -i INVENTORY` removes what runs that were killed left.",
                    ) from error
            await asyncio.sleep(1.0)
        await self._apply(document, part)

    async def _apply(self, document: Object, part: str) -> None:
        await self.api.apply(where(document, self.namespace), self._owned(document, part))

    def _owned(self, document: Object, part: str) -> Object:
        owned = self.claim.owned(document, part)
        owned["metadata"]["namespace"] = self.namespace
        return owned

    # -- until Ray stands

    async def _up(self, ask: dashboard.Ask) -> None:
        """Wait until every node is ALIVE; raises CannotRun with what stands in the way."""
        began = clock.monotonic()
        blocked: tuple[str, float] | None = None
        alive = 0
        while (now := clock.monotonic()) - began < self.settings.boot:
            try:
                found = await dashboard.rows(ask, "nodes")
                alive = sum(row["state"] == "ALIVE" for row in found)
                if alive >= len(self.world.slots.every):
                    return
            except (Unreachable, ClusterError):
                alive = 0
            why = self._refused() or self._blocked() or self._unheard(now - began)
            if why is None:
                blocked = None
            elif blocked is None or blocked[0] != why:
                blocked = (why, now)
            elif now - blocked[1] > SURE:
                raise CannotRun(f"The RayService {self.world.name} does not come up: {why.rstrip('.?')}.")
            await self.until(lambda: False, 0.5)
        late = [said.rstrip(".") for said in map(self._late, self.world.slots.every) if said]
        if not late:
            late = [f"Ray lists {alive} of {len(self.world.slots.every)} nodes as alive"]
        limit = f"{self.settings.boot:g} s"
        raise CannotRun(
            f"The RayService {self.world.name} did not come up within {limit}: {'; '.join(late)}.",
            help="`boot: 10m` in the inventory gives it more time.",
        )

    def _refused(self) -> str | None:
        """Give why the operator takes no such RayService, or cannot make its pods."""
        for kind, types in (("rayservices", ("Ready",)), ("rayclusters", ("ReplicaFailure",))):
            for document in self.world.objects(kind):
                for each in (document.get("status") or {}).get("conditions") or ():
                    failed = each.get("reason") == "ValidationFailed" or (
                        each["type"] == "ReplicaFailure" and each.get("status") == "True"
                    )
                    if each["type"] in types and failed:
                        return f"KubeRay says {each.get('reason')}: {each.get('message')}"
        return None

    def _blocked(self) -> str | None:
        """Give why a pod cannot come up; that no host has room may yet change, so it waits to the end."""
        for slot in (*self.world.slots.every, "redis"):
            pod = self.world.pod(slot)
            if pod is not None and not pod.unscheduled and (why := pods.stuck(pod)) is not None:
                return why
        return None

    def _unheard(self, waited: float) -> str | None:
        if waited < HEARD or (self.world.rayservice or {}).get("status"):
            return None
        return "nobody has taken note of it; does KubeRay's operator run, and watch this namespace?"

    def _late(self, slot: str) -> str | None:
        pod = self.world.pod(slot)
        if pod is None:
            return f"{slot} has no pod"
        if pod.state == "running":
            return None
        return pods.stuck(pod) or f"{pod.name} is {pod.doing} {pod.reason}".rstrip()

    # -- changed code

    async def _spread(self, digest: str) -> None:
        """Have the kubelets bring changed code into the pods now, and wait until all of them have it.

        By itself that takes a minute or more; a change of the pod makes the kubelet look at once.
        """
        there = [slot.pod for slot in self.world.slots.every.values() if slot.pod is not None]
        running = [pod for pod in there if pod.state == "running"]
        for pod in running:
            path = place("pods", self.namespace, pod.name)
            await self.api.patch(path, {"metadata": {"annotations": {"ftrun/code": digest}}})
        end = clock.monotonic() + SPREAD
        for pod in running:
            while True:
                command = ["cat", f"{MOUNT}/{DIGEST}"]
                done = await self.api.execute(self.namespace, pod.name, pod.container, command, timeout=10)
                if done.stdout.strip() == digest:
                    break
                if clock.monotonic() > end:
                    raise ClusterError(f"Changed code did not arrive in {pod.name} within {SPREAD:g} s.")
                await asyncio.sleep(0.5)
