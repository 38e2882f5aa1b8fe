"""A real prober process and small servers, for tests."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from runner.journal.samples import ProberLog, Samples, read_prober_log, read_samples

PROBER = Path(__file__).parents[2] / "runner" / "probes" / "prober.py"
RIGHT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nme"

Handler = Callable[[bytes], Awaitable[bytes | None]]
"""Given a request's head and body, gives the bytes to answer; None closes the connection."""


class Server:
    """An HTTP server of few words; `requests` holds what came, `connections` how many were accepted."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.requests: list[bytes] = []
        self.connections = 0
        self.writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (
                        int(line[15:])
                        for line in head.lower().split(b"\r\n")
                        if line.startswith(b"content-length:")
                    ),
                    0,
                )
                request = head + await reader.readexactly(length)
                self.requests.append(request)
                answer = await self.handler(request)
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
                if b"connection: close" in head.lower() or b"connection: close" in answer.lower():
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # cancelled only when the test is over
        finally:
            self.writers.discard(writer)
            writer.close()


@asynccontextmanager
async def serving(handler: Handler, **options: Any) -> AsyncIterator[Server]:
    server = Server(handler)
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await server.serve(reader, writer)

    listener = await asyncio.start_server(connected, "127.0.0.1", 0, **options)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


async def right(_: bytes) -> bytes:
    return RIGHT


def specification(url: str, **changes: Any) -> dict[str, Any]:
    connection = changes.get("connection", "new")
    return {
        "run": "test",
        "probe": "users",
        "series": f"service/{connection}",
        "endpoint": "service",
        "connection": connection,
        "url": url,
        "url_shown": url,
        "method": "GET",
        "headers": {},
        "body": None,
        "period_ns": [10**9, 100],
        "timeout_ns": 5_000_000_000,
        "slow_after_ns": 125_000_000,
        "blind_after_ns": 100_000_000,
        "recover_after_ns": 1_000_000_000,
        "max_in_flight": 200,
        "expect": {"status": [[200, 299]], "body": None},
        "identity": None,
        "file": f"{connection}.samples",
    } | changes


async def until(true: Callable[[], object]) -> None:
    """Wait until it is true; on a busy machine that may take longer than any time one would write down."""
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 (another process makes it true)
            await asyncio.sleep(0.01)


class Running:
    """A prober that stands ready."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self.folder = folder

    async def say(self, **command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        await self.process.stdin.drain()

    async def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            return json.loads(await self.process.stdout.readline())

    async def start(self, *series: dict[str, Any], probe: str = "users") -> dict[str, Any]:
        await self.say(command="start", probe=probe, series=list(series))
        return await self.hear()

    async def stop(self, probe: str = "users") -> dict[str, Any]:
        await self.say(command="stop", probe=probe)
        return await self.hear()

    async def measure(self, *series: dict[str, Any], seconds: float = 0.3, least: int = 1) -> Samples:
        """Probe for a while, until each series has so many samples at least; give those of the first."""
        assert (await self.start(*series))["event"] == "started"
        await asyncio.sleep(seconds)
        await until(lambda: all(len(self.samples(each["file"]).n) >= least for each in series))
        assert (await self.stop())["event"] == "stopped"
        return self.samples(series[0]["file"])

    def samples(self, file: str = "new.samples") -> Samples:
        return read_samples(self.folder / file)

    @property
    def log(self) -> ProberLog:
        return read_prober_log(self.folder / "prober.jsonl")

    def logged(self, kind: str) -> list[dict[str, Any]]:
        return [dict(each) for each in self.log.others if each["kind"] == kind]


@asynccontextmanager
async def running(folder: Path, *command: str, **options: Any) -> AsyncIterator[Running]:
    """Start a prober, with `command` in place of `-I prober.py`."""
    folder.mkdir(exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(command or ("-I", str(PROBER))),
        str(folder),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        **options,
    )
    prober = Running(process, folder)
    assert (await prober.hear())["event"] == "ready"
    try:
        yield prober
    finally:
        assert process.stdin is not None
        process.stdin.close()
        if process.returncode is None:
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
        await process.communicate()
