"""Lanes of members: what each node, replica, proxy and the controller was, over a whole scenario. Pure.

An observation holds from its answer to the next one's; where the next one is late, or nobody could answer for
the list, the member is unknown. What the supervisor says of its units is known to the instant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.journal.events import ClusterEvent
from runner.timeline import run
from runner.timeline.cast import Cast, Observed
from runner.timeline.run import Member, Span

Json = Any
Said = tuple[str, str]
"""A state, and what it says of it."""

LATE = 10.0
"""Seconds after which an observation says nothing of now any more."""

UP, STARTING, DEAD, UNKNOWN = "up", "starting", "dead", "unknown"

GONE = DEAD, "not listed"

_NODE = {"ALIVE": UP, "DEAD": DEAD}
_REPLICA = {
    "RUNNING": UP,
    "UPDATING": UP,
    "PENDING_MIGRATION": UP,
    "STARTING": STARTING,
    "RECOVERING": STARTING,
    "STOPPING": DEAD,
    "STOPPED": DEAD,
}
_PROXY = {"HEALTHY": UP, "DRAINING": UP, "STARTING": STARTING, "UNHEALTHY": DEAD, "DRAINED": DEAD}
_ACTOR = {
    "ALIVE": UP,
    "DEPENDENCIES_UNREADY": STARTING,
    "PENDING_CREATION": STARTING,
    "RESTARTING": STARTING,
    "DEAD": DEAD,
}
_UNIT = {"up": UP, "starting": STARTING, "waiting": DEAD, "down": DEAD}
_HELD = {"freeze": "frozen", "partition": "cut off"}
"""States in which faults of a kind hold what they hit."""

ORDER = ("head", "worker", "controller", "proxy", "replica", "service")


@dataclass(slots=True)
class _Lane:
    name: str
    role: str
    slot: str
    points: list[tuple[float, Said]] = field(default_factory=list)
    """When it was seen to be what; the last one holds on."""

    def note(self, at: float, said: Said) -> None:
        """Add what it is from an instant on."""
        if not self.points or self.points[-1][1] != said:
            self.points.append((at, said))


def members(
    observed: Sequence[Observed],
    said: Iterable[ClusterEvent],
    faults: Sequence[tuple[run.Fault, Sequence[Mapping[str, Json]]]],
    cast: Cast,
    axis: tuple[float, float],
) -> tuple[Member, ...]:
    """Give a lane for each member that was ever seen. `faults` come with the ids of what they hit."""
    lanes: dict[str, _Lane] = {}
    changes = _unit_changes(said)
    before = axis[0]
    for seen in observed:
        if seen.at - before > LATE:
            for lane in lanes.values():
                lane.note(before + LATE, (UNKNOWN, "nobody was asked"))
        told = set()
        for name, role, slot, state in _rows(seen.document, cast):
            if name not in lanes and state == GONE:
                continue  # it is not there yet
            told.add(name)
            lane = lanes.setdefault(name, _Lane(name, role, slot))
            lane.slot = lane.slot or slot
            # A unit's change is known to the instant; it was seen a little later.
            exact = [at for at in changes.get(slot, ()) if before <= at <= seen.at]
            at = exact[-1] if exact and role in ("head", "worker", "service") else seen.at
            lane.note(at, state)
        for name in lanes.keys() - told:
            lanes[name].note(seen.at, (UNKNOWN, "nobody could say"))
        before = seen.at
    if axis[1] - before > LATE:
        for lane in lanes.values():
            lane.note(before + LATE, (UNKNOWN, "nobody was asked"))
    return tuple(
        Member(
            lane.name,
            lane.role,
            lane.slot,
            tuple(_held(_spans(lane.points, axis), _holds(lane, faults, axis))),
        )
        for lane in sorted(lanes.values(), key=lambda each: (ORDER.index(each.role), each.slot, each.name))
    )


def _unit_changes(said: Iterable[ClusterEvent]) -> dict[str, list[float]]:
    """Give when each unit started, came up, ended."""
    found: dict[str, list[float]] = {}
    for event in said:
        if event.source in ("supervisor", "kubernetes") and event.data.get("event") in (
            "started",
            "up",
            "ended",
        ):
            found.setdefault(event.slot, []).append(event.at)
    return found


def _rows(document: Mapping[str, Json], cast: Cast) -> Iterator[tuple[str, str, str, Said]]:
    """Give name, role, slot and state of each member of which a document knows, those that are gone too."""
    unknown = document.get("unknown", ())
    yield from _units(document, unknown)
    if "actors" not in unknown:
        yield _controller(document)
    # A controller that has just come back lists little: what it leaves out may well live.
    alive = {
        cast.actor(str(row.get("id"))).thread
        for row in document.get("actors", ())
        if row.get("state") == "ALIVE"
    }

    def gone(thread: str) -> Said:
        return (UNKNOWN, "not listed, though its actor is ALIVE") if thread in alive else GONE

    if "proxies" not in unknown:
        listed = {cast.slot(str(row.get("node_id"))): row for row in document.get("proxies", ())}
        for slot in sorted({*cast.nodes.values(), *listed}):
            row = listed.get(slot)
            name = f"proxy on {slot}"
            yield name, "proxy", slot, _word(_PROXY, row.get("status")) if row else gone(name)
    if "replicas" not in unknown:
        rows = {str(row.get("id")): row for row in document.get("replicas", ())}
        for replica, who in sorted(cast.replicas.items()):
            row = rows.get(replica)
            name = who.says.removeprefix("replica ").partition(" on ")[0]
            said = _word(_REPLICA, row.get("state"), row.get("pid")) if row else gone(replica)
            yield name, "replica", who.slot, said


def _controller(document: Mapping[str, Json]) -> tuple[str, str, str, Said]:
    """Give the controller: of several rows the one that lives."""
    rows = [row for row in document.get("actors", ()) if row.get("role") == "controller"]
    if not rows:
        return "controller", "controller", "", GONE
    row = min(rows, key=lambda each: (bool(each.get("dead")), each.get("state") != "ALIVE"))
    said = _word(_ACTOR, row.get("state"), row.get("pid"))
    return "controller", "controller", row.get("slot") or "", said


def _units(document: Mapping[str, Json], unknown: Sequence[str]) -> Iterator[tuple[str, str, str, Said]]:
    """Give nodes and services: who runs the machines knows their processes, Ray whether a node has joined."""
    nodes: dict[str, Mapping[str, Json]] = {}
    for row in document.get("nodes", ()):
        slot = str(row.get("slot") or row.get("address") or row.get("id"))
        if slot not in nodes or nodes[slot].get("dead"):
            nodes[slot] = row
    units = {str(row.get("slot")): row for row in document.get("processes", ()) if row.get("role") == "node"}
    for slot in dict.fromkeys((*units, *nodes)):
        unit, node = units.get(slot), nodes.get(slot)
        role = "head" if slot == "head" or (node is not None and node.get("is_head")) else "worker"
        word = None if node is None else node.get("state")
        if unit is None:
            yield slot, role, slot, _word(_NODE, word)
            continue
        state, says = _UNIT.get(str(unit.get("state")), UNKNOWN), f"processes {unit.get('state')}"
        if "nodes" in unknown:
            says += ", nobody could say what it is to Ray"
        else:
            says += f", {word or 'not listed'}"
            # Its processes stand, and it has not joined yet, or was given up.
            state = STARTING if state == UP and word != "ALIVE" else state
        yield slot, role, slot, (state, says)
    for row in document.get("processes", ()):
        if row.get("role") == "service":
            word = str(row.get("state"))
            yield str(row.get("slot")), "service", str(row.get("slot")), (_UNIT.get(word, UNKNOWN), word)


def _word(words: Mapping[str, str], word: Json, pid: Json = None) -> Said:
    """Give the state that Ray's word stands for, and the word."""
    return words.get(str(word), UNKNOWN), f"{word}" + (f", process {pid}" if pid else "")


def _spans(points: Sequence[tuple[float, Said]], axis: tuple[float, float]) -> list[Span]:
    """Give the spans between points, within the axis; those of no length are left out."""
    start, end = axis
    ends = [at for at, _ in points[1:]] + [end]
    found: list[Span] = []
    for (at, (state, says)), until in zip(points, ends, strict=True):
        one, two = max(at, start), min(until, end)
        if one >= two:
            continue
        if found and (found[-1].state, found[-1].says) == (state, says) and found[-1].end == one:
            found[-1] = Span(found[-1].start, two, state, says)
        else:
            found.append(Span(one, two, state, says))
    return found


def _holds(
    lane: _Lane,
    faults: Sequence[tuple[run.Fault, Sequence[Mapping[str, Json]]]],
    axis: tuple[float, float],
) -> list[Span]:
    """Give the stretches in which a fault held a member frozen, or cut off."""
    found = []
    for fault, hits in faults:
        state = _HELD.get(fault.kind)
        if state is None or fault.injected is None:
            continue
        if any(_hits(hit, lane) for hit in hits):
            end = axis[1] if fault.healed is None else fault.healed
            found.append(Span(fault.injected, min(end, axis[1]), state, f"by {fault.name}"))
    return sorted(found, key=lambda each: each.start)


def _hits(hit: Mapping[str, Json], lane: _Lane) -> bool:
    """Tell whether a hit holds a member: itself, or the node that it stands on."""
    if hit.get("role") in ("head", "worker"):
        # Of one of Ray's own processes the node is held, and not the actors that run on without it.
        there = hit.get("process") is None or lane.role in ("head", "worker")
        return there and bool(hit.get("slot") == lane.slot)
    if hit.get("role") == "replica":
        return lane.role == "replica" and lane.name.rpartition(" ")[2] in str(hit.get("says", ""))
    return bool(hit.get("role") == lane.role and hit.get("slot") == lane.slot)


def _held(spans: Sequence[Span], holds: Sequence[Span]) -> Iterator[Span]:
    """Lay the holds over the spans."""
    for span in spans:
        at = span.start
        for hold in holds:
            one, two = max(at, hold.start), min(span.end, hold.end)
            if one >= two:
                continue
            if one > at:
                yield Span(at, one, span.state, span.says)
            yield Span(one, two, hold.state, hold.says)
            at = two
        if at < span.end:
            yield Span(at, span.end, span.state, span.says)
