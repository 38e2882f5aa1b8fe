"""The files that people apply: what they grant, run and name is what there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.cli.options import Settings
from runner.clusters.kubernetes.settings import Settings as KubernetesSettings
from runner.language.compiler import compile_files
from runner.language.pack import Disk, folder, names
from runner.language.plan import Plan
from runner.language.text import LIMIT
from runner.steps.catalogue import catalogue

Json = Any


def documents(name: str) -> dict[str, Json]:
    """Give the documents of an inventory's file, by kind and name."""
    text = (folder("inventories") / f"{name}.yaml").read_text(encoding="utf-8")
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in yaml.safe_load_all(text)}


def compiled(inventory: str, *scenarios: str, variables: tuple[str, ...] = ()) -> Plan:
    return compile_files(
        scenarios,
        source=Disk(LIMIT),
        catalogue=catalogue(),
        clusters=Settings(),
        inventory=inventory,
        extra_vars=variables,
        seed=1,
    )


RBAC, CRONJOB = documents("kubernetes-rbac"), documents("kubernetes-cronjob")
POD = CRONJOB["CronJob/ftrun"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
[CONTAINER] = POD["containers"]


def test_every_binding_is_of_a_role_that_is_there_and_of_the_account() -> None:
    account = RBAC["ServiceAccount/ftrun"]["metadata"]
    for binding in (each for each in RBAC.values() if each["kind"].endswith("Binding")):
        role = RBAC[f"{binding['roleRef']['kind']}/{binding['roleRef']['name']}"]
        assert role["metadata"].get("namespace") == binding["metadata"].get("namespace")
        assert binding["subjects"] == [{"kind": "ServiceAccount", **account}]


def test_what_only_a_fault_needs_is_bound_to_nobody() -> None:
    bound = {each["roleRef"]["name"] for each in RBAC.values() if each["kind"].endswith("Binding")}
    assert bound == {"ftrun", "ftrun-look"}


def test_no_rule_grants_everything() -> None:
    for each in RBAC.values():
        for rule in each.get("rules", ()):
            assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}


def test_the_cronjob_runs_as_that_account_with_an_inventory_that_is_right(tmp_path: Path) -> None:
    account = RBAC["ServiceAccount/ftrun"]["metadata"]
    assert POD["serviceAccountName"] == account["name"]
    assert {each["metadata"]["namespace"] for each in CRONJOB.values()} == {account["namespace"]}
    (name, text), *others = CRONJOB["ConfigMap/ftrun-inventory"]["data"].items()
    assert not others
    file = tmp_path / name
    file.write_text(text)
    environment = {each["name"]: each["value"] for each in CONTAINER["env"]}
    scenarios = environment["SCENARIOS"].split()
    assert set(scenarios) <= set(names("scenarios"))
    plan = compiled(str(file), *scenarios)
    settings = KubernetesSettings.model_validate(plan.inventory.cluster)
    # In the cluster, where its rights are.
    assert (settings.context, settings.namespaces) == (None, (account["namespace"],))
    assert plan.inventory.allow == ()


def test_the_cronjob_reads_its_inventory_where_it_is_mounted() -> None:
    mounts = {each["name"]: each["mountPath"] for each in CONTAINER["volumeMounts"]}
    volumes = {each["name"]: each for each in POD["volumes"]}
    assert mounts.keys() == volumes.keys()
    [name] = CRONJOB["ConfigMap/ftrun-inventory"]["data"]
    mounted = volumes["inventory"]["configMap"]["name"]
    assert f"ConfigMap/{mounted}" in CRONJOB
    assert f"-i {mounts['inventory']}/{name} --report-dir {mounts['reports']}" in CONTAINER["args"][0]


def test_the_cronjobs_pod_is_one_that_podsecurity_restricted_takes() -> None:
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_cronjob_has_the_time_to_put_back_what_it_broke() -> None:
    from runner.cli import cleanup

    assert POD["terminationGracePeriodSeconds"] > cleanup.LIMIT
    assert CRONJOB["CronJob/ftrun"]["spec"]["concurrencyPolicy"] == "Forbid"


@pytest.mark.parametrize("variables", [(), ("context=c", "namespace=n", "image=i:2.60.0", "boot=15m")])
def test_the_builtin_inventory_takes_what_the_documents_give_it(variables: tuple[str, ...]) -> None:
    settings = KubernetesSettings.model_validate(
        compiled("kubernetes", variables=variables).inventory.cluster
    )
    got = (settings.context, settings.namespaces, settings.image, settings.boot)
    assert got == (
        ("c", ("n",), "i:2.60.0", 900.0)
        if variables
        else ("kind-kind", ("default",), "rayproject/ray:2.60.0", 300.0)
    )
