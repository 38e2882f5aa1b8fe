"""What took time while a cluster recovered, and the path that the recovery waited for. Pure.

A bar runs from one thing that was seen to another: nothing is put down to what nobody saw. The path follows
the time backwards from the end of what is explained; where several bars cover an instant, the most specific
one takes it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from runner.journal.events import ClusterEvent
from runner.timeline.cast import Cast, Observed, Who, distinct

Json = Any

STRIKE, NODE_STRIKE = 35, 25
"""The rank of a strike. Nothing else goes on while a replica or a proxy is being missed; while a node is, its
replicas are sought a place already."""

SPECIFIC = 40
"""From this rank on a bar says what was going on, not only that something was waited for."""

SERVICE = "service"
"""The endpoint that stands in for a Kubernetes Service: only who asks there waits for its polls."""

EVIDENCE = 160
"""Characters of a text that are kept as evidence."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that took time. `end` is None while it still lasts."""

    cause: str
    who: str
    start: float
    end: float | None
    source: str
    evidence: str
    rank: int
    """How specific it is: the greater takes the time of the lesser."""
    thread: str = ""
    """What it goes by: the path stays with one thread where it can."""
    slot: str = ""
    """Where it took place."""
    opens: str = ""
    """The endpoint that it brings back, such as `worker-1`."""


@dataclass(frozen=True, slots=True)
class Happened:
    """An event, be it said by a log or seen in a state document."""

    at: float
    source: str
    slot: str
    event: str
    text: str
    data: Mapping[str, Json]


def happened(said: Iterable[ClusterEvent], observed: Sequence[Observed]) -> list[Happened]:
    """Give all events in the order in which they happened."""
    events = [
        Happened(each.at, each.source, each.slot, str(each.data.get("event", "")), each.text, each.data)
        for each in said
    ]
    return sorted([*events, *_changes(observed)], key=lambda each: each.at)


def _changes(observed: Sequence[Observed]) -> Iterator[Happened]:
    """Give the changes of applications and proxies, each when it was first seen."""
    before: dict[tuple[str, str], str] = {}
    for seen in distinct(observed):
        for name, key, word in (("applications", "name", "app"), ("proxies", "node_id", "node_id")):
            if name in seen.document.get("unknown", ()):
                continue
            for row in seen.document.get(name, ()):
                which, status = (name, str(row.get(key))), str(row.get("status"))
                if before.get(which) != status:
                    before[which] = status
                    event = f"{'app' if word == 'app' else 'proxy'}_{status}"
                    text = f"{'application' if word == 'app' else 'proxy'} {status}"
                    yield Happened(seen.at, "state", "", event, text, {word: row.get(key)})


# Bars between two events


@dataclass(frozen=True, slots=True)
class _Rule:
    """A bar from the first of `begins` to the first of `ends` that have the same key."""

    cause: str
    begins: tuple[str, ...]
    ends: tuple[str, ...]
    key: str
    """What both are about: a name in their data, or `slot`; `pod`: that, else the slot; `member`: the slot,
    unless it is one of a cluster that does not serve, where nobody is missed."""
    rank: int


_RULES = (
    _Rule("GCS loading", ("gcs_loading",), ("gcs_loaded",), "slot", 60),
    _Rule("raylet waiting for its agents", ("agent_awaited",), ("raylet_started",), "slot", 60),
    _Rule("restart delay", ("ended",), ("started", "awaits", "gone"), "member", 50),
    _Rule("waiting for what it needs", ("awaits",), ("started",), "slot", 50),
    # What Kubernetes does to a pod.
    _Rule("pod deletion", ("deleting",), ("gone",), "pod", 45),
    _Rule("waiting for another pod", ("gone",), ("made",), "member", 45),
    _Rule("pod scheduling", ("made",), ("scheduled",), "pod", 50),
    _Rule("image pull", ("pulling",), ("pulled", "gone"), "slot", 55),
    _Rule("init containers", ("scheduled",), ("initialized", "gone"), "pod", 35),
    _Rule("container starting", ("initialized",), ("started", "gone"), "pod", 45),
    _Rule("GCS starting", ("gcs_starting",), ("gcs_started",), "slot", 50),
    _Rule("raylet starting", ("raylet_starting",), ("raylet_started",), "slot", 50),
    _Rule("controller recovering", ("recovering",), ("recovered",), "slot", 60),
    _Rule("process starting", ("started",), ("up", "ended"), "pod", 40),
    _Rule(
        "actor starting",
        ("actor_placed",),
        ("actor_created", "actor_dead", "actor_destroyed"),
        "actor_id",
        40,
    ),
    _Rule(
        "actor scheduling",
        ("actor_registered", "actor_restarting"),
        ("actor_placed", "actor_dead", "actor_destroyed"),
        "actor_id",
        30,
    ),
    _Rule("replica recovering", ("replica_recovering",), ("replica_started",), "replica", 30),
    _Rule(
        "proxy starting",
        ("proxy_starting",),
        ("proxy_HEALTHY", "proxy_not_ready", "proxy_stopped"),
        "node_id",
        30,
    ),
    _Rule("proxy draining", ("proxy_draining",), ("proxy_stopped", "proxy_not_draining"), "node_id", 30),
    _Rule(
        "replica starting",
        ("replica_starting",),
        ("replica_started", "replica_failed", "replica_stopping"),
        "replica",
        20,
    ),
    _Rule("replica stopping", ("replica_stopping",), ("replica_stopped",), "replica", 20),
    _Rule("raylet without GCS", ("gcs_lost",), ("gcs_reconnected",), "slot", 10),
)


def bars(events: Sequence[Happened], cast: Cast) -> list[Bar]:
    """Give everything that was seen to take time, in no order."""
    found = [bar for rule in _RULES for bar in _between(events, rule, cast)]
    found += _constructing(events, cast)
    found += _strikes(events, cast)
    found += _service(events, cast)
    found += _applications(events)
    return found


def _between(events: Sequence[Happened], rule: _Rule, cast: Cast) -> Iterator[Bar]:
    opened: dict[str, Happened] = {}
    for event in events:
        key = _key(rule, event)
        if not key:
            continue
        if event.event in rule.ends and key in opened:
            yield _bar(rule, opened.pop(key), event, cast)
        if event.event in rule.begins:
            opened.setdefault(key, event)
    for begun in opened.values():
        yield _bar(rule, begun, None, cast)


def _key(rule: _Rule, event: Happened) -> str:
    """Give what an event is about as a rule sees it; nothing where that is something larger, or nobody."""
    match rule.key:
        case "slot":
            return event.slot
        case "pod":
            return str(event.data.get("pod") or event.slot) if event.slot else ""
        case "member":
            return "" if " of " in event.slot else event.slot
    return str(event.data.get(rule.key))


def _bar(rule: _Rule, begun: Happened, ended: Happened | None, cast: Cast) -> Bar:
    who = _who(rule.key, begun, cast)
    node = ended.data.get("node_id") if ended is not None and rule.key == "replica" else None
    if node and not who.slot:
        slot = cast.slot(str(node))
        who = replace(who, says=f"{who.says} on {slot}", slot=slot)
    cause = rule.cause
    if cause.startswith("actor "):
        cause = f"{who.role} {cause}" if who.role != "actor" else cause
    elif cause == "process starting":
        # `worker-1`, or `worker-1 of NAME` where it is no member yet.
        cause = f"{begun.slot.partition(' ')[0].partition('-')[0]} {cause}"
    opens = who.slot if who.role == "proxy" and "draining" not in cause else ""
    # Nothing of Serve goes on without the controller.
    rank = rule.rank + 15 if who.role == "controller" and rule.key == "actor_id" else rule.rank
    return drawn(cause, who, begun, ended, rank, opens=opens)


def drawn(
    cause: str, who: Who, begun: Happened, ended: Happened | None, rank: int, *, opens: str = ""
) -> Bar:
    """Give the bar from one event to another; its source is the latter's."""
    return Bar(
        cause=cause,
        who=who.says,
        start=begun.at,
        end=ended.at if ended else None,
        source=(ended or begun).source,
        evidence=" ... ".join(each.text[:EVIDENCE] for each in (begun, ended) if each is not None),
        rank=rank,
        thread=who.thread,
        slot=who.slot,
        opens=opens,
    )


def _who(key: str, event: Happened, cast: Cast) -> Who:
    data = event.data
    match key:
        case "actor_id":
            return cast.actor(str(data.get("actor_id")))
        case "replica":
            return cast.replica(str(data.get("replica")), str(data.get("deployment", "")))
        case "node_id":
            return cast.proxy(str(data.get("node_id")))
        case _ if event.source == "controller":
            return Who("controller", "controller", event.slot, "controller")
        case _:
            return Who("node", event.slot, event.slot, event.slot)


def _constructing(events: Sequence[Happened], cast: Cast) -> Iterator[Bar]:
    """Give the constructors of replicas: their length is the controller's own word."""
    starting: set[str] = set()
    for event in events:
        replica = str(event.data.get("replica"))
        if event.event == "replica_starting":
            starting.add(replica)
        elif event.event == "replica_started" and replica in starting:
            # A later one says how long it once took.
            starting.discard(replica)
            if (seconds := event.data.get("construct")) is not None:
                who = cast.replica(replica, str(event.data.get("deployment", "")))
                begun = replace(event, at=event.at - float(seconds), text="")
                bar = drawn("replica constructing", who, begun, event, 50)
                yield replace(bar, evidence=event.text[:EVIDENCE])


# Strikes

_CHECKS = {
    "health_check_failed": (
        "health check",
        "replica",
        ("replica_unhealthy", "health_check_passed", "replica_stopping"),
    ),
    "proxy_check_failed": (
        "proxy health check",
        "node_id",
        ("proxy_unhealthy", "proxy_stopped", "proxy_starting"),
    ),
    "node_check_failed": ("node health check", "node_id", ("node_dead", "node_registered")),
}


@dataclass(frozen=True, slots=True)
class Row:
    """Health checks that failed in a row: of what, and what ended it."""

    check: str
    key: str
    about: str
    strikes: tuple[Happened, ...]
    of: int | None
    """How many it takes; None where nobody said."""

    @property
    def rank(self) -> int:
        """How specific a bar of it is."""
        return NODE_STRIKE if self.check == "node health check" else STRIKE


def rows(events: Sequence[Happened]) -> list[Row]:
    """Give the failed health checks, those in a row together."""
    running: dict[tuple[str, str], list[Happened]] = {}
    found: list[Row] = []

    def close(check: str, about: str, verdict: Happened | None) -> None:
        strikes = running.pop((check, about), [])
        if strikes:
            noun, key, _ = _CHECKS[check]
            of = verdict.data.get("strikes") if verdict and verdict.event.endswith("_unhealthy") else None
            if check == "node_check_failed":
                of = int(strikes[0].data.get("left", 0)) + 1
            found.append(Row(noun, key, about, tuple(strikes), of))

    for event in events:
        for check, (_, key, ends) in _CHECKS.items():
            about = str(event.data.get(key))
            if event.event in ends:
                close(check, about, event)
            elif event.event == check:
                left = event.data.get("left")
                known = running.get((check, about))
                if known and left is not None and left >= known[-1].data.get("left", 0):
                    close(check, about, None)  # one that passed in between is not logged
                running.setdefault((check, about), []).append(event)
    for check, about in list(running):
        close(check, about, None)
    return found


def _strikes(events: Sequence[Happened], cast: Cast) -> Iterator[Bar]:
    """Give a bar from each strike to the next."""
    for row in rows(events):
        who = struck(row, cast)
        for number, (one, two) in enumerate(pairwise(row.strikes), start=2):
            of = f" of {row.of}" if row.of else ""
            cause = f"{row.check} strikes {number}{of}"
            yield drawn(cause, who, one, two, row.rank)


def struck(row: Row, cast: Cast) -> Who:
    """Give whose checks failed."""
    if row.key == "replica":
        return cast.replica(row.about)
    if row.check.startswith("proxy"):
        return cast.proxy(row.about)
    slot = cast.slot(row.about)
    return Who("node", slot, slot, slot)


# The simulated service, and applications


def _service(events: Sequence[Happened], cast: Cast) -> Iterator[Bar]:
    """Give the time that the service's readiness poll takes, and the time that an endpoint was out."""
    out: dict[str, Happened] = {}
    ready: dict[str, Happened] = {}
    up: dict[str, Happened] = {}
    for event in events:
        if event.event == "actor_created":
            who = cast.actor(str(event.data.get("actor_id")))
            if who.role == "proxy":
                ready[who.slot] = event
        elif event.event == "up" and event.slot in out:
            up[event.slot] = event
        elif event.event == "endpoint" and not event.data.get("healthy"):
            up.pop(event.slot, None)
            out[event.slot] = event
            ready.pop(event.slot, None)
        elif event.event == "endpoint" and event.slot in out:
            gone, proxy = out.pop(event.slot), ready.pop(event.slot, None)
            pod = up.pop(event.slot, None)
            endpoint = Who("service", f"{event.slot} in the service", event.slot, event.slot)
            yield drawn("out of the service", endpoint, gone, event, 10, opens=SERVICE)
            if pod is not None:
                yield drawn("endpoint update", endpoint, pod, event, 50, opens=SERVICE)
            if proxy is not None:
                yield drawn("readiness poll of the service", endpoint, proxy, event, 40, opens=SERVICE)


def _applications(events: Sequence[Happened]) -> Iterator[Bar]:
    """Give the time for which an application was seen to be anything but RUNNING."""
    since: dict[str, Happened] = {}
    for event in events:
        if event.source != "state" or not event.event.startswith("app_"):
            continue
        name, status = str(event.data.get("app")), event.event.removeprefix("app_")
        if (begun := since.pop(name, None)) is not None:
            yield _application(name, begun, event)
        if status != "RUNNING":
            since[name] = event
    for name, begun in since.items():
        yield _application(name, begun, None)


def _application(name: str, begun: Happened, ended: Happened | None) -> Bar:
    who = Who("application", f"application {name}", "", name)
    return drawn(f"application {begun.event.removeprefix('app_')}", who, begun, ended, 10)


# The path

SLACK = 1.0
"""Seconds by which a bar may be seen to end after what waited for it: states are asked for twice a second."""


def path(
    found: Sequence[Bar],
    start: float,
    end: float,
    *,
    endpoint: str = "",
    home: Collection[str] = (),
) -> list[tuple[int, float, float]]:
    """Give the path that was waited for: number of the bar, from, to; the last first.

    Segments lie inside of [start, end] and do not overlap; what no bar covers is left out, and so is a bar
    that had not ended at the end: nothing can have waited for it. First comes what brings the `endpoint` back
    whose downtime is explained, then what took place at `home`, where the fault hit; then the most specific.
    """
    over = [math.inf if bar.end is None else bar.end for bar in found]
    counted = [
        nth
        for nth, bar in enumerate(found)
        if bar.start < end
        and start < over[nth] <= end + SLACK
        and (bar.opens != SERVICE or endpoint == SERVICE)
    ]
    edges = {start, end}
    for nth in counted:
        edges |= {edge for edge in (found[nth].start, over[nth]) if start < edge < end}
    waiting = sorted(counted, key=lambda nth: over[nth])
    covering: set[int] = set()
    segments: list[tuple[int, float, float]] = []
    thread = ""
    for late, early in pairwise(sorted(edges, reverse=True)):
        while waiting and over[waiting[-1]] >= late:
            covering.add(waiting.pop())
        covering = {nth for nth in covering if found[nth].start <= early}
        if not covering:
            continue

        def weight(nth: int, thread: str = thread) -> tuple[bool, bool, int, bool, float, float, int]:
            bar = found[nth]
            opens = bool(endpoint) and bar.opens == endpoint
            at_home = bar.rank >= SPECIFIC and bar.slot in home
            return opens, at_home, bar.rank, bar.thread == thread, over[nth], bar.start, -nth

        best = max(covering, key=weight)
        thread = found[best].thread
        if segments and segments[-1][0] == best and segments[-1][1] == late:
            segments[-1] = (best, early, segments[-1][2])
        else:
            segments.append((best, early, late))
    return segments


def shares(segments: Iterable[tuple[int, float, float]], start: float, end: float) -> dict[int, float]:
    """Give the part of [start, end] that each bar of a path takes."""
    found: dict[int, float] = {}
    if end <= start:
        return found
    for nth, early, late in segments:
        found[nth] = found.get(nth, 0.0) + (late - early) / (end - start)
    return found
