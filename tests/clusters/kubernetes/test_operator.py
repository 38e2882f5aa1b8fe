"""The operator's log: heard once, whatever becomes of the stream and of its pod; that it is closed, said once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from runner.clusters.contract import Answer, Context
from runner.clusters.kubernetes import logs
from runner.clusters.kubernetes.api import Api, Refused
from runner.clusters.kubernetes.cluster import open_cluster
from runner.clusters.kubernetes.operator import OperatorLog
from runner.clusters.kubernetes.pods import Pod, read
from runner.clusters.kubernetes.settings import Settings
from runner.clusters.listening import Listening
from runner.errors import ClusterError, Unreachable
from runner.rayserve.logs import FILES, OPERATOR
from tests.clusters.kubernetes.documents import pod
from tests.clusters.kubernetes.memory import Memory
from tests.clusters.kubernetes.test_hosts import site

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

Json = Any
REFUSED = Refused(403, "Forbidden", "That is not allowed here.")


def line(second: str, message: str, **more: Json) -> bytes:
    return f"2026-11-24T10:00:{second}Z {json.dumps({'msg': message, **more})}\n".encode()


def about(name: str, namespace: str = "ns") -> Json:
    return {"name": name, "namespace": namespace}


class Scripted:
    """Gives one stream after the other; a number is a wait, and the last one hangs."""

    def __init__(self, *streams: list[Json]) -> None:
        self.streams = list(streams)
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def follow(self, path: str, **query: str) -> AsyncIterator[bytes | None]:
        self.asked.append((path, query))
        for item in [*self.streams.pop(0)] if self.streams else [None, 1e9]:
            if isinstance(item, Exception):
                raise item
            if isinstance(item, int | float):
                await asyncio.sleep(item)
            else:
                yield item


class Heard:
    def __init__(self, api: Scripted, *stands: Pod | None) -> None:
        self.said: list[tuple[str, str]] = []
        self.stands = stands or (read(pod("op", "", uid="1")),)
        self.listening = Listening(self.say, (*FILES, OPERATOR))
        self.log = OperatorLog(
            cast("Api", api), "kuberay", lambda: self.stands[0], self.listening, about=("ns", "s")
        )

    def say(self, source: str, slot: str, text: str, *, at: float | None = None, **data: Json) -> None:
        assert (source, slot) == ("operator", "operator")
        self.said.append((data["event"], text))

    async def run(self, seconds: float = 100.0) -> list[tuple[str, str]]:
        task = asyncio.create_task(self.log.run())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return self.said


async def test_what_means_something_and_what_is_listened_for_is_passed_on() -> None:
    api = Scripted(
        [
            None,
            line("01", "reconcilePods"),
            line("02", "createRayClusterInstance", RayService=about("s"), clusterName="s-new"),
            line("03", "head pod labels", RayCluster=about("s-new"), labels={"a": "b"}),
            1e9,
        ]
    )
    heard = Heard(api)
    heard.listening.listen("operator", "head pod")
    assert await heard.run() == [
        ("cluster_named", "createRayClusterInstance RayService=s clusterName=s-new"),
        ("line", 'head pod labels RayCluster=s-new labels={"a": "b"}'),
    ]
    [(path, query)] = api.asked
    assert path == "/api/v1/namespaces/kuberay/pods/op/log"
    # What was said before this run is nobody's business.
    assert query["sinceSeconds"] == "1"


async def test_lines_about_other_rayservices_are_nobodys_business() -> None:
    said = [
        line("01", "Reconciler error", RayService=about("theirs"), error="x"),
        line("02", "Reconciler error", RayService=about("s", "elsewhere"), error="y"),
        line("03", "Reconciler error", RayService=about("s"), error="z"),
        line("04", "Reconciler error", RayService=about("s"), error="z"),
    ]
    heard = await Heard(Scripted([None, *said, 1e9])).run()
    assert [text.rpartition("=")[2] for _, text in heard] == ["z"]


async def test_a_stream_that_broke_goes_on_where_it_was() -> None:
    one, two, three = (
        line(second, "createRayClusterInstance", clusterName=f"s-{second[-1]}")
        for second in ("01.5", "01.52", "01.53")
    )
    api = Scripted([None, one, two, Unreachable("cut")], [None, one, two, three, 1e9])
    heard = await Heard(api).run()
    assert [text[-3:] for _, text in heard] == ["s-5", "s-2", "s-3"]
    assert api.asked[1][1]["sinceTime"] == "2026-11-24T10:00:01Z"


async def test_another_operators_log_is_read_from_its_beginning() -> None:
    # Its host's clock is behind.
    first = [None, line("30", "starting manager"), 5, Unreachable("gone")]
    api = Scripted(first, [None, line("10", "starting manager"), 1e9])
    heard = Heard(api)
    task = asyncio.create_task(heard.run(30))
    await asyncio.sleep(3)
    heard.stands = (read(pod("op2", "", uid="2")),)
    assert [event for event, _ in await task] == ["operator_starting", "operator_starting"]
    path, query = api.asked[1]
    assert "op2" in path
    assert not {"sinceSeconds", "sinceTime"} & query.keys()


async def test_nobody_is_asked_while_there_is_no_operator() -> None:
    api = Scripted()
    heard = Heard(api)
    heard.stands = (None,)
    assert await heard.run() == []
    assert api.asked == []


async def test_a_log_that_may_not_be_read_is_said_once() -> None:
    api = Scripted([REFUSED])
    heard = await Heard(api).run()
    assert heard == [("unread", "the operator's log may not be read: That is not allowed here.")]
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        ([REFUSED], "That is not allowed here."),
        ([None, b"x\n"], ""),
        ([None], ""),
        ([Unreachable("cut")], ""),
        ([Refused(400, "", "The container waits.")], ""),
    ],
)
async def test_whether_it_may_be_read_is_known_before_somebody_waits_for_it(
    stream: list[Json], said: str
) -> None:
    assert await Heard(Scripted(stream)).log.refusal() == said


async def test_who_waits_for_a_log_that_may_not_be_read_is_told_so(tmp_path: Path) -> None:
    cluster = open_cluster(Settings(context="c", namespaces=("ns",), name="s"), Context("run", tmp_path, 1))
    with pytest.raises(ClusterError, match="kuberay-operator may not be read: nobody may look at its pods"):
        await cluster.listen("operator", "x")
    cluster.world.listed("operator", [pod("op", "")])
    cluster._operator._api = cast("Api", Scripted([REFUSED], [None]))
    with pytest.raises(ClusterError, match="may not be read: That is not allowed here"):
        await cluster.listen("operator", "x")
    await cluster.listen("operator", "x")
    await cluster.listen("gcs", "x")


async def test_its_end_is_kept_among_the_logs_without_secrets(tmp_path: Path) -> None:
    class Logging(Memory):
        async def request(self, method: str, path: str, **_: Json) -> Answer:
            assert method == "GET"
            return Answer(200, {}, f"{path} says hush\n".encode())

    there = site(Logging(), pod("h", "head", state={"waiting": {}}))
    await logs.copy(there, tmp_path, ("operator",), ("hush",), operator="kuberay")
    assert list(tmp_path.iterdir()) == []
    there.world.listed("operator", [pod("op", "")])
    await logs.copy(there, tmp_path, ("operator",), ("hush",), operator="kuberay")
    text = (tmp_path / "operator.log").read_text()
    assert text == "/api/v1/namespaces/kuberay/pods/op/log says (hidden)\n"
