"""A port here that leads to one of a pod, as `kubectl port-forward` makes it: pinned to that pod.

Every connection is carried by one of its own to the API server, which is no way for much traffic: what it
measures is the way of somebody who tries with curl. Channel 0 holds the bytes, channel 1 what went wrong; the
first message of either tells the port.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from runner.clusters.kubernetes.api import Api
from runner.errors import ClusterError

if TYPE_CHECKING:
    import aiohttp

BYTES, WRONG = 0, 1
PIECE = 65536

LINGER = 10.0
"""Seconds that whoever asked may take to read the last of an answer."""


class Forward:
    """Listens on a port of this machine, until it is closed."""

    def __init__(self, api: Api, namespace: str, pod: str, port: int) -> None:
        self._api = api
        self._namespace = namespace
        self.pod = pod
        self._port = port
        self._server: asyncio.Server | None = None
        self._carrying: set[asyncio.Task[None]] = set()

    async def open(self) -> str:
        """Listen; give the URL to ask."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Listen no more, and cut what is open. Twice does no harm."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)
        try:
            await self._carry(reader, writer)
            # drain() returns while the end of an answer still waits here, and abort() would drop that.
            writer.close()
            async with asyncio.timeout(LINGER):
                await writer.wait_closed()
        except BaseException as error:
            writer.transport.abort()
            # As kubectl does it: whoever asked sees a connection that ends.
            if not isinstance(error, (ClusterError, ConnectionError, TimeoutError)):
                raise

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection, until either side ends it."""
        socket = await self._api.dial(self._namespace, self.pod, self._port)
        asking = asyncio.create_task(_ask(reader, socket))
        try:
            await _answer(socket, writer)
        finally:
            asking.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await asking
            await socket.close()


async def _ask(reader: asyncio.StreamReader, socket: aiohttp.ClientWebSocketResponse) -> None:
    """Send on what comes from here; its end ends the connection."""
    while data := await reader.read(PIECE):
        await socket.send_bytes(bytes([BYTES]) + data)
    await socket.close()


async def _answer(socket: aiohttp.ClientWebSocketResponse, writer: asyncio.StreamWriter) -> None:
    """Send on what comes from the pod, until its side ends, or says what went wrong."""
    import aiohttp

    told = set()
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], message.data[1:]
        if channel not in told:
            told.add(channel)
            continue  # the port's number
        if channel == WRONG:
            return
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
