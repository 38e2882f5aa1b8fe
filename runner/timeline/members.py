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
        for name, role, slot, state in _rows(seen, cast):
            if state is None:
                if name in lanes:
                    lanes[name].note(seen.at, (UNKNOWN, "nobody could say"))
                continue
            if name not in lanes and state == GONE:
                continue  # it is not there yet
            lane = lanes.setdefault(name, _Lane(name, role, slot))
            lane.slot = lane.slot or slot
            # A unit's change is known to the instant; it was seen a little later.
            exact = [at for at in changes.get(slot, ()) if before <= at <= seen.at]
            at = exact[-1] if exact and role in ("head", "worker", "service") else seen.at
            lane.note(at, state)
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
        if event.source == "supervisor" and event.data.get("event") in ("started", "up", "ended"):
            found.setdefault(event.slot, []).append(event.at)
    return found


def _rows(seen: Observed, cast: Cast) -> Iterator[tuple[str, str, str, Said | None]]:
    """Give name, role, slot and state of every member that a document lists, or ought to (None: unknown)."""
    document = seen.document
    unknown = document.get("unknown", ())
    yield from _units(document, unknown)
    controllers = [row for row in document.get("actors", ()) if row.get("role") == "controller"]
    if "actors" in unknown:
        yield "controller", "controller", "", None
    elif controllers:
        row = min(controllers, key=lambda each: (each.get("dead", False), each.get("state") != "ALIVE"))
        yield (
            "controller",
            "controller",
            row.get("slot") or "",
            _word(_ACTOR, row.get("state"), row.get("pid")),
        )
    listed = set()
    for row in document.get("proxies", ()):
        who = cast.proxy(str(row["node_id"]))
        listed.add(who.slot)
        yield who.says, "proxy", who.slot, _word(_PROXY, row.get("status"))
    for slot in sorted(set(cast.nodes.values()) - listed):
        name = f"proxy on {slot}"
        yield name, "proxy", slot, None if "proxies" in unknown else GONE
    ids = set()
    for row in document.get("replicas", ()):
        who = cast.replica(str(row["id"]), str(row.get("deployment", "")))
        ids.add(str(row["id"]))
        name = f"{row.get('deployment', '')} {row['id']}".strip()
        yield name, "replica", who.slot, _word(_REPLICA, row.get("state"), row.get("pid"))
    for replica, who in sorted(cast.replicas.items()):
        if replica not in ids:
            name = who.says.removeprefix("replica ").partition(" on ")[0]
            yield name, "replica", who.slot, None if "replicas" in unknown else GONE


def _units(
    document: Mapping[str, Json], unknown: Sequence[str]
) -> Iterator[tuple[str, str, str, Said | None]]:
    """Give the nodes: what runs the machines knows its processes, Ray whether the node has joined."""
    nodes: dict[str, Mapping[str, Json]] = {}
    for row in document.get("nodes", ()):
        slot = row.get("slot") or row.get("address") or ""
        if slot not in nodes or nodes[slot].get("dead"):
            nodes[slot] = row
    units = {row["slot"]: row for row in document.get("processes", ()) if row.get("role") == "node"}
    for slot in dict.fromkeys((*units, *nodes)):
        unit, node = units.get(slot), nodes.get(slot)
        is_head = slot == "head" or bool(node and node.get("is_head"))
        role = "head" if is_head else "worker"
        if unit is None:
            yield slot, role, slot, _word(_NODE, node.get("state")) if node else None
            continue
        state = _UNIT.get(str(unit["state"]), UNKNOWN)
        says = f"processes {unit['state']}"
        if "nodes" in unknown:
            says += ", Ray's list unknown"
        elif node is None or node.get("state") != "ALIVE":
            word = node.get("state") if node is not None else "not listed"
            says += f", {word} to Ray"
            # The processes stand, and the node has not joined yet, or was given up.
            state = STARTING if state == UP else state
        else:
            says += ", ALIVE"
        yield slot, role, slot, (state, says)
    for row in document.get("processes", ()):
        if row.get("role") == "service":
            state = _UNIT.get(str(row["state"]), UNKNOWN)
            yield str(row["slot"]), "service", str(row["slot"]), (state, f"process {row['state']}")
    if "nodes" in unknown and not units:
        yield from ((slot, "worker", slot, None) for slot in nodes)


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
        return bool(hit.get("slot") == lane.slot)
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
