"""A process that speaks JSON lines: how every cluster hands out its prober."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from runner.errors import Unreachable

LIMIT = 4 * 1024 * 1024
"""Longest line, in bytes."""


class Lines:
    """Keeps `contract.Prober` over a pair of streams; `ended` waits until the process behind them is gone."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ended: Callable[[], Awaitable[object]],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._ended = ended

    async def send(self, command: Mapping[str, Any]) -> None:
        """Write one command; raises Unreachable where nobody reads any more."""
        try:
            self._writer.write(json.dumps(command, separators=(",", ":")).encode() + b"\n")
            await self._writer.drain()
        except (ConnectionError, RuntimeError) as error:
            raise Unreachable(f"The prober does not listen any more: {error}.") from error

    async def events(self) -> AsyncIterator[Mapping[str, Any]]:
        """Give what it says, until it ends."""
        while True:
            try:
                line = await self._reader.readline()
            except ConnectionError:
                return
            if not line.endswith(b"\n"):
                return
            yield json.loads(line)

    async def close(self) -> None:
        """Close its input and wait until it is gone."""
        self._writer.close()
        await self._ended()
