"""Builders of what a cluster said, for tests of causes, phases and members."""

from __future__ import annotations

from typing import Any

from runner.journal.events import ClusterEvent
from runner.timeline import run
from runner.timeline.cast import Observed
from runner.timeline.recovery import Account, Injury, Lane
from runner.timeline.run import Blind, Bracket, Window

HEAD, ONE, TWO, NEW = ("a" * 56), ("b" * 56), ("c" * 56), ("d" * 56)
"""Ids of the head, of the workers, and of whoever takes the place of one."""

NODES = {HEAD: "head", ONE: "worker-1", TWO: "worker-2"}


def said(at: float, source: str, slot: str, event: str, text: str = "", **data: Any) -> ClusterEvent:
    return ClusterEvent(
        scenario=0,
        at=at,
        t=at + 0.1,
        source=source,
        slot=slot,
        text=text or event,
        data={"event": event, **data},
    )


def node(identity: str, state: str = "ALIVE", slot: str | None = None) -> dict[str, Any]:
    slot = slot or NODES[identity]
    return {"slot": slot, "id": identity, "is_head": slot == "head", "state": state, "dead": state == "DEAD"}


def actor(
    identity: str, role: str, name: str, node_id: str, state: str = "ALIVE", pid: int = 1
) -> dict[str, Any]:
    row = {"id": identity, "role": role, "name": name, "node_id": node_id, "state": state, "pid": pid}
    return row | {"slot": NODES.get(node_id), "dead": state == "DEAD"}


def replica(identity: str, node_id: str, state: str = "RUNNING") -> dict[str, Any]:
    return {
        "app": "app",
        "deployment": "Model",
        "id": identity,
        "state": state,
        "actor_id": f"actor-{identity}",
        "node_id": node_id,
        "slot": NODES.get(node_id),
    }


def proxy(node_id: str, status: str = "HEALTHY") -> dict[str, Any]:
    return {
        "node_id": node_id,
        "slot": NODES.get(node_id),
        "status": status,
        "actor_id": f"proxy-{node_id[:1]}",
    }


WELL: dict[str, Any] = {
    "version": 1,
    "unknown": [],
    "nodes": [node(each) for each in NODES],
    "actors": [
        actor("control", "controller", "SERVE_CONTROLLER_ACTOR", HEAD),
        *(actor(f"proxy-{each[:1]}", "proxy", f"SERVE_PROXY_ACTOR-{each}", each) for each in NODES),
        *(
            actor(f"actor-{name}", "replica", f"SERVE_REPLICA::app#Model#{name}", where)
            for name, where in (("r1", ONE), ("r2", TWO))
        ),
    ],
    "applications": [{"name": "app", "status": "RUNNING"}],
    "deployments": [],
    "replicas": [replica("r1", ONE), replica("r2", TWO)],
    "proxies": [proxy(each) for each in NODES],
    "processes": [{"slot": slot, "role": "node", "state": "up"} for slot in NODES.values()],
}


def but(**lists: Any) -> dict[str, Any]:
    """Give the well document with some lists changed."""
    return {**WELL, **lists}


def seen(at: float, document: dict[str, Any], asked: float | None = None) -> Observed:
    return Observed(at - 0.05 if asked is None else asked, at, document)


def injury(
    at: float, *hits: dict[str, Any], recovered: float | None = None, number: int = 0, **fields: Any
) -> Injury:
    values: dict[str, Any] = {
        "name": f"fault{number}",
        "kind": "kill",
        "how": "crash",
        "target": "something",
        "hits": (),
        "intended": at,
        "injected": at,
        "confirmed": True,
        "healed": None,
        "recovered": recovered,
    }
    return Injury(number, run.Fault(**{**values, **fields}), hits)


def window(
    start: float, end: float | None, *, wide: float = 0.05, outcomes: dict[str, int] | None = None
) -> Window:
    return Window(
        start=Bracket(start - wide, start, start + wide),
        end=None if end is None else Bracket(end - wide, end, end + wide),
        shortest=0.0,
        longest=1.0,
        open=end is None,
        outcomes=outcomes or {"refused": 9},
    )


def lane(
    *windows: Window, name: str = "users", endpoint: str = "service", blind: tuple[Blind, ...] = ()
) -> Lane:
    return Lane(name, f"{endpoint}/new", endpoint, (0.0, 200.0), windows, blind)


def account(
    *injuries: Injury,
    events: tuple[ClusterEvent, ...] = (),
    observed: tuple[Observed, ...] = (),
    lanes: tuple[Lane, ...] = (),
    end: float = 200.0,
) -> Account:
    return Account(end, injuries, observed, events, lanes)
