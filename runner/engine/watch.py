"""Journals what the cluster says, and from it when a fault's targets were put back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from runner.clusters.contract import Cluster, Saying
from runner.errors import ClusterError
from runner.journal.events import ClusterEvent, FaultHealed, Observation, Said
from runner.journal.journal import Journal
from runner.journal.redaction import hidden_lines
from runner.steps.scene import Document, Fault, Scene

AGAIN = 1.0
"""Seconds until a stream that broke is asked for again."""


async def watch(number: int, cluster: Cluster, journal: Journal, scene: Scene) -> None:
    """Journal every saying of the cluster, until cancelled; raises Lost where there is none any more."""
    while True:
        try:
            async for saying in cluster.observe():
                note(number, saying, journal, scene)
        except ClusterError as error:
            text = f"The cluster is not observed for the moment: {error.message}"
            journal.append(Said(scenario=number, level="warning", text=text))
        await asyncio.sleep(AGAIN)


def note(number: int, saying: Saying, journal: Journal, scene: Scene) -> None:
    """Journal one saying; a document that says nothing new refers to the one that said it."""
    at, asked = saying.at - journal.zero, saying.asked - journal.zero
    if saying.document is None:
        journal.append(
            ClusterEvent(
                scenario=number,
                at=at,
                source=saying.source,
                slot=saying.slot,
                text=hidden_lines(saying.text),
                data=saying.data,
            )
        )
    elif scene.observation is not None and saying.document == scene.document:
        known = scene.observation
        origin = known.seq if known.same_as is None else known.same_as
        journal.append(Observation(scenario=number, asked=asked, same_as=origin))
    else:
        journal.append(Observation(scenario=number, asked=asked, document=saying.document))
    for fault in scene.faults:
        # What lasts is put back by its undo, and noted there.
        if (
            fault.injected is not None
            and fault.healed is None
            and not fault.lasts
            and _put_back(fault, scene)
        ):
            journal.append(FaultHealed(fault=fault.number, at=at))


def _put_back(fault: Fault, scene: Scene) -> bool:
    """Whether every node and service that the fault hit was started again since."""
    slots = [hit["slot"] for hit in fault.hits if hit["role"] in ("head", "worker", "redis")]
    before, now = _starts(fault.before), _starts(scene.document)
    said = {
        event.slot
        for event in scene.happenings
        if event.data.get("event") == "up" and fault.injected is not None and event.at > fault.injected
    }
    return bool(slots) and all(
        slot in said or now.get(slot, 0) > before.get(slot, now.get(slot, 0)) for slot in slots
    )


def _starts(document: Document | None) -> Mapping[str, Any]:
    """Give how often each node that is up was started."""
    rows = () if document is None else document.get("processes", ())
    return {row["slot"]: row["starts"] for row in rows if row["state"] == "up"}
