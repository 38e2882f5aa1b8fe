"""The scripted cluster: what holds in it at any instant, as a function of the faults it was given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from runner.clusters.contract import Json
from runner.clusters.fake.settings import Settings
from runner.language.plan import Application

Interval = tuple[float, float]

SERVE = ("applications", "deployments", "replicas", "proxies")
RAY = ("nodes", "actors", *SERVE)


def within(intervals: list[Interval], at: float) -> bool:
    """Tell whether an instant lies in one of the half-open intervals."""
    return any(start <= at < end for start, end in intervals)


def deaths(intervals: list[Interval], at: float) -> int:
    """Count how often something died until this instant."""
    return sum(start <= at for start, _ in intervals)


def mended(intervals: list[Interval], at: float) -> list[Interval]:
    """Give the intervals of something that is back at this instant."""
    return [(start, min(end, max(start, at))) for start, end in intervals]


@dataclass(slots=True)
class Replica:
    """One replica's place; a killed one is replaced there by another pid."""

    app: str
    deployment: str
    slot: str
    number: int
    ready: float
    """When the first one runs."""
    place: int
    """Its number among all there ever were."""
    kills: list[Interval] = field(default_factory=list)


@dataclass(slots=True)
class Hold:
    """Something that is kept from answering until it is released: a `link` that is cut, or what is frozen.

    `what` is `link`, `node`, one of Ray's processes, `controller`, `proxy`, or `replica` and its number.
    """

    what: str
    slot: str
    start: float
    end: float = math.inf


@dataclass(slots=True)
class Deployed:
    """An application as Serve was told of it, `at` that instant; the same again when it was last `handed`."""

    application: Application
    at: float
    handed: float


@dataclass(slots=True)
class World:
    """Nodes, applications and what was done to them. Instants are the event loop's."""

    settings: Settings
    began: float = math.inf
    nodes: dict[str, list[Interval]] = field(default_factory=dict)
    proxies: dict[str, list[Interval]] = field(default_factory=dict)
    controller: list[Interval] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    """When a controller died for good: the next is another actor."""
    applications: dict[str, Deployed] = field(default_factory=dict)
    replicas: list[Replica] = field(default_factory=list)
    redis: list[Interval] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    placed: int = 0
    """How many replicas there ever were; with the first come the proxies."""
    deaf: set[str] = field(default_factory=set)
    """Slots whose proxies hear of no change, and go on as they were."""

    def __post_init__(self) -> None:
        slots = ["head", *(f"worker-{n}" for n in range(1, self.settings.workers + 1))]
        self.nodes = {slot: [] for slot in slots}
        self.proxies = {slot: [] for slot in slots}

    def up(self, slot: str, at: float) -> bool:
        """Tell whether a node is up; a slot that there is not never is."""
        return slot in self.nodes and at >= self.began and not within(self.nodes[slot], at)

    def deploy(self, applications: tuple[Application, ...], at: float) -> None:
        """Take a configuration; replicas of an application that is already there stay."""
        kept = {application.name for application in applications}
        self.applications = {name: each for name, each in self.applications.items() if name in kept}
        self.replicas = [replica for replica in self.replicas if replica.app in kept]
        for application in applications:
            known = self.applications.get(application.name)
            if known is not None and known.application.config == application.config:
                known.handed = at
                continue
            self.applications[application.name] = Deployed(application, at, at)
            if known is None or not self.broken(application):
                for deployment in self.deployments(application):
                    self._scale(application.name, deployment["name"], deployment["target_replicas"], at)

    def _scale(self, app: str, deployment: str, count: int, at: float) -> None:
        """Start the replicas that are missing, and drop those that are too many."""
        ours = [each for each in self.replicas if (each.app, each.deployment) == (app, deployment)]
        self.replicas = [each for each in self.replicas if each not in ours or each.number < count]
        slots = [slot for slot in self.nodes if slot != "head"] or ["head"]
        for number in range(len(ours), count):
            ready = at + self.settings.deploy_delay
            slot = slots[number % len(slots)]
            self.replicas.append(Replica(app, deployment, slot, number, ready, self.placed))
            self.placed += 1

    @staticmethod
    def broken(application: Application) -> bool:
        """Tell whether an application cannot be deployed: its module is called so."""
        return str(application.config.get("import_path", "")).startswith("broken")

    def deployments(self, application: Application) -> list[dict[str, Json]]:
        """Give name, number of replicas and options of each of an application's deployments."""
        declared = application.config.get("deployments") or [{"name": application.name}]
        found = []
        for each in declared:
            count = each.get("num_replicas")
            options = {key: value for key, value in each.items() if key not in ("name", "num_replicas")}
            found.append(
                {
                    "name": each["name"],
                    "target_replicas": count or self.settings.replicas,
                    "options": options,
                }
            )
        return found

    def outages(self, replica: Replica) -> list[Interval]:
        """Give when a replica's place had nobody: its own deaths and those of its node."""
        delay = self.settings.deploy_delay
        return replica.kills + [(start, end + delay) for start, end in self.nodes[replica.slot]]

    def runs(self, replica: Replica, at: float) -> bool:
        """Tell whether a replica answers."""
        return at >= replica.ready and not within(self.outages(replica), at)

    def pid(self, replica: Replica, at: float) -> int:
        """Give a replica's process id, which differs after each death."""
        return 1000 + 100 * replica.place + deaths(self.outages(replica), at)

    def break_node(self, slot: str, at: float, *, stays: bool = False) -> None:
        """Let a node die, and come back unless it `stays` away.

        Without GCS fault tolerance the head takes the workers along.
        """
        alone = slot != "head" or self.settings.gcs_fault_tolerance != "none"
        back = at + self.settings.restart_delay
        for each in [slot] if alone else list(self.nodes):
            self.nodes[each].append((at, math.inf if stays and each == slot else back))

    def mend_node(self, slot: str, at: float) -> None:
        """Bring a node back now if it is down."""
        self.nodes[slot] = mended(self.nodes[slot], at)

    def hold(self, what: str, slot: str, at: float) -> None:
        """Keep something from answering."""
        self.holds.append(Hold(what, slot, at))

    def release(self, what: str, slot: str, at: float) -> None:
        """Let it answer again."""
        for each in self.holds:
            if (each.what, each.slot) == (what, slot):
                each.end = min(each.end, at)

    def held(self, at: float, slot: str, *what: str) -> bool:
        """Tell whether one of these is kept from answering on a slot."""
        return any(
            each.what in what and each.slot == slot and each.start <= at < each.end for each in self.holds
        )

    def answer(self, slot: str, at: float, number: int = 0) -> tuple[int, str]:
        """Give what a request gets: status and body; status 0 is a refused connection."""
        if slot == "service":
            without = {"head"} if self.settings.exclude_head_from_service else set()
            serving = [each for each in self.nodes if each not in without and self.answer(each, at)[0]]
            return self.answer(serving[number % len(serving)], at, number) if serving else (0, "")
        if not self.placed or not self.up(slot, at) or within(self.proxies[slot], at):
            return 0, ""
        if self.held(at, slot, "link", "node", "proxy"):
            return 0, ""
        if not self.applications:
            return (503, "") if slot in self.deaf else (404, "")
        running = [
            replica
            for replica in self.replicas
            if self.runs(replica, at)
            and not self.held(at, replica.slot, "link", "node", f"replica {replica.number}")
        ]
        near = [replica for replica in running if replica.slot == slot] or running
        return (200, str(self.pid(near[number % len(near)], at))) if near else (503, "")

    def unknown(self, at: float) -> tuple[str, ...]:
        """Name the lists of the state document that nobody could answer for."""
        if not self.up("head", at) or self.held(at, "head", "link", "node", "gcs_server", "dashboard"):
            return RAY
        return SERVE if within(self.controller, at) or self.held(at, "head", "controller") else ()

    def document(self, at: float) -> Mapping[str, Json]:
        """Give the state document of an instant."""
        unknown = self.unknown(at)
        lists = {
            "nodes": self._nodes(at),
            "actors": self._actors(at),
            "applications": [self._application(name, at) for name in self.applications],
            "deployments": [
                row for each in self.applications.values() for row in self._deployments(each, at)
            ],
            "replicas": [
                self._replica(replica, at) for replica in self.replicas if self._placed(replica, at)
            ],
            "proxies": [
                {"node_id": self.node_id(slot, at), "slot": slot, "status": "HEALTHY", "actor_id": None}
                for slot in self.nodes
                if self.placed and self.up(slot, at) and not within(self.proxies[slot], at)
            ],
            "processes": [
                *(self._process(slot, "node", downs, at) for slot, downs in self.nodes.items()),
                *([self._process("redis", "service", self.redis, at)] if self.has_redis else []),
            ],
        }
        shown = {name: [] if name in unknown else rows for name, rows in lists.items()}
        return {"version": 1, "unknown": list(unknown)} | shown

    def node_id(self, slot: str, at: float) -> str:
        """Give the id of a node's present life."""
        return f"{slot}.{deaths(self.nodes[slot], at)}"

    def _nodes(self, at: float) -> list[dict[str, Json]]:
        rows = []
        for index, (slot, downs) in enumerate(self.nodes.items()):
            last = deaths(downs, at)
            for generation in range(last + 1):
                alive = generation == last and self.up(slot, at)
                # A node that has not come back has no row of its new life yet.
                if alive or generation < last:
                    rows.append(
                        {
                            "slot": slot,
                            "id": f"{slot}.{generation}",
                            "address": f"10.1.0.{index + 2}",
                            "is_head": slot == "head",
                            "state": "ALIVE" if alive else "DEAD",
                            "dead": not alive,
                        }
                    )
        return rows

    def _actors(self, at: float) -> list[dict[str, Json]]:
        ended = sum(each <= at for each in self.ended)
        controllers = [self._controller(life, at, last=life == ended) for life in range(ended + 1)]
        if not self.applications:
            return controllers[:-1]
        replicas = [
            {
                "id": f"actor-{self.pid(replica, at)}",
                "class": f"ServeReplica:{replica.app}:{replica.deployment}",
                "name": f"SERVE_REPLICA::{replica.app}#{replica.deployment}#{replica.number}",
                "role": "replica",
                "state": "ALIVE" if self.runs(replica, at) else "PENDING_CREATION",
                "dead": False,
                "pid": self.pid(replica, at),
                "node_id": self.node_id(replica.slot, at),
                "slot": replica.slot,
                "restarts": 0,
            }
            for replica in self.replicas
            if self._placed(replica, at)
        ]
        return [*controllers, *replicas]

    def controller_id(self, life: int) -> str:
        """Give the actor id of a controller, the first one's first."""
        return f"controller-{life}" if life else "controller"

    def _controller(self, life: int, at: float, *, last: bool) -> dict[str, Json]:
        """Give a controller's row; of several the last is or will be alive."""
        began = self.ended[life - 1] if life else -math.inf
        ended = math.inf if last else self.ended[life]
        restarts = sum(began < start < ended and start <= at for start, _ in self.controller)
        state = ("RESTARTING" if within(self.controller, at) else "ALIVE") if last else "DEAD"
        return {
            "id": self.controller_id(life),
            "class": "ServeController",
            "name": "SERVE_CONTROLLER_ACTOR",
            "role": "controller",
            "state": state,
            "dead": not last,
            "pid": 10 + 10 * life + restarts if state != "RESTARTING" else None,
            "node_id": self.node_id("head", at),
            "slot": "head",
            "restarts": restarts,
        }

    def _placed(self, replica: Replica, at: float) -> bool:
        return self.up(replica.slot, at)

    def _replica(self, replica: Replica, at: float) -> dict[str, Json]:
        pid = self.pid(replica, at)
        return {
            "app": replica.app,
            "deployment": replica.deployment,
            "id": f"replica-{pid}",
            "state": "RUNNING" if self.runs(replica, at) else "STARTING",
            "actor_id": f"actor-{pid}",
            "pid": pid,
            "node_id": self.node_id(replica.slot, at),
            "slot": replica.slot,
        }

    def _whole(self, name: str, at: float) -> bool:
        return all(self.runs(replica, at) for replica in self.replicas if replica.app == name)

    def _application(self, name: str, at: float) -> dict[str, Json]:
        """Give an application's row; one whose module is called `broken` cannot be deployed."""
        deployed = self.applications[name]
        settled = at >= deployed.at + self.settings.deploy_delay
        status = "DEPLOYING" if not settled else "RUNNING" if self._whole(name, at) else "UNHEALTHY"
        if settled and self.broken(deployed.application):
            status = "DEPLOY_FAILED"
        return {
            "name": name,
            "status": status,
            "message": "the module is broken" if status == "DEPLOY_FAILED" else "",
            "route_prefix": deployed.application.config.get("route_prefix", "/"),
            "last_deployed": deployed.handed,
        }

    def _deployments(self, deployed: Deployed, at: float) -> list[dict[str, Json]]:
        name = deployed.application.name
        status = "HEALTHY" if self._whole(name, at) else "UPDATING"
        return [
            {"app": name, **each, "status": status, "message": ""}
            for each in self.deployments(deployed.application)
        ]

    @property
    def has_redis(self) -> bool:
        """Whether a Redis stands beside the nodes."""
        return self.settings.gcs_fault_tolerance == "redis"

    def _process(self, slot: str, role: str, downs: list[Interval], at: float) -> dict[str, Json]:
        up = at >= self.began and not within(downs, at)
        stays = any(start <= at and end == math.inf for start, end in downs)
        frozen = [each for each in self.holds if each.slot == slot and each.what != "link"]
        return {
            "slot": slot,
            "role": role,
            "state": "up" if up else "waiting" if at >= self.began and not stays else "down",
            "count": 3 if up else 0,
            "starts": int(at >= self.began) + sum(end <= at for _, end in downs),
            "frozen": 3
            if self.held(at, slot, "node")
            else sum(each.start <= at < each.end for each in frozen),
            "cut_off": self.held(at, slot, "link"),
        }
