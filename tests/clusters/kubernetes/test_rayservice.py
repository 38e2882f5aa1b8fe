"""What is made of settings and applications: a RayService as users write it, its code, and Redis."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from runner.clusters.contract import Context
from runner.clusters.kubernetes import rayservice, survey
from runner.clusters.kubernetes.code import DIGEST, PACKAGES, gather
from runner.clusters.kubernetes.settings import Settings
from runner.errors import CannotRun, ClusterError
from runner.language.plan import Application


def settings(**more: Any) -> Settings:
    return Settings.model_validate({"namespaces": ["ns"], **more})


def made(*, options: bool = True, **more: Any) -> dict[str, Any]:
    return rayservice.made(settings(**more), "text", options=options)


def groups(document: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = document["spec"]["rayClusterConfig"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def container(group: dict[str, Any]) -> dict[str, Any]:
    [found] = group["template"]["spec"]["containers"]
    return dict(found)


def env(group: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container(group)["env"]}


def test_head_and_workers_have_image_cpus_code_and_environment() -> None:
    head, workers = groups(made(image="team/ray:2.59.1", workers=3, worker_cpus=4, environment={"A": "b"}))
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert workers["rayStartParams"]["num-cpus"] == "4"
    assert (workers["replicas"], workers["minReplicas"], workers["maxReplicas"]) == (3, 3, 3)
    for group in (head, workers):
        assert container(group)["image"] == "team/ray:2.59.1"
        assert env(group)["A"] == "b"
        assert env(group)["PYTHONPATH"].startswith("/ftrun/code")
        assert container(group)["volumeMounts"][0]["mountPath"] == "/ftrun/code"
    assert made(image="team/ray:2.59.1")["spec"]["rayClusterConfig"]["rayVersion"] == "2.59.1"
    assert "rayVersion" not in made(image="team/ray:nightly")["spec"]["rayClusterConfig"]


def test_a_cluster_without_workers_has_no_group() -> None:
    assert len(groups(made(workers=0))) == 1


def test_the_head_is_kept_out_of_the_service_where_that_is_asked_for() -> None:
    assert made(exclude_head_from_service=True)["spec"]["excludeHeadPodFromServeSvc"] is True
    assert "excludeHeadPodFromServeSvc" not in made()["spec"]


def test_gcs_fault_tolerance_by_options_where_the_crd_has_them() -> None:
    options = made(storage_namespace="mine")["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"]
    assert options == {
        "redisAddress": "ftrun-redis:6379",
        "redisPassword": {"valueFrom": {"secretKeyRef": {"name": "ftrun-redis", "key": "password"}}},
        "externalStorageNamespace": "mine",
    }


@pytest.mark.parametrize("said", [{"options": False}, {"fault_tolerance_by": "annotations"}])
def test_gcs_fault_tolerance_by_annotations_as_it_once_was(said: dict[str, Any]) -> None:
    document = made(storage_namespace="mine", **said)
    assert document["metadata"]["annotations"] == {
        "ray.io/ft-enabled": "true",
        "ray.io/external-storage-namespace": "mine",
    }
    head, workers = groups(document)
    assert env(head)["RAY_REDIS_ADDRESS"] == "ftrun-redis:6379"
    assert env(head)["REDIS_PASSWORD"]["secretKeyRef"]["name"] == "ftrun-redis"
    assert head["rayStartParams"]["redis-password"] == "$REDIS_PASSWORD"
    assert "RAY_REDIS_ADDRESS" not in env(workers)
    assert "gcsFaultToleranceOptions" not in document["spec"]["rayClusterConfig"]
    assert rayservice.fault_tolerance(document) == "redis"


def test_without_gcs_fault_tolerance_nothing_speaks_of_it() -> None:
    document = made(gcs_fault_tolerance="none")
    assert "gcsFaultToleranceOptions" not in document["spec"]["rayClusterConfig"]
    assert rayservice.fault_tolerance(document) == "none"
    assert rayservice.redis_labels(settings(gcs_fault_tolerance="none")) == {}


def test_a_redis_that_is_there_is_used_and_none_is_made() -> None:
    there = {"address": "db:6379", "password": {"name": "db", "key": "pw"}, "labels": {"app": "db"}}
    assert not rayservice.own_redis(settings(redis=there))
    options = made(redis=there)["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"]
    assert options["redisAddress"] == "db:6379"
    assert options["redisPassword"]["valueFrom"]["secretKeyRef"] == {"name": "db", "key": "pw"}
    assert rayservice.redis_labels(settings(redis=there)) == {"app": "db"}


@pytest.mark.parametrize("theirs", [{"manifest": "mine.yaml"}, {"rayservice": "theirs"}])
def test_the_redis_of_a_rayservice_that_settings_do_not_make_is_not_ours(theirs: dict[str, Any]) -> None:
    assert not rayservice.own_redis(settings(**theirs))
    assert rayservice.redis_labels(settings(**theirs)) == {}
    labels = {"redis": {"labels": {"app": "db"}}}
    assert rayservice.redis_labels(settings(**theirs, **labels)) == {"app": "db"}
    # Where its tables are, it says itself.
    assert rayservice.redis_labels(settings(**theirs, **labels, gcs_fault_tolerance="none")) == {"app": "db"}


def test_rocksdb_needs_its_gate_and_a_volume() -> None:
    for said, why in (
        ({}, "no GCS tables in RocksDB"),
        ({"operator": {"rocksdb": True}}, "a volume that outlives"),
    ):
        with pytest.raises(CannotRun, match=why):
            made(gcs_fault_tolerance="rocksdb", **said)
    document = made(gcs_fault_tolerance="rocksdb", operator={"rocksdb": True}, storage_claim="disk")
    assert rayservice.fault_tolerance(document) == "rocksdb"


def test_the_password_stands_in_the_secret_alone() -> None:
    objects = rayservice.redis(settings(), "pa55w0rd")
    assert [each["kind"] for each in objects if "pa55w0rd" in json.dumps(each)] == ["Secret"]
    assert [each["kind"] for each in objects] == ["ConfigMap", "Secret", "Service", "Deployment"]


def test_a_users_own_rayservice_keeps_all_but_its_applications() -> None:
    document = made(environment={"PYTHONPATH": "/mine"})
    document["metadata"] = {"name": "mine"}
    document["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "PYTHONPATH", "value": "/mine"}
    ]
    changed = rayservice.of_manifest(document, "other")
    assert changed["spec"]["serveConfigV2"] == "other"
    assert env(groups(changed)[0])["PYTHONPATH"].startswith("/mine:/ftrun/code")
    assert groups(changed)[0]["template"]["spec"]["volumes"][-1]["configMap"]["name"] == "mine-code"
    assert document["spec"]["serveConfigV2"] == "text"


def test_what_the_crd_has_is_read_from_its_schema() -> None:
    def openapi(**properties: Any) -> Any:
        spec = {"properties": {"spec": {"properties": properties}}}
        return {"components": {"schemas": {"io.ray.v1.RayCluster": spec, "io.ray.v1.RayClusterList": {}}}}

    assert rayservice.has_options(openapi(gcsFaultToleranceOptions={}))
    assert not rayservice.has_options(openapi(headGroupSpec={}))
    assert not rayservice.has_options({})


def test_serve_is_handed_all_applications() -> None:
    text = rayservice.config([Application("a", {"name": "x", "import_path": "m:app"}, None)])
    said = json.loads(text)
    assert (said["proxy_location"], said["http_options"]) == ("EveryNode", {"host": "0.0.0.0", "port": 8000})
    assert said["applications"] == [{"name": "a", "import_path": "m:app"}]


# The code


def application(folder: Path, path: str = "main:app") -> Application:
    return Application("a", {"name": "a", "import_path": path}, folder)


def test_code_is_the_module_and_what_it_imports_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import near\nimport os\nfrom package import part\n")
    (tmp_path / "near.py").write_text("")
    (tmp_path / "far.py").write_text("")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "part.py").write_text("x = 1\n")
    code = gather([application(tmp_path)])
    assert set(code.data) == {"main.py", "near.py", DIGEST}
    packed = zipfile.ZipFile(io.BytesIO(base64.b64decode(code.binary[PACKAGES])))
    assert set(packed.namelist()) == {"package/__init__.py", "package/part.py"}
    assert code.data[DIGEST] == code.digest
    (tmp_path / "package" / "part.py").write_text("x = 2\n")
    assert gather([application(tmp_path)]).digest != code.digest


def test_an_application_may_be_installed_in_the_image(tmp_path: Path) -> None:
    assert set(gather([application(tmp_path, "installed.app:app")]).data) == {DIGEST}


def test_two_modules_of_one_name_are_refused_unless_they_are_the_same(tmp_path: Path) -> None:
    for name, text in (("one", "1"), ("two", "2"), ("three", "1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "main.py").write_text(text)
    one, two, three = (application(tmp_path / name) for name in ("one", "two", "three"))
    assert gather([one, three]).data["main.py"] == "1"
    with pytest.raises(ClusterError, match=r"both have a main\.py"):
        gather([one, two])


def test_code_that_is_too_large_belongs_in_the_image(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("#" * 950_000)
    with pytest.raises(ClusterError, match="a ConfigMap holds") as caught:
        gather([application(tmp_path)])
    assert "image" in str(caught.value.help)


# What cannot be had


def test_what_of_the_settings_cannot_be_had_is_said_before_anything_is_made() -> None:
    facts: dict[str, Any] = {"crd": {"gcs_fault_tolerance_options": True}}
    assert survey.cannot(settings(), facts) == ()
    [said] = survey.cannot(settings(resubmit=False), facts)
    assert said == "KubeRay always hands Serve its configuration again."
    [said] = survey.cannot(settings(gcs_fault_tolerance="rocksdb"), facts)
    assert said == "This KubeRay keeps no GCS tables in RocksDB."
    for theirs in ({"manifest": "mine.yaml"}, {"rayservice": "theirs"}):
        # Nothing is made by that setting.
        assert survey.cannot(settings(gcs_fault_tolerance="rocksdb", **theirs), facts) == ()


def test_what_can_be_done_is_what_the_inventory_allows(tmp_path: Path) -> None:
    def can(*allow: str, hosts: Any = None, **more: Any) -> set[str]:
        context = Context("run", tmp_path, 1, allow=frozenset(allow), hosts=hosts or {})
        return set(survey.capabilities(settings(**more), context, {}))

    base = can()
    assert not base & {"exec", "host", "operator", "power_off", "partition"}
    assert {"deploy", "node", "redis"} <= base
    power = {"power": {"off": "x", "on": "y"}}
    assert can(hosts=power) == base
    assert can("node-faults", hosts=power) - base == {"host", "power_off"}
    assert can("node-faults", hosts={"link": {"cut": "x", "join": "y"}}) - base == {"host", "partition"}
    assert can("operator-faults") - base == {"operator"}
    theirs = {"address": "db:6379", "labels": {"app": "db"}}
    assert "redis" not in can(redis=theirs)
    assert "redis" in can("shared-redis", redis=theirs)
    for origin in ({"manifest": "mine.yaml"}, {"rayservice": "theirs"}):
        assert "redis" not in can("shared-redis", **origin)
        assert "redis" not in can(redis={"labels": {"app": "db"}}, **origin)
        assert "redis" in can("shared-redis", redis={"labels": {"app": "db"}}, **origin)
