"""ftrun from inside of a cluster: the CronJob's own Job, as its service account, with no right but those it was given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml

from tests.kubernetes.fixtures import Kubernetes, until
from tests.kubernetes.kuberay import Operator

pytestmark = [pytest.mark.timeout(1200)]

Json = Any

ROOT = Path(__file__).parents[2]
PACKAGES = Path(pydantic.__file__).parents[1]
"""Where what ftrun needs is installed: pods may have no way to a package index."""
IMAGE = "rayproject/ray:2.60.0"
"""It has a Python 3.11, and is on the nodes."""
SCENARIO = "controller"
SPACE = "ftrun"


def documents(name: str) -> list[Json]:
    return list(yaml.safe_load_all((ROOT / "inventories" / f"{name}.yaml").read_text(encoding="utf-8")))


def cronjob() -> Json:
    """Give the CronJob, with ftrun from this machine's files in place of the package index's."""
    found: Json = next(each for each in documents("kubernetes-cronjob") if each["kind"] == "CronJob")
    pod = found["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    [command] = container["args"]
    assert command.startswith("exec ftrun $SCENARIOS ")
    container |= {
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": [command.replace("exec ftrun", "exec python3 -m runner.cli.main")],
        "workingDir": "/opt/ftrun",
        "env": [
            {"name": "SCENARIOS", "value": SCENARIO},
            {"name": "HOME", "value": "/reports"},
            {"name": "PYTHONPATH", "value": "/opt/ftrun:/opt/packages"},
            {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
        ],
    }
    for name, path in (("ftrun", ROOT), ("packages", PACKAGES)):
        mount = {"name": name, "mountPath": f"/opt/{name}", "readOnly": True}
        container["volumeMounts"].append(mount)
        pod["volumes"].append({"name": name, "hostPath": {"path": str(path), "type": "Directory"}})
    return found


@pytest.fixture
def namespace(kubernetes: Kubernetes, kuberay: Operator) -> Iterator[Kubernetes]:
    """Give a Kubernetes where the rights and the CronJob were applied, and nothing else."""
    others = [each for each in documents("kubernetes-cronjob") if each["kind"] != "CronJob"]
    objects = [*documents("kubernetes-rbac"), *others, cronjob()]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    kubernetes.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", text=text)
    try:
        yield kubernetes
    finally:
        kubernetes.kubectl("delete", "namespace", SPACE, "--timeout=180s")
        kubernetes.kubectl(
            "delete", "clusterrole,clusterrolebinding", "ftrun-look", "ftrun-hosts", "--ignore-not-found"
        )
        for kind, name in (("rolebinding", "ftrun-look"), ("role", "ftrun-look"), ("role", "ftrun-operator")):
            kubernetes.kubectl("delete", kind, name, f"--namespace={kuberay.namespace}", "--ignore-not-found")


def test_the_pack_runs_in_the_cluster_with_these_rights_alone(namespace: Kubernetes) -> None:
    def kubectl(*words: str) -> str:
        return namespace.kubectl(f"--namespace={SPACE}", *words)

    def ended() -> dict[str, int]:
        said = json.loads(kubectl("get", "job", "ftrun-now", "--output=json")).get("status", {})
        return {word: said[word] for word in ("succeeded", "failed") if said.get(word)}

    kubectl("create", "job", "--from=cronjob/ftrun", "ftrun-now")
    try:
        until(ended, 900, every=2.0)
    finally:
        # Its pod says why, whatever came of it.
        output = kubectl("logs", "job/ftrun-now") if kubectl("get", "pods", "--output=name") else "no pod"
        print(output)
    assert "not allowed" not in output
    assert "PASSED (exit code 0)" in output
    assert ended() == {"succeeded": 1}
    kinds = "rayservices,rayclusters,services,deployments,secrets,leases,networkpolicies"
    assert kubectl("get", kinds, "--output=name").split() == []
    assert {each.partition("/")[2] for each in kubectl("get", "configmaps", "--output=name").split()} == {
        "kube-root-ca.crt",
        "ftrun-inventory",
    }
