"""A member cut off by a NetworkPolicy, where the inventory says that the network enforces those."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner import clock
from runner.clusters.contract import Acted, Confirmation, Hit, Undo
from runner.clusters.kubernetes import scripts
from runner.clusters.kubernetes.api import Api, place
from runner.clusters.kubernetes.arms import Site, node_hit
from runner.clusters.kubernetes.claim import Claim
from runner.clusters.kubernetes.pods import Pod

Json = Any
Words = Mapping[str, Json]

LABEL = "ftrun/cut"
"""The label of a pod that is cut off, by which the policy knows it."""

AGENT = 52365
"""Where KubeRay has every node's agent listen: whether that takes connections tells whether it is cut off."""

CONFIRM = 20.0
"""Seconds that the network may take to enforce a policy."""

TRIES = 3
"""How many tries in a row have to fail: on a busy host one may where nothing is cut."""

APART = 1.0
"""Seconds between the beginnings of two tries."""

TRY = 'timeout {limit} bash -c "exec 3<>/dev/tcp/{address}/{port}" 2>/dev/null && echo open || echo closed'
"""Tries to connect; plain shell, since a Python started there starves replicas."""


@dataclass
class ArmedPolicy:
    """A policy that lets nothing in and nothing out, not made yet."""

    site: Site
    hits: tuple[Hit, ...]
    undo: Undo | None
    policy: Words
    pod: Pod
    witness: Pod | None
    """Another member, which tries to connect."""
    open: bool
    """Whether it could before."""

    async def act(self) -> Acted:
        """Label the pod, then make the policy: `at` is just before that."""
        namespace, name = self.site.namespace, self.policy["metadata"]["name"]
        labels = self.policy["spec"]["podSelector"]["matchLabels"]
        await self.site.api.patch(place("pods", namespace, self.pod.name), {"metadata": {"labels": labels}})
        at = clock.monotonic()
        await self.site.api.apply(place("networkpolicies", namespace, name), self.policy, once=True)
        self.site.world.cut.add(self.hits[0].slot)
        return Acted(at, {"until": clock.monotonic(), "policy": name})

    async def confirm(self) -> Confirmation:
        """Wait until another member cannot connect to it any more, try after try."""
        if self.witness is None or not self.open:
            who = (
                f"{self.witness.name} could not connect to"
                if self.witness
                else "no other member stands beside"
            )
            return Confirmation(False, f"nobody can tell: {who} {self.pod.name} before it, either")
        end = clock.monotonic() + CONFIRM
        failed = 0
        while True:
            began = clock.monotonic()
            why = await self._link(self.witness)
            if self.site.changed(self.pod):
                return Confirmation(
                    False, f"nobody can tell: {self.pod.name} is gone, or its container has ended since"
                )
            failed = 0 if why else failed + 1
            if failed == TRIES:
                return Confirmation(True, f"{self.witness.name} cannot connect any more to {self.pod.name}")
            if why and clock.monotonic() > end:
                return Confirmation(False, why)
            await asyncio.sleep(began + APART - clock.monotonic())

    async def _link(self, witness: Pod) -> str:
        """Say why the link does not look cut now; nothing where it does."""
        # With less patience than before it: the tries have to end while a short fault lasts.
        if await connects(self.site, witness, self.pod, limit=1):
            still = f"{witness.name} still connects to {self.pod.name}"
            return f"{still}: does this network enforce NetworkPolicies?"
        if not await connects(self.site, witness, witness, limit=1):
            return f"nobody can tell: {witness.name} cannot connect to itself, either"
        return ""

    async def disarm(self) -> None:
        """Nothing was started."""


async def connects(site: Site, witness: Pod, pod: Pod, *, limit: int) -> bool:
    """Whether one member can connect to another now, within so many seconds."""
    script = scripts.fill(TRY, limit=str(limit), address=str(pod.address), port=str(AGENT))
    return (await site.run(witness, scripts.shell(script))).strip() == "open"


async def arm(site: Site, claim: Claim, slot: str) -> ArmedPolicy:
    """Say which pod will be cut off, and who is to see it; raises ClusterError where it does not stand."""
    pod = site.standing(slot)
    witness = _witness(site, pod)
    name, value = f"{claim.name}-cut-{slot}", f"{claim.run}.{slot}"
    policy = claim.owned(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": site.namespace},
            # Both ways, and nothing that is allowed.
            "spec": {"podSelector": {"matchLabels": {LABEL: value}}, "policyTypes": ["Ingress", "Egress"]},
        },
        "cut",
    )
    words = {"namespace": site.namespace, "policy": name, "pod": pod.name, "uid": pod.uid, "slot": slot}
    says = f"the network of {slot}, the pod {pod.name} on {pod.host}, by the NetworkPolicy {name}"
    undo = Undo("policy", words, f"remove the NetworkPolicy {name}")
    before = witness is not None and await connects(site, witness, pod, limit=2)
    return ArmedPolicy(site, (node_hit(site.world, slot, pod, says),), undo, policy, pod, witness, before)


def _witness(site: Site, pod: Pod) -> Pod | None:
    """Give another member that runs and is not cut off, one of another host if there is one."""
    others = [
        each
        for slot, each in site.world.slots.taken().items()
        if each.uid != pod.uid and each.state == "running" and slot not in site.world.cut
    ]
    return min(others, key=lambda each: each.host == pod.host, default=None)


async def join(api: Api, arguments: Words) -> None:
    """Remove a policy, and the label of the pod that it was for; twice does no harm."""
    namespace = str(arguments["namespace"])
    await api.delete(place("networkpolicies", namespace, str(arguments["policy"])))
    path = place("pods", namespace, str(arguments["pod"]))
    there = await api.find(path)
    if there is not None and there["metadata"]["uid"] == arguments["uid"]:
        await api.patch(path, {"metadata": {"labels": {LABEL: None}}})
