"""What a run left in a cluster, and how a later process, on any machine, puts it back and removes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any

from runner import clock
from runner.clusters.contract import Context, Undo
from runner.clusters.kubernetes import arms, hosts, policy
from runner.clusters.kubernetes.api import Access, Api, place
from runner.clusters.kubernetes.claim import GONE, RUN, Claim, alive, claims, let_go, release, short, undos
from runner.clusters.kubernetes.pods import CLUSTER, ORIGIN
from runner.clusters.kubernetes.settings import Settings
from runner.errors import ClusterError

Json = Any
Words = Mapping[str, Json]


def where(settings: Settings) -> dict[str, Json]:
    """Give what another process needs to find the cluster."""
    return {"kubeconfig": settings.kubeconfig, "context": settings.context}


def _closing(
    settings: Settings, commands: Words, allow: Collection[str], claim: str, rayservice: str
) -> dict[str, Json]:
    """Give the arguments of the undo that removes a run: what it made, and what the undos it left may do.

    An inventory says that, whose `commands` for hosts these are: more people may write a ConfigMap than
    may run commands on machines, or touch nodes and the operator.
    """
    healing = [
        (commands.get("power") or {}).get("on"),
        (commands.get("link") or {}).get("join"),
        commands.get("restore"),
    ]
    operator = settings.operator
    return {
        **where(settings),
        "namespace": settings.namespaces[0],
        "claim": claim,
        "rayservice": rayservice,
        "commands": [each for each in healing if each] if "node-faults" in allow else [],
        "nodes": "node-faults" in allow,
        "operator": [operator.namespace, operator.deployment] if "operator-faults" in allow else None,
    }


def _beyond(undo: Undo, arguments: Words) -> str:
    """Say what an undo does that nobody allowed (`arguments` are those of closing); empty where it may."""
    said, namespace = undo.arguments, arguments["namespace"]
    match undo.kind:
        case "host_command" if said.get("command") not in arguments.get("commands", ()):
            return f"the inventory has no command `{said.get('command')}` under `hosts`"
        case "uncordon" if not arguments.get("nodes"):
            return "the inventory does not allow `node-faults`"
        case "scale":
            there = [said.get("namespace"), said.get("deployment")]
            if there not in ([namespace, f"{arguments['rayservice']}-redis"], arguments.get("operator")):
                return f"the inventory does not allow to scale the Deployment {there[1]} in {there[0]}"
        case "policy" if said.get("namespace") != namespace:
            return f"it is about namespace {said.get('namespace')}"
        case "thaw" if any(each.get("namespace") != namespace for each in said.get("frozen", ())):
            return f"it is not about namespace {namespace}"
    return ""


def closing(settings: Settings, claim: Claim, context: Context) -> Undo:
    """Give the undo that `heal` carries out at last."""
    arguments = _closing(settings, context.hosts, context.allow, claim.name, claim.rayservice)
    what = f"remove what this run made in namespace {claim.namespace}"
    return Undo("close_cluster", arguments, what)


async def heal(undo: Undo) -> None:
    """Put back, or remove, what a run left that was killed."""
    arguments = undo.arguments
    api = Api(Access(arguments["kubeconfig"], arguments["context"]))
    try:
        if undo.kind == "close_cluster":
            namespace, name, rayservice = (arguments[each] for each in ("namespace", "claim", "rayservice"))
            # Those of acts whose journal is not at hand, too.
            there = [each for each in await claims(api, namespace) if each["metadata"]["name"] == name]
            failed = [said for each in there for said in await _put_all_back(api, each, arguments)]
            await remove(api, namespace, name, rayservice)
            if failed:
                await let_go(api, namespace, name, rayservice)
                raise ClusterError(f"{'; '.join(failed)[0].upper()}{'; '.join(failed)[1:]}.")
            await release(api, namespace, name, rayservice)
        else:
            await put_back(api, undo)
    finally:
        await api.close()


async def _put_all_back(api: Api, configmap: Words, arguments: Words) -> list[str]:
    """Put back what a ConfigMap holds, and cross it out there; give what could not be."""
    path = place("configmaps", arguments["namespace"], configmap["metadata"]["name"])
    failed = []
    for name, undo in undos(configmap).items():
        try:
            if why := _beyond(undo, arguments):
                raise ClusterError(f"{why}: do it yourself, if that is right")
            await put_back(api, undo)
            await api.patch(path, {"data": {name: None}})
        except ClusterError as error:
            failed.append(f"could not {undo.says}: {error.message.rstrip('.')}")
    return failed


async def put_back(api: Api, undo: Undo) -> None:
    """Put back what one act did; doing it twice does no harm."""
    match undo.kind:
        case "thaw":
            await arms.thaw(api, undo.arguments)
        case "host_command":
            await hosts.run_command(undo.arguments)
        case "uncordon":
            await hosts.uncordon(api, undo.arguments)
        case "policy":
            await policy.join(api, undo.arguments)
        case "scale":
            await hosts.unscale(api, undo.arguments)
        case _:
            raise ClusterError(f"A Kubernetes cluster knows no undo {undo.kind!r}.")


async def remove(api: Api, namespace: str, claim: str, rayservice: str) -> None:
    """Delete a run's RayService, and wait until its pods are gone: no grace is needed any more."""
    path = place("rayservices", namespace, rayservice)
    there = await api.find(path)
    run = claim.removeprefix("ftrun-")
    if there is None or (there["metadata"].get("labels") or {}).get(RUN) != run:
        return
    selector = {"labelSelector": f"{ORIGIN}={rayservice}"}
    status = there.get("status") or {}
    serving = (status.get(f"{part}ServiceStatus") or {} for part in ("active", "pending"))
    names = {each["rayClusterName"] for each in serving if each.get("rayClusterName")}
    await api.delete(path, uid=there["metadata"]["uid"])
    end = clock.monotonic() + GONE
    while clock.monotonic() < end:
        clusters = (await api.get(place("rayclusters", namespace), **selector))["items"]
        for each in clusters:
            if "deletionTimestamp" not in each["metadata"]:
                await api.delete(place("rayclusters", namespace, each["metadata"]["name"]))
        found = (await api.get(place("pods", namespace), labelSelector=CLUSTER))["items"]
        # By what KubeRay says is this one's: another's name may begin with it.
        names |= {each["metadata"]["name"] for each in clusters}
        mine = [each for each in found if each["metadata"]["labels"][CLUSTER] in names]
        if not mine and not clusters:
            return
        for each in mine:
            # Before the cluster goes, the operator would only make another one.
            if each["metadata"].get("deletionGracePeriodSeconds") != 0 and _going(each, clusters):
                await api.delete(
                    place("pods", namespace, each["metadata"]["name"]), uid=each["metadata"]["uid"], grace=0
                )
        await asyncio.sleep(0.5)


def _going(pod: Words, clusters: list[Words]) -> bool:
    name = pod["metadata"]["labels"][CLUSTER]
    cluster = next((each for each in clusters if each["metadata"]["name"] == name), None)
    return cluster is None or "deletionTimestamp" in cluster["metadata"]


async def clean(
    settings: Settings,
    commands: Words,
    allow: Collection[str],
    run: str | None,
    say: Callable[[str], object],
) -> int:
    """Heal and remove what runs left where they make things: one run, or each that does not live any more.

    `commands` are the inventory's for hosts, `allow` what it allows: no undo that is found does more. `say`
    takes a line for people. Gives how many could not be removed.
    """
    from runner.errors import FtrunError

    api = Api(Access(settings.kubeconfig, settings.context))
    namespace = settings.namespaces[0]
    failed = 0
    try:
        for each in await claims(api, namespace):
            meta = each["metadata"]
            name = meta["labels"][RUN]
            if run is not None and name != short(run):
                continue
            rayservice = (each.get("data") or {}).get("rayservice", "")
            if await alive(api, place("leases", namespace, f"ftrun-{rayservice}"), name):
                say(f"{name} in {namespace}: left alone, it is still running")
                continue
            arguments = _closing(settings, commands, allow, meta["name"], rayservice)
            try:
                await heal(Undo("close_cluster", arguments))
                say(f"{name} in {namespace}: healed and removed")
            except FtrunError as error:
                failed += 1
                say(f"{name} in {namespace}: could not be removed: {error.message}")
        return failed
    finally:
        await api.close()
