"""One exchange: every framing of an answer, and every way of getting none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from runner.clusters.local import http
from runner.errors import Unreachable


@asynccontextmanager
async def server(content: bytes, *, hang: bool = False) -> AsyncIterator[tuple[int, list[bytes]]]:
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
        heard.append(head + (await reader.readexactly(int(length[0].split()[1])) if length else b""))
        writer.write(content)
        await writer.drain()
        if hang:
            await reader.read()
        writer.close()
        ended.set()

    ended = asyncio.Event()
    made = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield made.sockets[0].getsockname()[1], heard
    await ended.wait()
    made.close()


@pytest.mark.parametrize(
    "content",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Word: w\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX-Word: w\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX-Word: w\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    ],
)
async def test_every_framing_gives_the_body(content: bytes) -> None:
    async with server(content) as (port, heard):
        answer = await http.request("127.0.0.1", port, "PUT", "/a?b=c", body=b"{}", timeout=5)
        assert (answer.status, answer.body, answer.headers["X-Word"]) == (200, b"hello", "w")
        assert heard[0].startswith(b"PUT /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:")
        assert heard[0].endswith(b"\r\n\r\n{}")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhe",
        b"SSH-2.0-OpenSSH\r\n",
    ],
)
async def test_half_an_answer_is_none(content: bytes) -> None:
    async with server(content) as (port, _heard):
        with pytest.raises(Unreachable):
            await http.request("127.0.0.1", port, "GET", "/", timeout=5)


async def test_nobody_and_silence_are_unreachable() -> None:
    with pytest.raises(Unreachable, match="cannot be asked"):
        await http.request("127.0.0.1", 1, "GET", "/", timeout=5)
    async with server(b"HTTP/1.1 200 OK\r\n", hang=True) as (port, _heard):
        with pytest.raises(Unreachable, match=r"no answer within 0\.1 s"):
            await http.request("127.0.0.1", port, "GET", "/", timeout=0.1)


async def test_headers_are_sent_but_those_that_frame_the_exchange() -> None:
    content = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    headers = {
        "X-Word": "w",
        "content-type": "text/plain",
        "Connection": "keep-alive",
        "Content-Length": "99",
    }
    async with server(content) as (port, heard):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await http.exchange(reader, writer, method="POST", host="h", path="/", headers=headers, body=b"hello")
    lines = heard[0].decode().split("\r\n")
    assert lines == [
        "POST / HTTP/1.1",
        "Host: h",
        "Accept: */*",
        "X-Word: w",
        "content-type: text/plain",
        "Content-Length: 5",
        "Connection: close",
        "",
        "hello",
    ]
