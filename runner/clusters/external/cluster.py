"""An external cluster: URLs and commands that the user gives. Nothing is made, so nothing is removed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.clusters import here
from runner.clusters.command import Command, complete, prepare, tail
from runner.clusters.contract import (
    Acted,
    Action,
    Answer,
    Cluster,
    Completed,
    Confirmation,
    Context,
    Endpoint,
    Facts,
    Hit,
    Json,
    Prober,
    Saying,
    Undo,
    redacted,
    whole,
)
from runner.clusters.external.settings import Settings
from runner.errors import ClusterError
from runner.language.plan import Application

LISTS = ("nodes", "actors", "applications", "deployments", "replicas", "proxies", "processes")
POLL = 1.0
"""Seconds between two observations, which say each time that nothing is known."""


def open_cluster(settings: Settings, context: Context) -> Cluster:
    """Give the cluster of an inventory's endpoints and commands; starts nothing."""
    return External(settings, context)


async def heal(undo: Undo) -> None:
    """Run the command that puts back what a command broke, also in a later process."""
    text, limit = undo.arguments["command"], undo.arguments["timeout"]
    completed = await complete(text, timeout=limit)
    if completed.exit_code:
        raise ClusterError(f"`{text}` ended with exit code {completed.exit_code}.{tail(completed)}")


def role(slot: str) -> str:
    """Give the role that a slot's name tells."""
    if slot in ("service", "head"):
        return slot
    return "worker" if re.fullmatch(r"worker-\d+", slot) else "url"


@dataclass(slots=True)
class ArmedCommand:
    """A command of the inventory, waiting for its word."""

    hits: tuple[Hit, ...]
    undo: Undo | None
    _command: Command
    _limit: float
    acted: bool = False

    async def act(self) -> Acted:
        """Let the command run; does not wait for its end."""
        self.acted = True
        at = asyncio.get_running_loop().time()
        await self._command.release()
        return Acted(at, {"command": self._command.says})

    async def confirm(self) -> Confirmation:
        """Wait for the command's end; an exit code other than 0 is a ClusterError."""
        completed = await self._command.ended(self._limit)
        if completed.exit_code:
            raise ClusterError(
                f"`{self._command.says}` ended with exit code {completed.exit_code}.{tail(completed)}"
            )
        return Confirmation(True, "The command ended with exit code 0.", {"exit_code": 0})

    async def disarm(self) -> None:
        """End the waiting command, unless it was let go."""
        if not self.acted:
            await self.end()

    async def end(self) -> None:
        """End the command, whether it waits or runs."""
        await self._command.close()


class External:
    """Keeps `contract.Cluster` for services that ftrun did not start."""

    kind = "external"

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._endpoints = {slot: url.rstrip("/") for slot, url in context.endpoints.items()}
        self._armed: list[ArmedCommand] = []

    def closing(self) -> Undo | None:
        """Nothing is made, so nothing has to be removed."""
        return None

    async def start(self) -> None:
        """Attach: nothing to do."""

    async def survey(self) -> Facts:
        """Give what the inventory says."""
        allowed = {"command"} if self._context.commands else set()
        allowed |= {"exec"} & self._context.allow
        document: dict[str, Json] = {
            "kind": self.kind,
            "endpoints": {slot: redacted(url) for slot, url in self._endpoints.items()},
            "commands": {name: dict(texts) for name, texts in self._context.commands.items()},
            "not_compared": self._settings.model_dump(
                include={"workers", "gcs_fault_tolerance", "exclude_head_from_service", "environment"},
                exclude_none=True,
            ),
        }
        endpoints = tuple(Endpoint(slot, role(slot), url) for slot, url in self._endpoints.items())
        return Facts(frozenset(allowed), endpoints, document)

    async def deploy(self, applications: tuple[Application, ...]) -> None:
        """Refuse: nobody here takes an application."""
        names = ", ".join(application.name for application in applications)
        raise ClusterError(
            f"An external cluster takes no application ({names}): its endpoints serve what they serve.",
            help="Remove the deploy step, or run this scenario with a local inventory.",
        )

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
        """Ask an endpoint of the inventory."""
        if slot not in self._endpoints:
            known = ", ".join(sorted(self._endpoints)) or "none"
            raise ClusterError(f'The inventory gives no endpoint "{slot}"; it gives: {known}.')
        url = whole(self._endpoints[slot], path)
        return await here.ask(url, method, headers=headers, body=body, timeout=timeout)

    async def exec(
        self, command: tuple[str, ...] | str, *, where: str = "here", timeout: float = 60.0
    ) -> Completed:
        """Run a command next to ftrun, where the inventory allows it."""
        if where != "here":
            raise ClusterError(
                f'An external cluster has no node "{where}" to run a command on.', help="Use `where: here`."
            )
        if "exec" not in self._context.allow:
            raise ClusterError(
                "The inventory does not allow scenarios to run commands here.",
                help="Write `allow: [exec]` into the inventory.",
            )
        return await complete(command, timeout=timeout)

    async def arm(self, action: Action) -> ArmedCommand:
        """Start the command behind its gate; only commands can be done to what ftrun did not start."""
        if action.kind != "command":
            raise ClusterError(
                f"An external cluster has no {action.kind} that ftrun could hit.",
                help="Give a command in the inventory and write `kill: {command: NAME}`.",
            )
        name = action.arguments["name"]
        if name not in self._context.commands:
            known = ", ".join(sorted(self._context.commands)) or "none"
            raise ClusterError(f'The inventory gives no command "{name}"; it gives: {known}.')
        texts: Mapping[str, Any] = self._context.commands[name]
        limit = self._settings.command_timeout
        undo = None
        if texts.get("undo"):
            arguments = {"name": name, "command": texts["undo"], "timeout": limit}
            undo = Undo("command", arguments, f"run `{texts['undo']}`")
        prepared = await prepare(texts["act"])
        hit = Hit(name, "command", f"whatever `{texts['act']}` hits", {"pid": prepared.process.pid})
        armed = ArmedCommand((hit,), undo, prepared, limit)
        self._armed.append(armed)
        return armed

    async def undo(self, undo: Undo) -> None:
        """Run the undo command; an act of the same command that still runs is ended first."""
        for armed in self._armed:
            if armed.acted and armed.hits[0].slot == undo.arguments["name"]:
                await armed.end()
        await heal(undo)

    async def observe(self) -> AsyncIterator[Saying]:
        """Say again and again that nothing is known of what stands behind the endpoints."""
        loop = asyncio.get_running_loop()
        while True:
            document = {"version": 1, "unknown": list(LISTS)} | {name: [] for name in LISTS}
            now = loop.time()
            yield Saying(now, now, "state", document)
            await asyncio.sleep(POLL)

    async def listen(self, source: str, pattern: str) -> None:
        """Nothing to listen to: no log is followed."""

    async def reach(self, endpoint: Endpoint) -> Endpoint:
        """Give the endpoint: the URLs of the inventory are as one reaches them here."""
        return endpoint

    async def prober(
        self,
        program: Path,
        directory: Path,
        away: Collection[str] = (),  # noqa: ARG002 (it stands here)
    ) -> Prober:
        """Start the prober here, in a session of its own; it ends when its input does, so also with ftrun."""
        return await here.prober(program, directory, self._context.folder / "prober.log")

    async def weight(self) -> Mapping[str, Json]:
        """Nothing is known of it."""
        return {}

    async def logs(self, directory: Path, *, slots: Collection[str] | None = None) -> None:
        """Nothing to copy: the logs of what stands behind the endpoints are their owner's."""

    async def close(self) -> None:
        """End commands that still wait or run; the endpoints stay as they are."""
        for armed in self._armed:
            await armed.end()
        self._armed.clear()
