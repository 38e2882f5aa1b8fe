"""What is still missing for a cluster to be as it was before a fault: pure, over state documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from runner.rayserve.members import count

if TYPE_CHECKING:
    from runner.steps.scene import Document, Fault

Json = Any

GIVES_UP = 15.0
"""Seconds after which a GCS that lost its Redis has ended, or gets along (4 s on Ray 2.60)."""


def unknown(document: Document, *lists: str) -> str | None:
    """Say which of the lists nobody could answer for."""
    missing = [name for name in lists if name in document.get("unknown", ())]
    return f"nobody could say what the {' and the '.join(missing)} are" if missing else None


def applications(document: Document, status: str, names: Iterable[str] | None = None) -> str | None:
    """Say which applications do not have the status: those named, else every one there is."""
    if said := unknown(document, "applications"):
        return said
    rows = {row["name"]: row for row in document["applications"]}
    expected = list(rows) if names is None else list(names)
    if not expected:
        return "there is no application"
    for name in expected:
        if name not in rows:
            return f"application {name} is not there"
        if rows[name]["status"] != status:
            message = f" ({rows[name]['message']})" if rows[name].get("message") else ""
            return f"application {name} is {rows[name]['status']}{message}"
    return None


def replicas(document: Document) -> str | None:
    """Say which deployment has fewer running replicas than it declares."""
    if said := unknown(document, "deployments", "replicas"):
        return said
    for row in document["deployments"]:
        running = sum(
            replica["state"] == "RUNNING"
            for replica in document["replicas"]
            if (replica["app"], replica["deployment"]) == (row["app"], row["name"])
        )
        target = row.get("target_replicas")
        if target is not None and running < target:
            message = f" ({row['message']})" if row.get("message") else ""
            return f"replicas {running} of {target} of {row['name']}{message}"
    return None


def members(document: Document, expected: Mapping[str, int | None]) -> str | None:
    """Say which role has another number of members than expected."""
    now = count(document)
    for role, number in expected.items():
        there = getattr(now, role)
        if number is None:
            continue
        if there is None:
            return f"nobody could say how many {role} there are"
        if there != number:
            return f"{role} {there} of {number}"
    return None


def lingers(document: Document, faults: Iterable[Fault], sought: Fault) -> str | None:
    """Say what `sought`, or another fault not recovered from yet, hit and is still listed as alive.

    To recover from one is to be as before all of them. What another one was not seen to hit may well live on.
    """
    for fault in faults:
        if not fault.ends or fault.before is None:
            continue
        if fault is not sought and (fault.recovered is not None or fault.confirmed is False):
            continue
        # While the head is down nobody says which nodes there are: then those from before that count.
        known = fault.before if unknown(fault.before, "nodes") is None else fault.well or fault.before
        if said := remains(document, known, fault.hits):
            return said
    return None


def remains(document: Document, before: Document, hits: Iterable[Mapping[str, Json]]) -> str | None:
    """Say what a fault hit and is still listed as alive: what a cluster says then is stale.

    An actor is known by its id and process, a node by the id that its slot had before the fault.
    """
    nodes = {row["slot"]: row["id"] for row in before.get("nodes", ()) if not row["dead"]}
    for hit in hits:
        if hit.get("exchanged") is not None and (said := _exchanged(document, hit["exchanged"])):
            return said
        actor, pid = hit.get("actor_id"), hit.get("pid")
        node = nodes.get(hit["slot"]) if hit["role"] in ("head", "worker") else None
        for what, row in _alive(document):
            if actor is not None:
                # Proxies are listed without a process, and a new one is a new actor.
                same = pid is not None and row.get("pid") == pid if "pid" in row else True
                stale = same and row.get("actor_id", row.get("id")) == actor
            else:
                stale = node is not None and node in (row.get("node_id"), row.get("id"))
            if stale:
                return f"{hit.get('slot') or what} that was killed is still listed ({what})"
    return None


def _exchanged(document: Document, cluster: str) -> str | None:
    """Say that a cluster that another one was to take the place of still serves, or is still there.

    With it go connections that were kept open to it: until then its exchange has not ended.
    """
    rows = document.get("clusters")
    if rows is None:
        return "nobody could say which RayClusters there are"
    there = next((row for row in rows if row["name"] == cluster), None)
    if there is None:
        return None if any(row["serves"] for row in rows) else "no RayCluster serves"
    return f"the RayCluster {cluster} " + ("still serves" if there["serves"] else "is still there")


def exchanging(document: Document, hits: Iterable[Mapping[str, Json]]) -> bool:
    """Whether a cluster that is exchanged is known to be there still; what Ray lists of the dead is stale."""
    there = {row["name"] for row in document.get("clusters") or ()}
    return any(hit.get("exchanged") in there for hit in hits)


def _alive(document: Document) -> Iterator[tuple[str, Mapping[str, Json]]]:
    for name, what in (
        ("nodes", "a node"),
        ("actors", "an actor"),
        ("replicas", "a replica"),
        ("proxies", "a proxy"),
    ):
        for row in document.get(name, ()):
            if not row.get("dead"):
                yield what, row


def unsettled(
    document: Document, before: Document, hits: Iterable[Mapping[str, Json]], since: float
) -> str | None:
    """Say whether a fault's effect may be still to come, `since` seconds after it hit.

    A GCS whose Redis was gone does not find back, even where Redis is up again at once: it tries for some
    seconds, and ends. Until then all looks well.
    """
    if since > GIVES_UP or not any(hit["role"] == "redis" for hit in hits):
        return None
    then, now = (
        next((row.get("starts") for row in each.get("processes", ()) if row["slot"] == "head"), None)
        for each in (before, document)
    )
    return "the head has lost its Redis, and was not started again yet" if then == now else None


def processes(document: Document, before: Document) -> str | None:
    """Say which machine that was up before is not up, is cut off, or has frozen processes."""
    if before.get("processes") and (said := unknown(document, "processes")):
        return said
    now = {row["slot"]: row for row in document.get("processes", ())}
    for row in before.get("processes", ()):
        there = now.get(row["slot"], {})
        if row["state"] == "up" and there.get("state") != "up":
            return f"{row['slot']} is {there.get('state', 'not there')}"
        if there.get("cut_off") and not row.get("cut_off"):
            return f"{row['slot']} is cut off"
        if there.get("frozen") and not row.get("frozen"):
            return f"{row['slot']} has frozen processes"
    return None


def readiness(document: Document, before: Document) -> str | None:
    """Say which machine that Kubernetes called Ready before is not Ready: the service passes it over."""
    now = {row["slot"]: row for row in document.get("processes", ())}
    for row in before.get("processes", ()):
        if row.get("ready") and now.get(row["slot"], {}).get("ready") is False:
            return f"{row['slot']} is not Ready"
    return None


def missing(document: Document, before: Document) -> str | None:
    """Say the first thing in which `document` is not yet as `before`; what was unknown then is left out."""
    then = count(before)
    expected = {each.name: getattr(then, each.name) for each in fields(then)}
    known = [
        name for name in ("applications", "deployments", "replicas") if name not in before.get("unknown", ())
    ]
    if "replicas" in known and "deployments" in known:
        # As many as are declared now: a deployment since the fault may have changed that.
        expected["replicas"] = None
    return (
        processes(document, before)
        or (unknown(document, *known) if known else None)
        or (
            applications(document, "RUNNING", [row["name"] for row in before["applications"]])
            if "applications" in known and before["applications"]
            else None
        )
        or (replicas(document) if "replicas" in known and "deployments" in known else None)
        or members(document, expected)
        or readiness(document, before)
    )
