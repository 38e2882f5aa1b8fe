"""A RayService on Kubernetes, behind the contract of clusters."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from runner import clock
from runner.clusters import here
from runner.clusters.actors import knows
from runner.clusters.command import complete
from runner.clusters.contract import (
    Action,
    Answer,
    Armed,
    Completed,
    Context,
    Endpoint,
    Facts,
    Prober,
    Saying,
    Undo,
    whole,
)
from runner.clusters.kubernetes import (
    arms,
    hosts,
    logs,
    making,
    manifests,
    policy,
    prober,
    rayservice,
    remains,
    scripts,
    survey,
    upgrade,
)
from runner.clusters.kubernetes.api import RIGHTS, STANDSTILL, Access, Api, Refused, door, place
from runner.clusters.kubernetes.arms import Site
from runner.clusters.kubernetes.claim import Claim
from runner.clusters.kubernetes.forward import Forward
from runner.clusters.kubernetes.operator import OperatorLog
from runner.clusters.kubernetes.pods import Pod
from runner.clusters.kubernetes.remains import heal
from runner.clusters.kubernetes.settings import Settings
from runner.clusters.kubernetes.slots import Slots
from runner.clusters.kubernetes.watches import Kind, Watches
from runner.clusters.kubernetes.world import Happening, World
from runner.clusters.listening import Listening
from runner.errors import CannotRun, ClusterError, Lost, Unreachable
from runner.language.plan import Application
from runner.rayserve import dashboard, placement, state
from runner.rayserve.logs import FILES, OPERATOR

__all__ = ["heal", "open_cluster"]

Json = Any
Answered = TypeVar("Answered")

POLL = 1.0
"""Seconds between two questions to the dashboard: KubeRay's operator asks every two."""

PATIENCE = 2.5
"""Seconds after which a part of the state counts as not answered."""

DASHBOARD, SERVE = 8265, 8000

NOTE = "note"
"""The argument of an undo that holds what it is called in the ConfigMap."""


def open_cluster(settings: Settings, context: Context) -> KubernetesCluster:
    """Give a cluster that is not started yet."""
    return KubernetesCluster(settings, context)


class KubernetesCluster:
    """Keeps `contract.Cluster` with the API server, and whoever answers to it."""

    kind = "kubernetes"

    def __init__(self, settings: Settings, context: Context) -> None:
        self.settings = settings
        self.context = context
        self.namespace = settings.namespaces[0]
        self.api = Api(Access(settings.kubeconfig, settings.context))
        self.manifest = manifests.given(settings, context.beside)
        if self.manifest is not None:
            context.secrets.learn(manifests.secrets(self.manifest))
        self.name = manifests.used(settings, self.manifest)
        self.claim = Claim(self.api, self.namespace, context.run, self.name)
        self.world = World(self.name, Slots.of(self._workers()), rayservice.redis_labels(settings))
        self._watches = Watches(self.api, self._list, self._change, self._blind)
        self._listening = Listening(self._hear, (*FILES, OPERATOR))
        self._follower = logs.Follower(self.api, self.namespace, self.world, self._listening)
        self._operator = OperatorLog(
            self.api,
            settings.operator.namespace,
            lambda: self.world.pod("operator"),
            self._listening,
            about=(self.namespace, self.name),
        )
        self._following: list[asyncio.Task[None]] = []
        self._facts: Mapping[str, Json] | None = None
        self._began = clock.monotonic()
        self._said: list[Saying] = []
        self._told = 0
        self._more = asyncio.Event()
        self._known: Mapping[str, Json] | None = None
        self._digest = ""
        self._stands = False
        """Whether there was a RayService, made or attached to."""
        self._forwards: list[Forward] = []
        self._password = secrets.token_hex(16)
        self._upgrades = 0
        self._weighed: dict[str, float] = {}
        """What was told of it before, by what it is, or by the container."""
        self._prober = ""
        self._refusal: str | None = None
        """What the API server said when it did not take our credentials any more."""
        self._silent_since: float | None = None
        """Since when no stream is to be had."""
        self._broken: set[str] = set()
        """What was to be put back, and was not; by what the undos say."""

    def _workers(self) -> int:
        if self.settings.rayservice is not None:
            return 0
        return (
            self.settings.workers if self.manifest is None else rayservice.workers(self.manifest.rayservice)
        )

    @property
    def attached(self) -> bool:
        """Whether the RayService is somebody's, and stays as it is."""
        return self.settings.rayservice is not None

    # -- what there is

    async def survey(self) -> Facts:
        """Read what there is, and what may be done; changes nothing."""
        if self._facts is None:
            self._facts = await survey.read(self.api, self.settings, self.name, self.manifest)
        found = dict(self._facts)
        if (operator := survey.named(self.world.objects("rayclusters"))) is not None:
            found["operator"] = operator
        if self.attached and not self.world.known("pods"):
            # Not started: only looked at.
            await self._look()
        lost = {"lost": self.claim.lost} if self.claim.lost else {}
        document = {**found, **lost, "workers": sum(name != "head" for name in self.world.slots.every)}
        if (ray := await self._ray(str(found["image"] or ""))) is not None:
            document["ray"] = ray
        can = survey.capabilities(self.settings, self.context, found)
        return Facts(can, self._endpoints(), document, survey.cannot(self.settings, found))

    async def _look(self) -> None:
        for kind in self._kinds():
            if kind.name in ("rayservices", "pods"):
                said = await self.api.get(place(kind.plural, kind.namespace), **kind.query)
                self.world.listed(kind.name, said["items"])

    async def _ray(self, image: str) -> Mapping[str, Json] | None:
        """Give which Ray runs; what the image's name says until somebody answers."""
        import json

        if self.world.cluster is not None:
            try:
                said = json.loads((await self._ask("GET", "/api/version", None)).body)
                return {"version": said.get("ray_version"), "commit": said.get("ray_commit")}
            except (ClusterError, ValueError):
                pass
        version = rayservice.ray_version(self.settings, image)
        return None if version is None else {"version": version, "commit": None}

    def _endpoints(self) -> tuple[Endpoint, ...]:
        """Give the slots, with where they stand; what does not stand yet has a place that nobody has."""
        nodes = [
            Endpoint(name, "head" if name == "head" else "worker", self._url(name))
            for name in self.world.slots.every
        ]
        given = [Endpoint(name, "url", url.rstrip("/")) for name, url in self.context.endpoints.items()]
        return (Endpoint("service", "service", self._url("service")), *nodes, *given)

    def _url(self, slot: str) -> str:
        return self.world.urls.get(slot, f"http://{slot}.invalid:{SERVE}")

    # -- start and close

    def closing(self) -> Undo:
        """Give the undo that removes whatever the run made."""
        return remains.closing(self.settings, self.claim, self.context)

    async def start(self) -> None:
        """See that all is there that a run needs, claim the RayService, and follow what happens."""
        await self.survey()
        await self.claim.take()
        if not self.attached:
            await making.free(self.api, self.namespace, self.name)
        await self._watches.start(self._kinds())
        self._following = [asyncio.create_task(each.run()) for each in (self._follower, self._operator)]
        if self.attached and self.world.rayservice is None:
            raise CannotRun(f"There is no RayService {self.name} in namespace {self.namespace}.")
        self._stands = self.attached

    def _kinds(self) -> list[Kind]:
        """Give what is followed."""
        here, named = self.namespace, {"fieldSelector": f"metadata.name={self.name}"}
        operator = self.settings.operator
        return [
            Kind("rayservices", "rayservices", here, named),
            Kind(
                "rayclusters",
                "rayclusters",
                here,
                {"labelSelector": f"ray.io/originated-from-cr-name={self.name}"},
            ),
            Kind("pods", "pods", here),
            Kind("services", "services", here, {"fieldSelector": f"metadata.name={self.name}-serve-svc"}),
            Kind(
                "endpointslices",
                "endpointslices",
                here,
                {"labelSelector": f"kubernetes.io/service-name={self.name}-serve-svc"},
            ),
            Kind("events", "events", here, optional=True),
            Kind("nodes", "nodes", None, optional=True),
            Kind(
                "operator",
                "pods",
                operator.namespace,
                {"labelSelector": f"app.kubernetes.io/name={operator.deployment}"},
                optional=True,
            ),
        ]

    async def close(self) -> None:
        """Remove what was made, and wait until it is gone; an attached RayService stays as it is."""
        try:
            for task in self._following:
                task.cancel()
            await asyncio.gather(*self._following, return_exceptions=True)
            for forward in self._forwards:
                await forward.close()
            await self._watches.close()
            if self.claim.taken:
                await remains.remove(self.api, self.namespace, self.claim.name, self.name)
                if broken := sorted({*self._broken, *self.claim.left}):
                    await self.claim.leave()
                    raise ClusterError(
                        f"What is still broken ({'; '.join(broken)}) stands in the ConfigMap"
                        f" {self.claim.name} in namespace {self.namespace}:"
                        f" `ftrun cleanup -i INVENTORY {self.claim.run}` puts it back, from any machine."
                    )
                await self.claim.release()
        finally:
            await self.api.close()

    # -- hearing

    def _list(self, kind: str, items: Any) -> None:
        self._say(self.world.listed(kind, items))

    def _change(self, kind: str, what: str, document: Mapping[str, Json]) -> None:
        self._say(self.world.changed(kind, what, document))

    def _blind(self, kind: str, since: float, why: str) -> None:
        text = f"nothing was heard of {kind} for {clock.monotonic() - since:.1f} s: {why}"
        self._say([Happening("", text, {"event": "blind", "kind": kind, "since": since, "why": why})])

    def _say(self, happenings: Collection[Happening]) -> None:
        at = clock.monotonic()
        self._said += [
            Saying(at, at, each.source, None, each.slot, each.text, each.data) for each in happenings
        ]
        more, self._more = self._more, asyncio.Event()
        more.set()

    def _hear(self, source: str, slot: str, text: str, *, at: float | None = None, **data: Json) -> None:
        """Note what a log says; what it said before this run is nobody's business."""
        now = clock.monotonic() if at is None else at
        if now >= self._began:
            said = text.replace(self._password, "(hidden)")
            self._said.append(Saying(now, now, source, None, slot, said, data))
            self._say([])

    async def until(self, seen: Callable[[], bool], limit: float) -> bool:
        """Wait until something is seen of the world, for so many seconds; tell whether it was."""
        try:
            async with asyncio.timeout(limit):
                while not seen():
                    await self._more.wait()
        except TimeoutError:
            return seen()
        return True

    # -- asking

    async def _ask(self, method: str, path: str, body: bytes | None) -> Answer:
        return await self.http("dashboard", method, path, body=body, timeout=PATIENCE)

    async def http(
        self,
        slot: str,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float = 10.0,
    ) -> Answer:
        """Ask the dashboard or an endpoint, through the API server; what the inventory gives, directly."""
        if slot in self.context.endpoints:
            url = whole(self.context.endpoints[slot], path)
            return await here.ask(url, method, headers=headers, body=body, timeout=timeout)
        given = dict(headers or {})
        if body is not None and "content-type" not in {name.lower() for name in given}:
            given["Content-Type"] = "application/json"
        return await self.api.proxied(
            self._door(slot), method, path, headers=given, body=body, timeout=timeout
        )

    def _door(self, slot: str) -> str:
        """Give the door to a slot: that of a service, or of a pod."""
        if slot == "dashboard":
            if self.world.cluster is None:
                raise Unreachable("There is no Ray cluster yet, so no dashboard answers.")
            return door("services", self.namespace, f"{self.world.cluster}-head-svc", DASHBOARD)
        if slot == "service":
            return door("services", self.namespace, f"{self.name}-serve-svc", SERVE)
        if slot not in self.world.slots.every:
            known = ", ".join(each.slot for each in self._endpoints())
            raise ClusterError(f"There is no endpoint {slot!r}; there are {known}.")
        pod = self.world.pod(slot)
        if pod is None:
            raise Unreachable(f"{slot} has no pod now.")
        return door("pods", self.namespace, pod.name, SERVE)

    async def deploy(self, applications: tuple[Application, ...]) -> None:
        """Give the RayService these applications, and make it first where it is not there yet.

        Waits until Ray stands in its pods; for the operator to hand the configuration to Serve it does not.
        """
        if self.attached:
            raise ClusterError(
                f"The RayService {self.name} is attached to, and not changed: nothing can be deployed to it.",
                help="Leave the deploy step out, or have ftrun make a RayService: remove `rayservice: NAME`.",
            )
        self._require_claim()
        if self._upgrades and not applications:
            raise ClusterError(f"The RayService {self.name} was upgraded: it is not handed on.")
        options = bool((self._facts or {}).get("crd", {}).get("gcs_fault_tolerance_options", True))
        maker = making.Maker(self.api, self.namespace, self.settings, self.claim, self.world, self.until)
        first = self.world.rayservice is None
        self._digest = await maker.deploy(
            applications,
            self.manifest,
            self._digest,
            options=options,
            ask=self._ask,
            password=self._password,
        )
        self._stands = True
        if first:
            self._say(self.world.renumber())

    async def exec(
        self, command: tuple[str, ...] | str, *, where: str = "here", timeout: float = 60.0
    ) -> Completed:
        """Run a command next to ftrun, or in the Ray container of a member."""
        if where == "here":
            return await complete(command, timeout=timeout)
        pod = self.site.standing(where)
        words = scripts.limited(command, timeout)
        done = await self.api.execute(self.namespace, pod.name, pod.container, words, timeout=timeout + 10)
        if done.exit_code in (124, 137) and not done.stdout and not done.stderr:
            raise ClusterError(f"The command on {where} did not end within {timeout:g} s and was killed.")
        return done

    # -- acting

    @property
    def site(self) -> Site:
        """Give where actions take place."""
        return Site(self.api, self.namespace, self.world, self.until, self._ask)

    async def arm(self, action: Action) -> Armed:
        """Resolve what an action is to hit, and prepare it; what undoes it is written down here, too."""
        self._require_claim()
        armed = await self._arm(action)
        if armed.undo is not None:
            undo = replace(armed.undo, arguments={**armed.undo.arguments, **remains.where(self.settings)})
            try:
                note = await self.claim.note(undo)
            except BaseException:
                await armed.disarm()
                raise
            armed.undo = replace(undo, arguments={**undo.arguments, NOTE: note})
        return armed

    async def _arm(self, action: Action) -> Armed:
        arguments, site = action.arguments, self.site
        match action.kind:
            case "node" if arguments.get("how") == "power_off":
                return await self._arm_host(arguments["slot"], "power_off", alone=True)
            case "node":
                return await arms.arm_node(site, arguments)
            case "host":
                return await self._arm_host(arguments["slot"], arguments["how"])
            case "cut_link" if self.context.hosts.get("link") or not self.context.hosts.get("network_policy"):
                return await self._arm_host(arguments["slot"], "cut", alone=True)
            case "cut_link":
                return await policy.arm(site, self.claim, arguments["slot"])
            case "service":
                return await self._arm_service(arguments["service"], arguments.get("how", "crash"))
            case "process":
                return await arms.arm_process(site, arguments)
            case "freeze" if "role" not in arguments:
                return await arms.arm_freeze(site, arguments)
            case "actor" | "freeze":
                before = self._known
                documents = [await self.state(), *([before] if before is not None else [])]
                return await arms.arm_actor(
                    site, arguments, documents, self.context.seed, freeze=action.kind == "freeze"
                )
            case "drain":
                return await arms.arm_drain(site, arguments, await self.state())
            case "upgrade":
                return await self._arm_upgrade(arguments)
        raise ClusterError(f"A Kubernetes cluster cannot do {action.kind!r}.")

    def _require_claim(self) -> None:
        if self.claim.lost:
            raise ClusterError(
                f"This run may not touch the RayService {self.name} any more: {self.claim.lost}."
            )

    async def _arm_upgrade(self, arguments: Mapping[str, Json]) -> Armed:
        """Prepare that the RayService asks for other pods."""
        if self.attached:
            raise ClusterError(
                f"The RayService {self.name} is attached to, and not changed: it cannot be upgraded.",
                help="Have ftrun make a RayService: remove `rayservice: NAME`.",
            )
        self._upgrades += 1
        return await upgrade.arm(
            self.site,
            arguments,
            mark=f"{self.claim.run}-{self._upgrades}",
            gateway_class=self.settings.gateway_class,
        )

    async def _arm_host(self, slot: str, how: str, *, alone: bool = False) -> Armed:
        """Prepare what is done to the machine of a member; with `alone` it must have it for itself."""
        own = {*self.settings.namespaces}
        if "operator-faults" in self.context.allow:
            own.add(self.settings.operator.namespace)
        if slot not in self.world.slots.every:
            self.site.standing(slot)
        match how:
            case "power_off":
                return await hosts.arm_command(
                    self.site, slot, self.context, own, commands=("off", "on"), key="power", alone=alone
                )
            case "cut":
                return await hosts.arm_command(
                    self.site, slot, self.context, own, commands=("cut", "join"), key="link", alone=alone
                )
            case "delete" | "drain":
                drain = how == "drain"
                return await hosts.arm_node_object(self.site, slot, self.context, own, drain=drain)
        raise ClusterError(f"A host cannot be hit by {how!r}.")

    async def _arm_service(self, service: str, how: str) -> Armed:
        """Prepare what is done to Redis, or to KubeRay's operator."""
        site, operator = self.site, self.settings.operator
        if service == "operator":
            hosts.require(self.context.allow, "operator-faults", "hit KubeRay's operator")
            if not self.world.known("operator"):
                raise ClusterError(f"Nobody may look at KubeRay's operator in {operator.namespace}.")
            if how == "power_off":
                return await hosts.arm_scale(site, "operator", operator.namespace, operator.deployment)
            return arms.arm_delete(site, "operator", operator.namespace)
        if service != "redis" or not self.world.redis:
            raise ClusterError(
                f"This cluster has no {service}.",
                help="It has one with `gcs_fault_tolerance: redis`; yours needs `redis: {labels: ...}`.",
            )
        own = rayservice.own_redis(self.settings)
        if not own:
            hosts.require(self.context.allow, "shared-redis", "hit a Redis that ftrun did not make")
        if how == "power_off":
            if not own:
                raise ClusterError("A Redis that ftrun did not make cannot be switched off, only killed.")
            return await hosts.arm_scale(site, "redis", self.namespace, f"{self.name}-redis")
        if how == "delete" or not own:
            return arms.arm_delete(site, "redis", self.namespace)
        return await arms.arm_service(site, "redis")

    async def undo(self, undo: Undo) -> float | None:
        """Put back what an action did, and cross it out."""
        if undo.kind == "close_cluster":
            await self.close()
            return None
        self._broken.add(undo.says)
        await remains.put_back(self.api, undo)
        self._broken.discard(undo.says)
        at = clock.monotonic()
        if undo.kind == "thaw":
            for each in undo.arguments["frozen"]:
                self.world.frozen.pop(each["slot"], None)
        self.world.cut.discard(str(undo.arguments.get("slot")))
        if (name := undo.arguments.get(NOTE)) is not None:
            await self.claim.strike(str(name))
        return at

    # -- observing

    async def state(self) -> dict[str, Json]:
        """Ask all sources at once and give the state document."""

        async def known(question: Awaitable[Answered]) -> Answered | None:
            try:
                async with asyncio.timeout(PATIENCE):
                    return await question
            except (Unreachable, Refused, TimeoutError) as error:
                if isinstance(error, Refused) and error.status == 401:
                    self._refusal = error.message
                return None

        node_rows, actor_rows, serve = await asyncio.gather(
            known(dashboard.rows(self._ask, "nodes")),
            known(dashboard.rows(self._ask, "actors")),
            known(dashboard.applications(self._ask)),
        )
        silent = self._watches.silent
        if not silent and node_rows is None and actor_rows is None and serve is None:
            # The head is away, or who leads to it.
            silent = not await self.api.answers(PATIENCE)
        document = state.document(
            nodes=node_rows,
            actors=actor_rows,
            applications=serve,
            processes=None if silent or "pods" in self._watches.dark else self.world.rows(),
            slots=self.world.addresses,
        )
        if all(knows(document, role) for role in ("controller", "replica")):
            self._known = document
        more: dict[str, Json] = {"placement": placement.unplaceable(document)}
        if silent:
            more["unseen"] = "the API server did not answer"
        elif not self._watches.dark and (clusters := self.world.clusters()) is not None:
            more["clusters"] = clusters
        return document | more

    async def observe(self) -> AsyncIterator[Saying]:
        """Give a state document every second, and what happens as it is heard."""
        documents: asyncio.Queue[Saying | Exception] = asyncio.Queue()
        polling = asyncio.create_task(self._poll(documents))
        try:
            while True:
                more = self._more
                while self._told < len(self._said):
                    self._told += 1
                    yield self._said[self._told - 1]
                while not documents.empty():
                    saying = documents.get_nowait()
                    if isinstance(saying, Exception):
                        raise saying
                    yield saying
                if (why := self._cut_off()) is not None:
                    raise Lost(
                        f"Nothing can be heard of the cluster any more: {why}",
                        help="What was measured until then counts. What is broken is put back, or said.",
                    )
                if self._removed():
                    raise Lost(
                        f"Somebody else deleted the RayService {self.name} in namespace {self.namespace}"
                        " while it was used.",
                        help="What was measured until then counts. Give this run a namespace of its own.",
                    )
                await more.wait()
        finally:
            polling.cancel()

    def _cut_off(self) -> str | None:
        """Say why nothing can be known any more: the API server refuses us, or is silent for too long."""
        if self._refusal is not None:
            return self._refusal
        if not self._watches.silent:
            self._silent_since = None
            return None
        now = clock.monotonic()
        self._silent_since = now if self._silent_since is None else self._silent_since
        if now - self._silent_since < STANDSTILL:
            return None
        return f"the API server has not answered for {now - self._silent_since:.0f} s."

    def _removed(self) -> bool:
        """Whether the RayService that stood is going or gone: whoever did that, it was not this run."""
        there = self.world.rayservice
        return self._stands and (there is None or "deletionTimestamp" in there["metadata"])

    async def _poll(self, documents: asyncio.Queue[Saying | Exception]) -> None:
        try:
            while True:
                asked = clock.monotonic()
                document = await self.state()
                documents.put_nowait(Saying(clock.monotonic(), asked, "state", document))
                self._say([])
                await asyncio.sleep(POLL)
        except Exception as error:
            documents.put_nowait(error)
            self._say([])

    async def listen(self, source: str, pattern: str) -> None:
        """Pass on the lines of a log that a pattern matches."""
        if source == OPERATOR:
            why = "" if self.world.known("operator") else "nobody may look at its pods."
            if why := why or await self._operator.refusal():
                where = self.settings.operator.namespace
                raise ClusterError(
                    f"The log of KubeRay's operator in {where} may not be read: {why}", help=RIGHTS
                )
        try:
            self._listening.listen(source, pattern)
        except ValueError as error:
            raise ClusterError(str(error)) from error

    async def prober(self, program: Path, directory: Path, away: Collection[str] = ()) -> Prober:
        """Start a prober where the settings say: in a pod of its own, or beside ftrun."""
        if self.settings.prober == "here":
            self._prober = "beside ftrun"
            return await here.prober(program, directory, self.context.folder / "prober.log")
        head = self.world.pod("head")
        found = await prober.start(
            self.api,
            self.claim,
            program=program,
            directory=directory,
            like=await self._like(),
            resources=self.settings.resources.prober,
            avoid={pod.host for slot in away if (pod := self.world.pod(slot)) is not None and pod.host},
            beside=head.host if head is not None else None,
        )
        self._prober = f"pod {found.pod} on {found.host}"
        text = f"the prober stands on {found.host}"
        text += ", as the head does: no other host would have it" if found.beside_head else ""
        self._say([Happening("", text, {"event": "prober", "host": found.host, "pod": found.pod})])
        return found

    async def reach(self, endpoint: Endpoint) -> Endpoint:
        """Give an endpoint as one reaches it from here: what the inventory gives as it is, else a pod's port.

        Whoever tries a service with `kubectl port-forward` asks one of its pods, and none once that is gone.
        """
        if endpoint.role == "url":
            return endpoint
        forward = Forward(self.api, self.namespace, self._behind(endpoint.slot).name, SERVE)
        self._forwards.append(forward)
        through = f"port-forward to pod {forward.pod}, and to no other"
        return replace(endpoint, url=await forward.open(), through=through)

    def _behind(self, slot: str) -> Pod:
        """Give the pod that somebody is led to now who asks for a slot."""
        names = [slot] if slot != "service" else sorted(self.world.slots.every, reverse=True)
        there = [pod for name in names if (pod := self.world.pod(name)) is not None and not pod.deleting]
        ready = [pod for pod in there if pod.ready] or there
        if not ready:
            raise CannotRun(
                f"No pod of {slot} is there to be reached from here.", help="Start probes once they stand."
            )
        return ready[0]

    async def _like(self) -> Mapping[str, Json]:
        """Give a pod of the RayService, or, where there is none yet, what ftrun would make it like."""
        for slot in sorted(self.world.slots.every, reverse=True):
            pod = self.world.pod(slot)
            there = await self.api.find(place("pods", self.namespace, pod.name)) if pod is not None else None
            if there is not None:
                return dict(there)
        if self.attached or self.manifest is not None:
            raise CannotRun(
                f"The RayService {self.name} has no pod yet, and the prober's is made like one of its.",
                help="Start probes once it stands, or say `prober: here`.",
            )
        return prober.pattern(self.settings)

    async def weight(self) -> Mapping[str, Json]:
        """Say how often the API server was asked, and what was started in containers took of processors."""
        found: dict[str, Json] = {"prober": self._prober} if self._prober else {}
        for name, now in (("requests", self.api.requests), ("commands", self.api.commands)):
            found[name] = now - int(self._weighed.get(name, 0))
            self._weighed[name] = now
        running = [pod for pod in self.world.slots.taken().values() if pod.state == "running"]
        taken = await asyncio.gather(*(self._taken(pod) for pod in running))
        found["helpers_cpu_s"] = round(sum(taken), 3)
        return found

    async def _taken(self, pod: Pod) -> float:
        """Give the seconds that helpers took in a container since it was asked last; 0 where nobody says."""
        try:
            there = scripts.brought_in(await self.site.processes(pod))
        except ClusterError:
            return 0.0
        seconds = sum(each.ticks for each in there) / scripts.TICKS
        before, self._weighed[pod.container_id] = self._weighed.get(pod.container_id, 0.0), seconds
        return max(0.0, seconds - before)

    async def logs(self, directory: Path, *, slots: Collection[str] | None = None) -> None:
        """Copy what the containers wrote, and Ray's own logs, into `directory`."""
        hidden = (self._password, *self.context.secrets.forms)
        operator = self.settings.operator.namespace
        await logs.copy(self.site, directory, slots, hidden, operator=operator)
