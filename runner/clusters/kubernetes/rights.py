"""Which rights a run needs, and which of them lack. inventories/kubernetes-rbac.yaml grants just these."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.clusters.kubernetes.api import GROUPS, Api
from runner.clusters.kubernetes.settings import Settings

Json = Any

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

READ = ("get", "list", "watch")
ASK = ("get", "create", "update", "delete")
"""What a proxy's verbs stand for: GET, POST, PUT, DELETE."""


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one kind, in a namespace, or everywhere. What is optional, a run gets along without."""

    verb: str
    resource: str
    """The plural, perhaps with what is below it: `pods/exec`."""
    namespace: str | None
    purpose: str
    optional: bool = False

    @property
    def group(self) -> str:
        """Give the kind's group; the empty one has the oldest kinds."""
        return GROUPS[self.resource.partition("/")[0]].rpartition("/")[0]


def needed(
    settings: Settings, allow: Collection[str], *, policies: bool = False, makes: Collection[str] = ()
) -> list[Right]:
    """Give the rights that runs need with these settings, and with what the inventory allows.

    `policies`: members are cut off by NetworkPolicies. `makes`: the plurals of what a manifest holds.
    """
    here, operator = settings.namespaces[0], settings.operator.namespace
    made = _making(settings) if settings.rayservice is None else ()
    rows: list[tuple[str, Sequence[str], str | None, str, bool]] = [
        ("rayservices", READ, here, "what runs", False),
        ("rayclusters", READ, here, "what runs", False),
        ("pods", READ, here, "who is a member", False),
        ("pods", ("create", "delete"), here, "faults, and the prober's pod", False),
        ("pods/exec", ("get", "create"), here, "faults inside of containers, and the prober", False),
        ("pods/portforward", ("get", "create"), here, "probes that ask pods `from: here`", True),
        ("pods/proxy", ASK, here, "asking one member", False),
        ("pods/log", ("get",), here, "logs", False),
        ("pods/eviction", ("create",), here, "evictions", False),
        ("services", READ, here, "where the service is", False),
        ("services/proxy", ASK, here, "asking Serve and Ray", False),
        ("endpointslices", READ, here, "whom the service asks", False),
        ("configmaps", ("get", "list", "create", "patch", "delete"), here, "what a run owns", False),
        ("leases", ("get", "create", "update", "patch", "delete"), here, "one run at a time", False),
        ("events", READ, here, "why it took so long", True),
        ("nodes", READ, None, "whether hosts are Ready", True),
        ("pods", READ, operator, "whether the operator is there", True),
        ("deployments", ("get",), operator, "which operator it is", True),
        ("pods/log", ("get",), operator, "what the operator says", True),
        *made,
    ]
    if "node-faults" in allow:
        rows += [
            ("pods", ("list",), None, "whether pods of others run on a host", False),
            ("nodes", (*READ, "patch", "delete"), None, "faults of hosts", False),
        ]
    if policies:
        rows += [
            ("networkpolicies", ("create", "patch", "delete"), here, "partitions", False),
            ("pods", ("patch",), here, "partitions", False),
        ]
    if "operator-faults" in allow:
        rows += [
            ("pods", ("delete",), operator, "faults of the operator", False),
            ("deployments/scale", ("get", "patch"), operator, "faults of the operator", False),
        ]
    asked = {resource for resource, verbs, *_ in rows if {"create", "patch"} <= set(verbs)}
    rows += [
        (each, ("create", "patch"), here, "what the manifest holds", False)
        for each in sorted(set(makes) - asked)
    ]
    return list(_rights(rows))


def _making(settings: Settings) -> list[tuple[str, Sequence[str], str | None, str, bool]]:
    here = settings.namespaces[0]
    return [
        ("rayservices", ("create", "patch", "delete"), here, "making a RayService", False),
        ("rayclusters", ("delete",), here, "removing it", False),
        ("pods", ("patch",), here, "having changed code arrive", False),
        ("services", ("create", "patch"), here, "Redis", False),
        ("secrets", ("create", "patch"), here, "Redis's password", False),
        ("deployments", ("create", "patch"), here, "Redis", False),
        ("deployments/scale", ("get", "patch"), here, "faults of Redis", False),
    ]


def _rights(
    rows: Sequence[tuple[str, Sequence[str], str | None, str, bool]],
) -> Iterator[Right]:
    for resource, verbs, namespace, purpose, optional in rows:
        for verb in verbs:
            yield Right(verb, resource, namespace, purpose, optional)


def told(rights: Sequence[Right]) -> list[str]:
    """Say rights for people, the verbs of one thing together."""
    verbs: dict[tuple[str, str | None, str], list[str]] = {}
    for each in rights:
        verbs.setdefault((each.resource, each.namespace, each.purpose), []).append(each.verb)
    return [
        f"{', '.join(words)} {resource} {_where(namespace)} ({purpose})"
        for (resource, namespace, purpose), words in verbs.items()
    ]


def _where(namespace: str | None) -> str:
    return f"in namespace {namespace}" if namespace else "everywhere"


async def lacking(api: Api, rights: Sequence[Right]) -> list[Right]:
    """Give those of the rights that whoever asks has not."""

    async def has(right: Right) -> bool:
        resource, _, below = right.resource.partition("/")
        attributes = {
            "verb": right.verb,
            "group": right.group,
            "resource": resource,
            "subresource": below,
            "namespace": right.namespace or "",
        }
        review: Mapping[str, Json] = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        said = await api.create(REVIEWS, review)
        return bool(said["status"]["allowed"])

    # All of them are awaited: nobody asks any more once this has ended, whatever came of it.
    found = await asyncio.gather(*map(has, rights), return_exceptions=True)
    for each in found:
        if isinstance(each, BaseException):
            raise each
    return [right for right, granted in zip(rights, found, strict=True) if not granted]
