"""Follows the objects of several kinds: each is listed, then watched, and listed again where that is needed.

A stream that breaks is taken up where it broke: nothing is lost, but what happened meanwhile is heard later
than it happened. Those times are blind, and said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runner import clock
from runner.clusters.kubernetes.api import Api, Refused, place
from runner.errors import FtrunError

Json = Any
Object = Mapping[str, Json]

AGAIN = 0.5
"""Seconds until a stream that broke is asked for again."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is followed under a name. Without the right to, an optional one is left out."""

    name: str
    plural: str
    namespace: str | None
    query: Mapping[str, str] = field(default_factory=dict)
    optional: bool = False


Listed = Callable[[str, Iterable[Object]], None]
Changed = Callable[[str, str, Object], None]
Blind = Callable[[str, float, str], None]
"""Takes the kind, since when nothing was heard, and why; it has ended when it is told."""


class Watches:
    """The streams of all kinds."""

    def __init__(self, api: Api, listed: Listed, changed: Changed, blind: Blind) -> None:
        self._api = api
        self._listed = listed
        self._changed = changed
        self._blind = blind
        self._tasks: list[asyncio.Task[None]] = []
        self.dark: dict[str, float] = {}
        """Kinds whose stream is broken now, and since when."""

    @property
    def silent(self) -> bool:
        """Whether all streams are broken now."""
        return bool(self._tasks) and len(self.dark) == len(self._tasks)

    async def start(self, kinds: Iterable[Kind]) -> None:
        """List each kind once, then follow all of them in the background; raises what the listing does."""
        for kind in kinds:
            try:
                since = await self._list(kind)
            except Refused as error:
                if kind.optional and error.status in (403, 404):
                    continue
                raise
            self._tasks.append(asyncio.create_task(self._follow(kind, since)))

    async def close(self) -> None:
        """End all streams."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _list(self, kind: Kind) -> str:
        said = await self._api.get(place(kind.plural, kind.namespace), **kind.query)
        self._listed(kind.name, said["items"])
        return str(said["metadata"]["resourceVersion"])

    async def _follow(self, kind: Kind, since: str) -> None:
        """Follow one kind until cancelled."""
        heard = clock.monotonic()
        why = ""
        while True:
            try:
                if not since:
                    since = await self._list(kind)
                path = place(kind.plural, kind.namespace)
                async for what, document in self._api.watch(path, since=since, **kind.query):
                    if what == "OPENED":
                        if self.dark.pop(kind.name, None) is not None:
                            self._blind(kind.name, heard, why)
                    else:
                        since = str(document["metadata"]["resourceVersion"])
                        if what != "BOOKMARK":
                            self._changed(kind.name, what, document)
                    heard = clock.monotonic()
                continue  # the server ends each after some minutes
            except Refused as error:
                why = error.message
                if error.status == 410:
                    since = ""  # too old: what is there now is asked for, what was between is not known
                    self.dark.setdefault(kind.name, heard)
                    continue
            except FtrunError as error:
                why = error.message
            except Exception as error:  # whatever it is, what was missed is listed again, and the gap is said
                why, since = f"{type(error).__name__}: {error}", ""
            self.dark.setdefault(kind.name, heard)
            await asyncio.sleep(AGAIN)
