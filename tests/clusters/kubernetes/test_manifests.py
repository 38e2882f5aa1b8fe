"""A user's manifest: what may be in it, and where it is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.clusters.contract import Context
from runner.clusters.kubernetes import manifests, rayservice
from runner.clusters.kubernetes.cluster import open_cluster
from runner.clusters.kubernetes.settings import Settings
from runner.errors import CannotRun

GROUP = "template: {spec: {containers: [{name: ray, image: ray}]}}"
SPEC = f"spec: {{rayClusterConfig: {{headGroupSpec: {{{GROUP}}}}}}}\n"
SERVICE = f"kind: RayService\nmetadata: {{name: mine}}\n{SPEC}"


def read(tmp_path: Path, text: str) -> manifests.Manifest:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    return manifests.read(file, "ours")


def test_a_rayservice_and_what_stands_beside_it(tmp_path: Path) -> None:
    found = read(tmp_path, f"{SERVICE}---\nkind: ConfigMap\nmetadata: {{name: code, namespace: ours}}\n")
    assert found.name == "mine"
    assert [each["kind"] for each in found.others] == ["ConfigMap"]
    assert manifests.where(found.rayservice, "ours") == "/apis/ray.io/v1/namespaces/ours/rayservices/mine"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: ConfigMap\nmetadata: {name: x}\n", "holds 0 RayServices, and one is wanted."),
        (f"{SERVICE}---\n{SERVICE}", "holds 2 RayServices, and one is wanted."),
        (
            f"{SERVICE}---\nkind: Ingress\nmetadata: {{name: x}}\n",
            "holds an object of kind Ingress, which ftrun does not make.",
        ),
        (f"kind: RayService\nmetadata: {{}}\n{SPEC}", "`metadata.name` of a RayService in the manifest"),
        ("kind: RayService\nmetadata: {name: mine}\n", "`spec` of the RayService mine in the manifest"),
        ("kind: [", "is not YAML"),
        (
            "kind: ConfigMap\nmetadata: {name: x}\ndata: {2026-01-01: x}\n",
            "holds what Kubernetes cannot take: keys",
        ),
        ("made: 2026-13-01\n", "holds what Kubernetes cannot take: month"),
        (
            f"kind: RayService\nmetadata: {{name: mine, namespace: theirs}}\n{SPEC}",
            "names the namespace theirs, and the inventory ours.",
        ),
    ],
)
def test_what_cannot_be_made_is_said(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(CannotRun) as refused:
        read(tmp_path, text)
    assert says in refused.value.message
    assert refused.value.exit_code == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: List\nitems:\n", "The manifest FILE holds 0 RayServices, and one is wanted."),
        ("kind: List\nitems: {a: b}\n", "`items` of a List in the manifest FILE are no list."),
        ("kind: List\nitems: [some text]\n", "Object 1 of the manifest FILE is no mapping."),
        (f"{SERVICE}---\n- one\n", "Object 2 of the manifest FILE is no mapping."),
        (
            "kind: [RayService]\nmetadata: {name: x}\n",
            "The manifest FILE holds an object of kind ['RayService'], which ftrun does not make.",
        ),
        (
            "kind: Secret\nmetadata: []\n",
            "`metadata` of a Secret in the manifest FILE is no mapping.",
        ),
        (
            "kind: Secret\nmetadata: {name: ''}\n",
            "`metadata.name` of a Secret in the manifest FILE is empty.",
        ),
        (
            "kind: Secret\nmetadata: {name: 5}\n",
            "`metadata.name` of the Secret 5 in the manifest FILE is no text.",
        ),
        (
            "kind: Secret\nmetadata: {name: s, labels: [a]}\n",
            "`metadata.labels` of the Secret s in the manifest FILE is no mapping.",
        ),
        (
            "kind: Secret\nmetadata: {name: s}\nstringData: [a]\n",
            "`stringData` of the Secret s in the manifest FILE is no mapping.",
        ),
        (
            "kind: Deployment\nmetadata: {name: d}\nspec: {template: {metadata: }}\n",
            "`spec.template.metadata` of the Deployment d in the manifest FILE is no mapping.",
        ),
    ],
)
def test_what_is_no_object_is_said_where_it_stands(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(CannotRun) as refused:
        read(tmp_path, text)
    assert refused.value.message.replace(str(tmp_path / "mine.yaml"), "FILE") == says


@pytest.mark.parametrize(
    ("cluster", "says"),
    [
        ("", "`spec.rayClusterConfig.headGroupSpec` is missing"),
        ("headGroupSpec: {}", "`spec.rayClusterConfig.headGroupSpec.template` is missing"),
        (
            "headGroupSpec: {template: {spec: {containers: }}}",
            "`spec.rayClusterConfig.headGroupSpec.template.spec.containers` is no list",
        ),
        (
            "headGroupSpec: {template: {spec: {containers: []}}}",
            "`spec.rayClusterConfig.headGroupSpec.template.spec.containers` is empty",
        ),
        (
            "headGroupSpec: {template: {spec: {containers: [{env: [{value: x}]}]}}}",
            "`spec.rayClusterConfig.headGroupSpec.template.spec.containers[0].env[0].name` is missing",
        ),
        (
            f"headGroupSpec: {{{GROUP}}}, workerGroupSpecs: [{{replicas: 1}}]",
            "`spec.rayClusterConfig.workerGroupSpecs[0].template` is missing",
        ),
        (
            f"headGroupSpec: {{{GROUP}}}, workerGroupSpecs: [{{replicas: 1, {GROUP}}}, {{replicas: two, {GROUP}}}]",
            "`spec.rayClusterConfig.workerGroupSpecs[1].replicas` is no whole number",
        ),
        (
            f"headGroupSpec: {{{GROUP}}}, workerGroupSpecs: [{{minReplicas: -1, {GROUP}}}]",
            "`spec.rayClusterConfig.workerGroupSpecs[0].minReplicas` is below 0",
        ),
        (
            f"headGroupSpec: {{{GROUP}}}, gcsFaultToleranceOptions: redis",
            "`spec.rayClusterConfig.gcsFaultToleranceOptions` is no mapping",
        ),
    ],
)
def test_what_lacks_of_a_rayservice_is_said_before_anything_is_made(
    tmp_path: Path, cluster: str, says: str
) -> None:
    with pytest.raises(CannotRun) as refused:
        read(
            tmp_path,
            f"kind: RayService\nmetadata: {{name: mine}}\nspec: {{rayClusterConfig: {{{cluster}}}}}\n",
        )
    where, why = says.split(" is ")
    file = tmp_path / "mine.yaml"
    assert refused.value.message == f"{where} of the RayService mine in the manifest {file} is {why}."


def test_what_is_left_empty_is_not_said(tmp_path: Path) -> None:
    text = f"""
kind: RayService
metadata: {{name: mine, namespace: , labels: , annotations: }}
spec:
  rayClusterConfig:
    gcsFaultToleranceOptions:
    headGroupSpec: {{template: {{spec: {{volumes: , containers: [{{name: ray, env: , volumeMounts: }}]}}}}}}
    workerGroupSpecs: [{{replicas: , minReplicas: 2, {GROUP}}}]
---
kind: Secret
metadata: {{name: s}}
data:
---
"""
    found = read(tmp_path, text)
    made = rayservice.of_manifest(found.rayservice, "config")
    assert len(made["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["volumes"]) == 1
    assert (rayservice.workers(found.rayservice), rayservice.fault_tolerance(found.rayservice)) == (2, "none")
    assert list(manifests.secrets(found)) == []


def test_a_file_that_is_not_there_is_said() -> None:
    with pytest.raises(CannotRun, match=r"The manifest /no/such cannot be read: No such file or directory\."):
        manifests.read(Path("/no/such"), "ours")


def test_it_is_read_from_the_inventorys_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(SERVICE)
    settings = Settings(context="c", namespaces=("ours",), manifest="mine.yaml")
    cluster = open_cluster(settings, Context("run", tmp_path / "reports", 1, beside=tmp_path))
    assert cluster.name == "mine"


def test_what_an_anchor_repeats_is_changed_in_each_place_alone(tmp_path: Path) -> None:
    group = "template: {spec: *pod}"
    text = f"""
kind: RayService
metadata: {{name: mine}}
spec:
  rayClusterConfig:
    headGroupSpec: {{template: {{spec: &pod {{containers: [{{name: ray, image: ray}}]}}}}}}
    workerGroupSpecs: [{{replicas: 1, {group}}}, {{replicas: 2, {group}}}]
"""
    made = rayservice.of_manifest(read(tmp_path, text).rayservice, "config")
    cluster = made["spec"]["rayClusterConfig"]
    for each in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert len(each["template"]["spec"]["volumes"]) == 1
        assert len(each["template"]["spec"]["containers"][0]["volumeMounts"]) == 1


def test_what_its_secrets_hold_is_hidden(tmp_path: Path) -> None:
    text = "kind: Secret\nmetadata: {name: s}\nstringData: {a: 48151623, b: x}\ndata: {c: aHVudGVyMmh1bnRlcjI=}\n"
    (tmp_path / "mine.yaml").write_text(f"{SERVICE}---\n{text}")
    about = Context("run", tmp_path / "reports", 1, beside=tmp_path)
    open_cluster(Settings(context="c", namespaces=("ours",), manifest="mine.yaml"), about)
    said = about.secrets.hide("Value:48151623 hunter2hunter2 aHVudGVyMmh1bnRlcjI= x")
    assert said == "Value:(hidden) (hidden) (hidden) x"
