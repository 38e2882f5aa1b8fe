"""A supervisor with units of a test's own: shell commands in place of Ray."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.clusters.contract import Context
from runner.clusters.local import layout
from runner.clusters.local.blueprint import Blueprint, Unit
from runner.clusters.local.cluster import LocalCluster
from runner.clusters.local.settings import Settings
from runner.clusters.local.wire import Wire

LAYOUTS = ("namespaces", "loopback")
ADDRESSES = {
    "namespaces": ("10.1.0.1", "10.1.0.2", "10.1.0.3"),
    "loopback": ("127.0.0.1", "127.19.7.2", "127.19.7.3"),
}

LISTEN = "import socket,time; s=socket.create_server(('{host}',{port})); time.sleep(1e6)"


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("0.0.0.0", 0))
        return trial.getsockname()[1]


@dataclass
class Stage:
    """A supervisor that runs."""

    cluster: LocalCluster
    wire: Wire
    runtime: Path

    async def ask(self, what: str, **fields: Any) -> Mapping[str, Any]:
        return await self.wire.ask(what, **fields)

    async def unit(self, slot: str) -> Mapping[str, Any]:
        return next(row for row in (await self.ask("units"))["units"] if row["slot"] == slot)

    async def grown(self, slot: str, count: int) -> Mapping[str, Any]:
        """Wait until a unit has so many processes; give its row."""
        async with asyncio.timeout(20):
            while (row := await self.unit(slot))["count"] < count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return row

    async def heard(self, slot: str, *events: str, limit: float = 30.0) -> list[Mapping[str, Any]]:
        """Wait until these happened to a slot, in this order; give all that happened to it until then."""
        found: list[Mapping[str, Any]] = []
        missing = list(events)
        async with asyncio.timeout(limit):
            async for happening in self.wire.events(0):
                if happening["slot"] == slot:
                    found.append(happening)
                    if happening["data"].get("event") == missing[0]:
                        missing.pop(0)
                        if not missing:
                            return found
        raise AssertionError("the supervisor ended")


def shell(runtime: str, slot: str, text: str, *, address: str = "", **fields: Any) -> Unit:
    """A unit that runs a shell script."""
    given = {"restart_delay": 0.1, "role": "node", "log": f"{runtime}/logs/{slot}.log"} | fields
    return Unit(slot=slot, address=address, command=("/bin/sh", "-c", text), **given)


@asynccontextmanager
async def stage(chosen: str, tmp_path: Path, make: Any, **plan: Any) -> AsyncIterator[Stage]:
    """Run the units that `make(runtime, addresses)` gives; the first address is that of the bus."""
    cluster = LocalCluster(Settings(), Context("test", tmp_path, 1))
    addresses = ADDRESSES[chosen]
    units = tuple(make(cluster.runtime, addresses))
    blueprint = Blueprint(chosen, cluster.runtime, addresses[0], units, **plan)
    try:
        await cluster.start_supervisor(blueprint, layout.choose(chosen).prefix)
        yield Stage(cluster, cluster.wire, Path(cluster.runtime))
    finally:
        await cluster.close()
    assert not Path(cluster.runtime).exists()
