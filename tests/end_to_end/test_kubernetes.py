"""Whole runs on a real Kubernetes: the same scenario files, another inventory, and what they must say."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.end_to_end.command import ROOT, Finished, ftrun
from tests.kubernetes.fixtures import CLUSTER, Kubernetes, until
from tests.kubernetes.kuberay import Operator

pytestmark = [pytest.mark.timeout(1500)]

SPACE = "ftrun-scenarios"
INVENTORY = ROOT / "inventories/kubernetes.yaml"
ONE_RAYSERVICE = ("head_node", "worker_node", "controller")
KINDS = "rayservices,rayclusters,pods,services,deployments,secrets,leases,networkpolicies"


@dataclass(frozen=True)
class Ended:
    """A command that ended, and the last attempt of each of its scenarios."""

    finished: Finished

    def scenario(self, name: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = [
            each
            for each in self.finished.run["scenarios"]
            if Path(each["file"]).stem == name and not each["superseded"]
        ]
        (scenario,) = found
        return scenario

    def verdicts(self, name: str) -> dict[str, str]:
        return {each["name"]: each["verdict"] for each in self.scenario(name)["assertions"]}

    def failed(self, name: str, probe: str) -> list[int]:
        """Give how many requests of each series failed."""
        (found,) = (each for each in self.scenario(name)["probes"] if each["name"] == probe)
        return [each["failed"] for each in found["series"]]

    def causes(self, name: str) -> set[str]:
        """Give what a recovery was spent on, as the waterfall has it."""
        (recovery,) = self.scenario(name)["recoveries"]
        return {each["cause"] for each in recovery["causes"]}


def is_empty(kubernetes: Kubernetes) -> bool:
    left = kubernetes.kubectl("get", KINDS, f"--namespace={SPACE}", "--output=name").split()
    return not left or pytest.fail(f"There are still {left}.")


@pytest.fixture(scope="module")
def namespace(kubernetes: Kubernetes, kuberay: Operator) -> Iterator[Kubernetes]:
    """Give a Kubernetes with an operator and a namespace that is empty before, and after, too."""
    kubernetes.kubectl("create", "namespace", SPACE)
    try:
        yield kubernetes
        until(partial(is_empty, kubernetes), 60)
    finally:
        kubernetes.kubectl("delete", "namespace", SPACE, "--timeout=180s")


def on_kubernetes(
    kubernetes: Kubernetes, folder: Path, *names: str, inventory: Path = INVENTORY, more: tuple[str, ...] = ()
) -> Ended:
    """Run built-in scenarios with an inventory that is told where to run."""
    context = yaml.safe_load(kubernetes.kubeconfig.read_text())["current-context"]
    reports = folder / "reports"
    finished = ftrun(
        *(f"scenarios/{name}.yaml" for name in names),
        *("-i", str(inventory), "-e", f"context={context}", "-e", f"namespace={SPACE}", *more),
        # The processors are few: where the prober had none for a moment, nothing is known.
        *("--retry-unknown", "2", "--report-dir", str(reports)),
        cwd=ROOT,
        reports=reports,
        env={**os.environ, "KUBECONFIG": str(kubernetes.kubeconfig)},
    )
    print(finished.output)
    # A machine that was switched on again runs on.
    assert [each for each in finished.left if str(CLUSTER.parent) not in each] == []
    return Ended(finished)


@pytest.fixture(scope="module")
def one_rayservice(namespace: Kubernetes, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    return on_kubernetes(namespace, tmp_path_factory.mktemp("one"), *ONE_RAYSERVICE)


@pytest.mark.parametrize("name", ONE_RAYSERVICE)
def test_its_claims_hold_there_too(name: str, one_rayservice: Ended) -> None:
    assert set(one_rayservice.verdicts(name).values()) == {"pass"}
    assert one_rayservice.finished.exit_code == 0


def test_workers_keep_serving_while_the_head_pod_is_gone(one_rayservice: Ended) -> None:
    assert one_rayservice.failed("head_node", "workers") == [0, 0, 0, 0]
    (failed,) = one_rayservice.failed("head_node", "head")
    assert failed > 10
    expected = {"restart delay", "head process starting", "GCS loading", "raylet starting"}
    assert expected <= one_rayservice.causes("head_node")


def test_the_report_says_which_operator_it_was(one_rayservice: Ended, kuberay: Operator) -> None:
    facts = one_rayservice.scenario("head_node")["cluster"]
    assert (facts["operator"] == "stand-in") == kuberay.is_stand_in
    assert one_rayservice.finished.folder is not None
    if kuberay.is_stand_in:
        assert "stand-in" in (one_rayservice.finished.folder / "report.html").read_text()


def test_without_fault_tolerance_users_lose_the_workers_with_the_head(
    namespace: Kubernetes, tmp_path: Path
) -> None:
    ended = on_kubernetes(namespace, tmp_path, "head_node", more=("-e", "gcs=none"))
    verdicts = ended.verdicts("head_node")
    assert verdicts["workers keep serving"] == "fail"
    assert verdicts["no worker was restarted"] == "fail"
    assert all(failed > 10 for failed in ended.failed("head_node", "workers"))
    assert ended.finished.exit_code == 1


@pytest.fixture
def spare(namespace: Kubernetes, kuberay: Operator) -> Iterator[Kubernetes]:
    """Give a Kubernetes whose node2 has room for a worker, and for neither the operator nor a head.

    ftrun crashes no machine that pods of others stand on.
    """
    pinned = {"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": "node1"}}}}}
    kuberay.kubectl("patch", "deployment", kuberay.name, f"--patch={json.dumps(pinned)}")
    kuberay.scale(1)
    processors = int(namespace.kubectl("get", "node", "node2", "--output=jsonpath={.status.allocatable.cpu}"))
    container = {
        "name": "ballast",
        "image": "rayproject/ray:2.60.0",
        "command": ["sleep", "infinity"],
        "resources": {"requests": {"cpu": str(processors - 1)}},
    }
    ballast = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "ballast", "namespace": SPACE},
        "spec": {"nodeName": "node2", "containers": [container]},
    }
    namespace.kubectl("apply", "--filename=-", text=json.dumps(ballast))
    try:
        yield namespace
    finally:
        namespace.kubectl("delete", "pod", "ballast", f"--namespace={SPACE}", "--grace-period=0", "--force")


def test_a_machine_crashes_and_comes_back(spare: Kubernetes, tmp_path: Path) -> None:
    inventory = yaml.safe_load(INVENTORY.read_text())
    inventory["cluster"]["resources"]["head"]["requests"]["cpu"] = "1100m"
    does = {word: f"{shlex.quote(sys.executable)} {CLUSTER} {word} $HOST" for word in ("crash", "start")}
    inventory["hosts"] = {"power": {"off": does["crash"], "on": does["start"]}}
    inventory["allow"] = ["node-faults"]
    file = tmp_path / "inventory.yaml"
    file.write_text(yaml.safe_dump(inventory))
    ended = on_kubernetes(spare, tmp_path, "worker_host", inventory=file)
    assert set(ended.verdicts("worker_host").values()) == {"pass"}
    assert ended.finished.exit_code == 0
    ready = ("get", "nodes", "--output=jsonpath={..conditions[?(@.type=='Ready')].status}")
    until(lambda: spare.kubectl(*ready).split() == ["True", "True"], 60)
