"""The operator in the test cluster: the stand-in, or the real one that two environment variables name.

FTRUN_KUBERAY_OPERATOR is the path of KubeRay's operator, one program that needs no library; FTRUN_KUBERAY_CRDS the
folder of its custom resource definitions. Without them it is the stand-in. In a cluster that is not ours, given by
`--kubeconfig`, it is whatever operator runs there. `python -m tests.kubernetes.kuberay` installs it by hand.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes.fixtures import Kubernetes
from tests.kubernetes.plane import KUBECONFIG
from tests.kubernetes.standin import pods

Json = Any

HERE = Path(__file__).parent
NAME = "kuberay-operator"
"""Of its namespace, its deployment, and all that belongs to it, as KubeRay's chart has it."""
IMAGE = "ftrun/operator-stand-in:1"
REAL_IMAGE = "ftrun/kuberay-operator:1"
GATES = (
    "RayClusterStatusConditions",
    "RayJobDeletionPolicy",
    "RayMultiHostIndexing",
    "RayServiceIncrementalUpgrade",
)
"""Those that KubeRay's chart opens."""


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator that runs."""

    kubernetes: Kubernetes
    namespace: str = NAME
    name: str = NAME

    @property
    def is_stand_in(self) -> bool:
        """Whether it is the stand-in, as its deployment's image says."""
        return IMAGE in self.kubectl("get", "deployment", self.name, "--output=jsonpath={..image}")

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in its namespace."""
        return self.kubernetes.kubectl(f"--namespace={self.namespace}", *arguments)

    def scale(self, replicas: int) -> None:
        """Let it run, or be away, and wait until it is so."""
        self.kubectl("scale", f"deployment/{self.name}", f"--replicas={replicas}")
        if replicas:
            self.kubectl("rollout", "status", f"deployment/{self.name}", "--timeout=120s")
        else:
            self.kubectl("wait", "--for=delete", "pod", "--all", "--timeout=60s")


def install(kubernetes: Kubernetes) -> Operator:
    """Install an operator in a cluster of ours, or change the one that is there; wait until it runs."""
    program, folder = (os.environ.get(f"FTRUN_KUBERAY_{name}") for name in ("OPERATOR", "CRDS"))
    if (program is None) != (folder is None):
        pytest.fail("FTRUN_KUBERAY_OPERATOR and FTRUN_KUBERAY_CRDS go together: set both, or none.")
    if program is not None and folder is not None:
        definitions = _documents(Path(folder))
        objects = [_deployment(_real_container())]
        with tempfile.TemporaryDirectory() as image:
            shutil.copy(program, Path(image, "manager"))
            kubernetes.machines("load", REAL_IMAGE, image, "/manager")
    else:
        definitions = _documents(HERE / "crds")
        code = {path.name: path.read_text() for path in sorted((HERE / "standin").glob("*.py"))}
        objects = [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta("stand-in"), "data": code},
            _deployment(_stand_in_container(), code),
        ]
    _apply(kubernetes, definitions)
    names = [f"crd/{definition['metadata']['name']}" for definition in definitions]
    kubernetes.kubectl("wait", "--for=condition=Established", *names, "--timeout=60s")
    _apply(kubernetes, [*_account(), *objects])
    operator = Operator(kubernetes)
    operator.scale(1)
    return operator


def _documents(folder: Path) -> list[Json]:
    """Read all objects of a folder; a List stands for its items."""
    files = sorted(folder.glob("*.yaml"))
    if not files:
        pytest.fail(f"There is no custom resource definition in {folder}: no file ends in .yaml.")
    found = [document for path in files for document in yaml.safe_load_all(path.read_text()) if document]
    return [item for document in found for item in document.get("items", [document])]


def _apply(kubernetes: Kubernetes, objects: list[Json]) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    kubernetes.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", text=text)


def _meta(name: str = NAME) -> Json:
    return {"name": name, "namespace": NAME, "labels": {"app.kubernetes.io/name": NAME}}


def _account() -> list[Json]:
    """Give namespace, account and rights: all rights, since the cluster is ours."""
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta()},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME},
            "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAME}],
        },
    ]


def _deployment(container: Json, code: Mapping[str, str] | None = None) -> Json:
    """Give the deployment; another code makes another pod."""
    labels = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": NAME}
    mounts = [{"name": "code", "mountPath": "/opt/standin"}] if code else []
    volumes = [{"name": "code", "configMap": {"name": "stand-in"}}] if code else []
    digest = hashlib.sha256(json.dumps(code).encode()).hexdigest()
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(),
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": {"code": digest}},
                "spec": {
                    "serviceAccountName": NAME,
                    "terminationGracePeriodSeconds": 10,
                    "volumes": volumes,
                    "containers": [
                        {
                            "name": NAME,
                            "imagePullPolicy": "IfNotPresent",
                            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
                            "volumeMounts": mounts,
                            **container,
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "readOnlyRootFilesystem": True,
                                "runAsNonRoot": True,
                                "runAsUser": 1000,
                                "capabilities": {"drop": ["ALL"]},
                            },
                        }
                    ],
                },
            },
        },
    }


def _stand_in_container() -> Json:
    return {"image": IMAGE, "workingDir": "/opt", "command": ["python3", "-m", "standin"]}


def _real_container() -> Json:
    """Give the container that KubeRay's chart makes."""
    gates = ",".join(f"{gate}=true" for gate in GATES)
    metrics = {"httpGet": {"path": "/metrics", "port": 8080}, "periodSeconds": 5, "failureThreshold": 5}
    return {
        "image": REAL_IMAGE,
        "command": ["/manager"],
        "args": [f"--feature-gates={gates}", "--enable-leader-election=true", "--enable-metrics=true"],
        "readinessProbe": metrics,
        "livenessProbe": {**metrics, "initialDelaySeconds": 10},
    }


def found_in(kubernetes: Kubernetes) -> Operator:
    """Find the operator of a cluster that is not ours."""
    label = f"--selector=app.kubernetes.io/name={NAME}"
    items = json.loads(kubernetes.kubectl("get", "deployments", "-A", label, "--output=json"))["items"]
    if len(items) != 1:
        pytest.fail(
            f"The cluster of {kubernetes.kubeconfig} has {len(items)} deployments with the label "
            f"app.kubernetes.io/name={NAME}: install one KubeRay operator there, by its Helm chart."
        )
    meta = items[0]["metadata"]
    return Operator(kubernetes, meta["namespace"], meta["name"])


@pytest.fixture(scope="session")
def kuberay(kubernetes: Kubernetes) -> Operator:
    """Give the operator, and say which one it is."""
    operator = install(kubernetes) if kubernetes.ours else found_in(kubernetes)
    print(f"operator: {pods.VERSION if operator.is_stand_in else 'KubeRay'}")
    return operator


if __name__ == "__main__":
    install(Kubernetes(KUBECONFIG))
