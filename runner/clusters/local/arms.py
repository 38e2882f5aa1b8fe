"""Actions of a local cluster, armed: a node's processes, or one of Serve's actors."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import clock
from runner.clusters.contract import Acted, Armed, Confirmation, Hit, Undo
from runner.clusters.local.blueprint import Place
from runner.clusters.local.splice import End
from runner.clusters.local.wire import Wire
from runner.errors import ClusterError, Unreachable
from runner.rayserve import dashboard

Json = Any

CONFIRM = 20.0
"""Seconds after which a target that is still there counts as not hit."""

GRACE = 30.0
"""Kubernetes' default time between SIGTERM and SIGKILL."""

ARM_ACTOR = 45.0
"""Seconds the script has to connect and to resolve the actor."""


@dataclass
class ArmedNode:
    """The end of all of a node's processes."""

    wire: Wire
    how: str
    grace: float | None
    hits: tuple[Hit, ...]
    undo: Undo | None = None  # the supervisor starts it again

    async def act(self) -> Acted:
        """Kill: `at` is just before the first signal."""
        answer = await self.wire.ask(
            "kill", slot=self.hits[0].slot, how=self.how, grace=self.grace, timeout=30
        )
        return Acted(answer["at"], {key: answer[key] for key in ("until", "killed", "session")})

    async def confirm(self) -> Confirmation:
        """Wait until no process of the node's session lives."""
        limit = CONFIRM + ((GRACE if self.grace is None else self.grace) if self.how == "delete" else 0)
        session = self.hits[0].ids["session"]
        return await _gone(self.wire, limit, sessions=[session])

    async def disarm(self) -> None:
        """Nothing was started."""


async def _gone(wire: Wire, limit: float, **what: Sequence[int]) -> Confirmation:
    fields = {"sessions": [], "pids": [], **what}
    answer = await wire.ask("gone", timeout=limit + 5, limit=limit, **fields)
    left = answer["left"]
    evidence = {"gone_at": answer["at"]} if not left else {"left": left}
    return Confirmation(
        not left, f"{left} of its processes live on" if left else "its processes are gone", evidence
    )


async def arm_node(wire: Wire, arguments: Mapping[str, Json], addresses: Mapping[str, str]) -> ArmedNode:
    """Resolve a node; raises ClusterError where it does not stand now."""
    slot = arguments["slot"]
    if slot not in addresses:
        raise ClusterError(f"There is no node {slot!r}; there are {', '.join(addresses)}.")
    units = {row["slot"]: row for row in (await wire.ask("units"))["units"]}
    row = units[slot]
    if row["count"] == 0:
        raise ClusterError(f"{slot} is not running ({row['state']}): there is nothing to kill.")
    hit = Hit(
        slot,
        "head" if slot == "head" else "worker",
        f"{slot} ({addresses[slot]}), {row['count']} processes",
        {"session": row["session"], "starts": row["starts"], "address": addresses[slot]},
    )
    return ArmedNode(wire, arguments.get("how", "crash"), arguments.get("grace"), (hit,))


# -- actors


@dataclass(frozen=True, slots=True)
class Head:
    """What is needed to speak to Ray: a Python that has it, the GCS, the dashboard."""

    python: str
    gcs: Place
    ask: dashboard.Ask


def chosen(
    document: Mapping[str, Json], arguments: Mapping[str, Json], seed: int
) -> list[Mapping[str, Json]]:
    """Give the actors an action means: all, or one drawn with the seed. Raises ClusterError for none."""
    role = arguments["role"]
    if "actors" in document["unknown"] or (role == "replica" and "replicas" in document["unknown"]):
        raise ClusterError(f"Nobody can say now which actor is a {role}: Ray's head does not answer.")
    alive = [
        row for row in document["actors"] if row["role"] == role and row["state"] == "ALIVE" and row["pid"]
    ]
    if role == "replica":
        running = {
            row["actor_id"]
            for row in document["replicas"]
            if row["state"] == "RUNNING"
            and arguments.get("app") in (None, row["app"])
            and arguments.get("deployment") in (None, row["deployment"])
        }
        alive = [row for row in alive if row["id"] in running]
    if arguments.get("slot") is not None:
        alive = [row for row in alive if row["slot"] == arguments["slot"]]
    if not alive:
        words = {
            key: arguments[key] for key in ("app", "deployment", "slot") if arguments.get(key) is not None
        }
        of = "".join(f", {key} {value}" for key, value in words.items())
        raise ClusterError(f"There is no living actor with the role {role}{of}.")
    alive.sort(key=lambda row: str(row["id"]))
    if arguments.get("mode", "one") == "all":
        return alive
    return [random.Random(seed).choice(alive)]  # noqa: S311 (must be the same for the same seed)


def _hit(row: Mapping[str, Json]) -> Hit:
    says = f"{row['role']} {row['name']} on {row['slot']}, process {row['pid']}"
    ids = {"pid": row["pid"], "actor_id": row["id"], "node_id": row["node_id"], "restarts": row["restarts"]}
    return Hit(row["slot"] or "", row["role"], says, ids)


@dataclass
class ArmedCrash:
    """SIGKILL of the processes of actors."""

    wire: Wire
    hits: tuple[Hit, ...]
    undo: Undo | None = None  # Ray starts it again, or does not: that is the question

    async def act(self) -> Acted:
        """Kill each: `at` is just before the first signal."""
        answers = [
            await self.wire.ask("signal", slot=hit.slot, pids=[hit.ids["pid"]], signal=int(signal.SIGKILL))
            for hit in self.hits
        ]
        return Acted(answers[0]["at"], {"until": answers[-1]["until"]})

    async def confirm(self) -> Confirmation:
        """Wait until the processes are gone."""
        return await _gone(self.wire, CONFIRM, pids=[hit.ids["pid"] for hit in self.hits])

    async def disarm(self) -> None:
        """Nothing was started."""


class ArmedRayKill:
    """`ray.kill` of actors, by scripts that hold a handle each."""

    def __init__(self, wire: Wire, hits: tuple[Hit, ...], scripts: Sequence[End]) -> None:
        self.hits = hits
        self.undo: Undo | None = None
        self._wire = wire
        self._scripts = list(scripts)

    async def act(self) -> Acted:
        """Say the word to each; the scripts stamp the instant of the call."""
        for _reader, writer in self._scripts:
            writer.write(b"fire\n")
        said = [await _heard(script, CONFIRM) for script in self._scripts]
        await self.disarm()
        return Acted(min(each["at"] for each in said), {"until": max(each["until"] for each in said)})

    async def confirm(self) -> Confirmation:
        """Wait until the processes are gone."""
        return await _gone(self._wire, CONFIRM, pids=[hit.ids["pid"] for hit in self.hits])

    async def disarm(self) -> None:
        """End the scripts."""
        for _reader, writer in self._scripts:
            writer.close()
        self._scripts = []


async def _heard(script: End, timeout: float) -> Mapping[str, Json]:
    """Give the next event of a script; raises ClusterError with what it says went wrong."""
    try:
        async with asyncio.timeout(timeout):
            line = await script[0].readline()
    except TimeoutError as error:
        raise ClusterError(f"Ray did not let itself be asked for the actor within {timeout:g} s.") from error
    if not line:
        raise ClusterError("The script that was to kill the actor ended without a word.")
    event: Mapping[str, Json] = json.loads(line)
    if event["event"] == "error":
        raise ClusterError(f"Ray cannot kill the actor: {event['message']}")
    return event


async def arm_actor(
    wire: Wire, arguments: Mapping[str, Json], head: Head, document: Mapping[str, Json], seed: int
) -> Armed:
    """Resolve actors and prepare their end: a signal to their processes, or Ray's own kill."""
    rows = chosen(document, arguments, seed)
    hits = tuple(_hit(row) for row in rows)
    if arguments.get("how", "crash") == "crash":
        return ArmedCrash(wire, hits)
    host, port = head.gcs
    try:
        # Without a head Ray's own connecting would try for 63 s.
        question = {"ask": "connect", "host": host, "port": port, "limit": 2.0}
        _answer, (_reader, writer) = await wire.open(question, timeout=5)
        writer.close()
    except ClusterError as error:
        raise Unreachable("The head is down: only a signal can end an actor now (`how: crash`).") from error
    detailed = {row["actor_id"]: row for row in await dashboard.rows(head.ask, "actors")}
    no_restart = "false" if arguments.get("no_restart") is False else "true"
    scripts: list[End] = []
    try:
        for row in rows:
            namespace = detailed.get(row["id"], {}).get("ray_namespace") or "serve"
            scripts.append(await _script(wire, head, str(row["name"]), str(namespace), no_restart))
        for script in scripts:
            await _heard(script, ARM_ACTOR)
    except BaseException:
        for _reader, writer in scripts:
            writer.close()
        raise
    return ArmedRayKill(wire, hits, scripts)


async def _script(wire: Wire, head: Head, name: str, namespace: str, no_restart: str) -> End:
    from runner.rayserve import kill_actor

    host, port = head.gcs
    command = [head.python, str(Path(kill_actor.__file__).resolve()), f"{host}:{port}", host, name, namespace]
    question = {
        "ask": "spawn",
        "name": f"kill-{name}-{clock.monotonic_ns()}",
        "command": [*command, no_restart],
        "environment": {"RAY_USAGE_STATS_ENABLED": "0"},
        "slot": "head",
        "errors": None,
    }
    _answer, script = await wire.open(question, timeout=10)
    return script
