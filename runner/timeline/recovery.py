"""Why a recovery took as long as it did: the phases of each fault, and where its time went. Pure.

Every phase is a bracket of seconds after the injection. What nobody saw is None, or makes a bracket wider; it
is never taken for "nothing".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from runner.journal.events import ClusterEvent
from runner.timeline import run
from runner.timeline.cast import Cast, Observed, Who, cast, distinct
from runner.timeline.causes import (
    NODE_STRIKE,
    SERVICE,
    Bar,
    Happened,
    bars,
    drawn,
    happened,
    path,
    rows,
    shares,
    struck,
)
from runner.timeline.exchange import stages, taken_up
from runner.timeline.run import Bracket, Cause, Phase, Window
from runner.timeline.verdict import Interval

Json = Any

CAUSES = 100
"""Bars of a recovery that are kept; all that have a share are."""

UPGRADE = "upgrade"
"""The kind of fault after which another cluster serves."""

QUOTE = 160
"""Characters of a text that tell what ended a phase."""


@dataclass(frozen=True, slots=True)
class Injury:
    """A fault that hit, with the ids of what it hit."""

    number: int
    fault: run.Fault
    hits: tuple[Mapping[str, Json], ...]

    @property
    def at(self) -> float:
        """When it hit."""
        assert self.fault.injected is not None
        return self.fault.injected


@dataclass(frozen=True, slots=True)
class Lane:
    """A series as far as it counts here."""

    probe: str
    series: str
    endpoint: str
    scope: tuple[float, float]
    windows: tuple[Window, ...]
    blind: tuple[run.Blind, ...]
    unsure: float = 0.0
    """By how many seconds a blind cell may lie elsewhere: windows have brackets."""

    @property
    def name(self) -> str:
        """Its name for people."""
        return self.series if self.series.startswith(f"{self.probe}/") else f"{self.probe} {self.series}"


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of a scenario up to `end`."""

    end: float
    injuries: tuple[Injury, ...]
    observed: tuple[Observed, ...]
    said: tuple[ClusterEvent, ...]
    lanes: tuple[Lane, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """A phase, and the interval in which it lies for sure; None where nothing is known."""

    phase: Phase
    interval: Interval | None


class Explanation:
    """Explains the faults of one account."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self._targets = {each.number: _target(each, account.observed) for each in account.injuries}

    @cached_property
    def cast(self) -> Cast:
        """Who is who."""
        return cast(self.account.observed, self.account.said)

    @cached_property
    def _events(self) -> list[Happened]:
        return happened(self.account.said, self.account.observed)

    @cached_property
    def _bars(self) -> list[Bar]:
        return bars(self._events, self.cast)

    def recoveries(self) -> tuple[run.Recovery, ...]:
        """Give one a fault that hit, in their order."""
        return tuple(self._recovery(each) for each in self.account.injuries)

    def phases(self, injury: Injury) -> tuple[Measured, ...]:
        """Give impact, detection, mitigation and recovery of a fault."""
        return (
            self._impact(injury),
            self._detection(injury),
            self._mitigation(injury),
            self._full(injury),
        )

    def phase(self, number: int, name: str) -> Measured | None:
        """Give one phase of a fault by its number; None where that did not hit."""
        injury = next((each for each in self.account.injuries if each.number == number), None)
        if injury is None:
            return None
        return next(each for each in self.phases(injury) if each.phase.phase == name)

    # What belongs to a fault

    def _until(self, injury: Injury) -> float:
        recovered = injury.fault.recovered
        return self.account.end if recovered is None else min(recovered, self.account.end)

    def _windows(self, injury: Injury) -> list[tuple[Lane, Window]]:
        """Give the windows that are put down to a fault: it is the last that hit before they began."""
        later = [each.at for each in self.account.injuries if each.at > injury.at]
        return [
            (lane, window)
            for lane in self.account.lanes
            for window in lane.windows
            if window.start.latest >= injury.at and not any(at <= window.start.latest for at in later)
        ]

    def _blind(self, injury: Injury) -> list[tuple[Lane, run.Blind]]:
        """Give the blind cells between a fault and its recovery."""
        until = self._until(injury)
        return [
            (lane, cell)
            for lane in self.account.lanes
            for cell in lane.blind
            if cell.end + lane.unsure > injury.at and cell.start - lane.unsure < until
        ]

    def _beside(self, injury: Injury) -> str:
        """Say which other faults lasted too: what is seen may be due to them."""
        until = self._until(injury)
        names = [
            each.fault.name
            for each in self.account.injuries
            if each.number != injury.number and each.at < until and self._until(each) > injury.at
        ]
        return f"; {', '.join(names)} lasted too" if names else ""

    # Phases

    def _impact(self, injury: Injury) -> Measured:
        windows = self._windows(injury)
        if windows:
            after = _after(_bracket(min, [window.start for _, window in windows]), injury.at)
            lane, window = min(windows, key=lambda each: each[1].start.latest)
            by = f"the first requests were lost: {_outcomes(window)}{self._beside(injury)}"
            return _measured("impact", after, by, lane.name)
        since = self.account.end - injury.at
        if not self.account.lanes:
            return Measured(Phase("impact", None, "no probe ran", ""), None)
        if blind := self._blind(injury):
            first = max(0.0, min(cell.start - lane.unsure for lane, cell in blind) - injury.at)
            return Measured(Phase("impact", None, _dark(blind), ""), Interval(first, math.inf))
        return Measured(Phase("impact", None, "no traffic was lost", ""), Interval(since, math.inf))

    def _mitigation(self, injury: Injury) -> Measured:
        windows = self._windows(injury)
        if not windows:
            if not self.account.lanes:
                return Measured(Phase("mitigation", None, "no probe ran", ""), None)
            if blind := self._blind(injury):
                last = max(cell.end + lane.unsure for lane, cell in blind) - injury.at
                return Measured(Phase("mitigation", None, _dark(blind), ""), Interval(0.0, last))
            return Measured(Phase("mitigation", None, "no traffic was lost", ""), Interval(0.0, 0.0))
        still = [(lane, window) for lane, window in windows if window.end is None]
        if still:
            lane = max(still, key=lambda each: each[0].scope[1])[0]
            down = max(0.0, lane.scope[1] - injury.at)
            by = f"{lane.name} was still down at its end"
            return Measured(Phase("mitigation", None, by, ""), Interval(down, math.inf))
        ends = [window.end for _, window in windows if window.end is not None]
        after = _after(_bracket(max, ends), injury.at)
        lane = max(windows, key=lambda each: each[1].end.at if each[1].end else 0.0)[0]
        return _measured("mitigation", after, f"all traffic was good again{self._beside(injury)}", lane.name)

    def _full(self, injury: Injury) -> Measured:
        recovered = injury.fault.recovered
        if recovered is None or recovered > self.account.end:
            return Measured(Phase("recovery", None, "nobody saw that all was as before", ""), None)
        missing = max(injury.at, float(injury.fault.evidence.get("missing_at", injury.at)))
        after = _after(Bracket(min(missing, recovered), recovered, recovered), injury.at)
        by = "application, members and probes were seen to be as before"
        phase = Phase("recovery", after, by, "state")
        return Measured(phase, Interval(after.earliest, after.latest, above=missing > injury.at))

    def _detection(self, injury: Injury) -> Measured:
        target = self._targets[injury.number]
        if injury.fault.kind == UPGRADE:
            return self._taken_up(injury)
        own = injury.fault.how == "ray_kill"
        # What is said once the same was hit again is said of that.
        again = [
            each.at
            for each in self.account.injuries
            if each.at > injury.at and self._targets[each.number].shares(target)
        ]
        until = min([self._until(injury), *again])
        found = [
            *_heard(self._events, target, injury.at, until, own=own),
            *_seen(self.account.observed, target, injury.at, until, own=own),
        ]
        if found:
            after = _after(_bracket(min, [each.when for each in found]), injury.at)
            first = min(found, key=lambda each: each.when.latest)
            return _measured("detection", after, first.by, first.source)
        since = until - injury.at
        followed = any(each.source in ("controller", "gcs", "raylet") for each in self._events)
        dropped = any(each.event == "dropped" and each.at >= injury.at for each in self._events)
        if not followed or dropped:
            why = "the logs were not followed" if not followed else "lines of the logs were dropped"
            return Measured(Phase("detection", None, f"nothing was seen, but {why}", ""), None)
        return Measured(
            Phase("detection", None, "the cluster said nothing about it", ""), Interval(since, math.inf)
        )

    def _taken_up(self, injury: Injury) -> Measured:
        """Give when whoever runs the cluster took an upgrade up: nothing is wrong that had to be noticed."""
        old, until = _clusters(injury), self._until(injury)
        for event in self._events:
            if injury.at <= event.at <= until and taken_up(event, old):
                after = _after(Bracket(injury.at, event.at, event.at), injury.at)
                return _measured("detection", after, event.text[:QUOTE], event.source)
        why = "nobody was seen to take the upgrade up"
        return Measured(Phase("detection", None, why, ""), Interval(until - injury.at, math.inf))

    # Where the time went

    def _recovery(self, injury: Injury) -> run.Recovery:
        until = self._until(injury)
        windows = self._windows(injury)
        longest = max(windows, key=lambda each: _length(each[0], each[1], self.account.end), default=None)
        if longest is not None:
            lane, window = longest
            # The bracket's middle may lie before the fault.
            begun = max(injury.at, window.start.at)
            end = window.end.at if window.end is not None else min(lane.scope[1], self.account.end)
            series, endpoint = lane.name, lane.endpoint
        else:
            begun, end, series, endpoint = injury.at, until, "", ""
        known = longest is not None or (injury.fault.recovered is not None and end == injury.fault.recovered)
        stretch = (begun, end) if known and end > begun else None
        until = max(until, end)
        relevant = [
            bar
            for bar in [*self._bars, *self._own(injury)]
            if bar.start < until and (bar.end is None or bar.end > injury.at)
        ]
        taken: dict[int, float] = {}
        if stretch is not None:
            home = self._targets[injury.number].slots | {endpoint}
            taken = shares(path(relevant, *stretch, endpoint=endpoint, home=home), *stretch)
        causes = [
            Cause(bar.cause, bar.who, bar.start, bar.end, bar.source, bar.evidence, taken.get(nth, 0.0))
            for nth, bar in enumerate(relevant)
        ]
        ranks = {id(cause): bar.rank for cause, bar in zip(causes, relevant, strict=True)}
        first = sorted(causes, key=lambda each: (-each.share, -ranks[id(each)], each.start))
        kept = first[: max(CAUSES, sum(each.share > 0 for each in causes))]
        return run.Recovery(
            fault=injury.fault.name,
            injected=injury.at,
            until=until,
            phases=tuple(each.phase for each in self.phases(injury)),
            downtime=_downtime(windows, self.account.end),
            explained=stretch,
            series=series,
            causes=tuple(sorted(kept, key=lambda each: (each.start, each.cause, each.who))),
            unexplained=max(0.0, 1.0 - sum(taken.values())) if stretch else 1.0,
        )

    def _own(self, injury: Injury) -> Iterator[Bar]:
        """Give the bars that begin with the fault itself: until somebody noticed."""
        target = self._targets[injury.number]
        text = f"{injury.fault.kind} of {injury.fault.target}"
        hit = Happened(injury.at, "ftrun", "", "fault", text, {})

        for row in rows(self._events):
            first = row.strikes[0]
            ids = target.replicas if row.key == "replica" else target.proxies
            if row.check.startswith("node"):
                # The head's own death is not what a GCS that died with it looks for.
                ids = frozenset() if target.head else target.nodes
            if row.about in ids and first.at >= injury.at:
                of = f" of {row.of}" if row.of else ""
                rank = NODE_STRIKE if target.nodes else row.rank
                yield drawn(f"{row.check} strikes 1{of}", struck(row, self.cast), hit, first, rank)
        after = [event for event in self._events if event.at >= injury.at]
        crashed: set[str] = set()
        for event in after:
            replica = str(event.data.get("replica"))
            crash = event.event == "replica_unhealthy" and event.data.get("reason")
            if crash and replica in target.replicas - crashed:
                crashed.add(replica)
                yield drawn("dead until the next health check", self.cast.replica(replica), hit, event, 30)
        if injury.fault.kind == UPGRADE:
            yield from stages(hit, after, _clusters(injury))
            return
        again = next((event for event in after if event.event == "resubmitted"), None)
        # KubeRay hands the configuration in whenever it sees another head: also to a controller of before.
        restarted = any(
            event.event in ("actor_restarting", "actor_created")
            and event.data.get("actor_id") in target.actors
            and self.cast.actor(str(event.data["actor_id"])).role == "controller"
            for event in after
        )
        if target.controller and again is not None and not restarted:
            who = Who("controller", "controller", again.slot, "controller")
            yield drawn("no controller until resubmitted", who, hit, again, 30)
        for slot in sorted(target.slots):
            polls = [event for event in after if event.event == "endpoint" and event.slot == slot]
            out = next((event for event in polls if not event.data.get("healthy")), None)
            if out is not None:
                who = Who("node", slot, slot, slot)
                yield drawn("until the service took it out", who, hit, out, 35, opens=SERVICE)


def _clusters(injury: Injury) -> frozenset[str]:
    """Give the clusters that an upgrade exchanges."""
    return frozenset(str(hit["exchanged"]) for hit in injury.hits if hit.get("exchanged"))


def _bracket(pick: Callable[[Iterable[float]], float], of: Sequence[Bracket]) -> Bracket:
    """Give the bracket of the first (`min`) or the last (`max`) of several instants."""
    return Bracket(
        pick(each.earliest for each in of), pick(each.at for each in of), pick(each.latest for each in of)
    )


def _after(when: Bracket, injected: float) -> Bracket:
    """Give an instant as seconds after the injection; what a fault does cannot come before it."""
    return Bracket(
        max(0.0, when.earliest - injected), max(0.0, when.at - injected), max(0.0, when.latest - injected)
    )


def _measured(name: str, after: Bracket, by: str, source: str) -> Measured:
    return Measured(Phase(name, after, by, source), Interval(after.earliest, after.latest))


def _outcomes(window: Window) -> str:
    often = sorted(window.outcomes.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{name} {number}" for name, number in often[:3])


def _dark(blind: Sequence[tuple[Lane, run.Blind]]) -> str:
    lane, cell = max(blind, key=lambda each: each[1].end - each[1].start)
    return (
        f"no traffic was seen to be lost, but {lane.name} was blind"
        f" for {cell.end - cell.start:.3f} s at {cell.start:.3f} s"
    )


def _length(lane: Lane, window: Window, end: float) -> float:
    """Give the best single value of a window's length."""
    stop = window.end.at if window.end is not None else min(lane.scope[1], end)
    return max(0.0, stop - window.start.at)


def _downtime(windows: Iterable[tuple[Lane, Window]], end: float) -> dict[str, float]:
    """Give the down time of each probe's worst series."""
    total: dict[tuple[str, str], float] = {}
    for lane, window in windows:
        key = lane.probe, lane.series
        total[key] = total.get(key, 0.0) + _length(lane, window, end)
    worst: dict[str, float] = {}
    for (probe, _), seconds in total.items():
        worst[probe] = max(worst.get(probe, 0.0), seconds)
    return dict(sorted(worst.items()))


# Detection


@dataclass(frozen=True, slots=True)
class _Target:
    """The ids of what a fault hit, as they were before it."""

    slots: frozenset[str]
    nodes: frozenset[str] = frozenset()
    actors: frozenset[str] = frozenset()
    replicas: frozenset[str] = frozenset()
    proxies: frozenset[str] = frozenset()
    """By the id of their node."""
    head: bool = False
    controller: bool = False

    def shares(self, other: _Target) -> bool:
        """Whether the two have anything in common."""
        return any(
            getattr(self, name) & getattr(other, name) for name in ("slots", "nodes", "actors", "replicas")
        )

    @property
    def beside(self) -> bool:
        """Whether it is nothing that Ray knows, such as Redis: whatever goes wrong then may be due to it."""
        return not (self.nodes or self.actors or self.replicas or self.proxies)


def _target(injury: Injury, observed: Sequence[Observed]) -> _Target:
    """Find the ids of what was hit, and of what stood on it, in the last documents before the fault."""
    before: dict[str, Sequence[Mapping[str, Json]]] = {}
    for seen in distinct(each for each in observed if each.at <= injury.at):
        for name in ("nodes", "actors", "replicas", "proxies"):
            if name not in seen.document.get("unknown", ()):
                before[name] = seen.document.get(name, ())
    slots: set[str] = set()
    nodes: set[str] = set()
    actors = {str(hit["actor_id"]) for hit in injury.hits if hit.get("actor_id")}
    proxies: set[str] = set()
    for hit in injury.hits:
        slot, role = str(hit.get("slot", "")), hit.get("role")
        at = {
            str(row.get("id"))
            for row in before.get("nodes", ())
            if row.get("slot") == slot and not row.get("dead")
        }
        if role == "proxy":
            slots.add(slot)
            proxies |= at
        elif role not in ("replica", "controller"):
            slots.add(slot)
            nodes |= at
    for row in before.get("actors", ()):
        if row.get("node_id") in nodes and not row.get("dead"):
            actors.add(str(row.get("id")))
    replicas = {
        str(row.get("id"))
        for row in before.get("replicas", ())
        if row.get("actor_id") in actors or row.get("node_id") in nodes
    }
    controllers = {str(row.get("id")) for row in before.get("actors", ()) if row.get("role") == "controller"}
    return _Target(
        slots=frozenset(slots),
        nodes=frozenset(nodes),
        actors=frozenset(actors),
        replicas=frozenset(replicas),
        proxies=frozenset(
            proxies | {str(r.get("node_id")) for r in before.get("proxies", ()) if r.get("node_id") in nodes}
        ),
        head=any(hit.get("role") == "head" or hit.get("slot") == "head" for hit in injury.hits),
        controller=any(hit.get("role") == "controller" for hit in injury.hits) or bool(controllers & actors),
    )


@dataclass(frozen=True, slots=True)
class _Noticed:
    """Somebody of the cluster knew."""

    when: Bracket
    source: str
    by: str


_WRONG = {
    "node_dead": "nodes",
    "node_check_failed": "nodes",
    "actor_dead": "actors",
    "actor_restarting": "actors",
    "health_check_failed": "replicas",
    "replica_unhealthy": "replicas",
    "replica_lost": "replicas",
    "replica_failed": "replicas",
    "proxy_check_failed": "proxies",
    "proxy_unhealthy": "proxies",
    "proxy_stopped": "proxies",
}
"""Events by which the cluster says that something is wrong, and what they have to be about."""

_ABOUT = {"nodes": "node_id", "actors": "actor_id", "replicas": "replica", "proxies": "node_id"}


def _heard(
    events: Iterable[Happened], target: _Target, injected: float, until: float, *, own: bool
) -> Iterator[_Noticed]:
    """Give the lines of logs by which the cluster says that something about the target is wrong.

    With `own`, it was Ray itself that killed an actor: that the GCS says so is no detection.
    """
    for event in events:
        if not injected <= event.at <= until:
            continue
        wrong = False
        if (ids := _WRONG.get(event.event)) is not None:
            known = getattr(target, ids)
            wrong = target.beside or str(event.data.get(_ABOUT[ids])) in known
            wrong = wrong and not (own and ids == "actors")
        elif event.event == "gcs_lost":
            wrong = target.head or target.beside
        if wrong and not (event.source == "raylet" and event.slot in target.slots):
            earliest = max(injected, event.at - float(event.data.get("within", 0.0)))
            of = f"{event.source} of {event.slot}: " if event.source == "raylet" else ""
            yield _Noticed(Bracket(earliest, event.at, event.at), event.source, f"{of}{event.text[:QUOTE]}")


def _seen(
    observed: Sequence[Observed], target: _Target, injected: float, until: float, *, own: bool
) -> Iterator[_Noticed]:
    """Give, of each of the target's rows in the state documents, when it was first not as it should be."""
    well = {
        "nodes": ("id", "state", ("ALIVE",), target.nodes),
        "actors": ("id", "state", ("ALIVE",), frozenset() if own else target.actors),
        "replicas": ("id", "state", ("RUNNING", "UPDATING"), target.replicas),
        "proxies": ("node_id", "status", ("HEALTHY", "DRAINING"), target.proxies),
    }
    last = dict.fromkeys(well, injected)
    done: set[str] = set()
    for seen in observed:
        if seen.asked < injected or seen.at > until:
            continue
        for name, (key, field, fine, ids) in well.items():
            if name in done or not ids or name in seen.document.get("unknown", ()):
                continue
            rows = {str(row.get(key)): str(row.get(field)) for row in seen.document.get(name, ())}
            bad = [each for each in sorted(ids) if rows.get(each, "not listed") not in fine]
            if bad:
                done.add(name)
                by = f"{name.removesuffix('s')} {rows.get(bad[0], 'not listed')}".replace("proxie ", "proxy ")
                yield _Noticed(Bracket(last[name], seen.at, seen.at), "state", by)
            else:
                last[name] = seen.asked
