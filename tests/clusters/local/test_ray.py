"""What real Ray does on a local cluster: each layout and storage, failures by hand, and nothing left over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runner.clusters.contract import Acted, Action, Application, Context
from runner.clusters.local import layout
from runner.clusters.local.cluster import LocalCluster, open_cluster
from runner.clusters.local.settings import Settings
from runner.errors import CannotRun, ClusterError, Unreachable
from runner.rayserve.members import Members, count
from tests.clusters.contract import armed
from tests.clusters.local.application import sleepy

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

WHOLE = Members(heads=1, workers=2, replicas=6, proxies=3, controllers=1)
Json = Any


@asynccontextmanager
async def cluster(tmp_path: Path, **settings: Json) -> AsyncIterator[LocalCluster]:
    made = open_cluster(Settings.model_validate(settings), Context("test", tmp_path, 1))
    try:
        await made.start()
        yield made
    except BaseException:
        await made.logs(tmp_path / "logs")
        raise
    finally:
        await made.close()
    assert not Path(made.runtime).exists()


async def until(
    made: LocalCluster, true: Callable[[Mapping[str, Json]], Json], limit: float = 240
) -> Mapping[str, Json]:
    document: Mapping[str, Json] = {}
    try:
        async with asyncio.timeout(limit):
            while not true(document := await made.state()):  # noqa: ASYNC110
                await asyncio.sleep(0.3)
    except TimeoutError:
        pytest.fail(
            f"not seen within {limit} s: {count(document)} {document['unknown']} {document['applications']}"
        )
    return document


def whole(document: Mapping[str, Json]) -> bool:
    statuses = [row["status"] for row in document["applications"]]
    return statuses == ["RUNNING"] and count(document) == WHOLE


async def deploy(made: LocalCluster, application: Application) -> Mapping[str, Json]:
    """Deploy, and wait until all of it runs and answers; give the document that says so."""
    await made.deploy((application,))
    return await complete(made)


async def complete(made: LocalCluster, limit: float = 240) -> Mapping[str, Json]:
    """Wait until all is there, and each proxy has heard of it: one that is healthy may know no route yet."""
    async with asyncio.timeout(limit + 60):
        document = await until(made, whole, limit)
        for slot in ("head", "worker-1", "worker-2"):
            while not await answers(made, slot):  # noqa: ASYNC110
                await asyncio.sleep(0.3)
    return document


async def answers(made: LocalCluster, slot: str) -> bool:
    try:
        return (await made.http(slot, "GET", "/-/healthz")).status == 200
    except Unreachable:
        return False


async def do(made: LocalCluster, kind: str, **arguments: Json) -> Acted:
    ready = await armed(made, Action(kind, arguments))
    acted = await ready.act()
    confirmation = await ready.confirm()
    assert confirmation.confirmed, confirmation.why
    return acted


async def pids(made: LocalCluster, slot: str) -> set[str]:
    found = set()
    for _ in range(30):
        answer = await made.http(slot, "GET", "/")
        assert answer.status == 200
        found.add(answer.body.decode())
    return found


async def test_a_head_that_is_killed_comes_back_to_the_same_replicas(tmp_path: Path) -> None:
    # The contract's suite does it in namespaces, and whole runs do it with each storage.
    async with cluster(tmp_path, layout="loopback") as made:
        facts = await made.survey()
        assert facts.document["layout"] == "loopback"
        assert facts.document["ray"]["version"]
        assert facts.document["ray"]["commit"]
        await deploy(made, sleepy(tmp_path / "one"))
        before = await pids(made, "worker-1")
        await do(made, "node", slot="head", how="crash")
        down = await made.state()
        assert {"nodes", "actors", "applications"} <= set(down["unknown"])
        head = next(row for row in down["processes"] if row["slot"] == "head")
        # On a busy machine it may have been started again by the time that all have been asked.
        assert head["state"] in ("waiting", "starting") or head["starts"] >= 2
        assert await pids(made, "worker-1") <= before | await pids(made, "worker-2")
        back = await until(made, whole)
        assert next(row for row in back["processes"] if row["slot"] == "head")["starts"] >= 2
        assert {str(row["pid"]) for row in back["replicas"]} >= before
        # Updates work again: another module, in a folder that was not there when the nodes started.
        await deploy(made, sleepy(tmp_path / "two", name="other"))
        assert not await pids(made, "head") & before


async def test_without_fault_tolerance_the_supervisor_hands_the_configuration_in_again(
    tmp_path: Path,
) -> None:
    async with cluster(tmp_path, layout="namespaces", gcs_fault_tolerance="none") as made:
        await deploy(made, sleepy(tmp_path / "one"))
        before = await pids(made, "worker-1")
        await do(made, "node", slot="head", how="crash")
        said: list[str] = []

        async def listen() -> None:
            async for saying in made.observe():
                said.append(saying.text)  # noqa: PERF401 (never ends)

        listening = asyncio.create_task(listen())
        await complete(made, limit=400)
        listening.cancel()
        assert not await pids(made, "head") & before
        assert any("configuration handed in again (status 200)" in text for text in said)
        workers = [
            row["starts"] for row in (await made.state())["processes"] if row["slot"].startswith("worker")
        ]
        assert min(workers) >= 2


async def test_actors_are_killed_by_signal_and_by_ray(tmp_path: Path) -> None:
    async with cluster(tmp_path, layout="namespaces", resubmit=False) as made:
        old = await deploy(made, sleepy(tmp_path / "one"))

        def controller(document: Mapping[str, Json]) -> Mapping[str, Json]:
            return next((row for row in document["actors"] if row["role"] == "controller"), {})

        known = {controller(old)["pid"]}
        for restarts, how in enumerate(({"how": "crash"}, {"how": "ray_kill", "no_restart": False}), start=1):
            await do(made, "actor", role="controller", **how)
            # Ray counts the restart when it begins; for a moment before, it knows of no death.
            again = await until(
                made,
                lambda document: (
                    controller(document).get("state") == "ALIVE" and controller(document)["pid"] not in known
                ),
            )
            assert controller(again)["id"] == controller(old)["id"]
            assert controller(again)["restarts"] == restarts
            known.add(controller(again)["pid"])
            await until(made, whole)

        def proxies(document: Mapping[str, Json]) -> dict[str, Json]:
            return {row["slot"]: row["actor_id"] for row in document["proxies"] if row["status"] == "HEALTHY"}

        before = proxies(await until(made, whole))
        await do(made, "actor", role="proxy", slot="worker-1", how="crash")
        await do(made, "actor", role="proxy", slot="worker-2", how="ray_kill", no_restart=False)
        # Each is a new actor, whether Ray was to restart it or not.
        after = await until(
            made,
            lambda document: (
                len(proxies(document)) == 3 and len({*proxies(document).items()} - {*before.items()}) == 2
            ),
        )
        assert proxies(after)["head"] == before["head"]

        def replicas(document: Mapping[str, Json]) -> set[Json]:
            return {row["actor_id"] for row in document["replicas"]}

        lived = replicas(await until(made, whole))
        await do(made, "actor", role="replica", how="ray_kill", no_restart=True)
        replaced = await until(made, lambda document: whole(document) and replicas(document) != lived)
        assert len(replicas(replaced) - lived) == 1

        await do(made, "actor", role="controller", how="ray_kill", no_restart=True)
        # It stays so: lists that are unknown are those that nobody answered for in time, too.
        await until(
            made, lambda document: "applications" in document["unknown"] and count(document).controllers == 0
        )
        assert (await made.http("worker-1", "GET", "/")).status == 200

        # With the head away only signals work, on what was known of the actors.
        off = await made.arm(Action("node", {"slot": "head", "how": "power_off"}))
        await off.act()
        assert (await off.confirm()).confirmed
        await until(made, lambda document: "actors" in document["unknown"])
        with pytest.raises(Unreachable, match="nobody can ask Ray for anything now"):
            await made.arm(Action("actor", {"role": "replica", "how": "ray_kill"}))
        with pytest.raises(ClusterError, match="no living actor with the role controller"):
            await made.arm(Action("actor", {"role": "controller"}))
        await do(made, "actor", role="replica", slot="worker-2", mode={"fixed": 2})
        assert off.undo is not None
        await made.undo(off.undo)
        proxy = {"role": "proxy", "state": "ALIVE", "slot": "worker-1"}
        await until(made, lambda document: any(proxy.items() <= row.items() for row in document["actors"]))

        # An armed kill that is let go hits nothing, and leaves no process.
        kill = Action("actor", {"role": "proxy", "how": "ray_kill", "slot": "worker-1"})
        await (await armed(made, kill)).disarm()
        assert (await made.http("worker-1", "GET", "/-/healthz")).status == 200


async def test_what_serve_refuses_and_what_fails_later_is_said(tmp_path: Path) -> None:
    async with cluster(tmp_path, layout="namespaces", workers=1, gcs_fault_tolerance="none") as made:
        with pytest.raises(ClusterError, match=r"Serve refused the configuration \(status 4\d\d\)"):
            await made.deploy((Application("a", {"name": "a"}, None),))
        await made.deploy((Application("a", {"name": "a", "import_path": "nowhere:app"}, None),))
        failed = await until(
            made,
            lambda document: any(row["status"] == "DEPLOY_FAILED" for row in document["applications"]),
        )
        assert "nowhere" in failed["applications"][0]["message"]
        await made.deploy((sleepy(tmp_path / "one"),))
        cramped = await until(made, lambda document: document["placement"])
        assert "wants 6 replicas of 1 CPU each, and the nodes have room for 3" in cramped["placement"][0]


async def test_a_node_that_cannot_start_ends_the_start_with_its_log(tmp_path: Path) -> None:
    # A Python that has Ray's version file, and a `ray start` that ends with a word.
    folder = tmp_path / "site"
    for name in ("ray/scripts", "starlette", "uvicorn", "aiohttp_cors"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("")
    (folder / "ray" / "__init__.py").write_text("")
    (folder / "ray" / "_version.py").write_text("version = '0.1'\ncommit = 'none'\n")
    (folder / "ray" / "scripts" / "scripts.py").write_text("raise SystemExit('the disk is made of cheese')\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {layout.sys.executable} "$@"\n')
    python.chmod(0o755)
    made = open_cluster(
        Settings.model_validate({"layout": "namespaces", "ray": {"python": str(python)}}),
        Context("test", tmp_path, 1),
    )
    try:
        with pytest.raises(CannotRun, match="head ended at each of 3 starts") as caught:
            await made.start()
        assert "the disk is made of cheese" in caught.value.message
    finally:
        await made.close()
