"""Which of Serve's actors an action means: found in the state document, drawn with the seed."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from runner.clusters.contract import Hit
from runner.clusters.draw import drawn
from runner.errors import ClusterError, Unreachable

Json = Any
Document = Mapping[str, Json]


def knows(document: Document, role: str) -> bool:
    """Tell whether a document says which actors have the role, and which replicas run."""
    return "actors" not in document["unknown"] and (
        role != "replica" or "replicas" not in document["unknown"]
    )


def matching(document: Document, arguments: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    """Give the living actors that an action may mean, in a fixed order."""
    role = arguments["role"]
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
    return sorted(alive, key=lambda row: str(row["id"]))


def chosen(
    found: Sequence[Mapping[str, Json]], arguments: Mapping[str, Json], seed: int
) -> list[Mapping[str, Json]]:
    """Give those of them that are hit, drawn with the seed. Raises ClusterError for none, or too few."""
    if not found:
        words = {
            key: arguments[key] for key in ("app", "deployment", "slot") if arguments.get(key) is not None
        }
        of = "".join(f", {key} {value}" for key, value in words.items())
        raise ClusterError(f"There is no living actor with the role {arguments['role']}{of}.")
    draw = random.Random(seed)  # noqa: S311 (must be the same for the same seed)
    return drawn(found, arguments.get("mode", "one"), draw)


async def resolve(
    arguments: Mapping[str, Json],
    documents: Sequence[Document],
    seed: int,
    living: Callable[[Sequence[Mapping[str, Json]]], Awaitable[list[Mapping[str, Json]]]],
    *,
    by_signal: bool,
) -> list[Mapping[str, Json]]:
    """Give the actors that an action hits; raises Unreachable where nobody can say, ClusterError for too few.

    `documents` are what the cluster says now, and what it said when last it said anything: a signal needs no
    head, and finds the actors that were known. It ends processes that live and are the actors', as `living`
    tells: after a failure the head goes on listing dead ones for seconds, and containers give their numbers
    to others.
    """
    role = arguments["role"]
    known = next((each for each in documents[: None if by_signal else 1] if knows(each, role)), None)
    if known is None:
        raise Unreachable(f"Nobody can say now which actor is a {role}: Ray's head does not answer.")
    found = matching(known, arguments)
    return chosen(await living(found) if by_signal else found, arguments, seed)


def hit(row: Mapping[str, Json]) -> Hit:
    """Give the hit of an actor."""
    says = f"{row['role']} {row['name']} on {row['slot']}, process {row['pid']}"
    ids = {"pid": row["pid"], "actor_id": row["id"], "node_id": row["node_id"], "restarts": row["restarts"]}
    return Hit(row["slot"] or "", row["role"], says, ids)
