"""The fake cluster keeps the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from runner.clusters.contract import Action, Answer, Completed, Context
from runner.clusters.fake.cluster import Fake
from runner.clusters.fake.settings import Settings
from runner.language.plan import Application
from tests.clusters.contract import (  # noqa: F401 (fixtures)
    Contract,
    Subject,
    cluster,
    facts,
    node_died,
    replica_died,
    shows,
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def subject(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Subject]:
    folder = tmp_path_factory.mktemp("fake")
    commands = {"break": {"act": "true", "undo": "true"}}
    settings = Settings(boot="50ms", deploy_delay="300ms", restart_delay="300ms")
    fake = Fake(settings, Context("contract", folder, 1, commands=commands))
    fake.canned = {
        "echo out; echo err >&2; exit 3": Completed(3, "out\n", "err\n"),
        "sleep 600": None,
    }

    def heard(_answer: Answer) -> str:
        asked = fake.asked[-1]
        return f"{asked.method} {asked.headers['X-Word']} {(asked.body or b'').decode()}"

    yield Subject(
        fake,
        live="service",
        heard=heard,
        application=Application("sleepy", {"name": "sleepy"}, None),
        actions=(
            (Action("cut_link", {"slot": "worker-2"}), shows("worker-2", "cut_off")),
            (Action("freeze", {"role": "controller"}), shows("head", "frozen")),
            (Action("freeze", {"slot": "worker-2", "process": "raylet"}), shows("worker-2", "frozen")),
            (Action("freeze", {"slot": "worker-2"}), shows("worker-2", "frozen")),
            (Action("service", {"service": "redis", "how": "crash"}), node_died("redis")),
            (Action("actor", {"role": "replica", "how": "crash"}), replica_died),
            (Action("process", {"slot": "worker-2", "process": "raylet"}), node_died("worker-2")),
            (
                Action("drain", {"slot": "worker-1", "deadline": 0.2, "reason": "preemption"}),
                node_died("worker-1"),
            ),
            (Action("node", {"slot": "worker-1", "how": "power_off"}), node_died("worker-1")),
            (Action("node", {"slot": "head", "how": "crash"}), node_died("head")),
            (Action("command", {"name": "break"}), lambda _before, _after: bool(fake.done)),
        ),
    )


class TestFake(Contract):
    pass
