"""The rights that are needed are those that the file grants: no less, and no more."""

from __future__ import annotations

from typing import Any

import yaml

from runner.clusters.kubernetes.rights import Right, needed
from runner.clusters.kubernetes.settings import Settings
from runner.language.pack import folder

HERE, OPERATOR = "ftrun", "kuberay-operator"
SETTINGS = Settings(namespaces=(HERE,))


def granted() -> dict[tuple[str, str | None], set[tuple[str, str, str]]]:
    """Give what each role of the file grants: by its name and namespace, verbs, groups and resources."""
    text = (folder("inventories") / "kubernetes-rbac.yaml").read_text(encoding="utf-8")
    return {
        (each["metadata"]["name"], each["metadata"].get("namespace")): {
            (verb, group, resource)
            for rule in each["rules"]
            for verb in rule["verbs"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        }
        for each in yaml.safe_load_all(text)
        if each["kind"] in ("Role", "ClusterRole")
    }


def wanted(rights: list[Right], namespace: str | None) -> set[tuple[str, str, str]]:
    return {(each.verb, each.group, each.resource) for each in rights if each.namespace == namespace}


def test_the_file_grants_what_is_needed_and_no_more() -> None:
    found, base = granted(), needed(SETTINGS, ())
    assert found["ftrun", HERE] == wanted(base, HERE)
    assert found["ftrun-look", None] == wanted(base, None)
    assert found["ftrun-look", OPERATOR] == wanted(base, OPERATOR)


def test_each_word_of_allow_has_a_role_of_its_own() -> None:
    found, base = granted(), needed(SETTINGS, ())
    hosts, operator = (
        [each for each in needed(SETTINGS, (word,)) if each not in base]
        for word in ("node-faults", "operator-faults")
    )
    assert found["ftrun-hosts", None] == wanted(hosts, None)
    assert found["ftrun-operator", OPERATOR] == wanted(operator, OPERATOR)


def test_cutting_pods_off_by_policies_has_a_role_of_its_own() -> None:
    base = needed(SETTINGS, ())
    more = [each for each in needed(SETTINGS, (), policies=True) if each not in base]
    assert granted()["ftrun-policies", HERE] == wanted(more, HERE)


def test_who_only_attaches_makes_nothing() -> None:
    rights = needed(Settings(namespaces=(HERE,), rayservice="mine"), ())
    made: Any = {
        each.resource for each in rights if each.verb in ("create", "patch") and "/" not in each.resource
    }
    assert made == {"pods", "configmaps", "leases"}


def test_nobody_reads_a_secret() -> None:
    every = needed(SETTINGS, ("node-faults", "operator-faults", "shared-redis", "exec"))
    assert {each.verb for each in every if each.resource == "secrets"} == {"create", "patch"}


def test_outside_of_its_namespace_nothing_is_changed_unless_it_is_allowed() -> None:
    outside = [each for each in needed(SETTINGS, ()) if each.namespace != HERE]
    assert {each.verb for each in outside} <= {"get", "list", "watch"}
    assert all(each.optional for each in outside)
