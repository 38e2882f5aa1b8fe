"""What is said of a RayService before a run: of one that settings do not make, what it says itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from runner.clusters.contract import Context
from runner.clusters.kubernetes.api import Api, place
from runner.clusters.kubernetes.cluster import KubernetesCluster, open_cluster
from runner.clusters.kubernetes.settings import Settings
from tests.clusters.kubernetes.memory import Memory

Json = Any

ORIGINS = ("manifest", "rayservice")


def service(annotations: Json = None, **cluster: Json) -> Json:
    pod = {"spec": {"containers": [{"name": "ray", "image": "team/ray:2.59.1"}]}}
    return {
        "kind": "RayService",
        "metadata": {"name": "mine", "annotations": annotations},
        "spec": {
            "excludeHeadPodFromServeSvc": True,
            "rayClusterConfig": {"headGroupSpec": {"template": pod}, **cluster},
        },
    }


def cluster(folder: Path, origin: str, document: Json) -> KubernetesCluster:
    """A cluster with this RayService, of a manifest's file or attached to, on an API server that knows it."""
    memory = Memory()
    memory.objects["/version"] = {"gitVersion": "v1.34.4"}
    memory.objects["/openapi/v3/apis/ray.io/v1"] = {}
    memory.put(place("namespaces", None, "ns"), {})
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(document))
    if origin == "rayservice":
        memory.put(place("rayservices", "ns", "mine"), document)
    given = {"manifest": str(file)} if origin == "manifest" else {"rayservice": "mine"}
    settings = Settings.model_validate({"namespaces": ["ns"], "image": "ours/ray:2.60.0", **given})
    made = open_cluster(settings, Context("run", folder, 1))
    made.api = cast("Api", memory)
    return made


async def surveyed(folder: Path, origin: str, document: Json) -> Mapping[str, Json]:
    return (await cluster(folder, origin, document).survey()).document


@pytest.mark.parametrize("origin", ORIGINS)
async def test_its_image_is_its_own(tmp_path: Path, origin: str) -> None:
    found = await surveyed(tmp_path, origin, service())
    assert (found["image"], found["exclude_head_from_service"]) == ("team/ray:2.59.1", True)
    assert found["ray"] == {"version": "2.59.1", "commit": None}
    assert ("attached" in found) is (origin == "rayservice")
    # What it gives its nodes, the settings do not know.
    assert not found.keys() & {"environment", "head_cpus", "worker_cpus"}


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize(
    ("document", "where"),
    [
        (service(), "none"),
        (service({"ray.io/ft-enabled": "true"}), "redis"),
        (service(gcsFaultToleranceOptions={"redisAddress": "db:6379"}), "redis"),
        (
            service(gcsFaultToleranceOptions={"backend": "rocksdb", "storage": {"claimName": "disk"}}),
            "rocksdb",
        ),
    ],
)
async def test_where_its_tables_are_it_says_itself(
    tmp_path: Path, origin: str, document: Json, where: str
) -> None:
    assert (await surveyed(tmp_path, origin, document))["gcs_fault_tolerance"] == where


async def test_an_attached_one_that_kuberay_refuses_has_no_image(tmp_path: Path) -> None:
    document = service(headGroupSpec={"template": {"spec": {"containers": []}}})
    found = await surveyed(tmp_path, "rayservice", document)
    assert (found["image"], "ray" in found) == (None, False)
