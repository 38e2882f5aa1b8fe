"""A prober without sockets: speaks docs/prober.md and writes real sample files of scripted answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from runner import clock
from runner.journal.redaction import HIDDEN
from runner.journal.samples import HEADER_BYTES, MAGIC, RECORD, Outcome

TICK = 0.05
"""Seconds between two writes."""
CPU = 2_000_000
"""Nanoseconds of processors that it says it took."""

TOOK = 2000
"""Microseconds that every answer takes."""

Respond = Callable[[str, float, int], tuple[int, str]]
"""Slot, instant of the event loop, number of the request; gives status (0: refused) and body."""


class Series:
    """One series: its specification, its file, and how far it is written."""

    def __init__(self, specification: Mapping[str, Any], directory: Path, t0_ns: int) -> None:
        self.specification = specification
        self.t0_ns = t0_ns
        self.next = 0
        self.file: BinaryIO = (directory / specification["file"]).open("xb", buffering=0)
        private = ("headers", "body", "file", "url_shown", "secrets")
        header = {name: value for name, value in specification.items() if name not in private} | {
            "url": specification.get("url_shown", ""),
            "t0_ns": t0_ns,
            "boot_id": clock.boot_id(),
            "time_namespace": clock.time_namespace(),
            "prober_sha256": "",
            "record": RECORD.descr,
        }
        text = MAGIC + json.dumps(header).encode()
        self.file.write(text.ljust(HEADER_BYTES - 1) + b"\n")

    def due_ns(self) -> int:
        """Give when the next request is due."""
        numerator, denominator = self.specification["period_ns"]
        return self.t0_ns + self.next * int(numerator) // int(denominator)


class ScriptedProber:
    """Keeps `contract.Prober`. `ahead_ns` is added to the event loop's clock to give the stamps."""

    def __init__(self, respond: Respond, directory: Path, ahead_ns: int = 0) -> None:
        self._respond = respond
        self._directory = directory
        self._ahead_ns = ahead_ns
        self._loop = asyncio.get_running_loop()
        self._said: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue()
        self._series: list[Series] = []
        self._who: dict[str, int] = {"": 0}
        self._log = (directory / "prober.jsonl").open("ab", buffering=0)
        self._ticking = asyncio.create_task(self._tick())
        self._say(
            "ready",
            boot_id=clock.boot_id(),
            time_namespace=clock.time_namespace(),
            python="",
            aiohttp="",
            uvloop="",
            sha256="",
        )

    def _now_ns(self) -> int:
        return round(self._loop.time() * 1e9) + self._ahead_ns

    def _say(self, event: str, **fields: Any) -> None:
        self._said.put_nowait({"event": event, **fields})

    def _note(self, kind: str, **fields: Any) -> None:
        self._log.write(json.dumps({"kind": kind, **fields}).encode() + b"\n")

    async def send(self, command: Mapping[str, Any]) -> None:
        """Obey at once."""
        match command["command"]:
            case "start":
                begun = [Series(each, self._directory, self._now_ns()) for each in command["series"]]
                self._series += begun
                started = [
                    {
                        "series": each.specification["series"],
                        "t0_ns": each.t0_ns,
                        "file": each.specification["file"],
                    }
                    for each in begun
                ]
                self._say("started", probe=command["probe"], series=started)
            case "stop":
                self._stop(command["probe"])
            case "retarget":
                self._say("retargeted", series=command["series"])
            case "ping":
                self._say("pong", id=command["id"], p_ns=self._now_ns())
            case "quit":
                self._quit()
            case unknown:
                self._say("error", message=f"There is no command {unknown}.", command=command)

    async def events(self) -> AsyncIterator[Mapping[str, Any]]:
        """Give what it says, until it ends."""
        while (said := await self._said.get()) is not None:
            yield said

    async def close(self) -> None:
        """Stop every probe and end."""
        if not self._log.closed:
            self._quit()
        await asyncio.gather(self._ticking, return_exceptions=True)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            for series in self._series:
                self._write(series)

    def _write(self, series: Series) -> None:
        records = []
        now_ns = self._now_ns()
        while (due_ns := series.due_ns()) <= now_ns:
            at = (due_ns - self._ahead_ns) / 1e9
            status, body = self._respond(series.specification["endpoint"], at, series.next)
            outcome = {200: Outcome.OK, 503: Outcome.HTTP_5XX, 0: Outcome.REFUSED}[status]
            who = body if series.specification["identity"] else ""
            for secret in series.specification.get("secrets", ()):
                who = who.replace(secret, HIDDEN)
            if who not in self._who:
                self._who[who] = len(self._who)
                self._note("who", index=self._who[who], text=who)
            records.append((series.next, 0, TOOK, status, self._who[who], 0, outcome, 0b1000))
            series.next += 1
        series.file.write(np.array(records, dtype=RECORD).tobytes())

    def _stop(self, probe: str) -> None:
        for series in [each for each in self._series if each.specification["probe"] == probe]:
            self._write(series)
            series.file.close()
            self._series.remove(series)
        at_ns = self._now_ns()
        self._note("stop", probe=probe, at_ns=at_ns)
        self._say("stopped", probe=probe, at_ns=at_ns)

    def _quit(self) -> None:
        for probe in {each.specification["probe"]: None for each in self._series}:
            self._stop(probe)
        self._ticking.cancel()
        self._log.close()
        self._say("bye", why="quit", cpu_ns=CPU)
        self._said.put_nowait(None)
