"""The logs of the members: followed from inside of their containers while they grow, and copied at the end.

A shell in each Ray container hands out what its logs gain. It ends when its input does, so also with ftrun.
"""

from __future__ import annotations

import asyncio
import io
import math
import tarfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from runner import clock
from runner.clusters.kubernetes.api import STDOUT, Api, place
from runner.clusters.kubernetes.arms import Site
from runner.clusters.kubernetes.pods import CLUSTER, Pod
from runner.clusters.kubernetes.world import World
from runner.clusters.listening import Listening, Log
from runner.errors import ClusterError
from runner.rayserve import logs

Json = Any

FOLDER = "/tmp/ray"  # noqa: S108 (Ray's own choice, inside of a container)
LOOK = 1.0
"""Seconds between two looks at which containers run."""

LONGEST = 4096
"""Bytes of a line that are looked at."""

MOST = 2_000_000
"""Bytes of a file that are kept."""

_PATTERNS = {
    f"session_[0-9]*/logs/{pattern}": source for source, many in logs.FILES.items() for pattern in many
}

FOLLOW = """
date "+%s %z"
(
  until cd {folder} 2>/dev/null; do kill -0 $$ 2>/dev/null || exit 1; sleep 0.5; done
  seen=
  while kill -0 $$ 2>/dev/null; do
    for each in {patterns}; do
      [ -f "$each" ] || continue
      case "$seen" in *" $each "*) continue ;; esac
      seen="$seen $each "
      tail -n +1 --pid=$$ -F "$each" 2>/dev/null | sed -u "s|^|$each\t|" &
    done
    sleep 1
  done
) &
cat >/dev/null
"""
"""Says the time, and then each line of each log, behind the name of its file."""

KEPT = ("gcs_server*", "raylet*", "dashboard.*", "dashboard_agent.*", "serve/*.log")

COPY = """
cd {folder} || exit 0
made=$(mktemp -d) || exit 1
for each in {patterns}; do
  [ -s "$each" ] || continue
  mkdir -p "$made/${each%/*}"
  tail -c {most} "$each" >"$made/$each"
done
cd "$made" && tar -cf - .
rm -rf "$made"
"""
"""Packs the ends of the logs that are worth keeping."""


class Follower:
    """The logs of all members that run. What their lines say is listened to."""

    def __init__(self, api: Api, namespace: str, world: World, listening: Listening) -> None:
        self._api = api
        self._namespace = namespace
        self._world = world
        self._listening = listening
        self._began = clock.monotonic()
        self._following: dict[str, asyncio.Task[None]] = {}
        """By container."""
        self._clusters: dict[str, str] = {}
        """By container, whose it is."""
        self._heard: dict[tuple[str, str], int] = {}
        """How many lines of each file of each container were heard."""

    async def run(self) -> None:
        """Follow the logs of whatever runs, until cancelled."""
        try:
            while True:
                for slot, seat in self._world.slots.every.items():
                    pod = seat.pod
                    if pod is None or pod.state != "running":
                        continue
                    task = self._following.get(pod.container_id)
                    if task is None or task.done():
                        task = asyncio.create_task(self._follow(slot, pod))
                        self._following[pod.container_id] = task
                        self._clusters[pod.container_id] = pod.labels.get(CLUSTER, "")
                self._leave()
                await asyncio.sleep(LOOK)
        finally:
            for task in self._following.values():
                task.cancel()

    def _leave(self) -> None:
        """Follow no container any more whose RayCluster another one has taken the place of.

        What it says at its end would be taken for the word of who has its slot now.
        """
        for container, cluster in list(self._clusters.items()):
            if cluster != self._world.served:
                self._following.pop(container).cancel()
                del self._clusters[container]

    async def _follow(self, slot: str, pod: Pod) -> None:
        """Follow the logs of one container until it ends, or the stream is cut."""
        script = FOLLOW.replace("{folder}", FOLDER).replace("{patterns}", " ".join(_PATTERNS))
        files: dict[str, Log] = {}
        counts: dict[str, int] = {}
        try:
            asked = clock.wall()
            stream = await self._api.open(self._namespace, pod.name, pod.container, ["/bin/sh", "-c", script])
            try:
                ahead: float | None = None
                async for line in stream.lines():
                    if ahead is None:
                        ahead = _ahead(line.decode(errors="replace"), (asked + clock.wall()) / 2)
                        continue
                    name, _, text = line.partition(b"\t")
                    path = name.decode(errors="replace")
                    counts[path] = counts.get(path, 0) + 1
                    known = (pod.container_id, path)
                    if counts[path] <= self._heard.get(known, 0):
                        continue  # heard before the stream was cut
                    self._heard[known] = counts[path]
                    source = next((each for pattern, each in _PATTERNS.items() if fnmatch(path, pattern)), "")
                    if source:
                        log = files.setdefault(path, Log(source, slot, -math.inf))
                        self._take(log, text[:LONGEST].decode(errors="replace"), ahead)
            finally:
                await stream.close()
        except ClusterError:
            return  # it is followed again while its container runs

    def _take(self, log: Log, text: str, ahead: float) -> None:
        now = clock.monotonic()
        self._listening.take(log, text, now, clock.wall() + ahead)
        self._listening.own_up(log, now)


def _ahead(said: str, wall: float) -> float:
    """Give by how much what a container writes as its local time is ahead of ours: clock and time zone."""
    seconds, _, zone = said.partition(" ")
    try:
        there = datetime.strptime(zone.strip(), "%z").utcoffset() or timedelta()
        here = datetime.fromtimestamp(wall).astimezone().utcoffset() or timedelta()
        zones = (there - here).total_seconds()
        # The time was said in whole seconds: only a difference that is larger is one.
        apart = float(seconds) + 0.5 - wall
    except ValueError:
        return 0.0
    return zones + (apart if abs(apart) > 1.0 else 0.0)


# -- copies


async def copy(
    site: Site, directory: Path, slots: Collection[str] | None, hidden: Sequence[str], *, operator: str
) -> None:
    """Copy what the containers wrote, and Ray's own logs, the last part of each, into `directory`.

    Texts that are `hidden` are secrets, and left out. `operator` is the namespace of KubeRay's.
    """
    world = site.world
    wanted = {name: seat.pod for name, seat in world.slots.every.items()}
    wanted |= {name: world.pod(name) for name in ("redis",) if world.redis}
    if world.known("operator"):
        wanted["operator"] = world.pod("operator")
    await asyncio.gather(
        *(
            _copy(
                site,
                slot,
                pod,
                directory,
                hidden,
                namespace=operator if slot == "operator" else site.namespace,
            )
            for slot, pod in wanted.items()
            if pod is not None and (slots is None or slot in slots)
        )
    )


async def _copy(
    site: Site, slot: str, pod: Pod, directory: Path, hidden: Sequence[str], *, namespace: str
) -> None:
    queries: list[tuple[str, Mapping[str, str]]] = [(f"{slot}.log", {})]
    if pod.restarts:
        queries.append((f"{slot}.previous.log", {"previous": "true"}))
    for name, query in queries:
        path = f"{place('pods', namespace, pod.name)}/log"
        said = {**query, "container": pod.container, "tailLines": "20000", "limitBytes": str(MOST)}
        try:
            answer = await site.api.request("GET", path, query=said, timeout=20)
        except ClusterError:
            continue  # it may be gone, with its host
        if answer.status == 200 and answer.body:
            directory.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(without(answer.body, hidden))
    if pod.role and pod.state == "running":
        unpack(await _packed(site, pod), directory / slot, hidden)


async def _packed(site: Site, pod: Pod) -> io.BytesIO:
    """Give the archive of a member's logs, as far as it comes."""
    patterns = " ".join(f"session_[0-9]*/logs/{each}" for each in KEPT)
    script = COPY.replace("{folder}", FOLDER).replace("{patterns}", patterns).replace("{most}", str(MOST))
    packed = io.BytesIO()
    with suppress(ClusterError):
        stream = await site.open(pod, ["/bin/sh", "-c", script])
        try:
            async for channel, chunk in stream.chunks():
                if channel == STDOUT:
                    packed.write(chunk)
        finally:
            await stream.close()
    packed.seek(0)
    return packed


def without(content: bytes, hidden: Sequence[str]) -> bytes:
    """Leave out secrets."""
    for secret in hidden:
        content = content.replace(secret.encode(), b"(hidden)")
    return content


def unpack(packed: io.BytesIO, folder: Path, hidden: Sequence[str] = ()) -> None:
    """Write the files of an archive below a folder, and nowhere else; what is broken off is left out."""
    try:
        with tarfile.open(fileobj=packed) as archive:
            for member in archive:
                parts = PurePosixPath(member.name).parts
                content = archive.extractfile(member) if member.isfile() else None
                if content is None or ".." in parts or member.name.startswith("/"):
                    continue
                # `session_<date>_<time>_<microseconds>_<pid>/logs/...`
                target = folder.joinpath("_".join(parts[0].split("_")[1:3]), *parts[2:])
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(without(content.read(), hidden))
    except tarfile.TarError:
        return
