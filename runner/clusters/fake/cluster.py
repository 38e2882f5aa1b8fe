"""A cluster in memory: every method of the contract, on the event loop's clock, with nothing behind it."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
    node_role,
)
from runner.clusters.draw import drawn
from runner.clusters.fake.prober import ScriptedProber
from runner.clusters.fake.settings import Settings
from runner.clusters.fake.world import Replica, World, mended
from runner.errors import CannotRun, ClusterError, Unreachable
from runner.language.plan import Application

POLL = 0.1
"""Seconds between two looks at what holds."""
REPEAT = 1.0
"""Seconds after which an unchanged document is said again."""


def open_cluster(settings: Settings, context: Context) -> Cluster:
    """Give a fake cluster; it does not run yet."""
    return Fake(settings, context)


async def heal(undo: Undo) -> None:
    """Nothing outlives the process that holds a fake cluster."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as `http` was given it."""

    slot: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(slots=True)
class ArmedFault:
    """A fault that knows what it will hit."""

    hits: tuple[Hit, ...]
    undo: Undo | None
    _cluster: Fake
    _action: Action
    _replicas: list[Replica]

    async def act(self) -> Acted:
        """Let it happen, now."""
        at = self._cluster.now()
        self._cluster.strike(self._action, self._replicas, at)
        return Acted(at, {})

    async def confirm(self) -> Confirmation:
        """Confirm: what happened in memory is known to have happened."""
        return Confirmation(True, "It is so.")

    async def disarm(self) -> None:
        """Nothing was started."""


def _frozen(arguments: Mapping[str, Json], replicas: Sequence[Replica]) -> list[tuple[str, str]]:
    """Name what a freeze holds in the world, and on which slots."""
    if replicas:
        return [(f"replica {replica.number}", replica.slot) for replica in replicas]
    what = arguments.get("role") or arguments.get("process") or "node"
    return [(what, arguments.get("slot", "head"))]


class Fake:
    """Keeps `contract.Cluster`. Tests reach through `world`, `canned` and `done` to script it and to look."""

    kind = "fake"

    def __init__(self, settings: Settings, context: Context, ahead_ns: int = 0) -> None:
        self.settings = settings
        self.context = context
        self.world = World(settings)
        self.canned: dict[str, Completed | None] = {}
        """What commands give, by their text; None never ends. Any other gives nothing, and 0."""
        self.done: list[Action | Undo] = []
        """What was done to it, in order."""
        self.asked: list[Asked] = []
        self._weighed = 0
        """The requests that `http` was given, in order."""
        self.running = False
        self._ahead_ns = ahead_ns
        self._random = random.Random(context.seed)  # noqa: S311 (a seeded choice is what is wanted)
        self._probers: list[ScriptedProber] = []

    def now(self) -> float:
        """Give the event loop's time, on which everything here happens."""
        return asyncio.get_running_loop().time()

    def closing(self) -> Undo | None:
        """Give an undo that says what a real cluster's would."""
        return Undo("close_cluster", {"run": self.context.run}, "remove the fake cluster")

    async def start(self) -> None:
        """Boot, for as long as the settings say."""
        await asyncio.sleep(self.settings.boot)
        self.world.began = self.now()
        self.running = True

    async def survey(self) -> Facts:
        """Give the script's facts."""
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
        capabilities |= {"partition"} | ({"redis"} if self.world.has_redis else set())
        capabilities |= {"command"} if self.context.commands else set()
        workers = [slot for slot in self.world.nodes if slot != "head"]
        endpoints = [Endpoint("service", "service", "http://10.1.0.1:8000", simulated=True)]
        endpoints += [
            Endpoint(slot, node_role(slot), f"http://10.1.0.{index + 2}:8000")
            for index, slot in enumerate(self.world.nodes)
        ]
        endpoints += [Endpoint(slot, "url", url) for slot, url in self.context.endpoints.items()]
        document = {
            "kind": self.kind,
            "workers": len(workers),
            "gcs_fault_tolerance": self.settings.gcs_fault_tolerance,
            "ray": {"version": None, "commit": None},
        }
        return Facts(frozenset(capabilities), tuple(endpoints), document)

    async def deploy(self, applications: tuple[Application, ...]) -> None:
        """Take the configuration, where there is a head and a controller to take it."""
        if self.world.unknown(self.now()):
            raise Unreachable("The head does not answer.")
        self.world.deploy(applications, self.now())

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
        """Answer as the probed service does; `dashboard` gives the state document."""
        del timeout
        self.asked.append(Asked(slot, method, path, dict(headers or {}), body))
        if slot == "dashboard" and "nodes" not in self.world.unknown(self.now()):
            return Answer(200, {}, json.dumps(self.world.document(self.now())).encode())
        status, text = (0, "") if slot == "dashboard" else self.world.answer(slot, self.now())
        if not status:
            raise Unreachable(f"{slot} refused the connection.")
        return Answer(status, {}, text.encode())

    async def exec(
        self, command: tuple[str, ...] | str, *, where: str = "here", timeout: float = 60.0
    ) -> Completed:
        """Give what is canned for the command."""
        if where != "here" and not self.world.up(where, self.now()):
            raise Unreachable(f"{where} is down.")
        text = command if isinstance(command, str) else " ".join(command)
        completed = self.canned.get(text, Completed(0, "", ""))
        if completed is None:
            await asyncio.sleep(timeout)
            raise ClusterError(f"`{text}` did not end within {timeout:g} s and was killed.")
        return completed

    async def arm(self, action: Action) -> ArmedFault:
        """Resolve what the action hits."""
        arguments = action.arguments
        replicas: list[Replica] = []
        undo = None
        hits: list[Hit] = []
        match action.kind, arguments:
            case "actor" | "freeze", {"role": "replica"}:
                replicas = self._replicas(action)
                hits = [self._hit(each) for each in replicas]
            case "actor" | "freeze", {"role": "controller"}:
                hits = self._controllers()
            case "actor" | "freeze", {"role": "proxy"}:
                hits = [Hit(arguments.get("slot", "head"), "proxy", "a Serve proxy")]
            case (("node" | "process" | "freeze" | "cut_link" | "drain"), {"slot": slot}) if self.world.up(
                slot, self.now()
            ):
                hits = [self._node(slot, str(arguments.get("process", "3 processes")))]
            case "service", {"service": "redis"} if self.world.has_redis:
                hits = [Hit("redis", "redis", "redis, 3 processes")]
            case "command", {"name": name} if name in self.context.commands:
                hits = [Hit(name, "command", f"command {name}")]
                undo = Undo("command", {"name": name}, f"undo {name}")
        if not hits:
            raise ClusterError(f"There is nothing here that {action.kind} {dict(arguments)} could hit.")
        slot = hits[0].slot
        match action.kind:
            case "node":
                undo = Undo("start_node", {"slot": slot}, f"start {slot}")
            case "service" if arguments.get("how") == "power_off":
                undo = Undo("start_service", {"slot": slot}, f"start {slot}")
            case "cut_link":
                undo = Undo("link_up", {"slot": slot}, f"join {slot} to the network")
            case "freeze":
                frozen = [list(each) for each in _frozen(arguments, replicas)]
                undo = Undo("thaw", {"frozen": frozen}, f"let {slot} go on")
        return ArmedFault(tuple(hits), undo, self, action, replicas)

    def _node(self, slot: str, what: str) -> Hit:
        """Give the hit of a node, or of a process on it."""
        ids = {"node_id": self.world.node_id(slot, self.now())}
        return Hit(slot, node_role(slot), f"{slot}, {what}", ids)

    def _hit(self, replica: Replica) -> Hit:
        pid = self.world.pid(replica, self.now())
        says = f"replica {replica.number} of {replica.app}"
        return Hit(replica.slot, "replica", says, {"actor_id": f"actor-{pid}", "pid": pid})

    def _controllers(self) -> list[Hit]:
        """Give the controller as a hit; nothing where there is none."""
        alive = [
            row
            for row in self.world.document(self.now())["actors"]
            if row["role"] == "controller" and row["state"] == "ALIVE"
        ]
        return [
            Hit(
                "head",
                "controller",
                "the Serve controller",
                {"actor_id": row["id"], "pid": row["pid"], "restarts": row["restarts"]},
            )
            for row in alive
        ]

    def _replicas(self, action: Action) -> list[Replica]:
        """Give the replicas an action means: all that match, or one of them, drawn with the seed."""
        wanted = {key: action.arguments.get(key) for key in ("app", "deployment", "slot")}
        found = [
            replica
            for replica in self.world.replicas
            if self.world.runs(replica, self.now())
            and all(value in (None, getattr(replica, key)) for key, value in wanted.items())
        ]
        return drawn(found, action.arguments.get("mode", "one"), self._random) if found else []

    def strike(self, action: Action, replicas: list[Replica], at: float) -> None:
        """Write a fault into the world."""
        self.done.append(action)
        stays = action.arguments.get("how") == "power_off"
        death = (at, math.inf if stays else at + self.settings.restart_delay)
        match action.kind, action.arguments:
            case "node" | "process", {"slot": slot}:
                self.world.break_node(slot, at, stays=stays)
            case "service", _:
                self.world.redis.append(death)
            case "cut_link", {"slot": slot}:
                self.world.hold("link", slot, at)
            case "drain", {"slot": slot, "deadline": deadline}:
                self.world.break_node(slot, at + deadline)
            case "freeze", _:
                for what, slot in _frozen(action.arguments, replicas):
                    self.world.hold(what, slot, at)
            case "actor", {"role": "replica"}:
                for replica in replicas:
                    replica.kills.append((at, at + self.settings.deploy_delay))
            case "actor", {"role": "controller"}:
                self.world.controller.append(death)
                if action.arguments.get("no_restart"):
                    self.world.ended.append(at)
                    self.world.deaf.update(self.world.nodes)
            case "actor", {"role": "proxy"}:
                self.world.proxies[action.arguments.get("slot", "head")].append(death)

    async def undo(self, undo: Undo) -> float:
        """Put back at once what holds in the world; anything else is only remembered."""
        self.done.append(undo)
        now = self.now()
        match undo.kind, undo.arguments:
            case "start_node", {"slot": slot}:
                self.world.mend_node(slot, now)
            case "start_service", _:
                self.world.redis = mended(self.world.redis, now)
            case "link_up", {"slot": slot}:
                self.world.release("link", slot, now)
            case "thaw", {"frozen": frozen}:
                for what, slot in frozen:
                    self.world.release(what, slot, now)
            case "close_cluster", _:
                await self.close()
        return now

    async def observe(self) -> AsyncIterator[Saying]:
        """Give the document when it changes, and once a second; a node's death and return are happenings."""
        last, said = None, 0.0
        while True:
            now = self.now()
            document = self.world.document(now)
            if last is not None and document["processes"] != last["processes"]:
                for old, new in zip(last["processes"], document["processes"], strict=True):
                    if old != new:
                        yield Saying(
                            now, now, "supervisor", slot=new["slot"], text=f"{new['slot']}: {new['state']}"
                        )
            if document != last or now - said >= REPEAT:
                last, said = document, now
                yield Saying(now, now, "state", document)
            await asyncio.sleep(POLL)

    async def listen(self, source: str, pattern: str) -> None:
        """Nothing to listen to: a simulation logs nothing."""

    async def reach(self, endpoint: Endpoint) -> Endpoint:
        """Refuse: nothing real stands anywhere."""
        raise CannotRun(f"Nobody outside of the simulation reaches {endpoint.slot}: leave `from: here` out.")

    async def prober(
        self,
        program: Path,
        directory: Path,
        away: Collection[str] = (),  # noqa: ARG002 (it stands nowhere)
    ) -> Prober:
        """Give the scripted prober; `program` is not run."""
        del program
        prober = ScriptedProber(self.world.answer, directory, self._ahead_ns)
        self._probers.append(prober)
        return prober

    async def weight(self) -> Mapping[str, Json]:
        """Say how often it was asked."""
        asked, self._weighed = len(self.asked) - self._weighed, len(self.asked)
        return {"requests": asked}

    async def logs(self, directory: Path, *, slots: Collection[str] | None = None) -> None:
        """There are none."""

    async def close(self) -> None:
        """End its probers."""
        for prober in self._probers:
            await prober.close()
        self.running = False
