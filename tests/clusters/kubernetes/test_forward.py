"""What a port-forward hands on of a pod's answer: all of it, also to who reads slowly, but to nobody for ever."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
import pytest

from runner.clusters.kubernetes import forward
from runner.clusters.kubernetes.api import Api
from runner.clusters.kubernetes.forward import BYTES, PIECE, WRONG, Forward
from runner.errors import Unreachable

BODY = bytes(range(256)) * (PIECE // 256)


class Pod:
    """Answers each connection with the body, after which it ends, or says what went wrong."""

    def __init__(self, *, wrong: bool = False, gone: bool = False) -> None:
        self.wrong, self.gone = wrong, gone
        self.answered = asyncio.Event()

    async def dial(self, *_: Any) -> Pod:
        if self.gone:
            raise Unreachable("No such pod.")
        return self

    async def __aiter__(self) -> AsyncIterator[aiohttp.WSMessage]:
        port = b"\x40\x1f"
        said = [(BYTES, port), (WRONG, port), (BYTES, BODY), *([(WRONG, b"reset")] if self.wrong else [])]
        for channel, data in said:
            yield aiohttp.WSMessage(aiohttp.WSMsgType.BINARY, bytes([channel]) + data, None)

    async def close(self) -> None:
        self.answered.set()


@asynccontextmanager
async def asking(pod: Pod) -> AsyncIterator[tuple[Forward, socket.socket]]:
    """Connect to it, by a connection that holds much less than the body."""
    there = Forward(cast("Api", pod), "ns", "a", 8000)
    port = int((await there.open()).rpartition(":")[2])
    assert there._server is not None
    there._server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with socket.socket() as client:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
        try:
            yield there, client
        finally:
            await there.close()


async def rest(client: socket.socket) -> bytes:
    """Give all that comes until the connection ends, in whatever way."""
    found = b""
    try:
        async with asyncio.timeout(10.0):
            while data := await asyncio.get_running_loop().sock_recv(client, PIECE):
                found += data
    except ConnectionError:
        pass
    return found


@pytest.mark.parametrize("wrong", [False, True])
async def test_who_reads_slowly_gets_the_end_of_an_answer_too(*, wrong: bool) -> None:
    pod = Pod(wrong=wrong)
    async with asking(pod) as (_, client):
        await pod.answered.wait()
        await asyncio.sleep(0.1)
        assert await rest(client) == BODY


async def test_who_never_reads_is_cut_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "LINGER", 0.1)
    pod = Pod()
    async with asking(pod) as (there, client):
        await pod.answered.wait()
        async with asyncio.timeout(5.0):
            await asyncio.gather(*there._carrying)
        assert len(await rest(client)) < len(BODY)


async def test_closing_it_waits_for_nobody_who_reads() -> None:
    pod = Pod()
    async with asking(pod) as (there, client):
        await pod.answered.wait()
        async with asyncio.timeout(5.0):
            await there.close()
        assert len(await rest(client)) < len(BODY)


async def test_where_no_pod_is_to_be_had_the_connection_ends() -> None:
    async with asking(Pod(gone=True)) as (_, client):
        assert await rest(client) == b""
