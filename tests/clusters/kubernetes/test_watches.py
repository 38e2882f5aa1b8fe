"""Streams that end, break, or are too old: nothing is lost, and when nothing was heard is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from runner.clusters.kubernetes import watches
from runner.clusters.kubernetes.api import Api, Refused
from runner.clusters.kubernetes.watches import Kind, Watches
from runner.errors import Unreachable

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

Json = Any
PODS = Kind("pods", "pods", "ns")


def pod(name: str, version: int) -> Json:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


class Scripted:
    """Answers lists and watches by a script; a watch that it does not know hangs for ever."""

    def __init__(self, lists: list[Json], streams: list[list[Json]]) -> None:
        self.lists, self.streams = lists, streams
        self.since: list[str] = []

    async def get(self, _path: str, **_: str) -> Json:
        said = self.lists.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    async def watch(self, _path: str, *, since: str, **_: str) -> AsyncIterator[tuple[str, Json]]:
        self.since.append(since)
        for item in self.streams.pop(0) if self.streams else [("OPENED", {}), 1e9]:
            if isinstance(item, Exception):
                raise item
            if isinstance(item, int | float):
                await asyncio.sleep(item)
            else:
                yield item


class Heard:
    def __init__(self) -> None:
        self.said: list[Json] = []

    def listed(self, kind: str, items: Any) -> None:
        self.said.append(("listed", kind, [each["metadata"]["name"] for each in items]))

    def changed(self, _kind: str, what: str, document: Json) -> None:
        self.said.append((what, document["metadata"]["name"]))

    def blind(self, kind: str, since: float, why: str) -> None:
        now = asyncio.get_running_loop().time()
        self.said.append(("blind", kind, round(now - since, 3), why))


@pytest.fixture(autouse=True)
def loop_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches.clock, "monotonic", lambda: asyncio.get_running_loop().time())


def all_of(version: int, *names: str) -> Json:
    return {"items": [pod(name, 1) for name in names], "metadata": {"resourceVersion": str(version)}}


async def followed(api: Scripted, seconds: float = 30, kind: Kind = PODS) -> list[Json]:
    heard = Heard()
    streams = Watches(cast("Api", api), heard.listed, heard.changed, heard.blind)
    await streams.start([kind])
    await asyncio.sleep(seconds)
    await streams.close()
    return heard.said


async def test_a_list_and_then_each_change_from_its_version_on() -> None:
    api = Scripted([all_of(5, "a")], [[("OPENED", {}), ("ADDED", pod("b", 6)), 1e9]])
    assert await followed(api) == [("listed", "pods", ["a"]), ("ADDED", "b")]
    assert api.since == ["5"]


async def test_a_stream_that_the_server_ends_goes_on_where_it_was_bookmarks_counted() -> None:
    first = [("OPENED", {}), ("ADDED", pod("b", 6)), ("BOOKMARK", pod("", 9))]
    api = Scripted([all_of(5)], [first])
    assert await followed(api) == [("listed", "pods", []), ("ADDED", "b")]
    assert api.since == ["5", "9"]


async def test_a_stream_that_breaks_is_taken_up_and_the_blind_time_is_said() -> None:
    gone = Unreachable("The server is away.")
    api = Scripted(
        [all_of(5)],
        [[("OPENED", {}), 2.0, gone], [gone], [gone], [("OPENED", {}), ("DELETED", pod("b", 7)), 1e9]],
    )
    said = await followed(api)
    # Opened at 0, broken at 2, tried again every half second.
    assert said == [
        ("listed", "pods", []),
        ("blind", "pods", 3.5, "The server is away."),
        ("DELETED", "b"),
    ]
    assert api.since == ["5", "5", "5", "5"]


async def test_what_nobody_foresaw_ends_no_stream_and_is_said() -> None:
    api = Scripted(
        [all_of(5, "a"), all_of(9, "b")],
        [[("OPENED", {}), 3, KeyError("metadata")]],
    )
    assert await followed(api) == [
        ("listed", "pods", ["a"]),
        ("listed", "pods", ["b"]),
        ("blind", "pods", 3.5, "KeyError: 'metadata'"),
    ]


async def test_what_is_too_old_is_listed_again() -> None:
    api = Scripted(
        [all_of(5, "a"), Unreachable("Not yet."), all_of(50, "b")],
        [[("OPENED", {}), Refused(410, "Expired", "too old")]],
    )
    assert await followed(api) == [
        ("listed", "pods", ["a"]),
        ("listed", "pods", ["b"]),
        ("blind", "pods", 0.5, "Not yet."),
    ]
    assert api.since == ["5", "50"]


@pytest.mark.parametrize("status", [403, 404])
async def test_what_may_not_be_seen_is_left_out_where_it_is_optional(status: int) -> None:
    refused = Refused(status, "", "no")
    assert await followed(Scripted([refused], []), kind=Kind("nodes", "nodes", None, optional=True)) == []
    with pytest.raises(Refused):
        await followed(Scripted([refused], []))
