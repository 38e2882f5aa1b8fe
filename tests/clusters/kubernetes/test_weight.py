"""What watching costs the cluster: what is asked, and what was started in containers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from runner.clusters.contract import Completed, Context
from runner.clusters.kubernetes.api import Access, Api
from runner.clusters.kubernetes.cluster import open_cluster
from runner.clusters.kubernetes.scripts import brought_in, processes
from runner.clusters.kubernetes.settings import Settings
from runner.errors import Unreachable
from tests.clusters.kubernetes.documents import pod, rayservice
from tests.clusters.kubernetes.memory import Memory


def listed(pid: int, parent: int, *times: int, words: str = "x") -> str:
    """Give a line of the list of processes."""
    utime, stime, waited, for_them = times or (0, 0, 0, 0)
    before = " ".join(["0"] * 9)
    after = " ".join(["0"] * 4 + ["77"])
    return f"{pid}\t/bin/x\tS {parent} {before} {utime} {stime} {waited} {for_them} {after} 1 2\t{words}"


CONTAINER = "\n".join(
    [
        listed(1, 0, 900, 900, 900, 900, words="ray start --head"),
        listed(20, 1, 5000, 0, 0, 0, words="gcs_server"),
        # A shell from outside, its children, and one that lost its parent to the first process.
        listed(30, 0, 10, 20, 30, 40, words="sh"),
        listed(31, 30, 100, 0, 0, 0, words="tail"),
        listed(32, 31, 0, 50, 0, 0, words="sed"),
        listed(40, 1, 7, 7, 7, 7, words="tail"),
    ]
)


def test_what_was_brought_into_a_container_is_told_from_what_runs_there_by_itself() -> None:
    found = processes(CONTAINER)
    assert {each.pid: each.started for each in found}[20] == "77"
    assert sorted(each.pid for each in brought_in(found)) == [30, 31, 32]
    assert sum(each.ticks for each in brought_in(found)) == 250
    assert brought_in([]) == []


class Counting(Memory):
    """Counts as the API does, and has one container."""

    def __init__(self) -> None:
        super().__init__()
        self.requests, self.commands, self.listing = 7, 2, CONTAINER
        self.broken = False

    async def execute(self, *_: Any, **__: Any) -> Completed:
        if self.broken:
            raise Unreachable("Nobody there.")
        self.commands += 1
        self.requests += 1
        return Completed(0, self.listing, "")


async def test_it_is_told_since_it_was_asked_last(tmp_path: Path) -> None:
    cluster = open_cluster(
        Settings(context="c", namespaces=("ns",), name="s", prober="here"), Context("run", tmp_path, 1)
    )
    api = Counting()
    cluster.api = cast("Api", api)
    cluster.world.listed("rayservices", [rayservice()])
    cluster.world.listed("pods", [pod("h", "head"), pod("a", state={"waiting": {}})])
    assert await cluster.weight() == {"requests": 7, "commands": 2, "helpers_cpu_s": 2.5}
    api.listing = CONTAINER.replace(" 100 0 0 0 ", " 400 0 0 0 ")
    # Its own look is a question, too.
    assert await cluster.weight() == {"requests": 1, "commands": 1, "helpers_cpu_s": 3.0}
    # A container that started again begins anew; one that nobody reaches is left out.
    cluster.world.changed("pods", "MODIFIED", pod("h", "head", restarts=1))
    api.listing = CONTAINER
    assert (await cluster.weight())["helpers_cpu_s"] == 2.5
    api.broken = True
    assert (await cluster.weight())["helpers_cpu_s"] == 0


async def test_each_question_to_the_api_server_is_counted(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if "exec" in request.path or "portforward" in request.path:
            raise web.HTTPNotFound
        return web.json_response({"items": []})

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    async with TestServer(app) as server:
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(
            json.dumps(
                {
                    "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.port}"}}],
                    "users": [{"name": "c", "user": {}}],
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
                }
            )
        )
        api = Api(Access(str(kubeconfig), "c"))
        await api.get("/api/v1/pods")
        async for _ in api.follow("/api/v1/pods/x/log"):
            pass
        for way in (api.open("ns", "p", "c", ["true"]), api.dial("ns", "p", 1)):
            with pytest.raises(Unreachable):
                await way
        await api.close()
    assert (api.requests, api.commands) == (4, 1)
