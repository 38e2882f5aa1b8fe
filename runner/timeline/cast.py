"""Who is who in a scenario: what the ids in events and state documents stand for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.journal.events import ClusterEvent

Json = Any


@dataclass(frozen=True, slots=True)
class Observed:
    """A state document: what it says held at some instant of [asked, at] (seconds since the run's zero)."""

    asked: float
    at: float
    document: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Who:
    """A member. `thread` is what all that happens to it goes by."""

    role: str
    says: str
    slot: str
    thread: str


@dataclass(slots=True)
class Cast:
    """Members by their ids, as far as anybody named them."""

    nodes: dict[str, str] = field(default_factory=dict)
    """Slots by node id."""
    actors: dict[str, Who] = field(default_factory=dict)
    replicas: dict[str, Who] = field(default_factory=dict)

    def actor(self, actor_id: str) -> Who:
        """Give who an actor is; one that nobody named goes by its id."""
        return self.actors.get(actor_id) or Who("actor", f"actor {actor_id[:8]}", "", actor_id)

    def replica(self, replica: str, deployment: str = "") -> Who:
        """Give who a replica is."""
        says = " ".join(part for part in ("replica", deployment, replica) if part)
        return self.replicas.get(replica) or Who("replica", says, "", replica)

    def proxy(self, node_id: str) -> Who:
        """Give the proxy of a node."""
        slot = self.slot(node_id)
        return Who("proxy", f"proxy on {slot}", slot, f"proxy on {slot}")

    def slot(self, node_id: str) -> str:
        """Give where a node stands; a node that nobody placed goes by its id."""
        return self.nodes.get(node_id, node_id[:8])


def distinct(observed: Iterable[Observed]) -> list[Observed]:
    """Leave out what says the same as the one before it."""
    found: list[Observed] = []
    for each in observed:
        if not found or found[-1].document is not each.document:
            found.append(each)
    return found


def cast(observed: Sequence[Observed], said: Iterable[ClusterEvent]) -> Cast:
    """Collect who is who from all that was observed and said."""
    found = Cast()
    for event in said:
        if event.data.get("event") in ("raylet_starting", "raylet_started") and event.slot:
            found.nodes[str(event.data.get("node_id"))] = event.slot
    for seen in distinct(observed):
        for row in seen.document.get("nodes", ()):
            if row.get("slot") and row.get("id"):
                found.nodes[str(row.get("id"))] = row.get("slot")
    for seen in distinct(observed):
        for row in seen.document.get("replicas", ()):
            _replica(found, row)
        for row in seen.document.get("proxies", ()):
            if row.get("actor_id"):
                found.actors[str(row["actor_id"])] = found.proxy(str(row.get("node_id")))
        for row in seen.document.get("actors", ()):
            _actor(found, row)
    return found


def _replica(found: Cast, row: Mapping[str, Json]) -> None:
    replica = str(row.get("id"))
    slot = row.get("slot") or found.nodes.get(str(row.get("node_id")), "")
    who = found.replicas.get(replica)
    if who is None or (slot and not who.slot):
        says = f"replica {row.get('deployment', '')} {replica}" + (f" on {slot}" if slot else "")
        found.replicas[replica] = who = Who("replica", says, slot, replica)
    if row.get("actor_id"):
        found.actors[str(row["actor_id"])] = who


def _actor(found: Cast, row: Mapping[str, Json]) -> None:
    actor_id, name = str(row.get("id")), str(row.get("name") or "")
    slot = row.get("slot") or found.nodes.get(str(row.get("node_id")), "")
    role = row.get("role")
    if role == "replica":
        # SERVE_REPLICA::<app>#<Deployment>#<id>
        deployment, _, replica = name.rpartition("#")
        who = found.replica(replica, deployment.rpartition("#")[2])
        if not who.slot and slot:
            who = Who("replica", f"{who.says} on {slot}", slot, who.thread)
        found.actors[actor_id] = found.replicas[who.thread] = who
    elif role == "proxy" and actor_id not in found.actors:
        # SERVE_PROXY_ACTOR-<node id>
        found.actors[actor_id] = found.proxy(name.rpartition("-")[2])
    elif role == "controller":
        found.actors[actor_id] = Who("controller", "controller", slot, "controller")
