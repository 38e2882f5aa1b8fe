"""Units as they run: started, watched, started again. What kubelet does for a pod."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from runner import clock
from runner.clusters.local import processes
from runner.clusters.local.blueprint import Blueprint, Place, Unit
from runner.rayserve.processes import part

Json = Any

POLL = 0.05
"""Seconds between two looks at a port that does not accept yet, or a session that is not gone yet."""

LOOK = 1.0
"""Seconds between two looks at the process that a unit is dead without."""

LIVENESS = 2.0
"""Seconds that a unit may go on without it; a liveness probe of KubeRay's leaves it ten minutes."""

Begin = Callable[[Unit, int], Awaitable[asyncio.subprocess.Process]]
"""Starts a unit's command in a session of its own; its output goes to the handle, unless it speaks."""


async def accepts(place: Place) -> bool:
    """Whether somebody accepts connections there."""
    try:
        async with asyncio.timeout(1.0):
            _reader, writer = await asyncio.open_connection(*place)
    except OSError:  # TimeoutError is one
        return False
    writer.close()
    return True


async def accepting(places: tuple[Place, ...]) -> None:
    """Wait until somebody accepts connections at each of the places."""
    for place in places:
        while not await accepts(place):  # noqa: ASYNC110 (nothing tells when a port opens)
            await asyncio.sleep(POLL)


class Happenings:
    """All that happened, for whoever asks now or later."""

    def __init__(self) -> None:
        self._said: list[Mapping[str, Json]] = []
        self._more = asyncio.Event()

    def say(self, source: str, slot: str, text: str, *, at: float | None = None, **data: Json) -> None:
        """Add one happening; `at` is now unless it is given."""
        instant = clock.monotonic() if at is None else at
        self._said.append({"at": instant, "source": source, "slot": slot, "text": text, "data": data})
        self._more.set()
        self._more = asyncio.Event()

    async def follow(self, since: int) -> AsyncIterator[Mapping[str, Json]]:
        """Give what was and will be said, from number `since` on; never ends."""
        while True:
            more = self._more
            while since < len(self._said):
                yield self._said[since]
                since += 1
            if more is self._more:
                await more.wait()


class Running:
    """A unit, and what became of it. state: waiting, starting, up, down."""

    def __init__(self, unit: Unit, plan: Blueprint, happenings: Happenings, begin: Begin) -> None:
        self.unit = unit
        self.state = "waiting"
        self.starts = 0
        self.session = 0
        self.network = ""
        """The kernel's name of its network, where it has one of its own."""
        self.cut_off = False
        """Whether its link was cut."""
        self.wanted = asyncio.Event()
        self.wanted.set()
        self._plan = plan
        self._happenings = happenings
        self._begin = begin
        self._was_up = False

    def say(self, text: str, event: str, **data: Json) -> None:
        """Note a happening of this unit."""
        self._happenings.say("supervisor", self.unit.slot, text, event=event, **data)

    def members(self) -> list[processes.Process]:
        """Give its living processes: of its session, and whatever else is in its network."""
        return [
            process
            for process in processes.living()
            if (self.session and process.session == self.session)
            or (self.network and processes.network(process.pid) == self.network)
        ]

    def playing(self, name: str) -> list[processes.Process]:
        """Give those of its processes that play this part of Ray."""
        return [process for process in self.members() if part(*processes.words(process.pid)) == name]

    async def keep(self) -> None:
        """Start it, and start it again whenever it ends, as long as it is wanted. Never ends."""
        while True:
            if not self.wanted.is_set():
                self.state = "down"
                await self.wanted.wait()
            self.state = "waiting"
            await self._await()
            for path in self.unit.forget:
                Path(path).unlink(missing_ok=True)
            await self._live()
            # Not once up: something is wrong with the machine, and the run should hear it.
            if not self._was_up and self.starts >= self._plan.tries:
                self.wanted.clear()
                self.say("given up", "failed", starts=self.starts)
            elif self.wanted.is_set():
                await asyncio.sleep(self.unit.restart_delay)

    async def _await(self) -> None:
        """Wait for what it needs; said where it is not there at once."""
        for place in self.unit.after:
            if not await accepts(place):
                self.say(f"waits for {place[0]}:{place[1]}", "awaits", place=list(place))
        await accepting(self.unit.after)

    async def _live(self) -> None:
        """Start it and wait for its end. Nothing of it lives afterwards."""
        self.state = "starting"
        self.starts += 1
        with Path(self.unit.log).open("ab") as log:  # noqa: ASYNC230 (a small local file)
            process = await self._begin(self.unit, log.fileno())
        self.session = process.pid
        self.say("started" if self.starts == 1 else "started again", "started", starts=self.starts)
        tasks = [asyncio.create_task(self._rise(process.pid))]
        if process.stdout is not None:
            tasks.append(asyncio.create_task(self._listen(process.stdout)))
        try:
            code = await process.wait()
            self.state = "waiting"
            ending = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            self.say(f"ended ({ending})", "ended", code=code)
            await self.sweep()
        finally:
            for task in tasks:
                task.cancel()

    async def _rise(self, pid: int) -> None:
        """Note when it is up; kill it where it does not come up in time."""
        try:
            async with asyncio.timeout(self._plan.start_limit):
                await accepting(self.unit.ready)
        except TimeoutError:
            self.say("does not come up: killed", "late")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return
        self.state = "up"
        self._was_up = True
        self.say("up", "up", starts=self.starts)
        if self.unit.vital:
            await self._dead_inside()
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def _dead_inside(self) -> None:
        """Wait until it has been without its vital process for a while, as kubelet's liveness probe does."""
        found: list[processes.Process] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._plan.start_limit):
                while not found:
                    found = self.playing(self.unit.vital)
                    await asyncio.sleep(LOOK)
        while any(processes.lives(process) for process in found):  # noqa: ASYNC110 (nothing tells of an end)
            await asyncio.sleep(LOOK)
        await asyncio.sleep(LIVENESS)
        self.say(f"has no {self.unit.vital} any more: killed", "dead")

    async def _listen(self, output: asyncio.StreamReader) -> None:
        """Pass on what it says of itself and of others."""
        while line := await output.readline():
            said = json.loads(line)
            self._happenings.say(said["source"], said["slot"], said["text"], at=said["at"], **said["data"])

    async def sweep(self) -> None:
        """Kill what is left of it, again until nothing is: a process may fork while it is being killed."""
        while left := self.members():
            processes.send(left, signal.SIGKILL)
            await asyncio.sleep(POLL / 5)
