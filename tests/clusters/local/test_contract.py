"""A real Ray cluster on this machine keeps the contract, with Redis in network namespaces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from runner.clusters.contract import Action, Context
from runner.clusters.local.cluster import open_cluster
from runner.clusters.local.settings import Settings
from tests.clusters.contract import (  # noqa: F401 (fixtures)
    Contract,
    Subject,
    cluster,
    facts,
    node_died,
    replica_died,
    shows,
)
from tests.clusters.local.application import sleepy

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def subject(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Subject]:
    folder: Path = tmp_path_factory.mktemp("local")
    settings = Settings(layout="namespaces")
    context = Context(
        "contract", folder, 1, endpoints={"nobody": "http://10.1.0.1:1/"}, allow=frozenset({"exec"})
    )
    yield Subject(
        open_cluster(settings, context),
        live="service",
        dead="nobody",
        application=sleepy(folder / "code", seconds=1),
        actions=(
            (Action("cut_link", {"slot": "worker-2"}), shows("worker-2", "cut_off")),
            (Action("freeze", {"role": "controller"}), shows("head", "frozen")),
            (Action("freeze", {"slot": "worker-2", "process": "raylet"}), shows("worker-2", "frozen")),
            (Action("freeze", {"slot": "worker-2"}), shows("worker-2", "frozen")),
            (Action("actor", {"role": "replica", "how": "ray_kill", "no_restart": True}), replica_died),
            (Action("process", {"slot": "worker-2", "process": "raylet"}), node_died("worker-2")),
            (
                Action("drain", {"slot": "worker-1", "deadline": 2.0, "reason": "preemption"}),
                node_died("worker-1"),
            ),
            (Action("node", {"slot": "worker-1", "how": "power_off"}), node_died("worker-1")),
            (Action("node", {"slot": "head", "how": "crash"}), node_died("head")),
            # The last one: some seconds later the head gives up, too.
            (Action("service", {"service": "redis", "how": "crash"}), node_died("redis")),
        ),
        patience=240,
    )


class TestLocal(Contract):
    pass
