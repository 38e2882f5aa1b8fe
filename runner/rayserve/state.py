"""Ray's and Serve's answers to the state document of docs/state.md. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Json = Any
Row = Mapping[str, Json]

VERSION = 1

SERVE_LISTS = ("applications", "deployments", "replicas", "proxies")
"""What only the Serve controller can answer for."""

CONTROLLER = "ServeController"
PROXIES = ("ProxyActor", "HAProxyManager", "HTTPProxyActor")
"""Class names of proxies: today's, with HAProxy, and those of Ray 2.0 that users' clusters may still have."""


def role(class_name: str) -> str:
    """Give the role of an actor by its class: controller, proxy, replica, other."""
    if class_name == CONTROLLER:
        return "controller"
    if class_name in PROXIES:
        return "proxy"
    return "replica" if class_name.startswith("ServeReplica:") else "other"


def number(value: Json) -> int | None:
    """Give a number that Ray may have written as a string; None where it is none."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def document(
    *,
    nodes: Sequence[Row] | None,
    actors: Sequence[Row] | None,
    applications: Row | None,
    processes: Sequence[Row] | None,
    slots: Mapping[str, str],
) -> dict[str, Json]:
    """Give the state document. None stands for a question that nobody answered.

    `nodes` and `actors` are rows of the State API, `applications` what Serve's REST API says, `processes`
    rows as the document has them, `slots` the slot of each node address.
    """
    unknown: list[str] = []
    node_rows = [_node(row, slots) for row in nodes] if nodes is not None else []
    placed = {row["id"]: row["slot"] for row in node_rows}
    actor_rows = [_actor(row, placed) for row in actors] if actors is not None else []
    if nodes is None:
        unknown.append("nodes")
    if actors is None:
        unknown.append("actors")
    serve = _serve(applications, placed) if applications is not None else {}
    if applications is None or (
        not serve["applications"] and _controller_missing(actor_rows, actors is not None)
    ):
        unknown += SERVE_LISTS
        serve = {name: [] for name in SERVE_LISTS}
    if processes is None:
        unknown.append("processes")
    return {
        "version": VERSION,
        "unknown": unknown,
        "nodes": node_rows,
        "actors": actor_rows,
        **serve,
        "processes": [dict(row) for row in processes] if processes is not None else [],
    }


def _controller_missing(actors: Sequence[Row], known: bool) -> bool:
    """Whether an answer without applications means that nobody could answer.

    Serve's API says the same, 200 and nothing, where the controller is dead and where there is no
    application. A cluster that never had a controller has no applications, and that is known.
    """
    if not known:
        return True
    controllers = [row for row in actors if row["role"] == "controller"]
    return bool(controllers) and all(row["state"] != "ALIVE" for row in controllers)


def _node(row: Row, slots: Mapping[str, str]) -> dict[str, Json]:
    address = row.get("node_ip")
    state = row.get("state")
    return {
        "slot": slots.get(address or ""),
        "id": row.get("node_id"),
        "address": address,
        "is_head": row.get("is_head_node"),
        "state": state,
        "dead": state == "DEAD",
        "resources": _offered(row.get("resources_total")),
    }


def _offered(resources: Json) -> dict[str, float] | None:
    """Give what a node offers, without the marks by which Ray names nodes."""
    if not isinstance(resources, Mapping):
        return None
    return {name: float(amount) for name, amount in resources.items() if not name.startswith("node:")}


def _actor(row: Row, placed: Mapping[str, str | None]) -> dict[str, Json]:
    state = row.get("state")
    class_name = str(row.get("class_name") or "")
    # Until it has given the actor another process, Ray goes on naming the dead one.
    pid = number(row.get("pid")) if state != "RESTARTING" else None
    node_id = row.get("node_id") or None
    return {
        "id": row.get("actor_id"),
        "class": class_name,
        "name": row.get("name"),
        "role": role(class_name),
        "state": state,
        "dead": state == "DEAD",
        "pid": pid or None,
        "node_id": node_id,
        "slot": placed.get(node_id or ""),
        "restarts": number(row.get("num_restarts")),
    }


def _serve(answer: Row, placed: Mapping[str, str | None]) -> dict[str, list[dict[str, Json]]]:
    applications: list[dict[str, Json]] = []
    deployments: list[dict[str, Json]] = []
    replicas: list[dict[str, Json]] = []
    for name, application in (answer.get("applications") or {}).items():
        applications.append(
            {
                "name": name,
                "status": application.get("status"),
                "message": application.get("message", ""),
                "route_prefix": application.get("route_prefix"),
                "last_deployed": application.get("last_deployed_time_s"),
            }
        )
        for deployment_name, deployment in (application.get("deployments") or {}).items():
            configured = deployment.get("deployment_config") or {}
            deployments.append(
                {
                    "app": name,
                    "name": deployment_name,
                    "status": deployment.get("status"),
                    "message": deployment.get("message", ""),
                    "target_replicas": number(deployment.get("target_num_replicas")),
                    "options": {key: value for key, value in configured.items() if key != "name"},
                    "asks": deployment.get("required_resources"),
                }
            )
            for replica in deployment.get("replicas") or []:
                node_id = replica.get("node_id")
                replicas.append(
                    {
                        "app": name,
                        "deployment": deployment_name,
                        "id": replica.get("replica_id"),
                        "state": replica.get("state"),
                        "actor_id": replica.get("actor_id"),
                        "pid": number(replica.get("pid")),
                        "node_id": node_id,
                        "slot": placed.get(node_id or ""),
                    }
                )
    proxies = [
        {
            "node_id": node_id,
            "slot": placed.get(node_id),
            "status": proxy.get("status"),
            "actor_id": proxy.get("actor_id"),
        }
        for node_id, proxy in (answer.get("proxies") or {}).items()
    ]
    return {
        "applications": applications,
        "deployments": deployments,
        "replicas": replicas,
        "proxies": proxies,
    }
