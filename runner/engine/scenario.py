"""One scenario from its start to its end: cluster, survey, observation, steps, undoing."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runner import clock
from runner.clusters import contract
from runner.clusters.contract import Cluster, Endpoint
from runner.engine.abort import exceeded
from runner.engine.bind import lacking, steps
from runner.engine.execution import Execution
from runner.engine.foresight import hosts_hit
from runner.engine.injection import Withheld
from runner.engine.repetition import Turn
from runner.engine.undo import Undos
from runner.engine.venue import Venue
from runner.engine.watch import watch
from runner.errors import FtrunError, Unmet, Unreachable
from runner.journal.events import (
    Aborted,
    Event,
    Facts,
    FaultIntent,
    Observation,
    Said,
    ScenarioEnd,
    ScenarioStart,
)
from runner.journal.journal import Journal
from runner.language.digests import of_node, of_scenario, of_variables
from runner.language.plan import Block, Node, Plan, Scenario
from runner.language.types import duration
from runner.probes.session import Session
from runner.rayserve.members import count
from runner.steps import recovery
from runner.steps.assertion import claim, title
from runner.steps.catalogue import catalogue
from runner.steps.probe import stop
from runner.steps.scene import Scene
from runner.steps.stage import Stage
from runner.steps.wait_for import WaitFor

Json = Any

TIDY = 60.0
"""Seconds that a cluster may take to be as it was before a scenario; else the next one gets a new one."""
DEAF = 10.0
"""Seconds within which proxies have to hear that there is no application any more."""
NOT_FOUND = 404
LOGS = 30.0
"""Seconds that copying the logs may take."""
SURVEY = 10.0
"""Seconds that looking at the cluster again may take."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a scenario ended, and whether its cluster may be kept for the next one."""

    state: str
    message: str = ""
    keep: bool = False


@dataclass(slots=True)
class Production:
    """What performing one scenario needs."""

    number: int
    turn: Turn
    attempt: int
    last: bool
    """Whether it is not run again, whatever comes out."""
    following: Scenario | None
    plan: Plan
    venue: Venue
    journal: Journal
    folder: Path
    run: str
    aborted: str = ""
    """Why it was given up."""
    reused: bool = False
    """Whether its cluster was used by another scenario before."""
    again: bool = False
    """Once it has ended: whether it is to be run again."""
    renewed: bool = False
    """Whether it is to be so on a new cluster: what held it up may be the old one's fault."""
    sessions: dict[str, Session] = field(default_factory=dict)
    """Probers by where they stand: `cluster`, `here`."""
    mourning: list[asyncio.Task[None]] = field(default_factory=list)
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def scenario(self) -> Scenario:
        """What is performed."""
        return self.turn.scenario

    async def perform(self) -> None:
        """Run the scenario. What ends it early is in the journal, not raised.

        Raises CancelledError once everything is undone.
        """
        self._say_start()
        outcome = Outcome("error")
        try:
            outcome = await self._play()
        except asyncio.CancelledError:
            outcome = Outcome("interrupted", "The run was interrupted.")
            raise
        except FtrunError as error:
            outcome = Outcome("error", told(error))
            self._reconsider(outcome)
        except Exception as error:
            outcome = Outcome("error", f"This is a bug of ftrun: {type(error).__name__}: {error}")
            raise
        finally:
            await self._end(outcome)

    async def _end(self, outcome: Outcome) -> None:
        """Remove the cluster unless it is kept, and say how the scenario ended."""
        try:
            if not outcome.keep:
                self._warn(await self.venue.leave())
        finally:
            self.journal.append(
                ScenarioEnd(scenario=self.number, state=outcome.state, message=outcome.message)
            )

    def _reconsider(self, outcome: Outcome) -> None:
        """Settle whether it is to be run again, since it ended so.

        That is where its verdict is unknown and it has attempts left; or where it was held up before its
        first fault on a cluster that another scenario had used: reuse must not cost a verdict.
        """
        intended = any(isinstance(each, FaultIntent) for each in self._events())
        held_up = self.reused and bool(outcome.message) and not intended
        self.again = (held_up or not self.last) and self._unknown(outcome)
        self.renewed = held_up and self.again
        if self.renewed:
            self._warn(["It was held up before its first fault: it is run again on a cluster of its own."])

    def _unknown(self, outcome: Outcome) -> bool:
        """Tell whether its verdict is unknown."""
        if self.journal.broken or outcome.state in ("skipped", "interrupted"):
            return False
        from runner.journal.samples import Recordings
        from runner.timeline.fold import fold
        from runner.timeline.run import Verdict

        end = ScenarioEnd(
            scenario=self.number, state=outcome.state, message=outcome.message, t=self.journal.now()
        )
        judged = fold([*self._events(), end], Recordings(self.folder)).scenarios[0]
        return judged.verdict is Verdict.UNKNOWN

    def _events(self) -> list[Event]:
        """Give what the journal holds of this scenario, and of the run itself."""
        return [
            event for event in self.journal.events if getattr(event, "scenario", self.number) == self.number
        ]

    def _say_start(self) -> None:
        scenario = self.scenario
        self.journal.append(
            ScenarioStart(
                scenario=self.number,
                name=scenario.name,
                file=scenario.file,
                line=scenario.position.line,
                description=scenario.description,
                tags=scenario.tags,
                steps=tuple(planned(scenario.steps)),
                digests=of_scenario(scenario),
                variables=of_variables(scenario),
                repetition=self.turn.repetition,
                repetitions=scenario.repeat,
                attempt=self.attempt,
                seed=self.turn.seed,
                delay=self.turn.delay,
            )
        )

    async def _play(self) -> Outcome:
        self.reused = self.attempt == 1 and self.venue.fits(self.scenario)
        cluster = await self.venue.cluster(self.scenario)
        facts = await cluster.survey()
        self._say_facts(facts)
        if facts.cannot:
            return Outcome("skipped", " ".join(facts.cannot), keep=True)
        if missing := lacking(self.scenario, facts):
            why = f"{', '.join(missing)}, which this cluster has not, or the inventory does not allow"
            return Outcome("skipped", f"It requires {why}.", keep=True)
        undos = Undos(self.journal)
        stage = Stage(
            number=self.number,
            scenario=self.scenario,
            inventory=self.plan.inventory,
            cluster=cluster,
            facts=facts,
            journal=self.journal,
            folder=self.folder,
            scene=Scene(),
            probing=lambda origin: self._probing(cluster, origin, facts.endpoints),
            heal=undos.heal,
            jobs={},
            registered={},
        )
        self.journal.subscribe(stage.scene.hear)
        try:
            await _listen(self.scenario, cluster)
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(watch(self.number, cluster, self.journal, stage.scene))
                following = group.create_task(self._follow(stage.scene))
                try:
                    return await self._acts(stage, undos, group)
                finally:
                    watching.cancel()
                    following.cancel()
        except BaseExceptionGroup as errors:
            raise first(errors) from errors
        finally:
            self.journal.unsubscribe(stage.scene.hear)

    def _say_facts(self, facts: contract.Facts) -> None:
        endpoints = [
            {"slot": each.slot, "role": each.role, "simulated": each.simulated} for each in facts.endpoints
        ]
        document = {**facts.document, "capabilities": sorted(facts.capabilities), "endpoints": endpoints}
        self.journal.append(Facts(scenario=self.number, document=document))

    async def _survey_again(self, stage: Stage) -> contract.Facts:
        """Give the facts as they are now: more may be known, the first deployment may make a cluster."""
        try:
            async with asyncio.timeout(SURVEY):
                return await stage.cluster.survey()
        except (FtrunError, TimeoutError):
            return stage.facts

    async def _observer(self, cluster: Cluster, since: tuple[float, float]) -> Mapping[str, Json]:
        """Give what it cost to look, from an instant and what the runner had taken by then."""
        try:
            async with asyncio.timeout(SURVEY):
                weight = dict(await cluster.weight())
        except (FtrunError, TimeoutError):
            weight = {}
        seconds = self.journal.now() - since[0]
        if "requests" in weight and seconds > 0:
            weight["requests_per_second"] = round(weight["requests"] / seconds, 2)
        if spent := [session.cpu for session in self.sessions.values() if session.cpu is not None]:
            weight["prober_cpu_s"] = round(sum(spent), 3)
        return {
            "seconds": round(seconds, 3),
            "runner_cpu_s": round(clock.cpu() - since[1], 3),
            **weight,
        }

    async def _follow(self, scene: Scene) -> None:
        """Send what goes to a slot to wherever it stands, until cancelled."""
        sent: dict[str, str] = {}
        while True:
            moved = next((slot for slot, url in scene.places.items() if sent.get(slot) != url), None)
            if moved is None:
                await scene.changed(TIDY)
                continue
            sent[moved] = scene.places[moved]
            # What is asked from here goes on to whom it went: that is pinned.
            if (session := self.sessions.get("cluster")) is not None:
                try:
                    await session.retarget(moved, sent[moved])
                except FtrunError as error:
                    self._warn([f"Requests to {moved} still go to where it was: {error.message}"])

    async def _acts(self, stage: Stage, undos: Undos, group: asyncio.TaskGroup) -> Outcome:
        """Run the steps, then stop what they started and undo what they did, in any case."""
        execution = Execution(
            stage, catalogue(), undos, group, self.turn.draw(), delay=self.turn.delay or 0.0
        )
        since = self.journal.now(), clock.cpu()
        try:
            outcome = await self._steps(stage, execution, group)
            facts = await self._survey_again(stage)
        finally:
            try:
                await self._stop(stage)
            finally:
                self._warn(await undos.unwind())
        observer = await self._observer(stage.cluster, since)
        self._say_facts(replace(facts, document={**facts.document, "observer": observer}))
        with suppress(TimeoutError):
            async with asyncio.timeout(LOGS):
                try:
                    await stage.cluster.logs(self.folder / "logs" / str(self.number))
                except (FtrunError, OSError) as error:
                    self._warn([f"The logs were not kept: {error}"])
        self._reconsider(outcome)
        following = self.scenario if self.again else self.following
        fits = following is not None and self.venue.fits(following)
        keep = fits and not self.renewed and await tidied(stage, self.journal)
        return Outcome(outcome.state, outcome.message, keep)

    async def _steps(self, stage: Stage, execution: Execution, group: asyncio.TaskGroup) -> Outcome:
        limit = self.scenario.timeout
        try:
            async with asyncio.timeout(limit) as timer:
                watching = group.create_task(self._watch(stage, timer))
                try:
                    await execution.run(self.scenario.steps)
                finally:
                    watching.cancel()
        except TimeoutError:
            if self.aborted and timer.expired():
                return Outcome("aborted", self.aborted)
            if limit is None or not timer.expired():
                raise
            return Outcome("error", f"It took longer than its timeout of {duration(limit)}.")
        except Withheld as error:
            return Outcome("finished", error.message)
        except Unmet as error:
            # After a fault this is what the scenario found out; before one, it found out nothing.
            return Outcome("finished" if stage.scene.faults else "error", error.message)
        except FtrunError as error:
            return Outcome("error", told(error))
        for name, job in stage.jobs.items():
            failed = job.result() if job.done() else None
            # An unmet wait and a withheld fault have their own weight in the verdict.
            if failed is not None and not isinstance(failed, Unmet | Withheld):
                return Outcome("error", f"The background step {name} failed: {told(failed)}")
        return Outcome("finished")

    async def _watch(self, stage: Stage, timer: asyncio.Timeout) -> None:
        """Let the time of the steps be over as soon as `abort_when` says so."""
        if self.scenario.abort_when is None:
            return
        self.aborted = await exceeded(self.scenario.abort_when, stage)
        self.journal.append(Aborted(scenario=self.number, text=self.aborted))
        timer.reschedule(asyncio.get_running_loop().time())

    async def _probing(self, cluster: Cluster, origin: str, endpoints: Sequence[Endpoint]) -> Session:
        """Give the scenario's prober in the cluster, or here, started when it is first asked for."""
        async with self.opening:
            if origin not in self.sessions:
                session = await Session.open(
                    cluster,
                    self.folder,
                    scenario=self.number,
                    run=self.run,
                    journal=self.journal,
                    origin=origin,
                    away=hosts_hit(self.scenario, [each.slot for each in endpoints if each.role == "worker"]),
                )
                self.sessions[origin] = session
                self.mourning.append(asyncio.create_task(self._mourn(session)))
            return self.sessions[origin]

    async def _mourn(self, session: Session) -> None:
        """Say when the prober is gone though nobody ended it."""
        await session.lost.wait()
        self._warn([session.why_lost])

    async def _stop(self, stage: Stage) -> None:
        """End background steps and probes that still run."""
        jobs = list(stage.jobs.values())
        for job in jobs:
            job.cancel()
        try:
            await asyncio.gather(*jobs, return_exceptions=True)
            for name in tuple(stage.scene.probes):
                try:
                    await stop(name, stage)
                except FtrunError as error:
                    self._warn([f"The probe {name} was not stopped: {error.message}"])
        finally:
            for mourning in self.mourning:
                mourning.cancel()
            await asyncio.gather(*(session.close() for session in self.sessions.values()))

    def _warn(self, texts: Sequence[str]) -> None:
        for text in texts:
            self.journal.append(Said(scenario=self.number, level="warning", text=text))


async def _listen(scenario: Scenario, cluster: Cluster) -> None:
    """Have the lines passed on that the scenario's waits are about; what only the run knows comes later."""
    for step in steps(scenario.steps):
        if isinstance(step.arguments, WaitFor) and step.arguments.log is not None:
            await step.arguments.log.listen(cluster)


def told(error: FtrunError) -> str:
    """Give the error as one text, with what to do about it."""
    return error.message + (f" {error.help}" if error.help else "")


def first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Give what is worth telling of several errors: a sentence for the user before a bug."""
    every = list(_leaves(errors))
    return next((each for each in every if isinstance(each, FtrunError)), every[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def planned(nodes: Sequence[Node]) -> Iterator[Mapping[str, Json]]:
    """Describe every plan node, so that those never reached are reported too."""
    for node in nodes:
        kind = node.kind
        described: dict[str, Json] = {
            "path": node.path,
            "name": node.modifiers.name or kind,
            "kind": kind,
            "file": node.position.file,
            "line": node.position.line,
            "digest": of_node(node),
        }
        if isinstance(node, Block):
            yield described
            yield from planned((*node.block, *node.rescue, *node.always))
            continue
        cases = node.raw.get("cases") if kind == "assert" else None
        if isinstance(cases, list | tuple):
            places = [node.positions.get(("cases", number), node.position) for number in range(len(cases))]
            described["cases"] = [
                {"name": title(case), "says": claim(case), "file": place.file, "line": place.line}
                for case, place in zip(cases, places, strict=True)
                if isinstance(case, Mapping)
            ]
        yield described


async def tidied(stage: Stage, journal: Journal) -> bool:
    """Remove the applications, and wait until members are as at the scenario's start; False in vain."""
    if "deploy" not in stage.facts.capabilities:
        return True
    scene = stage.scene
    before = _first_document(journal.events, stage.number)
    paths = {str(each.config.get("route_prefix") or "/") for each in scene.applications}
    asked = journal.now()
    try:
        async with asyncio.timeout(TIDY):
            await stage.cluster.deploy(())
            scene.floor = max(scene.floor, asked)
            while _untidy(scene, before) is not None:
                await scene.changed(TIDY)
        async with asyncio.timeout(DEAF):
            while await _deaf(stage.cluster, scene, paths):
                await scene.changed(1)
    except (TimeoutError, FtrunError):
        return False
    return True


def _untidy(scene: Scene, before: Mapping[str, Json] | None) -> str | None:
    document = scene.fresh
    if document is None or before is None:
        return "nothing is known of the cluster"
    if said := recovery.unknown(document, "nodes", "actors", "applications"):
        return said
    if document["applications"] or document["replicas"]:
        return "applications are still there"
    then = count(before)
    return recovery.processes(document, before) or recovery.members(
        document, {"heads": then.heads, "workers": then.workers}
    )


async def _deaf(cluster: Cluster, scene: Scene, paths: Collection[str]) -> bool:
    """Whether a proxy still knows of the applications that were removed: it hears of no change any more.

    So it is where its controller died for good, or could not be reached for long. To Serve it looks well.
    """
    for row in (scene.document or {}).get("proxies", ()):
        for path in paths if row["slot"] else ():
            try:
                answer = await cluster.http(row["slot"], "GET", path, timeout=DEAF)
            except Unreachable:
                return True
            if answer.status != NOT_FOUND:
                return True
    return False


def _first_document(events: Sequence[Event], number: int) -> Mapping[str, Json] | None:
    return next(
        (
            event.document
            for event in events
            if isinstance(event, Observation) and event.scenario == number and event.document is not None
        ),
        None,
    )
