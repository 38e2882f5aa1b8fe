"""The forwarder picks among healthy nodes, tries no second one, and says what it does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from runner.clusters.local import forwarder
from runner.clusters.local.forwarder import Forwarder
from runner.clusters.local.http import request
from runner.errors import Unreachable


class Backend:
    """A node's proxy: says its name, and whether it is healthy."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.healthy = True
        self.port = 0
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split()[1].decode()
        status = 503 if path == "/-/healthz" and not self.healthy else 200
        self.asked.append(path)
        body = self.name.encode()
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        await writer.drain()
        writer.close()


@asynccontextmanager
async def backends(*names: str) -> AsyncIterator[dict[str, Backend]]:
    found = {name: Backend(name) for name in names}
    servers = []
    for each in found.values():
        servers.append(await asyncio.start_server(each.serve, "127.0.0.1", 0))
        each.port = servers[-1].sockets[0].getsockname()[1]
    yield found
    for server in servers:
        server.close()


@asynccontextmanager
async def forwarding(found: dict[str, Backend]) -> AsyncIterator[tuple[Forwarder, int]]:
    made = Forwarder({name: ("127.0.0.1", each.port) for name, each in found.items()})
    server = await asyncio.start_server(made.forward, "127.0.0.1", 0)
    yield made, server.sockets[0].getsockname()[1]
    server.close()


async def ask(port: int) -> str:
    return (await request("127.0.0.1", port, "GET", "/", timeout=5)).body.decode()


async def test_connections_go_to_healthy_nodes_in_turn() -> None:
    async with backends("head", "worker-1", "worker-2") as found, forwarding(found) as (made, port):
        found["worker-1"].healthy = False
        for slot in found:
            await made.check(slot)
        assert sorted([await ask(port) for _ in range(6)]) == ["head"] * 3 + ["worker-2"] * 3


async def test_one_bad_check_takes_a_node_out_and_one_good_brings_it_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with backends("head") as found, forwarding(found) as (made, port):
        for healthy in (True, False, True):
            found["head"].healthy = healthy
            await made.check("head")
            if healthy:
                assert await ask(port) == "head"
            else:
                with pytest.raises(Unreachable):
                    await ask(port)
        said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(each["slot"], each["data"]["healthy"]) for each in said] == [
            ("head", True),
            ("head", False),
            ("head", True),
        ]
        assert said[1]["text"] == "endpoint removed: status 503"
        assert {each["source"] for each in said} == {"forwarder"}


async def test_checks_come_every_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert forwarder.CHECK == 5.0
    monkeypatch.setattr(forwarder, "CHECK", 0.1)
    async with backends("head") as found, forwarding(found) as (made, _port):
        began = time.monotonic()
        watching = asyncio.create_task(made.watch("head"))
        async with asyncio.timeout(30):
            while found["head"].asked.count("/-/healthz") < 6:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        watching.cancel()
        assert time.monotonic() - began >= 0.5


async def test_a_node_that_died_since_its_check_resets_the_connection() -> None:
    async with backends("head", "worker-1") as found, forwarding(found) as (made, port):
        for slot in found:
            await made.check(slot)
        made.nodes["head"] = ("127.0.0.1", 1)  # nobody listens there
        answers = []
        for _ in range(4):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            try:
                answers.append(b"worker-1" in await reader.read())
            except ConnectionResetError:
                answers.append("reset")
            writer.close()
        assert sorted(answers, key=str) == [True, True, "reset", "reset"]


async def test_bytes_go_both_ways_until_both_sides_ended() -> None:
    async def echo_then_more(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whole = await reader.read()  # until the client's end of file
        writer.write(whole[::-1] + b"!")
        writer.close()

    async with asyncio.timeout(10):
        server = await asyncio.start_server(echo_then_more, "127.0.0.1", 0)
        made = Forwarder({"head": ("127.0.0.1", server.sockets[0].getsockname()[1])})
        made.healthy["head"] = True
        front = await asyncio.start_server(made.forward, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", front.sockets[0].getsockname()[1])
        content = bytes(range(256)) * 4096
        writer.write(content)
        writer.write_eof()
        assert await reader.read() == content[::-1] + b"!"
        writer.close()
        front.close()
        server.close()


async def test_a_reset_of_the_node_is_a_reset_for_the_client() -> None:
    async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        forwarder.splice.reset(writer)

    async with asyncio.timeout(10):
        server = await asyncio.start_server(reset, "127.0.0.1", 0)
        made = Forwarder({"head": ("127.0.0.1", server.sockets[0].getsockname()[1])})
        made.healthy["head"] = True
        front = await asyncio.start_server(made.forward, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", front.sockets[0].getsockname()[1])
        with pytest.raises(ConnectionResetError):
            writer.write(b"x")
            await reader.read()
        writer.close()
        front.close()
        server.close()


async def test_its_own_stalls_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(forwarder, "say", lambda slot, _text, **data: said.append((slot, data)))
    watching = asyncio.create_task(forwarder.watch_own_stalls())
    await asyncio.sleep(0.1)
    said.clear()
    began = time.monotonic()
    time.sleep(0.2)  # noqa: ASYNC251 (the stall)
    ended = time.monotonic()
    await asyncio.sleep(0.05)
    watching.cancel()
    (slot, data), *_ = said
    assert (slot, data["event"]) == ("service", "stall")
    start = data["at"] - data["seconds"]
    assert start <= began
    assert data["at"] >= ended
