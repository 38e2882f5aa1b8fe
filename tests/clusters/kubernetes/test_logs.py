"""Whose logs are followed: those of members, as long as their RayCluster serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from runner.clusters.kubernetes.api import Api
from runner.clusters.kubernetes.logs import Follower
from runner.clusters.kubernetes.slots import Slots
from runner.clusters.kubernetes.world import World
from runner.clusters.listening import Listening
from tests.clusters.kubernetes.documents import pod, raycluster, rayservice

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


class Streams:
    """Has a stream for each pod, which says nothing until it is closed."""

    def __init__(self) -> None:
        self.open_now: list[str] = []

    async def open(self, _namespace: str, name: str, *_: Any) -> Any:
        streams = self
        streams.open_now.append(name)

        class Stream:
            async def lines(self) -> AsyncIterator[bytes]:
                await asyncio.sleep(1e9)
                yield b""

            async def close(self) -> None:
                streams.open_now.remove(name)

        return Stream()


async def test_what_served_before_an_upgrade_is_not_heard_as_who_has_its_slot_now() -> None:
    there = World("s", Slots.of(1))
    there.listed("rayservices", [rayservice()])
    there.listed("rayclusters", [raycluster("s-abc")])
    there.listed("pods", [pod("h", "head"), pod("a")])
    streams = Streams()
    following = asyncio.create_task(
        Follower(cast("Api", streams), "ns", there, Listening(lambda *_, **__: None)).run()
    )
    await asyncio.sleep(3)
    assert sorted(streams.open_now) == ["a", "h"]
    # A member that is going is heard to its end, also where another one has taken its slot.
    there.changed("pods", "MODIFIED", pod("a", deleting=True))
    there.changed("pods", "ADDED", pod("b"))
    await asyncio.sleep(3)
    assert sorted(streams.open_now) == ["a", "b", "h"]
    there.changed("rayservices", "MODIFIED", rayservice(pending="s-new"))
    for each in (pod("g", "head", cluster="s-new"), pod("n", cluster="s-new")):
        there.changed("pods", "ADDED", each)
    await asyncio.sleep(3)
    assert sorted(streams.open_now) == ["a", "b", "h"]
    there.changed("rayservices", "MODIFIED", rayservice(active="s-new"))
    await asyncio.sleep(3)
    assert sorted(streams.open_now) == ["g", "n"]
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert streams.open_now == []
