"""A running prober as the engine sees it: it starts, stops and redirects probes, pings, reads what grows.

One session a scenario. The prober's records are the evidence; nothing here is needed to read them later.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from runner import clock
from runner.clusters import here
from runner.clusters.contract import Cluster, Endpoint, Prober, redacted, whole
from runner.errors import CannotRun, ClusterError, Unreachable
from runner.journal.events import ClockPing
from runner.journal.journal import Journal
from runner.journal.samples import place
from runner.language.plan import ProbeSpec
from runner.timeline.clocks import Axis, Ping

PROGRAM = Path(__file__).with_name("prober.py")
PING_EVERY = 1.0
PINGS = 60
"""So many of the last pings are enough to know the prober's clock now."""
START_LIMIT = 30.0
"""Seconds that a prober may take until it stands ready, and for an answer that waits for no deadline."""
ANSWERS = {"started": "start", "stopped": "stop", "retargeted": "retarget"}
"""Which command each event answers."""

Json = Any


def selected(spec: ProbeSpec, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Give the endpoints that a probe means, each one series a connection.

    `each-worker`, `each-node`, a slot, a name of the inventory, or a URL. Raises CannotRun where the cluster
    has none of it.
    """
    name = spec.endpoint
    if re.match(r"https?://", name):
        return [Endpoint(slot=redacted(name), role="url", url=name)]
    roles = {"each-worker": ("worker",), "each-node": ("head", "worker")}.get(name)
    found = [each for each in endpoints if (each.role in roles if roles else each.slot == name)]
    if not found:
        there = ", ".join(sorted(each.slot for each in endpoints)) or "none at all"
        raise CannotRun(
            f"Probe {spec.name} asks endpoint {name}, which this cluster has not; it has: {there}."
        )
    return found


class Session:
    """The prober of one scenario. Made by `open`, ended by `close`, which may be called at any time."""

    def __init__(
        self, prober: Prober, folder: Path, samples: Path, *, run: str, scenario: int, journal: Journal
    ) -> None:
        self._prober = prober
        self._folder = folder
        self._samples = samples
        self._run = run
        self._scenario = scenario
        self._journal = journal
        self._ready: asyncio.Future[Mapping[str, Json]] = asyncio.get_running_loop().create_future()
        self._awaited: dict[tuple[Json, ...], asyncio.Future[Mapping[str, Json]]] = {}
        """By command, probe and series."""
        self._specs: dict[str, list[dict[str, Json]]] = {}
        """What was sent to the prober, by running probe."""
        self._paths: dict[str, str] = {}
        self._files: set[str] = set()
        self._asked: dict[int, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._same_clock = True
        self._pinged = asyncio.Event()
        self._closed = False
        self.pings: list[Ping] = []
        self.lost = asyncio.Event()
        """Set when the prober is gone though nobody ended it: every series is blind from there on."""
        self.why_lost = ""
        self.cpu: float | None = None
        """Seconds of processors that it has taken, as it said when it ended."""

    @classmethod
    async def open(
        cls,
        cluster: Cluster,
        folder: Path,
        *,
        scenario: int,
        run: str,
        journal: Journal,
        origin: str = "cluster",
        away: Collection[str] = (),
    ) -> Session:
        """Start a prober in the cluster, or here; its files go to `samples/<scenario>` of the run folder.

        Pings of one that reads another clock are journalled. Raises CannotRun where none stands ready.
        """
        samples = place(folder, scenario, origin)
        samples.mkdir(parents=True, exist_ok=True)
        if origin == "here":
            prober = await here.prober(PROGRAM, samples, samples / "prober.log")
        else:
            prober = await cluster.prober(PROGRAM, samples, away)
        session = cls(prober, folder, samples, run=run, scenario=scenario, journal=journal)
        session._tasks.append(asyncio.create_task(session._listen()))
        try:
            async with asyncio.timeout(START_LIMIT):
                ready = await session._ready
                session._same_clock = (ready["boot_id"], ready["time_namespace"]) == (
                    clock.boot_id(),
                    clock.time_namespace(),
                )
                session._tasks.append(asyncio.create_task(session._ping()))
                if not session._same_clock:
                    # Nothing it stamps can be told before.
                    await session._pinged.wait()
        except TimeoutError as error:
            await session.close()
            raise CannotRun(f"The prober did not stand ready within {START_LIMIT:.0f} s.") from error
        except BaseException:
            await session.close()
            raise
        return session

    async def start(
        self, spec: ProbeSpec, endpoints: Sequence[Endpoint], *, secrets: Sequence[str] = ()
    ) -> tuple[dict[str, Json], ...]:
        """Start a probe; give the entries of `ProbeStart.series`. `t0` is in seconds since the run's zero.

        Of answers, `secrets` are never written down.
        """
        if spec.name in self._specs:
            raise CannotRun(f"Probe {spec.name} runs already.")
        series = [
            (endpoint, {**self._specification(spec, endpoint, connection), "secrets": list(secrets)})
            for endpoint in selected(spec, endpoints)
            for connection in spec.connections
        ]
        self._specs[spec.name] = [each for _, each in series]
        self._paths[spec.name] = spec.path
        try:
            answer = await self._ask(
                {"command": "start", "probe": spec.name, "series": self._specs[spec.name]}
            )
        except BaseException:
            del self._specs[spec.name]
            raise
        begun = {each["series"]: int(each["t0_ns"]) for each in answer["series"]}
        return tuple(
            {
                "series": made["series"],
                "endpoint": endpoint.slot,
                "role": endpoint.role,
                "simulated": endpoint.simulated,
                "through": endpoint.through,
                "connection": made["connection"],
                "url": made["url_shown"],
                "rate": spec.rate,
                "file": str((self._samples / made["file"]).relative_to(self._folder)),
                "t0": self._seconds(begun[made["series"]]),
                "period": 1 / spec.rate,
                "timeout": spec.timeout,
                "slow_after": spec.slow_after,
                "blind_after": spec.blind_after,
                "recover_after": spec.recover_after,
                "identity": made["identity"],
            }
            for endpoint, made in series
        )

    async def stop(self, probe: str) -> float:
        """Send no more, await all deadlines; give when sending ended, in seconds since the run's zero."""
        if probe not in self._specs:
            raise CannotRun(f"Probe {probe} does not run.")
        # Requests in flight may take up to their deadline.
        limit = max(each["timeout_ns"] for each in self._specs[probe]) / 1e9 + START_LIMIT
        answer = await self._ask({"command": "stop", "probe": probe}, limit=limit)
        del self._specs[probe]
        return self._seconds(int(answer["at_ns"]))

    async def retarget(self, slot: str, url: str) -> None:
        """Send what goes to a slot to another base URL from now on, in every running probe."""
        for probe, specs in list(self._specs.items()):
            target = whole(url, self._paths[probe])
            for each in specs:
                if each["endpoint"] == slot and each["url"] != target:
                    series = each["series"]
                    await self._ask({"command": "retarget", "probe": probe, "series": series, "url": target})
                    each["url"] = target

    def running(self) -> tuple[str, ...]:
        """Give the probes that were started and not stopped."""
        return tuple(self._specs)

    async def close(self) -> None:
        """Stop every probe, await their deadlines, end the prober; nothing is raised where it is gone."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self.lost.is_set():
                limit = max(
                    (each["timeout_ns"] for every in self._specs.values() for each in every), default=0
                )
                try:
                    async with asyncio.timeout(limit / 1e9 + 5):
                        await self._prober.send({"command": "quit"})
                        await asyncio.wait(self._tasks[:1])
                except (TimeoutError, Unreachable):
                    pass  # closing its input says the same, and it is then waited for
        finally:
            await self._prober.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _specification(self, spec: ProbeSpec, endpoint: Endpoint, connection: str) -> dict[str, Json]:
        period = Fraction(10**9) / Fraction(spec.rate).limit_denominator(1_000_000)
        url = whole(endpoint.url, spec.path)
        return {
            "run": self._run,
            "probe": spec.name,
            "series": f"{endpoint.slot}/{connection}",
            "endpoint": endpoint.slot,
            "connection": connection,
            "url": url,
            "url_shown": redacted(url),
            "method": spec.method,
            "headers": dict(spec.headers),
            "body": spec.body,
            "period_ns": [period.numerator, period.denominator],
            "timeout_ns": round(spec.timeout * 1e9),
            "slow_after_ns": round(spec.slow_after * 1e9),
            "blind_after_ns": round(spec.blind_after * 1e9),
            "recover_after_ns": round(spec.recover_after * 1e9),
            "max_in_flight": spec.max_in_flight,
            "expect": {"status": [list(each) for each in spec.expect.status], "body": spec.expect.body},
            "identity": spec.identity and {"kind": spec.identity.kind, "value": spec.identity.value},
            "file": self._file(f"{spec.name}.{endpoint.slot}.{connection}"),
        }

    def _file(self, name: str) -> str:
        """Give a file name that no series has had: a probe may be started again."""
        stem = re.sub(r"[^\w.-]+", "_", name)[:100]
        file, number = f"{stem}.samples", 1
        while file in self._files:
            number += 1
            file = f"{stem}.{number}.samples"
        self._files.add(file)
        return file

    def _seconds(self, at: int) -> float:
        """Give an instant of the prober's clock in seconds since the run's zero."""
        if self._same_clock:
            return at / 1e9 - self._journal.zero
        return Axis(round(self._journal.zero * 1e9), self.pings[-PINGS:]).seconds(at)

    async def _ask(self, command: Mapping[str, Json], *, limit: float = START_LIMIT) -> Mapping[str, Json]:
        """Send a command; give its answer, raise what the prober could not do."""
        if self.lost.is_set():
            raise Unreachable(self.why_lost)
        future: asyncio.Future[Mapping[str, Json]] = asyncio.get_running_loop().create_future()
        name, key = command["command"], _key(command["command"], command)
        self._awaited[key] = future
        try:
            async with asyncio.timeout(limit):
                await self._prober.send(command)
                return await future
        except TimeoutError as error:
            raise Unreachable(f"The prober did not answer `{name}` within {limit:.0f} s.") from error
        finally:
            self._awaited.pop(key, None)

    async def _listen(self) -> None:
        why = "it ended by itself"
        try:
            async for said in self._prober.events():
                if said["event"] == "bye":
                    why = str(said.get("why", why))
                    if "cpu_ns" in said:
                        self.cpu = said["cpu_ns"] / 1e9
                else:
                    self._hear(said)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
        if not self._closed:
            self.why_lost = f"The prober is gone ({why}). Every series is blind from there on."
            self.lost.set()
        for future in (self._ready, *self._awaited.values()):
            if not future.done():
                future.set_exception(Unreachable(self.why_lost or "The prober was closed."))
                future.exception()  # nobody may be waiting for it any more

    def _hear(self, said: Mapping[str, Json]) -> None:
        event = said["event"]
        if event == "pong":
            r1 = self._asked.pop(said["id"], None)
            if r1 is not None:
                self._pong(Ping(r1, int(said["p_ns"]), clock.monotonic_ns()))
            return
        if event == "ready":
            self._ready.set_result(said)
            return
        waiting = self._awaited.get(_key(ANSWERS.get(event, said.get("command")), said))
        if waiting is None or waiting.done():
            return
        if event == "error":
            waiting.set_exception(ClusterError(f"The prober could not do it: {said['message']}."))
        else:
            waiting.set_result(said)

    def _pong(self, ping: Ping) -> None:
        self.pings.append(ping)
        self._pinged.set()
        if not self._same_clock:
            asked, heard = (at / 1e9 - self._journal.zero for at in (ping.r1, ping.r2))
            self._journal.append(ClockPing(scenario=self._scenario, asked=asked, p_ns=ping.p, heard=heard))

    async def _ping(self) -> None:
        number = 0
        while True:
            self._asked[number] = clock.monotonic_ns()
            try:
                await self._prober.send({"command": "ping", "id": number})
            except Unreachable:
                return
            number += 1
            await asyncio.sleep(PING_EVERY)


def _key(command: str | None, about: Mapping[str, Json]) -> tuple[Json, ...]:
    """Give what joins an answer to its command."""
    return command, about.get("probe"), about["series"] if command == "retarget" else None
