"""How the runner speaks to its supervisor: one question a connection (supervisor.py lists them)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from runner.clusters.lines import LIMIT
from runner.clusters.local.splice import End
from runner.errors import ClusterError, Unreachable

Json = Any


class Wire:
    """The supervisor behind a Unix socket."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def _ask(self, question: Mapping[str, Json]) -> End:
        try:
            reader, writer = await asyncio.open_unix_connection(self._path, limit=LIMIT)
            writer.write(json.dumps(question).encode() + b"\n")
            await writer.drain()
        except OSError as error:
            raise Unreachable(f"The supervisor of the local cluster is gone ({error}).") from error
        return reader, writer

    async def open(self, question: Mapping[str, Json], *, timeout: float) -> tuple[Mapping[str, Json], End]:
        """Ask, and give the answer and the connection, which is the caller's to use and to close.

        Raises ClusterError with the supervisor's reason, Unreachable where there is no answer in time.
        """
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await self._ask(question)
                try:
                    line = await reader.readline()
                    answer: Mapping[str, Json] = json.loads(line)
                except BaseException:
                    writer.close()
                    raise
        except TimeoutError as error:
            raise Unreachable(
                f"The supervisor did not answer {question['ask']!r} within {timeout:g} s."
            ) from error
        except (OSError, ValueError) as error:
            raise Unreachable(f"The supervisor ended while it was asked {question['ask']!r}.") from error
        if not answer["ok"]:
            writer.close()
            raise ClusterError(answer["error"])
        return answer, (reader, writer)

    async def ask(self, what: str, *, timeout: float = 10.0, **fields: Json) -> Mapping[str, Json]:
        """Ask one thing and give the answer; raises as `open` does."""
        answer, (_reader, writer) = await self.open({"ask": what, **fields}, timeout=timeout)
        writer.close()
        return answer

    async def events(self, since: int) -> AsyncGenerator[Mapping[str, Json], None]:
        """Give the supervisor's happenings from number `since` on, until it ends."""
        reader, writer = await self._ask({"ask": "events", "since": since})
        try:
            while line := await reader.readline():
                yield json.loads(line)
        except OSError:
            return
        finally:
            writer.close()
