"""The fake's script: what holds when, on a clock that jumps."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from runner.clusters.contract import Action, Context
from runner.clusters.fake.cluster import Fake
from runner.clusters.fake.settings import Settings
from runner.errors import ClusterError, Unreachable
from runner.journal.samples import Outcome, read_prober_log, read_samples
from runner.language.plan import Application

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def running(folder: Path, **settings: Any) -> Fake:
    """Give a cluster with one application, five seconds after it was deployed."""
    cluster = Fake(Settings(**settings), Context("run", folder, 1))
    await cluster.start()
    await cluster.deploy(
        (Application("a", {"name": "a", "deployments": [{"name": "D", "num_replicas": 3}]}, None),)
    )
    await asyncio.sleep(5)
    return cluster


async def kill(cluster: Fake, **arguments: Any) -> None:
    kind = "node" if "how" in arguments else "actor"
    await (await cluster.arm(Action(kind, arguments))).act()


async def test_an_application_runs_after_its_delay(tmp_path: Path) -> None:
    cluster = await running(tmp_path, deploy_delay="7s")
    assert [row["status"] for row in cluster.world.document(cluster.now())["applications"]] == ["DEPLOYING"]
    await asyncio.sleep(2)
    document = cluster.world.document(cluster.now())
    assert [row["status"] for row in document["applications"]] == ["RUNNING"]
    assert [(row["slot"], row["state"]) for row in document["replicas"]] == [
        ("worker-1", "RUNNING"),
        ("worker-2", "RUNNING"),
        ("worker-1", "RUNNING"),
    ]


async def test_while_the_head_is_down_only_the_processes_are_known(tmp_path: Path) -> None:
    cluster = await running(tmp_path)
    await kill(cluster, slot="head", how="crash")
    document = cluster.world.document(cluster.now())
    assert set(document["unknown"]) == {
        "nodes",
        "actors",
        "applications",
        "deployments",
        "replicas",
        "proxies",
    }
    assert [row["state"] for row in document["processes"]] == ["waiting", "up", "up", "up"]
    with pytest.raises(Unreachable):
        await cluster.deploy(())
    assert (await cluster.http("worker-1", "GET", "/")).status == 200
    await asyncio.sleep(5)
    heads = [row for row in cluster.world.document(cluster.now())["nodes"] if row["is_head"]]
    assert [(row["id"], row["dead"]) for row in heads] == [("head.0", True), ("head.1", False)]


async def test_the_service_leaves_the_head_out_only_where_that_is_wanted(tmp_path: Path) -> None:
    for excluded in (False, True):
        cluster = await running(tmp_path, exclude_head_from_service=excluded)
        for slot in ("worker-1", "worker-2"):
            await kill(cluster, slot=slot, how="crash")
        serves = [cluster.world.answer("service", cluster.now())[0] for _ in range(3)]
        assert serves == ([0] * 3 if excluded else [503] * 3)


async def test_without_gcs_fault_tolerance_the_head_takes_all_along(tmp_path: Path) -> None:
    cluster = await running(tmp_path, gcs_fault_tolerance="none")
    await kill(cluster, slot="head", how="crash")
    with pytest.raises(Unreachable):
        await cluster.http("worker-1", "GET", "/")
    await asyncio.sleep(5)
    assert (await cluster.http("worker-1", "GET", "/")).status == 503
    await asyncio.sleep(2)
    assert (await cluster.http("worker-1", "GET", "/")).status == 200


async def test_a_replaced_replica_is_another_process(tmp_path: Path) -> None:
    cluster = await running(tmp_path)
    pids = {row["pid"] for row in cluster.world.document(cluster.now())["replicas"]}
    await kill(cluster, role="replica", mode="all")
    assert (await cluster.http("service", "GET", "/")).status == 503
    await asyncio.sleep(2)
    assert not pids & {row["pid"] for row in cluster.world.document(cluster.now())["replicas"]}


async def test_while_the_controller_is_gone_nothing_of_serve_is_known(tmp_path: Path) -> None:
    cluster = await running(tmp_path)
    await kill(cluster, role="controller")
    unknown = cluster.world.document(cluster.now())["unknown"]
    assert set(unknown) == {"applications", "deployments", "replicas", "proxies"}


async def test_an_undo_brings_a_node_back_at_once(tmp_path: Path) -> None:
    cluster = await running(tmp_path)
    armed = await cluster.arm(Action("node", {"slot": "worker-1", "how": "crash"}))
    await armed.act()
    assert armed.undo is not None
    await asyncio.sleep(1)
    assert not cluster.world.up("worker-1", cluster.now())
    await cluster.undo(armed.undo)
    assert cluster.world.up("worker-1", cluster.now())


async def test_a_node_that_is_down_cannot_be_killed(tmp_path: Path) -> None:
    cluster = await running(tmp_path)
    await kill(cluster, slot="worker-1", how="crash")
    with pytest.raises(ClusterError, match="nothing here"):
        await cluster.arm(Action("node", {"slot": "worker-1", "how": "crash"}))


async def test_samples_follow_the_faults_to_the_period(tmp_path: Path) -> None:
    cluster = await running(tmp_path)
    prober = await cluster.prober(tmp_path, tmp_path)
    series = {
        "series": "head/new",
        "probe": "p",
        "endpoint": "head",
        "identity": {"kind": "body", "value": None},
        "period_ns": [10_000_000, 1],
        "file": "head.samples",
    }
    await prober.send({"command": "start", "probe": "p", "series": [series]})
    await asyncio.sleep(3.0)
    await kill(cluster, slot="head", how="crash")
    died = cluster.now()
    await asyncio.sleep(8)
    await prober.send({"command": "stop", "probe": "p"})
    await prober.close()
    samples = read_samples(tmp_path / "head.samples")
    refused = samples.sent[samples.outcome == Outcome.REFUSED] / 1e9
    assert refused[0] == pytest.approx(died, abs=0.01)
    assert refused[-1] == pytest.approx(died + 5, abs=0.011)
    assert len(refused) == 500
    log = read_prober_log(tmp_path / "prober.jsonl")
    assert {log.who[int(who)] for who in samples.who[samples.outcome == Outcome.OK]} == {
        "1000",
        "1100",
        "1200",
    }
    assert log.stops == {"p": int(cluster.now() * 1e9)}
