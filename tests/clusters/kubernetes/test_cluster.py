"""What the cluster tells of itself while a scenario runs: nothing here reaches an API server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from runner import clock
from runner.clusters.contract import Answer, Context, Saying
from runner.clusters.kubernetes import api
from runner.clusters.kubernetes.cluster import KubernetesCluster
from runner.clusters.kubernetes.settings import Settings
from runner.errors import Lost, Unreachable
from tests.clusters.kubernetes.documents import pod, rayservice

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

Json = Any


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KubernetesCluster:
    """A cluster whose RayService stands, as far as was heard."""
    made = KubernetesCluster(Settings(namespaces=("ns",), name="s"), Context("run", tmp_path, 1))

    async def state() -> dict[str, Json]:
        return {}

    monkeypatch.setattr(made, "state", state)
    made._list("rayservices", [rayservice()])
    made._list("pods", [pod("h", "head")])
    made._stands = True
    return made


async def heard(cluster: KubernetesCluster, seconds: float = 5.0) -> list[Saying]:
    """Give what is said in that time; raises what ends it."""
    said: list[Saying] = []
    note = said.append
    try:
        async with asyncio.timeout(seconds):
            async for each in cluster.observe():
                note(each)
    except TimeoutError:
        pass
    return said


def going() -> Json:
    there = rayservice()
    there["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return there


@pytest.mark.parametrize(("what", "document"), [("MODIFIED", going()), ("DELETED", rayservice())])
async def test_a_rayservice_that_somebody_else_deletes_is_lost(
    cluster: KubernetesCluster, what: str, document: Json
) -> None:
    assert [each.source for each in await heard(cluster)][-1] == "state"
    cluster._change("rayservices", what, document)
    with pytest.raises(Lost) as lost:
        await heard(cluster)
    assert lost.value.message == "Somebody else deleted the RayService s in namespace ns while it was used."
    assert lost.value.exit_code == 3


async def test_one_that_was_never_made_is_not_lost(cluster: KubernetesCluster) -> None:
    cluster._stands = False
    cluster._list("rayservices", [])
    assert await heard(cluster)


async def test_credentials_that_are_not_taken_any_more_end_it(cluster: KubernetesCluster) -> None:
    cluster._refusal = "The API server does not take the credentials."
    with pytest.raises(
        Lost, match="Nothing can be heard of the cluster any more: The API server does not take"
    ):
        await heard(cluster)


async def test_an_api_server_that_is_silent_for_a_minute_ends_it(
    cluster: KubernetesCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "monotonic", lambda: asyncio.get_running_loop().time())
    task = asyncio.create_task(asyncio.sleep(10**6))
    cluster._watches._tasks = [task]
    assert await heard(cluster, 200)
    cluster._watches.dark["pods"] = clock.monotonic()
    assert await heard(cluster, api.STANDSTILL - 5)
    with pytest.raises(Lost, match=r"the API server has not answered for 6\d s\."):
        await heard(cluster, 20)
    task.cancel()


async def test_an_api_server_that_says_nothing_is_told_from_a_head_that_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = KubernetesCluster(Settings(namespaces=("ns",), name="s"), Context("run", tmp_path, 1))
    made._list("rayservices", [rayservice()])
    made._list("pods", [pod("h", "head")])

    async def request(_method: str, path: str, **_: Json) -> Answer:
        if path in silent:
            raise Unreachable("Nobody answers.")
        return Answer(200, {}, b"{}")

    async def ask(*_: Json, **__: Json) -> Answer:
        raise Unreachable("Nobody answers there.")

    monkeypatch.setattr(made.api, "request", request)
    monkeypatch.setattr(made, "_ask", ask)
    silent: set[str] = set()
    document = await made.state()
    assert ("nodes" in document["unknown"], "processes" in document["unknown"]) == (True, False)
    assert "unseen" not in document
    silent.add("/version")
    document = await made.state()
    assert document["unseen"] == "the API server did not answer"
    assert "processes" in document["unknown"]
