"""A prober in a pod of its own: streamed in, its samples streamed back, whatever becomes of the connection.

The pod's first process is a shell. It waits for the prober's file, runs it with commands out of a pipe, and
writes all that it says, its sample files included, onto one tape, which stays in the pod. One command carries
both: it reads the tape from where we have come, and writes commands into the pipe. Where that is cut, another
one goes on. The prober ends by itself where nobody has pinged it for 60 s, and the pod then with its owner.

Of the image it needs a shell, `cat`, `head`, `tail`, `mkfifo`, and a Python that has aiohttp, as Ray's does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from runner.clusters.kubernetes.api import STDOUT, Api, Refused, Stream, place
from runner.clusters.kubernetes.claim import Claim
from runner.clusters.kubernetes.pods import Pod, read, stuck
from runner.clusters.kubernetes.settings import Resources, Settings
from runner.clusters.kubernetes.tape import Tape
from runner.errors import CannotRun, ClusterError, Unreachable

Json = Any
Object = Mapping[str, Json]

CONTAINER = "prober"
ROOM = "/ftrun"

BOOT = 90.0
"""Seconds that the pod may take to run."""
LOOK = 0.3
"""Seconds between two looks at it."""
PIECE = 16384
"""Bytes of the program that are streamed in at once."""
SILENCE = 5.0
"""Seconds without a byte, though it is pinged every second, after which a connection counts as cut."""
AGAIN = 0.5
"""Seconds until a connection that was cut is opened again."""
PATIENCE = 180.0
"""Seconds without any connection after which the prober is given up. It has ended by then."""
LEAVE = 2.0
"""Seconds that it may take to say goodbye."""

FIRST = """
umask 077
cd {room} || exit 1
mkfifo commands
: >tape
trap 'kill -TERM "$prober" 2>/dev/null' TERM
until [ -e prober.py ]; do sleep 0.1; done
python=$(command -v python || command -v python3) || { echo "the image has no python" >&2; exit 1; }
"$python" prober.py - <>commands >>tape &
prober=$!
wait "$prober"
code=$?
while kill -0 "$prober" 2>/dev/null; do wait "$prober"; code=$?; done
[ $code -eq 0 ] && sleep 600 || sleep 5
exit $code
"""
"""What the pod runs. Once the prober has ended, its tape can still be read for a while."""

INTO = "cd {room} && head -c {size} >program && mv program prober.py && echo there"
"""Streams the program in: it is there once it is whole."""

CARRY = """
cd {room} || exit 1
tail -c +{next} -f tape &
reader=$!
cat >commands
kill $reader
"""
"""Carries the tape from a byte on, counted from 1, and commands, until the connection ends."""


def manifest(
    claim: Claim, like: Object, resources: Resources, *, avoid: Collection[str], beside: str | None
) -> dict[str, Json]:
    """Give the pod: image and place as one of the RayService's pods has them, rights as few as there are.

    It stands on none of the hosts to `avoid`, and on `beside` only if no other will have it.
    """
    spec = like["spec"]
    container = spec["containers"][0]
    user = _user(spec, container)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{claim.name}-prober", "namespace": claim.namespace},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 5,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            **{
                key: spec[key]
                for key in (
                    "serviceAccountName",
                    "imagePullSecrets",
                    "nodeSelector",
                    "tolerations",
                    "runtimeClassName",
                )
                if spec.get(key)
            },
            "affinity": _affinity(avoid, beside),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": CONTAINER,
                    "image": container["image"],
                    "imagePullPolicy": "IfNotPresent",
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "command": ["/bin/sh", "-c", FIRST.replace("{room}", ROOM)],
                    "env": [{"name": "HOME", "value": ROOM}, *_paths(container)],
                    # A limit of one processor never holds one thread up.
                    "resources": resources.model_dump(),
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "room", "mountPath": ROOM}],
                }
            ],
            "volumes": [{"name": "room", "emptyDir": {"sizeLimit": "2Gi"}}],
        },
    }
    return claim.owned(pod, "prober")


def pattern(settings: Settings) -> dict[str, Json]:
    """Give what the pods of a RayService will be like that ftrun is about to make."""
    return {
        "spec": {
            "containers": [{"image": settings.image}],
            "imagePullSecrets": [{"name": name} for name in settings.pull_secrets],
            "serviceAccountName": settings.service_account,
            "nodeSelector": dict(settings.node_selector),
            "tolerations": [dict(each) for each in settings.tolerations],
        }
    }


def _user(spec: Object, container: Object) -> int:
    """Give the user that Ray runs as, where that is written down and not root; else that of Ray's images."""
    for context in (container.get("securityContext"), spec.get("securityContext")):
        if context and context.get("runAsUser"):
            return int(context["runAsUser"])
    return 1000


def _paths(container: Object) -> list[Json]:
    """Give the variables by which the container finds its Python, and that its modules."""
    names = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
    return [each for each in container.get("env") or () if each["name"] in names and "value" in each]


def _affinity(avoid: Collection[str], beside: str | None) -> dict[str, Json]:
    def elsewhere(hosts: Collection[str]) -> dict[str, Json]:
        field = {"key": "metadata.name", "operator": "NotIn"}
        return {"matchFields": [field | {"values": [host]} for host in sorted(hosts)]}

    found: dict[str, Json] = {}
    if avoid:
        found["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [elsewhere(avoid)]}
    if beside is not None and beside not in avoid:
        found["preferredDuringSchedulingIgnoredDuringExecution"] = [
            {"weight": 100, "preference": elsewhere([beside])}
        ]
    return {"nodeAffinity": found} if found else {}


async def start(
    api: Api,
    claim: Claim,
    *,
    program: Path,
    directory: Path,
    like: Object,
    resources: Resources,
    avoid: Collection[str] = (),
    beside: str | None = None,
) -> PodProber:
    """Make the pod and stream the program in; raises CannotRun where it does not come up."""
    body = manifest(claim, like, resources, avoid=avoid, beside=beside)
    try:
        await _gone(api, claim, str(body["metadata"]["name"]))
        made = await api.create(place("pods", claim.namespace), body)
    except Refused as error:
        raise CannotRun(
            f"The prober's pod cannot be made: {error.message}", help=error.help or HERE
        ) from error
    name, uid = str(made["metadata"]["name"]), str(made["metadata"]["uid"])
    try:
        pod = await _running(api, claim.namespace, name, avoid)
        await _stream_in(api, claim.namespace, name, program.read_bytes())
    except BaseException:
        with suppress(ClusterError):
            await api.delete(place("pods", claim.namespace, name), uid=uid, grace=0)
        raise
    return PodProber(api, claim.namespace, pod, directory, beside_head=pod.host == beside)


HERE = "With `prober: here` in the inventory requests come from beside ftrun instead."


async def _gone(api: Api, claim: Claim, name: str) -> None:
    """Remove the pod of an earlier scenario of this run, if there is one."""
    path = place("pods", claim.namespace, name)
    while await api.find(path) is not None:
        await api.delete(path, grace=0)
        await asyncio.sleep(LOOK)


async def _running(api: Api, namespace: str, name: str, avoid: Collection[str]) -> Pod:
    """Wait until the pod runs; raises CannotRun with what keeps it."""
    why = "nobody says why"
    try:
        async with asyncio.timeout(BOOT):
            while True:
                document = await api.find(place("pods", namespace, name))
                if document is None:
                    raise CannotRun("The prober's pod was deleted by somebody while it started.")
                pod = read(document)
                if pod.state == "running":
                    return pod
                if pod.over or pod.state == "terminated":
                    raise CannotRun(
                        f"The prober's pod {name} ended at once"
                        f" ({pod.reason or pod.phase}): {pod.message or 'it said nothing'}."
                    )
                why = stuck(pod) or f"it is {pod.phase}, {pod.reason or pod.state}"
                await asyncio.sleep(LOOK)
    except TimeoutError as error:
        hosts = f" It may not stand on {', '.join(sorted(avoid))}." if avoid else ""
        raise CannotRun(
            f"The prober's pod {name} does not run after {BOOT:.0f} s: {why}.{hosts}", help=HERE
        ) from error


async def _stream_in(api: Api, namespace: str, name: str, program: bytes) -> None:
    """Hand the program over; the pod runs it once it is whole."""
    command = INTO.replace("{room}", ROOM).replace("{size}", str(len(program)))
    stream = await api.open(namespace, name, CONTAINER, ["/bin/sh", "-c", command])
    try:
        async with asyncio.timeout(BOOT):
            for at in range(0, len(program), PIECE):
                await stream.write(program[at : at + PIECE])
            done = await stream.ended()
    except TimeoutError as error:
        raise Unreachable(f"The prober could not be streamed into {name} within {BOOT:.0f} s.") from error
    finally:
        await stream.close()
    if done.stdout.strip() != "there":
        said = done.stderr.strip() or f"it ended with {done.exit_code}"
        raise CannotRun(f"The prober could not be streamed into {name}: {said}.")


class PodProber:
    """Keeps `contract.Prober` over a connection that may break: it is opened again, and nothing is lost."""

    def __init__(
        self, api: Api, namespace: str, pod: Pod, directory: Path, *, beside_head: bool = False
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._pod = pod
        self.pod = pod.name
        self.host = pod.host
        """Where it stands: no fault may hit that host."""
        self.beside_head = beside_head
        """Whether it stands on the head's host, since no other would have it."""
        self._tape = Tape(directory)
        self._stream: Stream | None = None
        self._unheard: dict[int, bytes] = {}
        """Commands that it has not said to have heard, by number: they are sent again on a new connection."""
        self._number = 0
        self._bye = asyncio.Event()
        self.cuts = 0
        """How often the connection broke."""

    async def send(self, command: Mapping[str, Json]) -> None:
        """Write one command. It arrives once, also where the connection breaks; a ping may be lost then."""
        if self._bye.is_set():
            raise Unreachable("The prober has ended.")
        if command["command"] == "ping":
            await self._write(_line(command))
            return
        self._number += 1
        self._unheard[self._number] = _line({**command, "number": self._number})
        await self._write(self._unheard[self._number])

    async def _write(self, line: bytes) -> None:
        if self._stream is None:
            return
        try:
            await self._stream.write(line)
        except Unreachable:
            pass  # who reads finds out, and opens another connection

    async def events(self) -> AsyncIterator[Mapping[str, Json]]:
        """Give what it says, until it ends; raises ClusterError where it is gone for good."""
        loop = asyncio.get_running_loop()
        heard = loop.time()
        try:
            while not self._bye.is_set():
                try:
                    async for event in self._carried():
                        heard = loop.time()
                        yield event
                except (ClusterError, TimeoutError) as error:
                    self.cuts += 1
                    await self._there(error)
                    if loop.time() - heard > PATIENCE:
                        raise Unreachable(
                            f"Nothing was heard of the prober in {self._pod.name} for {PATIENCE:.0f} s."
                        ) from error
                    await asyncio.sleep(AGAIN)
        finally:
            self._tape.close()

    async def _carried(self) -> AsyncIterator[Mapping[str, Json]]:
        """Give what comes over one connection; it ends with the prober, or raises where that is cut."""
        command = CARRY.replace("{room}", ROOM).replace("{next}", str(self._tape.taken + 1))
        stream = await self._api.open(self._namespace, self._pod.name, CONTAINER, ["/bin/sh", "-c", command])
        try:
            # Whatever stands half written in the pipe ends here.
            await stream.write(b"\n" + b"".join(self._unheard.values()))
            self._stream = stream
            chunks = stream.chunks().__aiter__()
            while True:
                try:
                    # Python takes its time to start.
                    async with asyncio.timeout(SILENCE if self._tape.taken else BOOT):
                        channel, chunk = await anext(chunks)
                except StopAsyncIteration:
                    raise Unreachable(f"The stream from {self._pod.name} ended.") from None
                if channel != STDOUT:
                    continue
                for event in self._tape.take(chunk):
                    if event["event"] == "heard":
                        self._unheard.pop(event["number"], None)
                        continue
                    if event["event"] == "bye":
                        self._bye.set()
                    yield event
                if self._bye.is_set():
                    return
        finally:
            self._stream = None
            await stream.close()

    async def _there(self, error: BaseException) -> None:
        """Raise where the pod will never answer again; a server that does not answer may do so later."""
        try:
            document = await self._api.find(place("pods", self._namespace, self._pod.name))
        except ClusterError:
            return
        if document is None or document["metadata"]["uid"] != self._pod.uid:
            raise Unreachable(f"The prober's pod {self._pod.name} was deleted.") from error
        pod = read(document)
        if pod.over or pod.state == "terminated":
            said = (pod.message or f"exit code {pod.exit_code}").rstrip(".")
            raise Unreachable(
                f"The prober's pod {pod.name} ended ({pod.reason or pod.phase}): {said}."
            ) from error

    async def close(self) -> None:
        """Let it end if it still runs, then remove the pod."""
        self._tape.close()
        try:
            if not self._bye.is_set() and self._stream is not None:
                await self.send({"command": "quit"})
                with suppress(TimeoutError):
                    async with asyncio.timeout(LEAVE):
                        await self._bye.wait()
        finally:
            if self._stream is not None:
                await self._stream.close()
            with suppress(ClusterError):
                path = place("pods", self._namespace, self._pod.name)
                await self._api.delete(path, uid=self._pod.uid, grace=0)


def _line(command: Mapping[str, Json]) -> bytes:
    return json.dumps(command, separators=(",", ":")).encode() + b"\n"
