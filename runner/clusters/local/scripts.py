"""Actions that a script inside of the head carries out, with a Python that has Ray: `ray.kill`, and drains.

A script connects and resolves ahead, and acts at the word, so that the instant is known. The runner itself
never imports Ray.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from runner import clock
from runner.clusters.contract import Acted, Confirmation, Hit, Undo
from runner.clusters.local.arms import CONFIRM, gone
from runner.clusters.local.blueprint import Place
from runner.clusters.local.splice import End
from runner.clusters.local.wire import Wire
from runner.errors import ClusterError, Unreachable
from runner.rayserve import dashboard

Json = Any

ARM = 45.0
"""Seconds a script has to connect and to resolve its target."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is needed to speak to Ray: a Python that has it, the GCS, the dashboard."""

    python: str
    gcs: Place
    ask: dashboard.Ask


async def _script(wire: Wire, head: Head, module: ModuleType, *words: str) -> End:
    """Start a script on the head; its first two words are where the GCS is, and the head's address."""
    host, port = head.gcs
    path = Path(module.__file__ or "").resolve()
    question = {
        "ask": "spawn",
        "name": f"{path.stem}-{words[0]}-{clock.monotonic_ns()}",
        "command": [head.python, str(path), f"{host}:{port}", host, *words],
        "environment": {"RAY_USAGE_STATS_ENABLED": "0"},
        "slot": "head",
        "errors": None,
    }
    _answer, script = await wire.open(question, timeout=10)
    return script


async def _heard(script: End, timeout: float) -> Mapping[str, Json]:
    """Give the next event of a script; raises ClusterError with what it says went wrong."""
    try:
        async with asyncio.timeout(timeout):
            line = await script[0].readline()
    except TimeoutError as error:
        raise Unreachable(f"Ray did not answer within {timeout:g} s.") from error
    if not line:
        raise ClusterError("The script that was to ask Ray ended without a word.")
    event: Mapping[str, Json] = json.loads(line)
    if event["event"] == "error":
        raise ClusterError(f"Ray refuses: {event['message']}")
    return event


async def require_head(wire: Wire, head: Head) -> None:
    """Raise Unreachable where the head is down: Ray's own connecting would try for 63 s."""
    host, port = head.gcs
    try:
        question = {"ask": "connect", "host": host, "port": port, "limit": 2.0}
        _answer, (_reader, writer) = await wire.open(question, timeout=5)
        writer.close()
    except ClusterError as error:
        raise Unreachable(
            "The head is down, so nobody can ask Ray for anything now.",
            help="Only a signal can end an actor now (`how: crash`).",
        ) from error


async def _armed(wire: Wire, head: Head, module: ModuleType, each: Sequence[Sequence[str]]) -> list[End]:
    """Start a script for each, and wait until all are armed."""
    scripts: list[End] = []
    try:
        for words in each:
            scripts.append(await _script(wire, head, module, *words))  # noqa: PERF401 (closed if one fails)
        for script in scripts:
            await _heard(script, ARM)
    except BaseException:
        _close(scripts)
        raise
    return scripts


def _close(scripts: Sequence[End]) -> None:
    for _reader, writer in scripts:
        writer.close()


class ArmedRayKill:
    """`ray.kill` of actors, by scripts that hold a handle each."""

    def __init__(self, wire: Wire, hits: tuple[Hit, ...], scripts: Sequence[End]) -> None:
        self.hits = hits
        self.undo: Undo | None = None
        self._wire = wire
        self._scripts = list(scripts)

    @classmethod
    async def prepare(
        cls,
        wire: Wire,
        head: Head,
        hits: tuple[Hit, ...],
        names: Sequence[tuple[str, str]],
        *,
        no_restart: bool,
    ) -> ArmedRayKill:
        """Start the scripts of actors with these names and namespaces."""
        from runner.rayserve import kill_actor

        said = "true" if no_restart else "false"
        return cls(wire, hits, await _armed(wire, head, kill_actor, [(*name, said) for name in names]))

    async def act(self) -> Acted:
        """Say the word to each; the scripts stamp the instant of the call."""
        for _reader, writer in self._scripts:
            writer.write(b"fire\n")
        said = [await _heard(script, CONFIRM) for script in self._scripts]
        await self.disarm()
        return Acted(min(each["at"] for each in said), {"until": max(each["until"] for each in said)})

    async def confirm(self) -> Confirmation:
        """Wait until the processes are gone."""
        return await gone(self._wire, CONFIRM, pids=[hit.ids["pid"] for hit in self.hits])

    async def disarm(self) -> None:
        """End the scripts."""
        _close(self._scripts)
        self._scripts = []


class ArmedDrain:
    """A drain of a node, asked for by a script on the head."""

    def __init__(self, hits: tuple[Hit, ...], script: End) -> None:
        self.hits = hits
        self.undo: Undo | None = None  # a drain cannot be taken back; the supervisor starts the node again
        self._script = script
        self._acted = False

    @classmethod
    async def prepare(cls, wire: Wire, head: Head, hit: Hit, *, deadline: float, reason: str) -> ArmedDrain:
        """Start the script that asks for it."""
        from runner.rayserve import drain_node

        await require_head(wire, head)
        words = (str(hit.ids["node_id"]), reason, str(round(deadline * 1000)))
        return cls((hit,), (await _armed(wire, head, drain_node, [words]))[0])

    async def act(self) -> Acted:
        """Say the word; the script stamps the instant of the call. Raises ClusterError where Ray refuses."""
        self._acted = True
        self._script[1].write(b"fire\n")
        try:
            said = await _heard(self._script, CONFIRM)
        except BaseException:
            _close([self._script])
            raise
        return Acted(said["at"], {"until": said["until"]})

    async def confirm(self) -> Confirmation:
        """Wait until Ray lists the node as draining, or no more."""
        try:
            said = await _heard(self._script, CONFIRM)
        finally:
            _close([self._script])
        status = {"status": said["status"]}
        return Confirmation(said["event"] == "seen", f"Ray lists the node as {said['status']}", status)

    async def disarm(self) -> None:
        """End the script, unless it acts: then it ends by itself once it has seen what came of it."""
        if not self._acted:
            _close([self._script])
