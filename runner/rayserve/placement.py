"""Whether the declared replicas can stand anywhere: what they ask, and what the nodes offer. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Any


def unplaceable(document: Mapping[str, Json]) -> list[str]:
    """Give one sentence a deployment whose replicas have no room even on empty nodes.

    Says nothing where nodes or deployments are unknown, and while a node is away: it may bring the room.
    Other deployments take room too, so an empty list promises nothing.
    """
    if {"nodes", "deployments", "processes"} & set(document["unknown"]):
        return []
    nodes = [row for row in document["nodes"] if row["state"] == "ALIVE"]
    machines = [row for row in document["processes"] if row["role"] == "node"]
    whole = len(nodes) >= len(machines) and all(row["state"] == "up" for row in machines)
    if not whole or any(row.get("resources") is None for row in nodes):
        return []
    said = []
    for deployment in document["deployments"]:
        needs = {name: amount for name, amount in (deployment.get("asks") or {}).items() if amount > 0}
        target = deployment["target_replicas"]
        if not needs or target is None:
            continue
        room = sum(
            # Ray counts in ten-thousandths; floats may come out a little less than whole.
            min(int(row["resources"].get(name, 0.0) / amount + 1e-6) for name, amount in needs.items())
            for row in nodes
        )
        if room < target:
            offers = "; ".join(
                f"{row['slot'] or row['address']}: {_list(row['resources'], needs)}" for row in nodes
            )
            said.append(
                f"{deployment['app']}/{deployment['name']} wants {target} replicas of"
                f" {_list(needs, needs)} each, and the nodes have room for {room} ({offers})."
            )
    return said


def _list(amounts: Mapping[str, float], names: Mapping[str, float]) -> str:
    return ", ".join(f"{amounts.get(name, 0.0):g} {name}" for name in names)
