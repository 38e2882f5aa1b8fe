"""Actions on pods and on what runs in them, armed: deleted, evicted, killed, frozen, asked of Ray."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from runner import clock
from runner.clusters.actors import Document, hit, resolve
from runner.clusters.contract import Acted, Confirmation, Hit, Undo
from runner.clusters.kubernetes import scripts
from runner.clusters.kubernetes.api import Api, Refused, Stream, place
from runner.clusters.kubernetes.pods import CLUSTER, Pod
from runner.clusters.kubernetes.world import World
from runner.errors import ClusterError, Unreachable
from runner.rayserve import dashboard

Json = Any
Words = Mapping[str, Json]

CONFIRM = 20.0
"""Seconds after which a target that is still there counts as not hit."""

TURNS = str(round(CONFIRM * 10) - 20)
"""How often a script looks, ten times a second: it says what it saw before it is given up."""

ARM = 45.0
"""Seconds a script has to connect to Ray and to resolve its target."""

GCS = 6379


@dataclass(slots=True)
class Site:
    """Where actions take place: the API server, a namespace, what is known of it, how to hear more."""

    api: Api
    namespace: str
    world: World
    until: Callable[[Callable[[], bool], float], Awaitable[bool]]
    """Waits until something is seen of the world, for so many seconds; tells whether it was."""
    ask: dashboard.Ask

    def standing(self, slot: str) -> Pod:
        """Give the pod of a slot whose container runs; raises ClusterError where none does."""
        known = [*self.world.slots.every, *(["redis"] if self.world.redis else [])]
        if slot not in known:
            raise ClusterError(f"There is no node {slot!r}; there are {', '.join(known)}.")
        pod = self.world.pod(slot)
        if pod is None or pod.state != "running":
            state = "no pod" if pod is None else f"its container is {pod.state} {pod.reason}".rstrip()
            raise ClusterError(f"{slot} is not running ({state}): there is nothing to hit.")
        return pod

    def inside(self, slot: str) -> Pod:
        """Give the pod of a slot to whose processes signals may be sent; raises ClusterError for others'."""
        pod = self.standing(slot)
        if pod.sees:
            raise ClusterError(
                f"No process of {slot} is hit: its pod {pod.name} has `{pod.sees}: true`, so it sees what is"
                " not its own.",
                help="Let ftrun have it deleted (`how: delete`), or remove that setting.",
            )
        return pod

    async def open(self, pod: Pod, command: Sequence[str]) -> Stream:
        """Start a command in the container of a pod that runs Ray."""
        return await self.api.open(self.namespace, pod.name, pod.container, command)

    async def run(self, pod: Pod, command: Sequence[str], *, timeout: float = 10.0) -> str:
        """Run a command there to its end, and give what it writes; raises ClusterError where it fails."""
        done = await self.api.execute(self.namespace, pod.name, pod.container, command, timeout=timeout)
        if done.exit_code:
            raise ClusterError(
                f"A command in {pod.name} ended with {done.exit_code}: {done.stderr.strip()[-300:]}"
            )
        return done.stdout

    async def processes(self, pod: Pod) -> list[scripts.Process]:
        """Give the living processes of a pod's container."""
        listed = await self.run(pod, scripts.shell(scripts.LIST))
        return [each for each in scripts.processes(listed) if not each.dead]

    def changed(self, pod: Pod) -> bool:
        """Whether a pod is gone, or its container ended since."""
        there = self.world.kinds.get("pods", {}).get(f"{self.namespace}/{pod.name}")
        if there is None or there["metadata"]["uid"] != pod.uid:
            return True
        from runner.clusters.kubernetes.pods import read

        now = read(there)
        return now.state != "running" or now.container_id != pod.container_id


def node_hit(world: World, slot: str, pod: Pod, says: str = "", **ids: Json) -> Hit:
    """Give the hit of a pod, or of something in it that it lives and dies with."""
    role = slot if slot in ("head", "redis", "operator") else "worker"
    known: dict[str, Json] = {
        "pod": pod.name,
        "uid": pod.uid,
        "container": pod.container_id,
        "host": pod.host,
        "starts": world.starts(slot),
        "cluster": pod.labels.get(CLUSTER),
    }
    return Hit(slot, role, says or f"{slot}, the pod {pod.name} on {pod.host}", {**known, **ids})


# -- pods


@dataclass
class ArmedPod:
    """The deletion of a pod, or its eviction."""

    site: Site
    pod: Pod
    namespace: str
    how: str
    grace: float | None
    hits: tuple[Hit, ...]
    undo: Undo | None = None  # the operator makes another one: that is the question

    async def act(self) -> Acted:
        """Ask the API server: `at` is just before."""
        at = clock.monotonic()
        path = place("pods", self.namespace, self.pod.name)
        if self.how == "evict":
            body = {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": self.pod.name, "namespace": self.namespace},
                "deleteOptions": {"preconditions": {"uid": self.pod.uid}},
            }
            try:
                await self.site.api.create(f"{path}/eviction", body)
            except Refused as error:
                if error.status == 429:
                    raise ClusterError(
                        f"A PodDisruptionBudget does not let {self.pod.name} be evicted: {error.message}"
                    ) from error
                raise
        elif not await self.site.api.delete(path, uid=self.pod.uid, grace=self.grace, once=True):
            raise ClusterError(f"Somebody else deleted the pod {self.pod.name} first.")
        return Acted(at, {"until": clock.monotonic(), "pod": self.pod.name, "uid": self.pod.uid})

    async def confirm(self) -> Confirmation:
        """Wait until the pod is gone, or another has its name."""
        limit = CONFIRM + (self.pod.grace if self.grace is None else self.grace)
        key = f"{self.namespace}/{self.pod.name}"

        def gone() -> bool:
            kinds = self.site.world.kinds
            there = kinds.get("pods", {}).get(key) or kinds.get("operator", {}).get(key)
            # What has ended stays listed for a while.
            return (
                there is None
                or there["metadata"]["uid"] != self.pod.uid
                or ((there.get("status") or {}).get("phase") in ("Failed", "Succeeded"))
            )

        sure = await self.site.until(gone, limit)
        return Confirmation(sure, f"the pod {self.pod.name} is {'gone' if sure else 'still there'}")

    async def disarm(self) -> None:
        """Nothing was started."""


# -- scripts behind a gate


async def heard(stream: Stream, lines: Any, timeout: float) -> str | None:
    """Give the next line of a script; None at its end, or where the container has ended."""
    try:
        async with asyncio.timeout(timeout):
            line: bytes = await anext(lines)
            return line.decode(errors="replace")
    except (StopAsyncIteration, Unreachable):
        return None
    except TimeoutError as error:
        await stream.close()
        raise Unreachable(f"The script in the container did not answer within {timeout:g} s.") from error


@dataclass
class ArmedScript:
    """Scripts that wait in containers, each for the pod of its hit; at the word all of them act."""

    site: Site
    hits: tuple[Hit, ...]
    pods: tuple[Pod, ...]
    streams: list[Stream]
    done: str
    """What is so once they have acted."""
    undo: Undo | None = None
    mark: Callable[[], None] = field(default=lambda: None)
    """Called once they have acted."""
    _lines: list[Any] = field(default_factory=list)
    _acted: bool = False

    async def act(self) -> Acted:
        """Say the word to each: `at` is just before the first, `until` after the last answer."""
        self._acted = True
        self._lines = [stream.lines() for stream in self.streams]
        at = clock.monotonic()
        for stream in self.streams:
            await stream.write(b"go\n")
        said = await asyncio.gather(
            *(heard(*each, CONFIRM) for each in zip(self.streams, self._lines, strict=True))
        )
        until = clock.monotonic()
        # A container that ended at once cut its stream: that is what was meant.
        if "failed" in said:
            await self._close()
            raise ClusterError(
                "It is not there any more: " + "; ".join(each.says for each in self.hits) + "."
            )
        self.mark()
        return Acted(at, {"until": until})

    async def confirm(self) -> Confirmation:
        """Wait until each script has seen it, or its container has ended."""
        left = []
        try:
            for pod, stream, lines in zip(self.pods, self.streams, self._lines, strict=True):
                line = await heard(stream, lines, CONFIRM)
                if line is None and not await self.site.until(partial(self.site.changed, pod), CONFIRM):
                    left.append(f"the stream from {pod.name} was cut, and its container lives on")
                elif line not in (None, "gone"):
                    left.append(f"{line} in {pod.name}")
        finally:
            await self._close()
        return Confirmation(not left, "; ".join(left) if left else self.done)

    async def disarm(self) -> None:
        """Let the scripts end unused, unless they act."""
        if not self._acted:
            await self._close()

    async def _close(self) -> None:
        for stream in self.streams:
            await stream.close()


@dataclass
class ArmedCrash(ArmedScript):
    """The end of all processes of a node's container."""

    async def confirm(self) -> Confirmation:
        """Wait until the container has ended."""
        await self._close()
        [pod] = self.pods
        sure = await self.site.until(lambda: self.site.changed(pod), CONFIRM)
        return Confirmation(sure, f"the container of {pod.name} {'has ended' if sure else 'lives on'}")


async def arm_node(there: Site, arguments: Words) -> ArmedPod | ArmedCrash:
    """Resolve a node; raises ClusterError where it does not stand now."""
    slot, how = arguments["slot"], arguments.get("how", "crash")
    pod = there.inside(slot) if how == "crash" else there.standing(slot)
    if how in ("delete", "evict"):
        return ArmedPod(
            there, pod, there.namespace, how, arguments.get("grace"), (node_hit(there.world, slot, pod),)
        )
    if how != "crash":
        raise ClusterError(f"A pod cannot be ended by {how!r}.")
    says = f"all processes in {slot}, the pod {pod.name} on {pod.host}"
    stream = await there.open(pod, scripts.shell(scripts.KILL_ALL))
    return ArmedCrash(
        there, (node_hit(there.world, slot, pod, says),), (pod,), [stream], "its container has ended"
    )


def arm_delete(there: Site, slot: str, namespace: str) -> ArmedPod:
    """Prepare the deletion of the pod of Redis, or of the operator, at once."""
    pod = there.world.pod(slot)
    if pod is None or pod.deleting:
        raise ClusterError(f"{slot} has no pod now: there is nothing to hit.")
    return ArmedPod(there, pod, namespace, "delete", 0.0, (node_hit(there.world, slot, pod),))


async def playing(there: Site, arguments: Words) -> tuple[Pod, scripts.Process]:
    """Find the process that plays a part of Ray on a node."""
    slot, name = arguments["slot"], arguments["process"]
    pod = there.inside(slot)
    found = [each for each in await there.processes(pod) if each.part == name]
    if not found:
        raise ClusterError(f"There is no {name} on {slot} now.")
    return pod, found[0]


async def arm_process(there: Site, arguments: Words) -> ArmedScript:
    """Resolve one of Ray's own processes; raises ClusterError where it does not stand now."""
    pod, process = await playing(there, arguments)
    slot, name = arguments["slot"], arguments["process"]
    said = node_hit(
        there.world, slot, pod, f"{name} on {slot}, process {process.pid}", pid=process.pid, process=name
    )
    return await _killing(there, [(said, pod)])


async def _killing(there: Site, targets: Sequence[tuple[Hit, Pod]]) -> ArmedScript:
    """Prepare the SIGKILL of one process in each of these pods."""
    streams: list[Stream] = []
    try:
        for said, pod in targets:
            script = scripts.fill(scripts.KILL, pids=str(said.ids["pid"]), turns=TURNS)
            streams.append(await there.open(pod, scripts.shell(script)))
    except BaseException:
        for stream in streams:
            await stream.close()
        raise
    hits, places = tuple(said for said, _ in targets), tuple(pod for _, pod in targets)
    return ArmedScript(there, hits, places, streams, "its processes are gone")


async def arm_service(there: Site, slot: str) -> ArmedScript:
    """Prepare the SIGKILL of the Redis that ftrun made."""
    pod = there.inside(slot)
    found = [each for each in await there.processes(pod) if "redis-server" in each.title and each.pid != 1]
    if not found:
        raise ClusterError(f"There is no redis-server in {pod.name} that could be killed.")
    says = f"redis-server in the pod {pod.name} on {pod.host}, process {found[0].pid}"
    return await _killing(there, [(node_hit(there.world, slot, pod, says, pid=found[0].pid), pod)])


# -- freezing


async def arm_freeze(there: Site, arguments: Words) -> ArmedScript:
    """Resolve a node's processes, or one of them; raises ClusterError where they do not stand now."""
    slot = arguments["slot"]
    if arguments.get("process") is not None:
        pod, process = await playing(there, arguments)
        name = arguments["process"]
        said = node_hit(
            there.world, slot, pod, f"{name} on {slot}, process {process.pid}", pid=process.pid, process=name
        )
        return await _freezing(there, [(said, pod, [process])])
    pod = there.inside(slot)
    # The first process of a container cannot be stopped from inside; it only waits for the others.
    found = [each for each in await there.processes(pod) if each.pid != 1 and "/proc/[0-9]" not in each.title]
    said = node_hit(there.world, slot, pod, f"{len(found)} processes in {slot}, the pod {pod.name}")
    return await _freezing(there, [(said, pod, found)], whole=True)


async def _freezing(
    there: Site,
    targets: Sequence[tuple[Hit, Pod, Sequence[scripts.Process]]],
    *,
    whole: bool = False,
) -> ArmedScript:
    """Prepare that processes stop; `whole`: all of a container, also those that are born meanwhile."""
    streams = []
    frozen = []
    try:
        for said, pod, found in targets:
            pids = " ".join(str(each.pid) for each in found)
            script = scripts.fill(scripts.FREEZE, stop="-1" if whole else pids, pids=pids, turns=TURNS)
            streams.append(await there.open(pod, scripts.shell(script)))
            frozen.append(
                {
                    "slot": said.slot,
                    "namespace": there.namespace,
                    "pod": pod.name,
                    "container": pod.container,
                    "container_id": pod.container_id,
                    "processes": None if whole else [[each.pid, each.started] for each in found],
                }
            )
    except BaseException:
        for stream in streams:
            await stream.close()
        raise

    def mark() -> None:
        for said, pod, found in targets:
            container, count = there.world.frozen.get(said.slot, ("", 0))
            count = count if container == pod.container_id else 0
            there.world.frozen[said.slot] = (pod.container_id, count + len(found))

    what = ", ".join(said.says for said, _, _ in targets)
    return ArmedScript(
        there,
        tuple(said for said, _, _ in targets),
        tuple(pod for _, pod, _ in targets),
        streams,
        "they stand still",
        Undo("thaw", {"frozen": frozen}, f"let {what} go on"),
        mark,
    )


async def thaw(api: Api, arguments: Words) -> None:
    """Let what was frozen go on, where its container is still the same."""
    from runner.clusters.kubernetes.pods import read

    for each in arguments["frozen"]:
        document = await api.find(place("pods", each["namespace"], each["pod"]))
        if document is None or read(document).container_id != each["container_id"]:
            continue
        if each["processes"] is None:
            script = "kill -CONT -1"
        else:
            told = " ".join(f"{pid}:{started}" for pid, started in each["processes"])
            script = scripts.fill(scripts.THAW, each=told)
        command = scripts.shell(script)
        done = await api.execute(each["namespace"], each["pod"], each["container"], command, timeout=20)
        if done.exit_code:
            raise ClusterError(f"The processes in {each['pod']} do not go on: {done.stderr.strip()[-300:]}")


# -- actors


async def arm_actor(
    there: Site, arguments: Words, documents: Sequence[Document], seed: int, *, freeze: bool = False
) -> ArmedScript | ArmedRayKill:
    """Resolve actors (`actors.resolve`) and prepare their end, or that they freeze."""
    by_signal = freeze or arguments.get("how", "crash") == "crash"
    if not by_signal:
        await require_head(there)
    rows = await resolve(arguments, documents, seed, partial(_still, there), by_signal=by_signal)
    standing = there.inside if by_signal else there.standing
    targets = [(hit(row), standing(str(row["slot"]))) for row in rows]
    if freeze:
        living = [
            [each for each in await there.processes(pod) if each.pid == said.ids["pid"]]
            for said, pod in targets
        ]
        for (said, _), processes in zip(targets, living, strict=True):
            if not processes:
                raise ClusterError(f"It is not there any more: {said.says}.")
        return await _freezing(
            there,
            [(said, pod, processes) for (said, pod), processes in zip(targets, living, strict=True)],
        )
    if by_signal:
        return await _killing(there, targets)
    detailed = {row["actor_id"]: row for row in await dashboard.rows(there.ask, "actors")}
    no_restart = arguments.get("no_restart") is not False
    words = [
        (
            str(row["name"]),
            str(detailed.get(row["id"], {}).get("ray_namespace") or "serve"),
            "true" if no_restart else "false",
        )
        for row in rows
    ]
    return await ArmedRayKill.prepare(there, targets, words)


async def _still(there: Site, rows: Sequence[Mapping[str, Json]]) -> list[Mapping[str, Json]]:
    """Keep the actors whose processes live, and are titled as theirs are."""
    living: dict[tuple[str, int], str] = {}
    for slot in {str(row["slot"]) for row in rows if row["slot"]}:
        pod = there.world.pod(slot)
        if pod is not None and pod.state == "running":
            living |= {(slot, each.pid): each.title for each in await there.processes(pod)}
    return [
        row
        for row in rows
        if living.get((str(row["slot"]), row["pid"]), "").startswith(f"ray::{row['class']}")
    ]


# -- what Ray is asked, by a script on the head


async def require_head(there: Site) -> None:
    """Raise Unreachable where the head is down: Ray's own connecting would try for 63 s."""
    try:
        there.standing("head")
        await there.ask("GET", "/api/gcs_healthz", None)
    except ClusterError as error:
        raise Unreachable(
            "The head is down, so nobody can ask Ray for anything now.",
            help="Only a signal can end an actor now (`how: crash`).",
        ) from error


async def _event(stream: Stream, lines: Any, timeout: float) -> Mapping[str, Json]:
    """Give the next event of a script; raises ClusterError with what it says went wrong."""
    line = await heard(stream, lines, timeout)
    if line is None:
        said = stream.stderr.decode(errors="replace").strip()[-300:]
        raise ClusterError(f"The script that was to ask Ray ended without a word. {said}".rstrip())
    event: Mapping[str, Json] = json.loads(line)
    if event["event"] == "error":
        raise ClusterError(f"Ray refuses: {event['message']}")
    return event


@dataclass
class Asking:
    """A script of rayserve that stands armed on the head."""

    stream: Stream
    lines: Any

    @classmethod
    async def start(cls, there: Site, module: ModuleType, words: Sequence[str]) -> Asking:
        """Start it in the head pod; its first two words are where the GCS is, and the head's address."""
        head = there.standing("head")
        source = Path(module.__file__ or "").read_text(encoding="utf-8")
        address = str(head.address)
        stream = await there.open(head, scripts.python(source, (f"{address}:{GCS}", address, *words)))
        await stream.write(source.encode())
        return cls(stream, stream.lines())

    async def next(self, timeout: float) -> Mapping[str, Json]:
        """Give its next event."""
        return await _event(self.stream, self.lines, timeout)


async def _asking(there: Site, module: ModuleType, each: Sequence[Sequence[str]]) -> list[Asking]:
    """Start a script for each, and wait until all are armed."""
    found: list[Asking] = []
    try:
        for words in each:
            found.append(await Asking.start(there, module, words))  # noqa: PERF401 (closed if one fails)
        for script in found:
            await script.next(ARM)
    except BaseException:
        for script in found:
            await script.stream.close()
        raise
    return found


class ArmedRayKill:
    """`ray.kill` of actors, by scripts on the head that hold a handle each."""

    def __init__(self, there: Site, targets: Sequence[tuple[Hit, Pod]], asking: Sequence[Asking]) -> None:
        self.hits = tuple(said for said, _ in targets)
        self.undo: Undo | None = None
        self._site = there
        self._targets = targets
        self._asking = list(asking)

    @classmethod
    async def prepare(
        cls, there: Site, targets: Sequence[tuple[Hit, Pod]], words: Sequence[Sequence[str]]
    ) -> ArmedRayKill:
        """Start the scripts; words are each actor's name, namespace, and whether it may not restart."""
        from runner.rayserve import kill_actor

        return cls(there, targets, await _asking(there, kill_actor, words))

    async def act(self) -> Acted:
        """Say the word to each: `at` is just before, by this machine's clock."""
        at = clock.monotonic()
        for each in self._asking:
            await each.stream.write(b"fire\n")
        for each in self._asking:
            await each.next(CONFIRM)
        until = clock.monotonic()
        await self.disarm()
        return Acted(at, {"until": until})

    async def confirm(self) -> Confirmation:
        """Wait until the processes are gone."""
        end = clock.monotonic() + CONFIRM
        while True:
            left = 0
            for said, pod in self._targets:
                if not self._site.changed(pod):
                    there = await self._site.processes(pod)
                    left += any(each.pid == said.ids["pid"] for each in there)
            if not left or clock.monotonic() > end:
                break
            await asyncio.sleep(0.3)
        return Confirmation(
            not left, f"{left} of its processes live on" if left else "its processes are gone"
        )

    async def disarm(self) -> None:
        """End the scripts."""
        asking, self._asking = self._asking, []
        for each in asking:
            await each.stream.close()


class ArmedDrain:
    """A drain of a node, asked for by a script on the head."""

    def __init__(self, hits: tuple[Hit, ...], asking: Asking, after: Stream) -> None:
        self.hits = hits
        self.undo: Undo | None = None  # a drain cannot be taken back; the container is started again
        self._asking = asking
        self._after = after
        """The script that ends the container once its raylet has ended."""
        self._acted = False

    async def act(self) -> Acted:
        """Say the word: `at` is just before. Raises ClusterError where Ray refuses."""
        self._acted = True
        at = clock.monotonic()
        try:
            await self._asking.stream.write(b"fire\n")
            await self._asking.next(CONFIRM)
            until = clock.monotonic()
            await self._after.write(b"go\n")
            await heard(self._after, self._after.lines(), CONFIRM)
        except BaseException:
            await self._asking.stream.close()
            raise
        finally:
            await self._after.close()
        return Acted(at, {"until": until})

    async def confirm(self) -> Confirmation:
        """Wait until Ray lists the node as draining, or no more."""
        try:
            said = await self._asking.next(CONFIRM)
        finally:
            await self._asking.stream.close()
        status = {"status": said["status"]}
        return Confirmation(said["event"] == "seen", f"Ray lists the node as {said['status']}", status)

    async def disarm(self) -> None:
        """End the scripts, unless they act."""
        if not self._acted:
            await self._asking.stream.close()
            await self._after.close()


async def arm_drain(there: Site, arguments: Words, document: Document) -> ArmedDrain:
    """Start the script that asks Ray to let a node go."""
    from runner.rayserve import drain_node

    slot = arguments["slot"]
    pod = there.standing(slot)
    alive = [row["id"] for row in document["nodes"] if row["slot"] == slot and not row["dead"]]
    if not alive:
        raise Unreachable(f"Ray's head does not say now that {slot} is alive: it cannot be drained.")
    await require_head(there)
    said = node_hit(there.world, slot, pod, f"{slot}, the pod {pod.name}, node {alive[0]}", node_id=alive[0])
    words = (str(alive[0]), arguments["reason"], str(round(arguments["deadline"] * 1000)))
    [asking] = await _asking(there, drain_node, [words])
    try:
        _, raylet = await playing(there, {"slot": slot, "process": "raylet"})
        script = scripts.fill(scripts.DRAINED, raylet=str(raylet.pid))
        after = await there.open(pod, scripts.shell(script))
    except BaseException:
        await asking.stream.close()
        raise
    return ArmedDrain((said,), asking, after)
