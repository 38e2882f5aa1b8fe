"""Actions on Serve's actors: found in the state document, ended by a signal or by Ray, or frozen."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from runner.clusters.contract import Armed, Hit
from runner.clusters.draw import drawn
from runner.clusters.local.arms import ArmedFreeze, ArmedSignal
from runner.clusters.local.scripts import ArmedRayKill, Head, require_head
from runner.clusters.local.wire import Wire
from runner.errors import ClusterError
from runner.rayserve import dashboard

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


def _hit(row: Mapping[str, Json]) -> Hit:
    says = f"{row['role']} {row['name']} on {row['slot']}, process {row['pid']}"
    ids = {"pid": row["pid"], "actor_id": row["id"], "node_id": row["node_id"], "restarts": row["restarts"]}
    return Hit(row["slot"] or "", row["role"], says, ids)


async def arm_actor(
    wire: Wire,
    arguments: Mapping[str, Json],
    head: Head,
    documents: Sequence[Document],
    seed: int,
    *,
    freeze: bool = False,
) -> Armed:
    """Resolve actors and prepare their end, or that they freeze.

    `documents` are what the cluster says now, and what it said when last it said anything: a signal needs no
    head, and finds the actors that were known and whose processes live.
    """
    role = arguments["role"]
    by_signal = freeze or arguments.get("how", "crash") == "crash"
    if not by_signal:
        await require_head(wire, head)
    known = next((each for each in documents[: None if by_signal else 1] if knows(each, role)), None)
    if known is None:
        raise ClusterError(f"Nobody can say now which actor is a {role}: Ray's head does not answer.")
    found = matching(known, arguments)
    if known is not documents[0]:
        found = await _still(wire, found)
    rows = chosen(found, arguments, seed)
    hits = tuple(_hit(row) for row in rows)
    if freeze:
        return ArmedFreeze(wire, hits, await _begun(wire, hits))
    if by_signal:
        return ArmedSignal(wire, hits)
    detailed = {row["actor_id"]: row for row in await dashboard.rows(head.ask, "actors")}
    names = [
        (str(row["name"]), str(detailed.get(row["id"], {}).get("ray_namespace") or "serve")) for row in rows
    ]
    no_restart = arguments.get("no_restart") is not False
    return await ArmedRayKill.prepare(wire, head, hits, names, no_restart=no_restart)


async def _still(wire: Wire, rows: Sequence[Mapping[str, Json]]) -> list[Mapping[str, Json]]:
    """Keep the actors whose processes live, and are titled as theirs are."""
    living = (await wire.ask("living", pids=[row["pid"] for row in rows]))["processes"]
    return [
        row
        for row in rows
        if str(row["pid"]) in living and living[str(row["pid"])][1].startswith(f"ray::{row['class']}")
    ]


async def _begun(wire: Wire, hits: Sequence[Hit]) -> list[tuple[str, list[list[int]]]]:
    """Give the slot of each hit, its process, and when that began."""
    living = (await wire.ask("living", pids=[hit.ids["pid"] for hit in hits]))["processes"]
    for hit in hits:
        if str(hit.ids["pid"]) not in living:
            raise ClusterError(f"It is not there any more: {hit.says}.")
    return [(hit.slot, [[hit.ids["pid"], living[str(hit.ids["pid"])][0]]]) for hit in hits]
