"""probe: start and stop the scenario's probes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from runner.errors import FtrunError
from runner.language.plan import Kind
from runner.language.refusal import mistake, nearest
from runner.language.types import Duration, Model, Scope, duration
from runner.steps.stage import TICK, Json, Stage


def _several(value: Any) -> Any:
    """Read one name as a list of one."""
    return [value] if isinstance(value, str) else value


def _declared(name: str, info: ValidationInfo) -> str:
    """Refuse a probe that the scenario does not declare; `all` is every one that it does."""
    known = info.context.probes if isinstance(info.context, Scope) else None
    if name != "all" and known is not None and name not in known:
        there = f"There are: {', '.join(sorted(known))}." if known else "The scenario declares no probe."
        raise mistake("unknown-probe", f'There is no probe "{name}".', nearest(name, known) or there)
    return name


Names = Annotated[
    tuple[Annotated[str, AfterValidator(_declared)], ...],
    BeforeValidator(_several, json_schema_input_type=str | list[str]),
]
"""One name, a list of them, or `all`."""


class Probe(Model):
    """Start probes, and wait until they are steady; or stop them."""

    start: Names | None = Field(default=None, description="Names of probes, or `all`.")
    stop: Names | None = Field(default=None, description="Names of probes, or `all`.")
    steady: Duration | None = Field(
        default=None,
        description="Go on once every series was wholly good for this long; their scope begins there.",
    )
    timeout: Duration = Field(default=60.0, description="How long `steady` may take.")

    @model_validator(mode="after")
    def _one_of(self) -> Probe:
        if (self.start is None) == (self.stop is None):
            raise mistake("probe", "A probe step has either `start` or `stop`.")
        if self.stop is not None and self.steady is not None:
            raise mistake("probe", "`steady` goes with `start`.")
        return self


KIND = Kind("probe", Probe)


async def run(arguments: Probe, stage: Stage) -> Json:
    """Start or stop; a probe that already runs, or does not run, is an error."""
    if arguments.stop is not None:
        names = tuple(stage.scene.probes) if "all" in arguments.stop else arguments.stop
        for name in names:
            await stop(name, stage)
        return {"stopped": list(names)}
    assert arguments.start is not None
    if "all" in arguments.start:
        names = tuple(name for name in stage.scenario.probes if name not in stage.scene.probes)
    else:
        names = arguments.start
    for name in names:
        await _start(name, stage)
    if arguments.steady is not None:
        await _steady(names, arguments.steady, arguments.timeout, stage)
    return {"started": list(names)}


async def _start(name: str, stage: Stage) -> None:
    from runner.journal.events import ProbeStart
    from runner.probes.session import selected

    if name in stage.scene.probes:
        raise FtrunError(f'The probe "{name}" runs already.', help="Stop it first, or start it once.")
    if name not in stage.scenario.probes:
        raise FtrunError(f'The scenario declares no probe "{name}".')
    spec = stage.scenario.probes[name]
    session = await stage.probing(spec.origin)
    endpoints = selected(spec, stage.endpoints())
    if spec.origin == "here":
        endpoints = [await stage.cluster.reach(each) for each in endpoints]
    series = await session.start(spec, endpoints, secrets=stage.journal.secrets.forms)
    stage.journal.append(ProbeStart(scenario=stage.number, probe=name, origin=spec.origin, series=series))


async def stop(name: str, stage: Stage) -> None:
    """Stop a probe; returns when all its deadlines have passed."""
    from runner.journal.events import ProbeStop

    if name not in stage.scene.probes:
        raise FtrunError(f'The probe "{name}" does not run.')
    session = await stage.probing(stage.scene.probes[name].origin)
    at = await session.stop(name)
    stage.journal.append(ProbeStop(scenario=stage.number, probe=name, at=at))


async def _steady(names: tuple[str, ...], steady: float, timeout: float, stage: Stage) -> None:
    """Wait until every series was wholly good for `steady` seconds; the probes' scope begins there."""
    from runner.journal.events import ProbeSteady
    from runner.journal.samples import Recordings
    from runner.steps import live

    recordings = Recordings(stage.folder)
    at = 0.0

    async def check() -> str | None:
        nonlocal at
        started = [stage.scene.probes[name] for name in names]
        now = stage.journal.now()
        found = live.streaks(recordings, started, axis=stage.axis, now=now, at_least=steady)
        at = min((each.until for each in found), default=stage.journal.now())
        # All of them together: the youngest streak counts up to what is known of every series.
        since = max((each.since for each in found if each.since is not None), default=at)
        if (said := live.not_good(found, at_least=steady)) is not None or at - since < steady:
            return said or f"the probes have been good together for {at - since:.1f} s only"
        return None

    waited = f"{', '.join(names)} good for {duration(steady)}"
    await stage.until(check, timeout=timeout, waited=waited, tick=TICK)
    for name in names:
        stage.journal.append(ProbeSteady(scenario=stage.number, probe=name, at=at))
