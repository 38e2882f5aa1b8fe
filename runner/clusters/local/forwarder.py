"""Stands in for the Kubernetes Service: `python -m ... HOST PORT SLOT=HOST:PORT ...`.

A process of its own, outside the nodes. A new connection goes, in turn, to one of the nodes whose
`/-/healthz` was last 200; each is asked every 5 s and one other answer takes it out, as KubeRay's readiness
has it. It carries bytes and never tries a second node. What it does to its endpoints, and its own stalls, it
says on standard output as JSON lines: a request may have waited for the forwarder then.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from runner import clock
from runner.clusters.local import http, splice
from runner.errors import Unreachable

CHECK = 5.0
"""Seconds between two checks of a node."""
CHECK_TIMEOUT = 2.0
WAKE = 0.02
STALL = 0.05
"""Wake-ups further apart than this are a stall."""


def say(slot: str, text: str, *, at: float | None = None, **data: Any) -> None:
    """Say one happening on standard output."""
    instant = clock.monotonic() if at is None else at
    line = {"at": instant, "source": "forwarder", "slot": slot, "text": text, "data": data}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Forwarder:
    """The nodes behind one address, and whose turn it is."""

    def __init__(self, nodes: dict[str, tuple[str, int]]) -> None:
        self.nodes = nodes
        self.healthy: dict[str, bool] = dict.fromkeys(nodes, False)
        self._turn = 0

    def pick(self) -> tuple[str, int] | None:
        """Give the node whose turn it is; None where none is healthy."""
        names = [slot for slot, healthy in self.healthy.items() if healthy]
        if not names:
            return None
        self._turn += 1
        return self.nodes[names[self._turn % len(names)]]

    async def check(self, slot: str) -> None:
        """Ask one node for its health once, and say a change."""
        host, port = self.nodes[slot]
        try:
            answer = await http.request(host, port, "GET", "/-/healthz", timeout=CHECK_TIMEOUT)
            healthy, why = answer.status == 200, f"status {answer.status}"
        except Unreachable as error:
            healthy, why = False, error.message
        if healthy != self.healthy[slot]:
            self.healthy[slot] = healthy
            text = "endpoint added" if healthy else f"endpoint removed: {why}"
            say(slot, text, event="endpoint", healthy=healthy)

    async def watch(self, slot: str) -> None:
        """Check one node every CHECK seconds."""
        while True:
            again = clock.monotonic() + CHECK
            await self.check(slot)
            await asyncio.sleep(max(0.0, again - clock.monotonic()))

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to the node whose turn it is; reset it where that node cannot be reached."""
        place = self.pick()
        if place is None:
            splice.reset(writer)
            return
        try:
            there = await asyncio.open_connection(*place)
        except OSError:
            splice.reset(writer)
            return
        await splice.both((reader, writer), there)


async def watch_own_stalls() -> None:
    """Say where this process could not run for a while."""
    last = clock.monotonic()
    while True:
        await asyncio.sleep(WAKE)
        now = clock.monotonic()
        if now - last > STALL:
            say(
                "service",
                f"stalled for {1000 * (now - last):.0f} ms",
                at=now,
                event="stall",
                seconds=now - last,
            )
        last = now


async def run(host: str, port: int, nodes: dict[str, tuple[str, int]]) -> None:
    """Forward until killed."""
    forwarder = Forwarder(nodes)
    server = await asyncio.start_server(forwarder.forward, host, port, backlog=1024)
    async with server, asyncio.TaskGroup() as group:
        group.create_task(watch_own_stalls())
        for slot in nodes:
            group.create_task(forwarder.watch(slot))


def main(argv: list[str]) -> int:
    """Run the forwarder that the arguments describe."""
    nodes: dict[str, tuple[str, int]] = {}
    for text in argv[2:]:
        slot, _, place = text.partition("=")
        node, _, port = place.rpartition(":")
        nodes[slot] = (node, int(port))
    asyncio.run(run(argv[0], int(argv[1]), nodes))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
