"""deploy: hand Serve an application, or change the one that runs in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from runner.errors import FtrunError, Unmet, Unreachable
from runner.language.plan import Application, Kind
from runner.language.types import Duration, Model
from runner.steps import recovery
from runner.steps.stage import TICK, Json, Stage

if TYPE_CHECKING:
    from runner.steps.scene import Document


class Deploy(Model):
    """Deploy the scenario's application, another one, or new options for the deployments that run."""

    app: str | None = Field(default=None, description="Another application than the scenario's, by its file.")
    set: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description='Options to merge into deployments, by deployment name; "*" means every one of them.',
    )
    wait: Duration | None = Field(
        default=300.0,
        description="How long to wait until all of it runs and its proxies are healthy; null: do not wait.",
    )


KIND = Kind("deploy", Deploy, expand=lambda value: {} if value is None else value)

Options = Mapping[str, Mapping[str, Any]]


async def run(arguments: Deploy, stage: Stage) -> Json:
    """Hand Serve the configuration, and wait until what was asked for is seen."""
    applications = _chosen(arguments, stage)
    if arguments.set:
        document = await _document(stage)
        applications = tuple(merged(each, arguments.set, document) for each in applications)
    await stage.cluster.deploy(applications)
    stage.scene.applications = applications
    stage.scene.floor = max(stage.scene.floor, stage.journal.now())
    if arguments.wait is not None:
        await _running(applications, arguments.set, arguments.wait, stage)
    return {"applications": [each.name for each in applications]}


def _chosen(arguments: Deploy, stage: Stage) -> tuple[Application, ...]:
    """Give what Serve shall have: another application replaces the one of its name, else stands beside it."""
    if arguments.app is not None:
        new = stage.scenario.apps[arguments.app]
        return (*(each for each in stage.scene.applications if each.name != new.name), new)
    if stage.scene.applications:
        return stage.scene.applications
    if stage.scenario.app is None:
        raise FtrunError("The scenario names no application to deploy.", help="Write `app: FILE` into it.")
    return (stage.scenario.app,)


async def _document(stage: Stage) -> Document:
    """Give a state document that knows the deployments."""

    async def check() -> str | None:
        document = stage.scene.fresh
        return (
            "nothing is known of the cluster yet"
            if document is None
            else recovery.unknown(document, "deployments")
        )

    await stage.until(check, timeout=30.0, waited="the names of the deployments")
    assert stage.scene.fresh is not None
    return stage.scene.fresh


def merged(application: Application, options: Options, document: Document) -> Application:
    """Merge options into the application's deployments; raises FtrunError for a deployment nobody knows."""
    names = [row["name"] for row in document["deployments"] if row["app"] == application.name]
    config = {entry["name"]: dict(entry) for entry in application.config.get("deployments", ())}
    for name, given in options.items():
        if name != "*" and name not in (*names, *config):
            raise FtrunError(
                f'{application.name} has no deployment "{name}"; it has: {", ".join(names) or "none"}.'
            )
        for each in names if name == "*" else [name]:
            config[each] = config.get(each, {"name": each}) | dict(given)
    return replace(application, config={**application.config, "deployments": list(config.values())})


def unseen(document: Document, applications: tuple[Application, ...], options: Options) -> str | None:
    """Say which of the options the state document does not show yet."""
    ours = {each.name for each in applications}
    for row in document["deployments"]:
        shown = {"num_replicas": row.get("target_replicas")} | dict(row.get("options") or {})
        wanted = {**options.get("*", {}), **options.get(row["name"], {})}
        for name, value in wanted.items():
            if row["app"] in ours and not _shows(shown.get(name), value):
                return f"{row['name']} has {name} = {shown.get(name)!r}, not {value!r}"
    return None


def _shows(shown: Any, wanted: Any) -> bool:
    """Whether Serve shows what was asked for; it adds its own defaults to mappings, and resolves `auto`."""
    if isinstance(wanted, Mapping) and isinstance(shown, Mapping):
        return all(name in shown and _shows(shown[name], value) for name, value in wanted.items())
    return wanted == "auto" or bool(shown == wanted)


def hopeless(document: Document, names: list[str]) -> str | None:
    """Say why waiting for RUNNING is in vain: a failed deployment, or replicas that fit nowhere."""
    for row in document["applications"]:
        if row["name"] in names and row["status"] == "DEPLOY_FAILED":
            why = row.get("message") or "Serve does not say why"
            return f"application {row['name']} is DEPLOY_FAILED: {why}"
    for said in document.get("placement") or ():
        if said.startswith(tuple(f"{name}/" for name in names)):
            return f"replicas cannot be placed: {said}"
    away = any(row["state"] != "up" for row in document.get("processes", ()))
    for row in document["deployments"]:
        # Serve says so, with what a replica asks and what the nodes offer, once it looks long for a place.
        if row["app"] in names and "Resources required" in (row.get("message") or "") and not away:
            return f"replicas of {row['name']} cannot be placed: {row['message']}"
    return None


def proxies(document: Document) -> str | None:
    """Say which node lacks a healthy proxy: the head, and every node with a running replica."""
    if said := recovery.unknown(document, "proxies", "nodes"):
        return said
    healthy = {row["slot"] for row in document["proxies"] if row["status"] == "HEALTHY"}
    needed = [row["slot"] for row in document["nodes"] if row["is_head"] and not row["dead"]]
    needed += [row["slot"] for row in document["replicas"] if row["state"] == "RUNNING"]
    without = [slot for slot in dict.fromkeys(needed) if slot not in healthy]
    return f"no healthy proxy on {', '.join(without)}" if without else None


async def _running(
    applications: tuple[Application, ...], options: Options, wait: float, stage: Stage
) -> None:
    names = [each.name for each in applications]

    async def check() -> str | None:
        document = stage.scene.fresh
        if document is None:
            return "the cluster has said nothing since the deployment"
        if said := recovery.unknown(document, "applications", "deployments", "replicas"):
            return said
        if why := hopeless(document, names):
            raise Unmet(why)
        return (
            unseen(document, applications, options)
            or recovery.applications(document, "RUNNING", names)
            or recovery.replicas(document)
            or proxies(document)
            or await _serving(stage)
        )

    await stage.until(
        check, timeout=wait, waited=f"{', '.join(names)} RUNNING with all replicas", tick=10 * TICK
    )


async def _serving(stage: Stage) -> str | None:
    """Say that the service endpoint, where there is one, does not pass requests on yet."""
    if not any(endpoint.slot == "service" for endpoint in stage.facts.endpoints):
        return None
    try:
        answer = await stage.cluster.http("service", "GET", "/-/healthz", timeout=2.0)
    except Unreachable as error:
        return f"the service endpoint does not answer: {error.message}"
    return None if answer.status == 200 else f"the service endpoint answers {answer.status} to /-/healthz"
