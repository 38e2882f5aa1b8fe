"""deploy: hand Serve an application, or change the one that runs in place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from runner.errors import FtrunError, Unmet, Unreachable
from runner.language.plan import Application, Kind
from runner.language.types import Duration, Model
from runner.steps import recovery
from runner.steps.stage import TICK, Check, Json, Stage

if TYPE_CHECKING:
    from runner.steps.scene import Document


def _several(value: Any) -> Any:
    """Read one file as a list of one."""
    return [value] if isinstance(value, str) else value


class Deploy(Model):
    """Deploy the scenario's application, others, or new options for the deployments that run."""

    app: (
        Annotated[
            tuple[str, ...],
            BeforeValidator(_several, json_schema_input_type=str | list[str]),
            Field(min_length=1),
        ]
        | None
    ) = Field(default=None, description="Other applications than the scenario's, by their files.")
    set: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description='Options to merge into deployments, by deployment name; "*" means every one of them.',
    )
    wait: Duration | None = Field(
        default=300.0,
        description="How long to wait until all of it is as expected; null: do not wait.",
    )
    expect: str = Field(
        default="RUNNING",
        description="The status that is waited for; with RUNNING also every replica and proxy.",
    )


KIND = Kind(
    "deploy",
    Deploy,
    expand=lambda value: {} if value is None else value,
    needs=lambda _arguments: ("deploy",),
)

Options = Mapping[str, Mapping[str, Any]]


async def run(arguments: Deploy, stage: Stage) -> Json:
    """Hand Serve the configuration, and wait until what was asked for is seen."""
    applications = _chosen(arguments, stage)
    if arguments.set:
        applications = merged(applications, arguments.set, await deployments(stage))
    return await hand_in(applications, stage, arguments.set, wait=arguments.wait, expect=arguments.expect)


async def hand_in(
    applications: tuple[Application, ...],
    stage: Stage,
    options: Options,
    *,
    wait: float | None,
    expect: str = "RUNNING",
    only: str | None = None,
) -> Json:
    """Give Serve these applications, and wait until they are seen so.

    The options are merged into them already, or into `only` one of them.
    """
    before = _deployed(stage.scene.known("applications"))
    try:
        await stage.cluster.deploy(applications)
    except Unreachable as error:
        raise Unreachable(f"Nobody took the deployment: {error.message}", help=error.help) from error
    stage.scene.applications = applications
    stage.scene.deployed = stage.journal.now()
    stage.scene.floor = max(stage.scene.floor, stage.scene.deployed)
    if wait is not None:
        names = [each.name for each in applications]
        waited = f"{', '.join(names)} {expect}" + (" with all replicas" if expect == "RUNNING" else "")
        check = _check(
            names, {each: options for each in names if only in (None, each)}, expect, before, stage
        )
        await stage.until(check, timeout=wait, waited=waited, tick=10 * TICK)
    return {"applications": [each.name for each in applications]}


def _chosen(arguments: Deploy, stage: Stage) -> tuple[Application, ...]:
    """Give what Serve shall have: another application replaces the one of its name, else stands beside."""
    if arguments.app is not None:
        new = {made.name: made for made in (stage.scenario.apps[file] for file in arguments.app)}
        return (*(each for each in stage.scene.applications if each.name not in new), *new.values())
    if stage.scene.applications:
        return stage.scene.applications
    if stage.scenario.app is None:
        raise FtrunError("The scenario names no application to deploy.", help="Write `app: FILE` into it.")
    return (stage.scenario.app,)


async def deployments(stage: Stage) -> Document:
    """Give the last state document since the last deployment that knows the deployments of what runs.

    What a fault did meanwhile changes no name, and an update has to fail where nobody takes it, not here.
    """

    async def check() -> str | None:
        return None if known() is not None else "nothing is known of the deployments yet"

    def known() -> Document | None:
        document = stage.scene.known("deployments", since=stage.scene.deployed)
        there = {row["app"] for row in document["deployments"]} if document is not None else set()
        return document if there >= {each.name for each in stage.scene.applications} else None

    await stage.until(check, timeout=30.0, waited="the names of the deployments")
    document = known()
    assert document is not None
    return document


def merged(
    applications: tuple[Application, ...], options: Options, document: Document, *, only: str | None = None
) -> tuple[Application, ...]:
    """Merge options into the deployments of applications; raises FtrunError for one that none of them has."""
    there = {
        each.name: dict.fromkeys(
            [entry["name"] for entry in each.config.get("deployments", ())]
            + [row["name"] for row in document["deployments"] if row["app"] == each.name]
        )
        for each in applications
        if only in (None, each.name)
    }
    if not there:
        raise FtrunError(
            f'No application "{only}" runs; there is: {_listed(each.name for each in applications)}.'
        )
    for name in options:
        if name != "*" and not any(name in names for names in there.values()):
            have = "; ".join(f"{app} has: {_listed(names)}" for app, names in there.items())
            raise FtrunError(f'There is no deployment "{name}"; {have}.')
    return tuple(
        _given(each, {name: _wanted(options, name) for name in there.get(each.name, ())})
        for each in applications
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _wanted(options: Options, name: str) -> dict[str, Any]:
    return {**options.get("*", {}), **options.get(name, {})}


def _given(application: Application, wanted: Options) -> Application:
    config = {entry["name"]: dict(entry) for entry in application.config.get("deployments", ())}
    for name, options in wanted.items():
        if options:
            config[name] = config.get(name, {"name": name}) | dict(options)
    return replace(application, config={**application.config, "deployments": list(config.values())})


def unseen(document: Document, options: Mapping[str, Options]) -> str | None:
    """Say which of the options, by application, the state document does not show yet."""
    for row in document["deployments"]:
        shown = {"num_replicas": row.get("target_replicas")} | dict(row.get("options") or {})
        for name, value in _wanted(options.get(row["app"], {}), row["name"]).items():
            if not _shows(shown.get(name), value):
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


def _deployed(document: Document | None) -> dict[str, float | None]:
    """Give when Serve says that it was given each application."""
    rows = () if document is None else document["applications"]
    return {row["name"]: row.get("last_deployed") for row in rows}


def _check(
    names: list[str],
    options: Mapping[str, Options],
    expect: str,
    before: Mapping[str, float | None],
    stage: Stage,
) -> Check:
    """Make the check that the applications have the status, and with RUNNING all that goes with it.

    `options` are by application, `before` says when Serve was given each before now.
    """

    async def check() -> str | None:
        document = stage.scene.fresh
        if document is None:
            return "the cluster has said nothing since the deployment"
        if said := recovery.unknown(document, "applications", "deployments", "replicas"):
            return said
        for name, at in _deployed(document).items():
            # What became of an earlier deployment says nothing of this one.
            if name in names and at is not None and at == before.get(name):
                return f"Serve has not begun to deploy {name}"
        if expect != "RUNNING":
            return recovery.applications(document, expect, names)
        if why := hopeless(document, names):
            raise Unmet(why)
        return (
            unseen(document, options)
            or recovery.applications(document, "RUNNING", names)
            or recovery.replicas(document)
            or proxies(document)
            or await _serving(stage)
        )

    return check


async def _serving(stage: Stage) -> str | None:
    """Say that the service endpoint, where there is one, does not pass requests on yet."""
    if not any(endpoint.slot == "service" for endpoint in stage.facts.endpoints):
        return None
    try:
        answer = await stage.cluster.http("service", "GET", "/-/healthz", timeout=2.0)
    except Unreachable as error:
        return f"the service endpoint does not answer: {error.message}"
    return None if answer.status == 200 else f"the service endpoint answers {answer.status} to /-/healthz"
