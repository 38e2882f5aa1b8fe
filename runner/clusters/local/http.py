"""One HTTP exchange over a connection that somebody else made: all that this room needs of HTTP."""

from __future__ import annotations

import asyncio
import http.client
import io
from collections.abc import Mapping
from typing import Any, cast

from runner.clusters.contract import Answer
from runner.errors import Unreachable

FRAMING = ("connection", "content-length", "transfer-encoding")
"""Headers that say how the exchange itself goes: they are ours."""

LARGEST = 64 * 1024 * 1024
"""Longest answer that is read, in bytes."""


class _Recorded:
    """The part of a socket that `HTTPResponse` reads from."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._content)


async def exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    method: str,
    host: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """Send one request and read its answer to the end of the connection, which is closed afterwards.

    Raises Unreachable where no whole answer came. Has no limit of time: the caller sets one.
    """
    given = {name: value for name, value in (headers or {}).items() if name.lower() not in FRAMING}
    usual = {"Host": host, "Accept": "*/*"}
    if body is not None:
        usual["Content-Type"] = "application/json"
    known = {name.lower() for name in given}
    said = {name: value for name, value in usual.items() if name.lower() not in known} | given
    if body is not None or method in ("POST", "PUT", "PATCH"):
        said["Content-Length"] = str(len(body or b""))
    said["Connection"] = "close"
    head = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items())]
    try:
        writer.write("\r\n".join([*head, "", ""]).encode() + (body or b""))
        await writer.drain()
        content = bytearray()
        while chunk := await reader.read(1 << 16):
            content += chunk
            if len(content) > LARGEST:
                raise Unreachable(f"The answer to {method} {path} is longer than {LARGEST} bytes.")
        # The class asks its argument for `makefile` and nothing else.
        answer = http.client.HTTPResponse(cast("Any", _Recorded(bytes(content))), method=method)
        answer.begin()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{method} {path} got no whole answer from {host}: {error!r}.") from error
    finally:
        writer.close()


async def request(
    host: str, port: int, method: str, path: str, *, body: bytes | None = None, timeout: float
) -> Answer:
    """Connect from here and ask; raises Unreachable where nobody answers within `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host, port)
            return await exchange(reader, writer, method=method, host=f"{host}:{port}", path=path, body=body)
    except TimeoutError as error:
        raise Unreachable(
            f"{method} http://{host}:{port}{path} got no answer within {timeout:g} s."
        ) from error
    except OSError as error:
        raise Unreachable(f"{method} http://{host}:{port}{path} cannot be asked: {error}.") from error
