"""Actions on Serve's actors: found in the state document, ended by a signal or by Ray, or frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from runner.clusters.actors import Document, hit, resolve
from runner.clusters.contract import Armed, Hit
from runner.clusters.local.arms import ArmedFreeze, ArmedSignal
from runner.clusters.local.scripts import ArmedRayKill, Head, require_head
from runner.clusters.local.wire import Wire
from runner.errors import ClusterError
from runner.rayserve import dashboard

Json = Any


async def arm_actor(
    wire: Wire,
    arguments: Mapping[str, Json],
    head: Head,
    documents: Sequence[Document],
    seed: int,
    *,
    freeze: bool = False,
) -> Armed:
    """Resolve actors (`actors.resolve`) and prepare their end, or that they freeze."""
    by_signal = freeze or arguments.get("how", "crash") == "crash"
    if not by_signal:
        await require_head(wire, head)
    rows = await resolve(arguments, documents, seed, partial(_still, wire), by_signal=by_signal)
    hits = tuple(hit(row) for row in rows)
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
    living = (await wire.ask("living", pids=[each.ids["pid"] for each in hits]))["processes"]
    for each in hits:
        if str(each.ids["pid"]) not in living:
            raise ClusterError(f"It is not there any more: {each.says}.")
    return [(each.slot, [[each.ids["pid"], living[str(each.ids["pid"])][0]]]) for each in hits]
