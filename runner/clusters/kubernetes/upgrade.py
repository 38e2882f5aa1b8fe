"""An upgrade under load: the RayService asks for other nodes, and the operator exchanges the RayCluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner import clock
from runner.clusters.contract import Acted, Confirmation, Hit, Undo
from runner.clusters.kubernetes import rayservice
from runner.clusters.kubernetes.api import place
from runner.clusters.kubernetes.arms import Site, node_hit
from runner.errors import ClusterError

Json = Any
Object = Mapping[str, Json]

CONFIRM = 60.0
"""Seconds until the operator has named another RayCluster: it looks every two, and backs off after errors."""


@dataclass
class ArmedUpgrade:
    """A change of the RayService's pods, not asked for yet."""

    site: Site
    hits: tuple[Hit, ...]
    cluster: str
    """The RayCluster that serves until then."""
    patch: Object
    undo: Undo | None = None  # going back would be another upgrade; the RayService is not handed on

    async def act(self) -> Acted:
        """Ask the API server: `at` is just before."""
        path = place("rayservices", self.site.namespace, self.site.world.name)
        at = clock.monotonic()
        await self.site.api.patch(path, self.patch, once=True)
        return Acted(at, {"until": clock.monotonic(), "cluster": self.cluster})

    async def confirm(self) -> Confirmation:
        """Wait until the operator names another RayCluster."""
        sure = await self.site.until(lambda: bool(self._next()), CONFIRM)
        if not sure:
            return Confirmation(
                False, f"KubeRay has named no RayCluster beside {self.cluster}{self._refusal()}"
            )
        return Confirmation(True, f"KubeRay makes the RayCluster {self._next()}", {"cluster": self._next()})

    def _next(self) -> str:
        for which in ("pending", "active"):
            name = str(self.site.world.status(which).get("rayClusterName") or "")
            if name not in ("", self.cluster):
                return name
        return ""

    def _refusal(self) -> str:
        for each in ((self.site.world.rayservice or {}).get("status") or {}).get("conditions") or ():
            if each.get("reason") == "ValidationFailed":
                return f": {each.get('message')}"
        return ""

    async def disarm(self) -> None:
        """Nothing was started."""


async def arm(site: Site, arguments: Object, *, mark: str, gateway_class: str | None) -> ArmedUpgrade:
    """Say which RayCluster will be exchanged; raises ClusterError where none serves, or two are there.

    `mark` tells this upgrade's nodes from all others.
    """
    world = site.world
    there = await site.api.get(place("rayservices", site.namespace, world.name))
    status = there.get("status") or {}
    active, pending = (
        str((status.get(f"{which}ServiceStatus") or {}).get("rayClusterName") or "")
        for which in ("active", "pending")
    )
    if not active:
        raise ClusterError(f"The RayService {world.name} serves from no RayCluster yet: nothing to upgrade.")
    if pending:
        raise ClusterError(
            f"The RayService {world.name} is being upgraded already, from {active} to {pending}."
        )
    hits = tuple(
        node_hit(world, slot, pod, f"{slot}, the pod {pod.name} of the RayCluster {active}", exchanged=active)
        for slot, pod in world.slots.taken().items()
    )
    patch = rayservice.upgraded(there, mark, arguments, gateway_class=gateway_class)
    return ArmedUpgrade(site, hits, active, patch)
