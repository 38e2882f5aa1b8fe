"""Actions on the machines that pods stand on, and on links: by the inventory's commands, or the API server.

Refused unless the inventory allows `node-faults`, and while pods of others run there.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from runner import clock
from runner.clusters.command import Command, complete, prepare, tail
from runner.clusters.contract import Acted, Confirmation, Context, Hit, Undo
from runner.clusters.kubernetes.api import Api, Refused, place
from runner.clusters.kubernetes.arms import Site, node_hit
from runner.clusters.kubernetes.claim import PART, RUN, short
from runner.clusters.kubernetes.pods import CLUSTER, Pod
from runner.errors import ClusterError

Json = Any
Words = Mapping[str, Json]

CONFIRM = 90.0
"""Seconds until Kubernetes has noticed that a machine is away: it waits for 50 s by itself."""


ELSEWHERE = "Hit a host that is the test's alone: `node_selector` and `tolerations` put pods there."
NOBODY = "nobody may look whether {host} is away: the right to list nodes is missing"


def require(allow: Collection[str], word: str, what: str) -> None:
    """Refuse what the inventory does not allow."""
    if word not in allow:
        raise ClusterError(
            f"The inventory does not allow to {what}.",
            help=f"Write `allow: [{word}]` into it, if nobody else depends on that.",
        )


async def strangers(site: Site, host: str, own: Collection[str]) -> list[str]:
    """Give the pods of others on a host, but for those that stand on every host."""
    try:
        found = await site.api.get(place("pods"), fieldSelector=f"spec.nodeName={host}")
    except Refused as error:
        raise ClusterError(
            f"Nobody may look whose pods run on {host}, so nothing is done to it: {error.message}",
            help="The right to list pods in all namespaces is in inventories/kubernetes-rbac.yaml.",
        ) from error
    return [
        f"{each['metadata']['namespace']}/{each['metadata']['name']}"
        for each in found["items"]
        if each["metadata"]["namespace"] not in own
        and (each.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        and not any(
            owner["kind"] in ("DaemonSet", "Node") for owner in each["metadata"].get("ownerReferences") or ()
        )
    ]


async def aimed(
    site: Site, slot: str, context: Context, own: Collection[str], what: str, *, alone: bool = False
) -> tuple[str, tuple[Hit, ...]]:
    """Resolve the host of a member, and the members that it takes with it, the one that was meant first.

    Raises ClusterError where it may not be touched; with `alone`, also where another member or Redis stands
    there, which a scenario that names this one does not mean.
    """
    require(context.allow, "node-faults", what)
    pod = site.standing(slot)
    host = str(pod.host)
    if host in site.world.hosts_down():
        raise ClusterError(f"The host {host} of {slot} is not Ready already: there is nothing to hit.")
    if others := await strangers(site, host, own):
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        raise ClusterError(
            f"Pods of others run on {host}, where {slot} stands: {', '.join(others[:3])}{more}.",
            help=ELSEWHERE,
        )
    beside = [each for each in site.world.pods() if each.host == host and not each.over]
    if any(each.labels.get(PART) == "prober" for each in beside):
        raise ClusterError(f"The prober stands on {host}, too: with it gone nobody would see what users see.")
    ours = {site.world.served, *site.world.aside}
    for each in beside:
        if site.api.access.context is None and each.name == socket.gethostname():
            raise ClusterError(f"ftrun itself runs on {host}, in the pod {each.name}.", help=ELSEWHERE)
        cluster, run = each.labels.get(CLUSTER), each.labels.get(RUN, short(context.run))
        if cluster not in ours if cluster is not None else run != short(context.run):
            whose = f"the RayCluster {cluster}" if cluster is not None else f"the run {run}"
            raise ClusterError(f"The pod {each.name} of {whose} stands on {host}, too.", help=ELSEWHERE)
    there = {name: site.world.pod(name) for name in (*site.world.slots.every, "redis") if name != slot}
    uids = {each.uid for each in beside}
    fellows = {name: each for name, each in there.items() if each is not None and each.uid in uids}
    if alone and fellows:
        raise ClusterError(
            f"On {host}, the host of {slot}, stand others, too ({', '.join(fellows)}):"
            f" to hit the machine is more than to hit {slot}.",
            help=f"`kill: {{host: {slot}}}` says that the machine is meant; or have a host for each of them.",
        )
    names = ", ".join(sorted(each.name for each in beside))
    aim = node_hit(site.world, slot, pod, f"the host {host} of {slot}, with the pods {names}")
    members = {name: each for name, each in fellows.items() if name != "redis"}
    return host, (aim, *(node_hit(site.world, name, each) for name, each in members.items()))


# -- commands


@dataclass
class ArmedHost:
    """A command of the inventory for one host, behind its gate."""

    site: Site
    hits: tuple[Hit, ...]
    undo: Undo | None
    command: Command
    limit: float
    cuts: str = ""
    """The slot that it cuts off."""
    _acted: bool = field(default=False)

    async def act(self) -> Acted:
        """Let the command run, and wait for its end: `at` is just before."""
        self._acted = True
        at = clock.monotonic()
        await self.command.release()
        done = await self.command.ended(self.limit)
        if done.exit_code:
            raise ClusterError(f"`{self.command.says}` ended with exit code {done.exit_code}.{tail(done)}")
        if self.cuts:
            self.site.world.cut.add(self.cuts)
        return Acted(at, {"until": clock.monotonic(), "command": self.command.says})

    async def confirm(self) -> Confirmation:
        """Wait until Kubernetes says that the host is away."""
        host = str(self.hits[0].ids["host"])
        if not self.site.world.known("nodes"):
            return Confirmation(False, NOBODY.format(host=host))
        sure = await self.site.until(lambda: host in self.site.world.hosts_down(), CONFIRM)
        return Confirmation(sure, f"the host {host} is {'not Ready' if sure else 'still Ready'}")

    async def disarm(self) -> None:
        """End the waiting command, unless it was let go."""
        if not self._acted:
            await self.command.close()


async def arm_command(
    site: Site,
    slot: str,
    context: Context,
    own: Collection[str],
    *,
    commands: tuple[str, str],
    key: str,
    alone: bool = False,
) -> ArmedHost:
    """Prepare one of the inventory's commands for the host of a member, which with `alone` has it for itself.

    `commands` are the names of the one that breaks and of the one that heals, below `key` of `hosts`.
    """
    does, heals = commands
    given = context.hosts.get(key) or {}
    if not given:
        raise ClusterError(
            f"The inventory gives no commands that {does} and {heals} a host.",
            help=f"Write `hosts: {{{key}: {{{does!r}: ..., {heals!r}: ...}}}}` into it.",
        )
    what = {"power": "switch hosts off", "link": "cut hosts off the network"}[key]
    host, hits = await aimed(site, slot, context, own, what, alone=alone)
    limit = float(context.hosts.get("timeout") or 120.0)
    undo = host_undo(str(given[heals]), host, limit, f"run `{given[heals]}` for {host}", slot)
    command = await prepare(str(given[does]), {"HOST": host})
    return ArmedHost(site, hits, undo, command, limit, cuts=slot if key == "link" else "")


def host_undo(command: str, host: str, limit: float, says: str, slot: str) -> Undo:
    """Give the undo that runs a command for a host."""
    return Undo("host_command", {"command": command, "host": host, "timeout": limit, "slot": slot}, says)


async def run_command(arguments: Words) -> None:
    """Run a command for a host, in any process."""
    text = str(arguments["command"])
    done = await complete(text, timeout=arguments["timeout"], environment={"HOST": str(arguments["host"])})
    if done.exit_code:
        raise ClusterError(f"`{text}` ended with exit code {done.exit_code}.{tail(done)}")


# -- by the API server


@dataclass
class ArmedNodeObject:
    """Kubernetes' own node, deleted; or cordoned, and its pods evicted."""

    site: Site
    hits: tuple[Hit, ...]
    undo: Undo | None
    host: str
    uid: str | None
    """The node's; None where nobody may look."""
    drain: bool

    async def act(self) -> Acted:
        """Ask the API server: `at` is just before."""
        path = place("nodes", None, self.host)
        at = clock.monotonic()
        if not self.drain:
            if not await self.site.api.delete(path, uid=self.uid, once=True):
                raise ClusterError(f"Somebody else deleted the node {self.host} first.")
            return Acted(at, {"until": clock.monotonic()})
        await self.site.api.patch(path, {"spec": {"unschedulable": True}}, once=True)
        evicted = []
        for pod in self._pods():
            body = {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": pod.name, "namespace": self.site.namespace},
            }
            try:
                await self.site.api.create(f"{place('pods', self.site.namespace, pod.name)}/eviction", body)
                evicted.append(pod.name)
            except Refused as error:
                if error.status != 404:
                    raise
        return Acted(at, {"until": clock.monotonic(), "evicted": evicted})

    def _pods(self) -> list[Pod]:
        return [each for each in self.site.world.pods() if each.host == self.host and not each.over]

    async def confirm(self) -> Confirmation:
        """Wait until the node is gone, or the pods are."""
        if self.drain:
            hit = {each["uid"] for each in (hit.ids for hit in self.hits)}

            def left() -> bool:
                return not any(each.uid in hit for each in self._pods())

            slowest = max((each.grace for each in self._pods() if each.uid in hit), default=0.0)
            sure = await self.site.until(left, max(CONFIRM, slowest + 20.0))
            return Confirmation(sure, f"the pods on {self.host} are {'gone' if sure else 'still there'}")
        if not self.site.world.known("nodes"):
            return Confirmation(False, NOBODY.format(host=self.host))
        sure = await self.site.until(
            lambda: self.host not in {each["metadata"]["name"] for each in self.site.world.objects("nodes")},
            CONFIRM,
        )
        return Confirmation(sure, f"the node {self.host} is {'gone' if sure else 'still there'}")

    async def disarm(self) -> None:
        """Nothing was started."""


async def arm_node_object(
    site: Site, slot: str, context: Context, own: Collection[str], *, drain: bool
) -> ArmedNodeObject:
    """Prepare that a Kubernetes node is deleted, or drained."""
    restore = context.hosts.get("restore")
    if not drain and not restore:
        raise ClusterError(
            "A kubelet does not register again by itself, and the inventory gives no command for that.",
            help="Write `hosts: {restore: ...}` into it, such as one that restarts the kubelet of $HOST.",
        )
    host, hits = await aimed(site, slot, context, own, "drain hosts" if drain else "delete nodes")
    nodes = {each["metadata"]["name"]: each for each in site.world.objects("nodes")}
    if drain and (nodes.get(host, {}).get("spec") or {}).get("unschedulable"):
        raise ClusterError(
            f"Somebody has cordoned {host} already: healing would let pods stand there again.",
            help=f"`kubectl uncordon {host}` first, if nobody needs it so.",
        )
    limit = float(context.hosts.get("timeout") or 120.0)
    undo = (
        Undo("uncordon", {"host": host}, f"let pods stand on {host} again")
        if drain
        else host_undo(str(restore), host, limit, f"run `{restore}` for {host}", slot)
    )
    uid = nodes[host]["metadata"]["uid"] if host in nodes else None
    return ArmedNodeObject(site, hits, undo, host, uid, drain)


async def uncordon(api: Api, arguments: Words) -> None:
    """Let pods be placed on a host again."""
    path = place("nodes", None, str(arguments["host"]))
    if await api.find(path) is not None:
        await api.patch(path, {"spec": {"unschedulable": None}})


# -- what stands beside


@dataclass
class ArmedScale:
    """A Deployment scaled to nothing: its pods stay away until the undo."""

    site: Site
    hits: tuple[Hit, ...]
    undo: Undo | None
    namespace: str
    deployment: str
    pod: Pod

    async def act(self) -> Acted:
        """Scale it, and let its pod go at once: `at` is just before."""
        at = clock.monotonic()
        await scale(self.site.api, self.namespace, self.deployment, 0, once=True)
        path = place("pods", self.namespace, self.pod.name)
        await self.site.api.delete(path, uid=self.pod.uid, grace=0, once=True)
        return Acted(at, {"until": clock.monotonic()})

    async def confirm(self) -> Confirmation:
        """Wait until there is no pod of it, of whatever name."""
        slot = self.hits[0].slot
        sure = await self.site.until(lambda: self.site.world.pod(slot) is None, 20.0)
        return Confirmation(sure, f"{'no' if sure else 'a'} pod of {self.deployment} is there")

    async def disarm(self) -> None:
        """Nothing was started."""


async def scale(api: Api, namespace: str, deployment: str, replicas: int, *, once: bool = False) -> None:
    """Say how many pods a Deployment shall have."""
    path = f"{place('deployments', namespace, deployment)}/scale"
    await api.patch(path, {"spec": {"replicas": replicas}}, once=once)


async def unscale(api: Api, arguments: Words) -> None:
    """Let a Deployment have its pods again, if it is still there."""
    try:
        await scale(
            api, str(arguments["namespace"]), str(arguments["deployment"]), int(arguments["replicas"])
        )
    except Refused as error:
        if error.status != 404:
            raise


async def arm_scale(site: Site, slot: str, namespace: str, deployment: str) -> ArmedScale:
    """Prepare that a Deployment's pods go and stay away."""
    pod = site.world.pod(slot)
    if pod is None:
        raise ClusterError(f"{slot} has no pod now: there is nothing to hit.")
    there: Mapping[str, Json] = await site.api.get(f"{place('deployments', namespace, deployment)}/scale")
    replicas = int(there["spec"].get("replicas") or 0)
    arguments = {"namespace": namespace, "deployment": deployment, "replicas": max(1, replicas)}
    says = f"{slot}, the Deployment {deployment} in {namespace}, scaled to nothing"
    undo = Undo("scale", arguments, f"scale the Deployment {deployment} to {max(1, replicas)}")
    return ArmedScale(site, (node_hit(site.world, slot, pod, says),), undo, namespace, deployment, pod)
