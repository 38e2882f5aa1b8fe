"""A real Ray cluster on this machine, behind the contract of clusters."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from runner import clock
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
from runner.clusters.lines import Lines
from runner.clusters.local import actors, arms, files, http, nodes, remains
from runner.clusters.local.blueprint import Blueprint
from runner.clusters.local.ground import Ground, survey
from runner.clusters.local.remains import heal
from runner.clusters.local.scripts import ArmedDrain, Head
from runner.clusters.local.settings import Settings
from runner.clusters.local.wire import Wire
from runner.errors import CannotRun, ClusterError, Unreachable
from runner.language.plan import Application
from runner.rayserve import dashboard, placement, state

__all__ = ["heal", "open_cluster"]

Json = Any
Answered = TypeVar("Answered")

BOOT = 180.0
"""Seconds a cluster has to come up."""

POLL = 0.5
"""Seconds between two questions to the dashboard."""

PATIENCE = 2.0
"""Seconds after which a part of the state counts as not answered."""

PROBER_END = 30.0
"""Seconds a prober has, after its input ended, to await its last deadlines."""


def open_cluster(settings: Settings, context: Context) -> LocalCluster:
    """Give a cluster that is not started yet."""
    return LocalCluster(settings, context)


class LocalCluster:
    """Keeps `contract.Cluster` with a supervisor and its units."""

    kind = "local"

    def __init__(self, settings: Settings, context: Context) -> None:
        self.settings = settings
        self.context = context
        self.runtime = remains.new_runtime()
        self.wire = Wire(f"{self.runtime}/s")
        self._asked = 0
        self._weighed = 0.0
        self._ground: Ground | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._life: int | None = None
        self._told = 0
        self._known: Mapping[str, Json] | None = None
        self._probers = 0

    # -- what there is

    async def ground(self) -> Ground:
        """Look at the machine, once."""
        if self._ground is None:
            self._ground = await asyncio.to_thread(survey, self.settings)
        return self._ground

    async def survey(self) -> Facts:
        """Read what this machine gives; the same before and after `start`."""
        ground = await self.ground()
        capabilities = {
            "deploy",
            "observe",
            "exec",
            "node",
            "actor",
            "process",
            "power_off",
            "freeze",
            "drain",
        }
        if ground.layout.name == "namespaces":
            capabilities.add("partition")
        if self.settings.gcs_fault_tolerance == "redis":
            capabilities.add("redis")
        return Facts(frozenset(capabilities), self._endpoints(ground), ground.facts)

    def _endpoints(self, ground: Ground) -> tuple[Endpoint, ...]:
        given = tuple(Endpoint(name, "url", url.rstrip("/")) for name, url in self.context.endpoints.items())
        return nodes.endpoints(ground.spread) + given

    # -- start and close

    def closing(self) -> Undo:
        """Give the undo that ends everything under this cluster's keeper and removes its folder."""
        return remains.closing(self.runtime)

    async def start(self) -> None:
        """Start the units and wait until every node is ALIVE."""
        ground = await self.ground()
        plan = nodes.draw(
            self.settings,
            ground.spread,
            layout=ground.layout.name,
            runtime=self.runtime,
            python=ground.python,
            redis=ground.redis,
            password=secrets.token_hex(16),
        )
        try:
            await self.start_supervisor(plan, ground.layout.prefix)
            async with asyncio.timeout(BOOT):
                await self._all_up(plan)
                await self._all_alive()
        except TimeoutError as error:
            late = [row["slot"] for row in await self._units() if row["state"] != "up"]
            why = files.explain(Path(self.runtime), late[0] if late else "head")
            raise CannotRun(
                f"The local cluster did not come up within {BOOT:g} s; late: {', '.join(late)}.{why}",
                help="`ftrun doctor` says whether this machine has what it needs.",
            ) from error

    async def start_supervisor(self, plan: Blueprint, prefix: Sequence[str]) -> None:
        """Start keeper and supervisor, and wait until the supervisor answers."""
        folder = Path(self.runtime)
        folder.mkdir(mode=0o700)
        for name in ("logs", "code", "redis"):
            (folder / name).mkdir()
        (folder / "blueprint.json").write_text(plan.dump(), encoding="utf-8")
        root = str(Path(__file__).resolve().parents[3])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        reading, self._life = os.pipe()
        python = (sys.executable, "-m")
        errors = folder / "logs" / "supervisor.log"
        try:
            with errors.open("wb") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *prefix,
                    *(*python, "runner.clusters.local.keeper", str(reading)),
                    *(*python, "runner.clusters.local.supervisor", str(folder / "blueprint.json")),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    pass_fds=(reading,),
                    env={**os.environ, "PYTHONPATH": path},
                    # Ctrl-C is for ftrun, which unwinds in order; the nodes must not see it.
                    start_new_session=True,
                )
        finally:
            os.close(reading)
        remains.note_keeper(folder, self._process.pid)
        assert self._process.stdout is not None
        if not await self._process.stdout.readline():
            raise CannotRun(f"The local cluster's supervisor did not start.\n{files.tail(errors)}")

    async def _all_up(self, plan: Blueprint) -> None:
        missing = {unit.slot for unit in plan.units}
        async with aclosing(self.wire.events(0)) as happenings:
            async for happening in happenings:
                slot, event = happening["slot"], happening["data"].get("event")
                if event == "up":
                    missing.discard(slot)
                    if not missing:
                        return
                elif event == "failed":
                    why = files.explain(Path(self.runtime), slot)
                    raise CannotRun(f"{slot} ended at each of {happening['data']['starts']} starts.{why}")
        log = Path(self.runtime, "logs", "supervisor.log")
        raise CannotRun(f"The local cluster's supervisor ended.\n{files.tail(log)}")

    async def _all_alive(self) -> None:
        while True:
            try:
                found = await dashboard.rows(self._ask, "nodes")
            except Unreachable:
                found = []
            if sum(row["state"] == "ALIVE" for row in found) == self.settings.workers + 1:
                return
            await asyncio.sleep(0.2)

    async def close(self) -> None:
        """End everything, and remove the folder. Waits until it is gone."""
        if self._life is not None:
            os.close(self._life)
            self._life = None
        if self._process is not None:
            try:
                async with asyncio.timeout(40):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
            self._process = None
        await heal(self.closing())

    # -- asking

    async def _units(self) -> list[dict[str, Json]]:
        return list((await self.wire.ask("units"))["units"])

    async def _ask(self, method: str, path: str, body: bytes | None) -> Answer:
        self._asked += 1
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
        """Ask the dashboard or an endpoint, from the bus."""
        ground = await self.ground()
        if slot == "dashboard":
            host, port = ground.spread.dashboard()
        else:
            urls = {each.slot: each.url for each in self._endpoints(ground)}
            if slot not in urls:
                raise ClusterError(f"There is no endpoint {slot!r}; there are {', '.join(urls)}.")
            asked = urlsplit(whole(urls[slot], path))
            host, port = _place(urls[slot])
            path = urlunsplit(("", "", asked.path, asked.query, ""))
        try:
            async with asyncio.timeout(timeout):
                question = {"ask": "connect", "host": host, "port": port, "limit": timeout}
                _answer, (reader, writer) = await self.wire.open(question, timeout=timeout)
                return await http.exchange(
                    reader,
                    writer,
                    method=method,
                    host=f"{host}:{port}",
                    path=path,
                    headers=headers,
                    body=body,
                )
        except TimeoutError as error:
            raise Unreachable(f"{slot} did not answer {method} {path} within {timeout:g} s.") from error
        except Unreachable:
            raise
        except ClusterError as error:
            raise Unreachable(f"{slot} cannot be reached for {method} {path}: {error.message}") from error

    async def deploy(self, applications: tuple[Application, ...]) -> None:
        """Put the applications' code where every node finds it, and hand Serve the configuration."""
        ground = await self.ground()
        files.link_code(
            Path(self.runtime, "code"), [each.folder for each in applications if each.folder is not None]
        )
        body = dashboard.configuration(
            [{**each.config, "name": each.name} for each in applications],
            host=nodes.proxy_host(ground.spread),
            port=ground.spread.http_ports["head"],
        )
        try:
            answer = await self.wire.ask("submit", body=body.decode(), timeout=130)
        except ClusterError as error:
            raise Unreachable(f"The head does not answer: {error.message}") from error
        dashboard.accepted(answer["status"], answer["body"])

    async def exec(
        self, command: tuple[str, ...] | str, *, where: str = "here", timeout: float = 60.0
    ) -> Completed:
        """Run a command next to ftrun, or in a node's network with a node's environment."""
        if where == "here":
            return await complete(command, timeout=timeout)
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        answer = await self.wire.ask("exec", slot=where, command=argv, timeout=timeout + 5, limit=timeout)
        return Completed(answer["exit_code"], answer["stdout"], answer["stderr"])

    # -- acting

    async def arm(self, action: Action) -> Armed:
        """Resolve what an action is to hit, and prepare it."""
        ground = await self.ground()
        wire, arguments, addresses = self.wire, action.arguments, ground.spread.addresses
        match action.kind:
            case "node":
                return await arms.arm_node(wire, arguments, addresses)
            case "service":
                redis = ["redis"] if self.settings.gcs_fault_tolerance == "redis" else []
                return await arms.arm_service(wire, arguments, redis)
            case "process":
                return await arms.arm_process(wire, arguments, addresses)
            case "cut_link":
                return await arms.arm_link(wire, arguments, addresses, ground.layout.name)
            case "freeze" if "role" not in arguments:
                return await arms.arm_freeze(wire, arguments, addresses)
            case "actor" | "freeze":
                return await self._arm_actor(action, ground)
            case "drain":
                return await self._arm_drain(arguments, ground)
        raise ClusterError(f"A local cluster cannot do {action.kind!r}.")

    async def _arm_actor(self, action: Action, ground: Ground) -> Armed:
        before = self._known
        documents = [await self.state(), *([before] if before is not None else [])]
        return await actors.arm_actor(
            self.wire,
            action.arguments,
            Head(ground.python, ground.spread.gcs(), self._ask),
            documents,
            self.context.seed,
            freeze=action.kind == "freeze",
        )

    async def _arm_drain(self, arguments: Mapping[str, Json], ground: Ground) -> Armed:
        slot, addresses = arguments["slot"], ground.spread.addresses
        row = await arms.standing(self.wire, slot, list(addresses))
        rows = (await self.state())["nodes"]
        alive = [node["id"] for node in rows if node["slot"] == slot and not node["dead"]]
        if not alive:
            raise Unreachable(f"Ray's head does not say now that {slot} is alive: it cannot be drained.")
        hit = arms.node_hit(
            row, addresses[slot], f"{slot} ({addresses[slot]}), node {alive[0]}", node_id=alive[0]
        )
        head = Head(ground.python, ground.spread.gcs(), self._ask)
        return await ArmedDrain.prepare(
            self.wire, head, hit, deadline=arguments["deadline"], reason=arguments["reason"]
        )

    async def undo(self, undo: Undo) -> float | None:
        """Put back what an action did; at the latest instant at which some of it took effect."""
        arguments = undo.arguments
        match undo.kind:
            case "close_cluster":
                await self.close()
                return None
            case "link_up":
                answers = [await self.wire.ask("link", slot=arguments["slot"], up=True)]
            case "start_node" | "start_service":
                answers = [await self.wire.ask("start", slot=arguments["slot"])]
            case "thaw":
                answers = [
                    await self.wire.ask("thaw", slot=slot, processes=found)
                    for slot, found in arguments["frozen"]
                ]
            case _:
                raise ClusterError(f"A local cluster knows no undo {undo.kind!r}.")
        return max(float(answer["at"]) for answer in answers)

    # -- observing

    async def state(self) -> dict[str, Json]:
        """Ask all sources at once and give the state document."""
        ground = await self.ground()

        async def known(question: Awaitable[Answered]) -> Answered | None:
            try:
                async with asyncio.timeout(PATIENCE):
                    return await question
            except (Unreachable, TimeoutError):
                return None

        node_rows, actor_rows, serve, units = await asyncio.gather(
            known(dashboard.rows(self._ask, "nodes")),
            known(dashboard.rows(self._ask, "actors")),
            known(dashboard.applications(self._ask)),
            known(self._units()),
        )
        document = state.document(
            nodes=node_rows,
            actors=actor_rows,
            applications=serve,
            processes=[{key: value for key, value in row.items() if key != "session"} for row in units]
            if units is not None
            else None,
            slots={address: slot for slot, address in ground.spread.addresses.items()},
        )
        if all(knows(document, role) for role in ("controller", "replica")):
            self._known = document
        return document | {"placement": placement.unplaceable(document)}

    async def observe(self) -> AsyncIterator[Saying]:
        """Give a state document every half second, and happenings and lines of logs as they come."""
        sayings: asyncio.Queue[Saying | Exception] = asyncio.Queue()
        tasks = [asyncio.create_task(self._poll(sayings)), asyncio.create_task(self._follow(sayings))]
        try:
            while True:
                saying = await sayings.get()
                if isinstance(saying, Exception):
                    raise saying
                yield saying
        finally:
            for task in tasks:
                task.cancel()

    async def listen(self, source: str, pattern: str) -> None:
        """Have the supervisor pass on the lines of a log that a pattern matches."""
        await self.wire.ask("listen", source=source, pattern=pattern)

    async def _poll(self, sayings: asyncio.Queue[Saying | Exception]) -> None:
        try:
            while True:
                asked = clock.monotonic()
                document = await self.state()
                sayings.put_nowait(Saying(clock.monotonic(), asked, "state", document))
                await asyncio.sleep(POLL)
        except Exception as error:
            sayings.put_nowait(error)

    async def _follow(self, sayings: asyncio.Queue[Saying | Exception]) -> None:
        """Pass on happenings that no earlier `observe` gave."""
        try:
            async with aclosing(self.wire.events(self._told)) as happenings:
                async for said in happenings:
                    self._told += 1
                    at = said["at"]
                    sayings.put_nowait(
                        Saying(at, at, said["source"], None, said["slot"], said["text"], said["data"])
                    )
            at = clock.monotonic()
            sayings.put_nowait(
                Saying(at, at, "supervisor", None, "", "the supervisor ended", {"event": "gone"})
            )
        except Exception as error:
            sayings.put_nowait(error)

    async def reach(self, endpoint: Endpoint) -> Endpoint:
        """Give an endpoint as it is, where the nodes stand on this machine's own addresses."""
        ground = await self.ground()
        if endpoint.role != "url" and ground.layout.name == "namespaces":
            raise CannotRun(
                f"The nodes stand in a network of their own, in which nobody here reaches {endpoint.slot}.",
                help="Leave `from: here` out.",
            )
        return endpoint

    async def prober(
        self,
        program: Path,
        directory: Path,
        away: Collection[str] = (),  # noqa: ARG002 (no node is a machine of its own)
    ) -> Prober:
        """Start a prober on the bus, its own process; it ends with its connection, and with ftrun."""
        self._probers += 1
        name = f"prober-{self._probers}"
        question: dict[str, Json] = {
            "ask": "spawn",
            "name": name,
            "command": [sys.executable, str(program.resolve()), str(directory.resolve())],
            "environment": {},
            "slot": None,
            "errors": str(directory.resolve() / "prober.log"),
        }
        _answer, (reader, writer) = await self.wire.open(question, timeout=10)

        async def ended() -> None:
            await self.wire.ask("wait", name=name, timeout=PROBER_END + 10, limit=PROBER_END)

        return Lines(reader, writer, ended)

    async def weight(self) -> Mapping[str, Json]:
        """Say how often the dashboard was asked, and what the supervisor took."""
        seconds = float((await self.wire.ask("cpu"))["seconds"])
        found = {"requests": self._asked, "supervisor_cpu_s": round(seconds - self._weighed, 3)}
        self._asked, self._weighed = 0, seconds
        return found

    async def logs(self, directory: Path, *, slots: Collection[str] | None = None) -> None:
        """Copy the ends of the logs of units, GCS, raylets, dashboard and Serve into `directory`."""
        await asyncio.to_thread(
            files.copy_logs, Path(self.runtime), directory, slots, secrets=self.context.secrets
        )


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
