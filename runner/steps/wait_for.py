"""wait_for: wait until the cluster and the probes are seen to be as they shall be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from runner.errors import FtrunError, Unmet, Unreachable
from runner.language.plan import Kind
from runner.language.refusal import mistake
from runner.language.types import Duration, EndpointName, FaultName, Model, ProbeName, RegexText, duration
from runner.steps import recovery
from runner.steps.known import Known
from runner.steps.matching import Matching, mismatch
from runner.steps.stage import TICK, Check, Json, Stage

if TYPE_CHECKING:
    from runner.clusters.contract import Cluster
    from runner.journal.samples import Recordings
    from runner.steps.scene import Fault


class Members(Model):
    """How many members of each role there shall be."""

    heads: int | None = Field(default=None, ge=0)
    workers: int | None = Field(default=None, ge=0)
    replicas: int | None = Field(default=None, ge=0)
    proxies: int | None = Field(default=None, ge=0)
    controllers: int | None = Field(default=None, ge=0)


class Good(Model):
    """A probe that is wholly good for a while."""

    name: ProbeName
    good_for: Duration = 5.0


class Answering(Model):
    """An endpoint that answers with a status."""

    name: EndpointName = Field(description="The endpoint's slot, such as `head` or `service`.")
    status: int = 200
    path: str = "/"


class Log(Model):
    """A line that somebody logs."""

    of: Literal["controller", "gcs", "raylet", "operator", "kubernetes", "supervisor", "forwarder"] = Field(
        description="Who says it."
    )
    matches: RegexText = Field(description="A regular expression that some part of the line matches.")

    async def listen(self, cluster: Cluster) -> None:
        """Have lines of logs passed on; what ftrun's own side and Kubernetes say is heard anyway."""
        if self.of not in ("supervisor", "forwarder", "kubernetes"):
            await cluster.listen(self.of, self.matches)


class WaitFor(Matching):
    """Wait until all of these hold, in observations made after the last fault."""

    app: str | None = Field(default=None, description="Status of every application, such as RUNNING.")
    members: Members | None = None
    recovered: FaultName | None = Field(
        default=None, description="A fault: application, members and probes are as they were before it."
    )
    probe: Good | None = None
    endpoint: Answering | None = None
    log: Log | None = None
    job: str | None = Field(default=None, description="The registered name of a background step that ends.")
    timeout: Duration = 120.0
    known: Known | None = Field(
        default=None, description="Today's Ray breaks it: that it is not met after a fault is known."
    )

    @model_validator(mode="after")
    def _something(self) -> WaitFor:
        if self.model_fields_set <= {"timeout", "known"}:
            raise mistake("wait", "wait_for names nothing to wait for, such as `app: RUNNING`.")
        if self.path is None and self.matchers:
            raise mistake("wait", f"`{self.matchers[0]}` goes with `state` or `ray_state`.")
        return self


def _expand(value: Any) -> Any:
    """Read `wait_for: RUNNING` as the status of the application."""
    return {"app": value} if isinstance(value, str) else value


def _needs(arguments: WaitFor | None) -> Sequence[str]:
    """Give what a cluster must be able to do."""
    return ("observe",) if arguments is not None and arguments.log is not None else ()


KIND = Kind("wait_for", WaitFor, expand=_expand, needs=_needs)


async def run(arguments: WaitFor, stage: Stage) -> Json:
    """Wait until all of it holds at once; raises Unmet with the last mismatch."""
    checks = [check for check in _checks(arguments, stage) if check is not None]

    async def check() -> str | None:
        for each in checks:
            if (said := await each()) is not None:
                return said
        return None

    began = stage.journal.now()
    if arguments.log is not None:
        await arguments.log.listen(stage.cluster)
    await stage.until(
        check,
        timeout=arguments.timeout,
        waited=described(arguments),
        tick=TICK,
        known=arguments.known.model_dump(mode="json") if arguments.known is not None else None,
    )
    if arguments.recovered is not None:
        from runner.journal.events import FaultRecovered

        fault = _fault(arguments.recovered, stage)
        stage.journal.append(
            FaultRecovered(fault=fault.number, at=stage.journal.now(), missing=fault.missing)
        )
    return {"waited": round(stage.journal.now() - began, 6)}


def described(arguments: WaitFor) -> str:
    """Say for people what is waited for."""
    parts = []
    if arguments.app is not None:
        parts.append(f"application {arguments.app}")
    if arguments.members is not None:
        given = arguments.members.model_dump(exclude_none=True)
        parts.append(", ".join(f"{number} {role}" for role, number in given.items()))
    if arguments.recovered is not None:
        parts.append(f"the cluster recovered from {arguments.recovered}")
    if arguments.probe is not None:
        parts.append(f"probe {arguments.probe.name} good for {duration(arguments.probe.good_for)}")
    if arguments.path is not None:
        parts.append(f"{arguments.path} {arguments.matchers[0]} {getattr(arguments, arguments.matchers[0])}")
    if arguments.endpoint is not None:
        parts.append(f"{arguments.endpoint.name} answering {arguments.endpoint.status}")
    if arguments.log is not None:
        parts.append(f"{arguments.log.of} saying /{arguments.log.matches}/")
    if arguments.job is not None:
        parts.append(f"job {arguments.job}")
    return " and ".join(parts)


def _fault(name: str, stage: Stage) -> Fault:
    fault = stage.scene.fault(name)
    if fault is None:
        raise FtrunError(f'No fault "{name}" was injected, so nothing can recover from it.')
    return fault


def _checks(arguments: WaitFor, stage: Stage) -> list[Check | None]:
    """Give the checks of what is asked for, the cheap ones first."""
    from runner.journal.samples import Recordings

    recordings = Recordings(stage.folder)
    return [
        _job(arguments.job, stage) if arguments.job is not None else None,
        _documents(arguments, stage) if arguments.app or arguments.members or arguments.state else None,
        _log(arguments.log, stage) if arguments.log is not None else None,
        _recovered(arguments.recovered, recordings, stage) if arguments.recovered is not None else None,
        _good(arguments.probe, recordings, stage) if arguments.probe is not None else None,
        _answering(arguments.endpoint, stage) if arguments.endpoint is not None else None,
        _ray_state(arguments, stage) if arguments.ray_state is not None else None,
    ]


def _documents(arguments: WaitFor, stage: Stage) -> Check:
    async def check() -> str | None:
        document = stage.scene.fresh
        if document is None:
            return "the cluster has said nothing since the last fault or deployment"
        return (
            (recovery.applications(document, arguments.app) if arguments.app else None)
            or (recovery.members(document, arguments.members.model_dump()) if arguments.members else None)
            or (mismatch(arguments, document) if arguments.state else None)
        )

    return check


def _recovered(name: str, recordings: Recordings, stage: Stage) -> Check:
    from runner.steps import live

    fault = _fault(name, stage)

    async def check() -> str | None:
        if fault.lasts and fault.healed is None:
            return f"{fault.name} lasts: it was not healed yet"
        document = stage.scene.fresh
        if document is None:
            return "the cluster has said nothing since the fault"
        if said := recovery.lingers(document, stage.scene.faults, fault):
            if recovery.exchanging(document, fault.hits):
                assert stage.scene.observation is not None
                fault.missing = stage.scene.observation.asked
            return said
        if fault.ends and fault.before is not None:
            since = stage.journal.now() - (fault.injected or fault.intent)
            if said := recovery.unsettled(document, fault.before, fault.hits, since):
                return said
        if fault.well is not None and (said := recovery.missing(document, fault.well)):
            # What nobody could say is not known to be missing.
            silent = document.get("unknown") or ()
            if not silent or ("processes" not in silent and recovery.processes(document, fault.well)):
                assert stage.scene.observation is not None
                fault.missing = stage.scene.observation.asked
            return said
        found = live.streaks(
            recordings, stage.scene.probes.values(), axis=stage.axis, now=stage.journal.now()
        )
        if said := live.not_good(found):
            return said
        # What was good before the fault does not count: its effect may take a moment to show.
        if any(each.until - stage.scene.floor < each.recover_after for each in found):
            return "the probes have not been good for long enough since the fault"
        return None

    return check


def _good(probe: Good, recordings: Recordings, stage: Stage) -> Check:
    from runner.steps import live

    async def check() -> str | None:
        if probe.name not in stage.scene.probes:
            raise Unmet(f"the probe {probe.name} does not run")
        found = live.streaks(
            recordings,
            [stage.scene.probes[probe.name]],
            axis=stage.axis,
            now=stage.journal.now(),
            at_least=probe.good_for,
        )
        floor = stage.scene.floor
        if said := live.not_good(found, at_least=probe.good_for):
            return said
        late = [each.series for each in found if each.until - floor < probe.good_for]
        return f"probe {late[0]} has not been good for long enough since the fault" if late else None

    return check


def _answering(endpoint: Answering, stage: Stage) -> Check:
    async def check() -> str | None:
        try:
            answer = await stage.cluster.http(endpoint.name, "GET", endpoint.path, timeout=2.0)
        except Unreachable as error:
            return error.message
        return None if answer.status == endpoint.status else f"{endpoint.name} answers {answer.status}"

    return check


def _log(log: Log, stage: Stage) -> Check:
    import re

    pattern = re.compile(log.matches)

    async def check() -> str | None:
        for event in stage.scene.happenings:
            said = log.matches in event.data.get("matches", ()) or pattern.search(event.text)
            if event.source == log.of and event.at >= stage.scene.floor and said:
                return None
        return f"{log.of} has said nothing that matches /{log.matches}/"

    return check


def _job(name: str, stage: Stage) -> Check:
    async def check() -> str | None:
        if name not in stage.jobs:
            raise Unmet(f"no background step registers {name}")
        job = stage.jobs[name]
        if not job.done():
            return f"job {name} still runs"
        if (error := job.result()) is not None:
            raise Unmet(f"job {name} failed: {error.message}")
        return None

    return check


def _ray_state(arguments: WaitFor, stage: Stage) -> Check:
    from runner.steps.ray_state import ask

    assert arguments.ray_state is not None
    resource = arguments.ray_state.resource

    async def check() -> str | None:
        try:
            answer = await ask(stage.cluster, resource)
        except Unreachable as error:
            return error.message
        return mismatch(arguments, answer)

    return check
