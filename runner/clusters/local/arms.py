"""Actions of a local cluster, armed: on units (nodes, Redis), on processes of Ray there, on a node's link."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.clusters.contract import Acted, Confirmation, Hit, Undo, node_role
from runner.clusters.local.wire import Wire
from runner.errors import ClusterError

Json = Any

CONFIRM = 20.0
"""Seconds after which a target that is still there counts as not hit."""

GRACE = 30.0
"""Kubernetes' default time between SIGTERM and SIGKILL."""

Processes = Sequence[Sequence[int]]
"""Each a pid, and when that process began."""


async def gone(wire: Wire, limit: float, **what: Sequence[int]) -> Confirmation:
    """Wait until no process of these `sessions`, and none of these `pids`, lives."""
    fields = {"sessions": [], "pids": [], **what}
    answer = await wire.ask("gone", timeout=limit + 5, limit=limit, **fields)
    left = answer["left"]
    evidence = {"gone_at": answer["at"]} if not left else {"left": left}
    return Confirmation(
        not left, f"{left} of its processes live on" if left else "its processes are gone", evidence
    )


# -- units


@dataclass
class ArmedUnit:
    """The end of all processes of a node, or of Redis."""

    wire: Wire
    how: str
    grace: float | None
    hits: tuple[Hit, ...]
    undo: Undo | None
    """None where the supervisor starts it again by itself."""

    async def act(self) -> Acted:
        """Kill: `at` is just before the first signal."""
        slot = self.hits[0].slot
        if self.how == "power_off":
            answer = await self.wire.ask("stop", slot=slot, timeout=30)
        else:
            answer = await self.wire.ask("kill", slot=slot, how=self.how, grace=self.grace, timeout=30)
        return Acted(answer["at"], {key: answer[key] for key in ("until", "killed", "session")})

    async def confirm(self) -> Confirmation:
        """Wait until no process of its session lives."""
        limit = CONFIRM + ((GRACE if self.grace is None else self.grace) if self.how == "delete" else 0)
        return await gone(self.wire, limit, sessions=[self.hits[0].ids["session"]])

    async def disarm(self) -> None:
        """Nothing was started."""


async def standing(wire: Wire, slot: str, known: Sequence[str]) -> Mapping[str, Json]:
    """Give a unit's row; raises ClusterError where it does not stand now."""
    if slot not in known:
        raise ClusterError(f"There is no node {slot!r}; there are {', '.join(known)}.")
    row: Mapping[str, Json] = next(row for row in (await wire.ask("units"))["units"] if row["slot"] == slot)
    if row["count"] == 0:
        raise ClusterError(f"{slot} is not running ({row['state']}): there is nothing to hit.")
    return row


def node_hit(row: Mapping[str, Json], address: str, says: str, **ids: Json) -> Hit:
    """Give the hit of a node, or of something on it that it lives and dies with."""
    slot = row["slot"]
    known = {"session": row["session"], "starts": row["starts"], "address": address}
    return Hit(slot, node_role(slot), says, known | ids)


async def arm_node(wire: Wire, arguments: Mapping[str, Json], addresses: Mapping[str, str]) -> ArmedUnit:
    """Resolve a node; raises ClusterError where it does not stand now."""
    slot, how = arguments["slot"], arguments.get("how", "crash")
    row = await standing(wire, slot, list(addresses))
    hit = node_hit(row, addresses[slot], f"{slot} ({addresses[slot]}), {row['count']} processes")
    undo = Undo("start_node", {"slot": slot}, f"start {slot} again") if how == "power_off" else None
    return ArmedUnit(wire, how, arguments.get("grace"), (hit,), undo)


async def arm_service(wire: Wire, arguments: Mapping[str, Json], services: Sequence[str]) -> ArmedUnit:
    """Resolve a service; raises ClusterError where there is none, or it does not stand now."""
    slot, how = arguments["service"], arguments.get("how", "crash")
    if slot not in services:
        raise ClusterError(
            f"This cluster has no {slot}.", help="It has one with `gcs_fault_tolerance: redis`."
        )
    row = await standing(wire, slot, services)
    hit = Hit(slot, slot, f"{slot}, {row['count']} processes", {"session": row["session"]})
    undo = Undo("start_service", {"slot": slot}, f"start {slot} again") if how == "power_off" else None
    return ArmedUnit(wire, how, None, (hit,), undo)


# -- processes


@dataclass
class ArmedSignal:
    """SIGKILL of single processes, each on the slot of its hit."""

    wire: Wire
    hits: tuple[Hit, ...]
    undo: Undo | None = None  # who watches over them starts them again, or does not: that is the question

    async def act(self) -> Acted:
        """Kill each: `at` is just before the first signal."""
        answers = [
            await self.wire.ask("signal", slot=hit.slot, pids=[hit.ids["pid"]], signal=int(signal.SIGKILL))
            for hit in self.hits
        ]
        return Acted(answers[0]["at"], {"until": answers[-1]["until"]})

    async def confirm(self) -> Confirmation:
        """Wait until the processes are gone."""
        return await gone(self.wire, CONFIRM, pids=[hit.ids["pid"] for hit in self.hits])

    async def disarm(self) -> None:
        """Nothing was started."""


@dataclass
class ArmedFreeze:
    """SIGSTOP of processes: `frozen` are a slot each, and its processes that are meant; None means all."""

    wire: Wire
    hits: tuple[Hit, ...]
    frozen: Sequence[tuple[str, Processes | None]]
    undo: Undo | None = None

    def __post_init__(self) -> None:
        what = ", ".join(hit.says for hit in self.hits)
        self.undo = Undo("thaw", {"frozen": [list(each) for each in self.frozen]}, f"let {what} go on")

    async def act(self) -> Acted:
        """Stop each: `at` is just before the first signal."""
        answers = [await self.wire.ask("freeze", slot=slot, processes=found) for slot, found in self.frozen]
        return Acted(answers[0]["at"], {"until": answers[-1]["until"]})

    async def confirm(self) -> Confirmation:
        """See that all of them stand still."""
        running = 0
        for slot, found in self.frozen:
            running += (await self.wire.ask("frozen", slot=slot, processes=found))["running"]
        return Confirmation(
            not running, f"{running} of its processes run on" if running else "they stand still"
        )

    async def disarm(self) -> None:
        """Nothing was started."""


async def _playing(
    wire: Wire, arguments: Mapping[str, Json], addresses: Mapping[str, str]
) -> tuple[Hit, Processes]:
    """Find the process that plays a part of Ray on a node."""
    slot, name = arguments["slot"], arguments["process"]
    row = await standing(wire, slot, list(addresses))
    found: Processes = (await wire.ask("find", slot=slot, process=name))["processes"]
    if not found:
        raise ClusterError(f"There is no {name} on {slot} now.")
    pid = found[0][0]
    return node_hit(row, addresses[slot], f"{name} on {slot}, process {pid}", pid=pid, process=name), found[
        :1
    ]


async def arm_process(wire: Wire, arguments: Mapping[str, Json], addresses: Mapping[str, str]) -> ArmedSignal:
    """Resolve one of Ray's own processes; raises ClusterError where it does not stand now."""
    hit, _ = await _playing(wire, arguments, addresses)
    return ArmedSignal(wire, (hit,))


async def arm_freeze(wire: Wire, arguments: Mapping[str, Json], addresses: Mapping[str, str]) -> ArmedFreeze:
    """Resolve a node's processes, or one of them; raises ClusterError where they do not stand now."""
    slot = arguments["slot"]
    if arguments.get("process") is not None:
        hit, found = await _playing(wire, arguments, addresses)
        return ArmedFreeze(wire, (hit,), [(slot, found)])
    row = await standing(wire, slot, list(addresses))
    hit = node_hit(row, addresses[slot], f"{slot} ({addresses[slot]}), {row['count']} processes")
    return ArmedFreeze(wire, (hit,), [(slot, None)])


# -- links


@dataclass
class ArmedLink:
    """The cut of a node's link."""

    wire: Wire
    hits: tuple[Hit, ...]
    undo: Undo | None

    async def act(self) -> Acted:
        """Cut: `at` is just before."""
        answer = await self.wire.ask("link", slot=self.hits[0].slot, up=False)
        return Acted(answer["at"], {"until": answer["until"]})

    async def confirm(self) -> Confirmation:
        """See that the link is down."""
        joined = (await self.wire.ask("joined", slot=self.hits[0].slot))["joined"]
        return Confirmation(not joined, "its link is up" if joined else "its link is down")

    async def disarm(self) -> None:
        """Nothing was started."""


async def arm_link(
    wire: Wire, arguments: Mapping[str, Json], addresses: Mapping[str, str], layout: str
) -> ArmedLink:
    """Resolve a node's link; raises ClusterError where nodes have none of their own."""
    slot = arguments["slot"]
    if slot not in addresses:
        raise ClusterError(f"There is no node {slot!r}; there are {', '.join(addresses)}.")
    if layout != "namespaces":
        raise ClusterError(
            "Links can be cut only in the layout `namespaces`.", help="`ftrun doctor` says what it needs."
        )
    hit = Hit(slot, node_role(slot), f"the link of {slot} ({addresses[slot]})")
    return ArmedLink(wire, (hit,), Undo("link_up", {"slot": slot}, f"join {slot} to the network"))
