"""A RayService on a real Kubernetes keeps the contract, with Redis."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from runner.clusters.contract import Action, Context
from runner.clusters.kubernetes.cluster import open_cluster
from runner.clusters.kubernetes.settings import Settings
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
from tests.kubernetes.fixtures import Kubernetes
from tests.kubernetes.kuberay import Operator

SPACE = "ftrun-contract"

pytestmark = pytest.mark.timeout(1200)


def left(kubernetes: Kubernetes) -> set[str]:
    """Give what there is in the namespace, by kind and name, once nothing of it is going any more."""
    kinds = "rayservices,rayclusters,pods,services,deployments,configmaps,secrets,leases"
    limit = time.monotonic() + 60
    while True:
        listed = kubernetes.kubectl(f"--namespace={SPACE}", "get", kinds, "--output=name")
        # Kubernetes puts its certificates into each namespace.
        found = set(listed.split()) - {"configmap/kube-root-ca.crt"}
        if not found or time.monotonic() > limit:
            return found
        time.sleep(0.5)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def subject(
    kubernetes: Kubernetes, kuberay: Operator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Subject]:
    folder: Path = tmp_path_factory.mktemp("kubernetes")
    kubernetes.kubectl("create", "namespace", SPACE)
    config = yaml.safe_load(kubernetes.kubeconfig.read_text())
    settings = Settings.model_validate(
        {
            "kubeconfig": str(kubernetes.kubeconfig),
            "context": config["current-context"],
            "namespaces": [SPACE],
            # Fewer processes at the start: the machine is small.
            "environment": {"RAY_enable_worker_prestart": "0", "RAY_prestart_worker_first_driver": "0"},
        }
    )
    context = Context(
        "contract",
        folder,
        1,
        endpoints={"nobody": "http://10.99.0.1:1/"},
        allow=frozenset({"exec", "operator-faults"}),
    )
    try:
        yield Subject(
            open_cluster(settings, context),
            live="service",
            dead="nobody",
            application=sleepy(folder / "code", seconds=1),
            actions=(
                (Action("freeze", {"role": "controller"}), shows("head", "frozen")),
                (Action("freeze", {"slot": "worker-2", "process": "raylet"}), shows("worker-2", "frozen")),
                (Action("freeze", {"slot": "worker-2"}), shows("worker-2", "frozen")),
                (Action("actor", {"role": "replica", "how": "ray_kill", "no_restart": True}), replica_died),
                (Action("process", {"slot": "worker-2", "process": "raylet"}), node_died("worker-2")),
                (
                    Action("drain", {"slot": "worker-1", "deadline": 2.0, "reason": "preemption"}),
                    node_died("worker-1"),
                ),
                (Action("node", {"slot": "worker-1", "how": "delete", "grace": 0.0}), node_died("worker-1")),
                (Action("node", {"slot": "worker-2", "how": "evict"}), node_died("worker-2")),
                (Action("node", {"slot": "head", "how": "crash"}), node_died("head")),
                (Action("service", {"service": "operator", "how": "power_off"}), node_died("operator")),
                # The last one: some seconds later the head gives up, too.
                (Action("service", {"service": "redis", "how": "crash"}), node_died("redis")),
            ),
            patience=300,
            left=lambda: left(kubernetes),
        )
    finally:
        kubernetes.kubectl("delete", "namespace", SPACE)


class TestKubernetes(Contract):
    async def test_the_ray_that_runs_is_asked_for(self, facts) -> None:  # noqa: F811
        json.dumps(facts.document)
        assert facts.document["ray"]["version"]
        assert facts.document["operator"]
