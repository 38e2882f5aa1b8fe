"""The fold: a journal and its samples become a Run.

It is total: it works at any moment of a run (what it says then is provisional), after it, and on what a
killed run left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from runner.journal import events
from runner.journal.events import Event
from runner.journal.journal import pending
from runner.journal.samples import ProberLog, Samples
from runner.timeline import run
from runner.timeline.availability import availability
from runner.timeline.cast import Observed
from runner.timeline.clocks import Axis, pinged
from runner.timeline.evidence import Stall, gather, timing
from runner.timeline.judge import Evidence, judge
from runner.timeline.known import day, excused, version
from runner.timeline.members import members
from runner.timeline.recovery import Account, Explanation, Injury, Lane, Measured
from runner.timeline.repetition import repeated
from runner.timeline.run import Verdict
from runner.timeline.series import Track, summary
from runner.timeline.verdict import exit_code, merge, of_run
from runner.timeline.windows import Analysis

Json = Any
BLOCKS = ("block", "parallel")
"""What a step that holds others is called."""
E = TypeVar("E", bound=Event)


class Recordings(Protocol):
    """Where the samples of a run come from; that of `runner.journal.samples` reads its folder."""

    def series(self, file: str) -> Samples | None:
        """Give the samples of a series, None where there are none to read."""
        ...

    def prober(self, scenario: int, origin: str) -> ProberLog:
        """Give what the prober of a scenario, in the `cluster` or `here`, logged."""
        ...


def fold(journal: Sequence[Event], recordings: Recordings) -> run.Run:
    """Give the run that the events tell of; times are seconds since its zero."""
    unborn = events.RunStart(run="", ftrun="", wall=0.0, monotonic=0.0)
    start = next(_all(journal, events.RunStart), unborn)
    end = next(_all(journal, events.RunEnd), None)
    state = end.state if end else "killed"
    began = list(_all(journal, events.ScenarioStart))
    later = {(each.name, each.repetition): each.scenario for each in began}
    scenarios = tuple(
        replace(
            _Tale(journal, recordings, each, start).scenario(),
            superseded=later[each.name, each.repetition] != each.scenario,
        )
        for each in began
    )
    verdict = of_run(state, scenarios)
    interrupted = state == "interrupted" or (end is None and any(_all(journal, events.Interrupt)))
    broken = _broken(journal)
    return run.Run(
        run=start.run,
        ftrun=start.ftrun,
        verdict=verdict,
        exit_code=exit_code(verdict, interrupted=interrupted, broken=bool(broken)),
        wall=start.wall,
        monotonic=start.monotonic,
        state=state,
        message=(end.message or broken) if end else "The journal has no end: the run was killed, or goes on.",
        argv=tuple(start.argv),
        seed=start.seed,
        machine=start.machine,
        inventory=start.inventory,
        scenarios=scenarios,
        options=start.options,
        repeated=tuple(repeated(scenarios, start.options)),
    )


def _broken(journal: Sequence[Event]) -> str:
    """Say what could not be put back, and what to do; empty where all was."""
    why = {each.undo: each.error for each in _all(journal, events.UndoDone) if each.error is not None}
    said = [
        f"could not {each.says or each.act}: {why[each.undo]}"
        for each in pending(journal)
        if each.undo in why
    ]
    if not said:
        return ""
    text = "; ".join(each.rstrip(".") for each in said)
    return f"Not all was put back: {text}. `ftrun cleanup` with this run's folder tries again."


def deaf(journal: Iterable[Event], axis: Axis) -> tuple[Stall, ...]:
    """Give the stalls of the forwarder, which the simulated service is asked through, by a prober's clock."""
    return tuple(
        (axis.instant(event.at - float(event.data["seconds"])), axis.instant(event.at))
        for event in _all(journal, events.ClusterEvent)
        if event.source == "forwarder" and event.data.get("event") == "stall"
    )


def assertions(journal: Sequence[Event], recordings: Recordings, path: str) -> list[run.Assertion]:
    """Give the cases that the assert step at a path of the last scenario marked, judged by what is known."""
    start = next(_all(journal, events.RunStart))
    began = list(_all(journal, events.ScenarioStart))[-1]
    return [each for each in _Tale(journal, recordings, began, start).assertions() if each.step == path]


def base(path: str) -> str:
    """Give the plan node of a step's path: `steps[4].block[0]` for `steps[4]#2.block[0]#1`."""
    return re.sub(r"#\d+", "", path)


def _superseded(paths: Iterable[str]) -> Iterator[str]:
    """Give the paths of attempts, at a step or a block, that were not the last.

    Instances of a loop are numbered from the first on, further attempts from the second on.
    """
    known = set(paths)
    for path in known:
        number = 2
        while f"{path}#{number}" in known:
            yield path if number == 2 else f"{path}#{number - 1}"
            number += 1


def _in_the_dark(text: str, unseen: str) -> str:
    """Give what is said of a wait that was in vain, with why nothing could be seen at its end."""
    return f"{text.rstrip('.')}. At its end nothing could be seen: {unseen}."


def _all(journal: Iterable[Event], kind: type[E]) -> Iterator[E]:
    return (event for event in journal if isinstance(event, kind))


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A probe from its start to its stop, if it did stop."""

    start: events.ProbeStart
    stop: float | None
    tracks: tuple[Track, ...]


class _Tale:
    """The events of one scenario, and what follows from them."""

    def __init__(
        self,
        journal: Sequence[Event],
        recordings: Recordings,
        began: events.ScenarioStart,
        start: events.RunStart,
    ) -> None:
        number = began.scenario
        self.began = began
        self.inventory = start.inventory.get("name", "")
        self.today = day(start.wall)
        self.recordings = recordings
        self.logs = {origin: recordings.prober(number, origin) for origin in ("cluster", "here")}
        self.own = tuple(event for event in journal if getattr(event, "scenario", None) == number)
        self.axis = self._axis(start)
        self.ended = next(_all(self.own, events.ScenarioEnd), None)
        # What is known at the end is known best.
        self.facts = ([facts.document for facts in _all(self.own, events.Facts)] or [{}])[-1]
        self.end = self.ended.t if self.ended else max(event.t for event in journal)
        self.faults = self._faults(journal)
        self.probes = tuple(self._probe(each) for each in _all(self.own, events.ProbeStart))
        self.observations = self._observations()
        self._whole: dict[int, Analysis | None] = {}
        begun = {step.path for step in _all(self.own, events.StepStart)}
        begun |= {mark.path for mark in _all(self.own, events.AssertMark)}
        self.superseded = tuple(_superseded(begun))
        self.waits = tuple(
            wait
            for wait in _all(self.own, events.WaitEnd)
            if not self._past(wait.path) and (wait.met or not self._pardoned(wait.path))
        )

    def scenario(self) -> run.Scenario:
        """Give the scenario with its verdict."""
        assertions = tuple(self.assertions())
        state = self.ended.state if self.ended else "killed"
        judged = sum(each.verdict is not Verdict.UNKNOWN for each in assertions)
        judged += sum(self._waited(wait)[0] is not Verdict.UNKNOWN for wait in self.waits if wait.after_fault)
        reasons = list(self._reasons(state, judged))
        axis = (self.began.t, self.end)
        account = self._account(self.end)
        explained = Explanation(account)
        return run.Scenario(
            name=self.began.name,
            file=self.began.file,
            line=self.began.line,
            description=self.began.description,
            tags=tuple(self.began.tags),
            verdict=merge([each.verdict for each in assertions] + [verdict for verdict, _ in reasons]),
            state=state,
            message="; ".join(dict.fromkeys(text for _, text in reasons if text)),
            start=self.began.t,
            end=self.end,
            judged=judged,
            steps=tuple(self._steps(assertions)),
            probes=tuple(
                run.Probe(
                    name=each.start.probe,
                    series=tuple(summary(track, self._analysed(track), axis) for track in each.tracks),
                    start=min((track.began for track in each.tracks), default=each.start.t),
                    end=each.stop,
                )
                for each in self.probes
            ),
            faults=tuple(self.faults.values()),
            assertions=assertions,
            happenings=tuple(
                run.Happening(at=event.at, source=event.source, slot=event.slot, text=event.text)
                for event in account.said
            ),
            cluster=self.facts,
            repetition=self.began.repetition,
            repetitions=self.began.repetitions,
            attempt=self.began.attempt,
            seed=self.began.seed,
            delay=self.began.delay,
            recoveries=explained.recoveries(),
            members=members(
                account.observed,
                account.said,
                [(each.fault, each.hits) for each in account.injuries],
                explained.cast,
                axis,
            ),
            availability=tuple(self._availability()),
        )

    def _analysed(self, track: Track) -> Analysis | None:
        """Give what the whole scope of a series says, analysed once."""
        if id(track) not in self._whole:
            self._whole[id(track)] = track.analyse(track.scope)
        return self._whole[id(track)]

    def _availability(self) -> Iterator[run.Availability]:
        """Give the worst windows of every series that was recorded."""
        for each in self.probes:
            for track in each.tracks:
                analysis = self._analysed(track)
                if analysis is None:
                    continue
                t1 = analysis.scope[1]
                possible = [
                    (window.start.earliest, t1 if window.end is None else window.end.latest)
                    for window in analysis.windows
                ]
                possible += [(cell.start, cell.end) for cell in analysis.blind]
                yield run.Availability(
                    each.start.probe,
                    track.name,
                    *availability(analysis.scope, certain=analysis.proven, possible=possible),
                )

    def _account(self, end: float) -> Account:
        """Give what was known of the scenario at an instant, for the faults to be explained by."""
        lanes: list[Lane] = []
        for each in self.probes:
            for track in each.tracks:
                scope = track.clip(end=end)
                if scope is None:
                    continue
                analysis = self._analysed(track) if scope == track.scope else track.analyse(scope)
                name, unsure = str(track.spec.get("endpoint", "")), track.unsure
                windows: tuple[run.Window, ...] = ()
                blind: tuple[run.Blind, ...] = (run.Blind(*scope, ("no sample file",)),)
                if unsure is None:
                    # What was measured cannot be put beside what happened here.
                    blind = (run.Blind(*scope, ("clocks cannot be joined",)),)
                elif analysis is not None:
                    placed = track.placed(analysis)
                    windows, blind = placed.windows, placed.blind
                lanes.append(Lane(each.start.probe, track.name, name, scope, windows, blind, unsure or 0.0))
        said = sorted(
            (event for event in _all(self.own, events.ClusterEvent) if event.t <= end),
            key=lambda event: event.at,
        )
        return Account(
            end=end,
            injuries=tuple(
                Injury(intent.fault, fault, intent.hits)
                for intent in _all(self.own, events.FaultIntent)
                if (fault := self.faults[intent.fault]).injected is not None and fault.injected <= end
            ),
            observed=tuple(each for each in self.observations.values() if each.at <= end),
            said=tuple(said),
            lanes=tuple(lanes),
        )

    def _reasons(self, state: str, judged: int) -> Iterator[tuple[Verdict, str]]:
        """Give what weighs on the verdict beside the assertions, each with its sentence."""
        for abort in _all(self.own, events.Aborted):
            yield Verdict.FAIL, abort.text
        if state not in ("finished", "aborted"):
            yield Verdict.UNKNOWN, (self.ended.message if self.ended else "") or f"The scenario was {state}."
        for wait in self.waits:
            verdict, known = self._waited(wait)
            if wait.met and verdict is Verdict.PASS:
                continue
            said = bool(wait.mismatch) and self.ended is not None and wait.mismatch in self.ended.message
            text = f"Waited {'' if wait.met else 'in vain '}for {wait.waited}"
            text += f": {wait.mismatch}" if wait.mismatch else ""
            if not wait.met and (unseen := self._unseen(wait.t)):
                said, text = False, _in_the_dark(text, unseen)
            if known is not None:
                text += f" ({known.says})"
            yield verdict, "" if said and state != "finished" and known is None else text
        told = {wait.path for wait in _all(self.own, events.WaitEnd)}
        # A block ends as the step in it that says why.
        told |= {step.path for step in _all(self.own, events.StepStart) if step.step in BLOCKS}
        for step in _all(self.own, events.StepEnd):
            if step.state == "withheld" and not self._past(step.path):
                yield Verdict.UNKNOWN, step.message
            if step.state == "unmet" and step.path not in told and not self._pardoned(step.path):
                hit = any(
                    fault.injected is not None and fault.injected < step.t for fault in self.faults.values()
                )
                unseen = self._unseen(step.t)
                text = _in_the_dark(step.message, unseen) if unseen else step.message
                yield (Verdict.FAIL if hit and not unseen else Verdict.UNKNOWN), text
        for fault in self.faults.values():
            if fault.injected is not None and not fault.confirmed:
                yield Verdict.UNKNOWN, f"The fault {fault.name} was not confirmed."
        if state == "finished" and not judged:
            yield Verdict.UNKNOWN, "Nothing was judged."

    def _waited(self, wait: events.WaitEnd) -> tuple[Verdict, run.Known | None]:
        """Give the verdict of a wait: not met, it fails after a fault only, and where that was seen."""
        if wait.met:
            verdict = Verdict.PASS
        else:
            verdict = Verdict.FAIL if wait.after_fault and not self._unseen(wait.t) else Verdict.UNKNOWN
        return self._excused(verdict, wait.known)

    def _unseen(self, at: float) -> str:
        """Give why nothing could be seen of the cluster at an instant; empty where something could."""
        last = next((each for each in reversed(self.observations.values()) if each.at <= at), None)
        return str(last.document.get("unseen", "")) if last else ""

    def _excused(
        self, verdict: Verdict, known: Mapping[str, Json] | None
    ) -> tuple[Verdict, run.Known | None]:
        if known is None:
            return verdict, None
        return excused(verdict, known, today=self.today, ray=version(self.facts))

    def _pardoned(self, path: str) -> bool:
        """Tell whether a step, or what holds it, was ignored: by ignore_errors, or for another attempt."""
        ended = _all(self.own, events.StepEnd)
        return any(f"{path}.".startswith(f"{end.path}.") for end in ended if end.state == "ignored")

    def _past(self, path: str) -> bool:
        """Tell whether it is, or stands in, an attempt that was not the last: that counts for nothing."""
        return any(f"{path}.".startswith(f"{attempt}.") for attempt in self.superseded)

    # Faults and what the cluster said

    def _faults(self, journal: Sequence[Event]) -> dict[int, run.Fault]:
        """Give the scenario's faults by number; what was intended and not done has no `injected`."""
        faults = {
            intent.fault: run.Fault(
                name=intent.name,
                kind=intent.fault_kind,
                how=intent.how,
                target=intent.target,
                hits=tuple(str(hit.get("says") or hit.get("slot", "")) for hit in intent.hits),
                intended=intent.intended,
                injected=None,
                confirmed=None,
                healed=None,
                recovered=None,
            )
            for intent in _all(self.own, events.FaultIntent)
        }
        for event in journal:
            match event:
                case events.FaultInjected(fault=number) if number in faults:
                    known = faults[number]
                    faults[number] = replace(
                        known, injected=event.at, evidence={**known.evidence, **event.evidence}
                    )
                case events.FaultConfirmed(fault=number) if number in faults:
                    known = faults[number]
                    why = {"why": event.why} if event.why else {}
                    faults[number] = replace(
                        known, confirmed=event.confirmed, evidence={**known.evidence, **event.evidence, **why}
                    )
                case events.FaultHealed(fault=number) if number in faults:
                    faults[number] = replace(faults[number], healed=event.at)
                case events.FaultRecovered(fault=number) if (
                    number in faults and faults[number].recovered is None
                ):
                    # A later wait for the same sees what holds since.
                    known = faults[number]
                    missing = {} if event.missing is None else {"missing_at": event.missing}
                    faults[number] = replace(
                        known, recovered=event.at, evidence={**known.evidence, **missing}
                    )
                case _:
                    pass
        return faults

    def _observations(self) -> dict[int, Observed]:
        """Give the observations by `seq`; one that says nothing new has the document of the one it names."""
        found: dict[int, Observed] = {}
        for event in _all(self.own, events.Observation):
            document = event.document
            if document is None and event.same_as in found:
                document = found[event.same_as].document
            if document is not None:
                found[event.seq] = Observed(asked=event.asked, at=event.t, document=document)
        return found

    # Probes

    def _axis(self, start: events.RunStart) -> Axis:
        """Give how the clock of the scenario's prober in the cluster stands to the run's."""
        pings = pinged(_all(self.own, events.ClockPing), start.monotonic)
        ready = next((line for line in self.logs["cluster"].others if line.get("kind") == "ready"), None)
        other = (
            ready is not None
            and start.boot_id != ""
            and ((ready.get("boot_id"), ready.get("time_namespace")) != (start.boot_id, start.time_namespace))
        )
        return Axis(round(start.monotonic * 1e9), pings if pings or other else None)

    def _probe(self, start: events.ProbeStart) -> _Stretch:
        """Read the series of one start of a probe."""
        again = next(
            (
                each
                for each in _all(self.own, events.ProbeStart)
                if each.probe == start.probe and each.seq > start.seq
            ),
            None,
        )

        def after(kind: type[events.ProbeSteady | events.ProbeStop]) -> float | None:
            return next(
                (
                    event.at
                    for event in _all(self.own, kind)
                    if event.probe == start.probe
                    and event.seq > start.seq
                    and (again is None or event.seq < again.seq)
                ),
                None,
            )

        stop = after(events.ProbeStop)
        end = self.end if again is None else again.t
        axis = self.axis.of(start.origin)
        over = self.logs[start.origin].stops.get(start.probe) if again is None else None
        if over is not None and axis.seconds(over) <= start.t:
            over = None
        # Where the clocks differ, what the journal says of it was less certain.
        if over is not None and (stop is None or axis.pings is not None):
            stop = axis.seconds(over)
        steady = after(events.ProbeSteady)
        tracks = tuple(self._track(start, spec, steady, end, stop=stop, over=over) for spec in start.series)
        return _Stretch(start, stop, tracks)

    def _track(
        self,
        start: events.ProbeStart,
        spec: Mapping[str, Json],
        steady: float | None,
        end: float,
        *,
        stop: float | None,
        over: int | None,
    ) -> Track:
        log, axis = self.logs[start.origin], self.axis.of(start.origin)
        own = (None, (start.probe, spec["series"]))
        others = tuple(
            line
            for line in log.others
            if ((line.get("probe"), line["series"]) if "series" in line else None) in own
        )
        samples = self.recordings.series(str(spec["file"]))
        known = timing(samples.header) if samples is not None else None
        began = float(spec["t0"])
        if known is not None and axis.pings is not None:
            began = axis.seconds(known.t0)
        unheard = deaf(self.own, axis) if spec.get("simulated") else ()
        others += tuple({"kind": "deaf", "start_ns": start, "end_ns": end} for start, end in unheard)
        last = axis.seconds(int(samples.sent[-1])) if samples is not None and len(samples.sent) else began
        return Track(
            spec=spec,
            began=began,
            # The series of a probe begin one after the other.
            scope=(began if steady is None else max(began, steady), max(end if stop is None else stop, last)),
            axis=axis,
            log=replace(log, others=others),
            stopped=stop is not None,
            timing=known,
            evidence=gather(samples, log.stalls, unheard) if samples is not None else None,
            over=over,
            within=(self.began.t, self.end),
        )

    # Steps and assertions

    def _steps(self, assertions: Sequence[run.Assertion]) -> Iterator[run.Step]:
        """Give the steps as they went, in the order they began, then those that were never reached."""
        false = {each.step for each in assertions if each.verdict is Verdict.FAIL}
        ends: dict[str, events.StepEnd] = {}
        for end in _all(self.own, events.StepEnd):
            ends[end.path] = end
        started = list(_all(self.own, events.StepStart))
        waits = {wait.path: self._waited(wait) for wait in self.waits}
        excuses = [path for path, (verdict, _) in waits.items() if verdict is Verdict.KNOWN]
        for step in {each.path: each for each in started}.values():
            ended = ends.get(step.path)
            state = self._state(ended) if ended else "cancelled"
            message = ended.message if ended else "It was under way when the journal ended."
            if step.step == "assert" and state in ("ok", "failed") and not self._past(step.path):
                # Judged by all that is known now; during the run less was.
                state = "failed" if step.path in false else "ok"
                message = "; ".join(
                    f"{each.name}: {each.verdict}"
                    for each in assertions
                    if each.step == step.path and each.verdict is not Verdict.PASS
                )
            verdict, known = waits.get(step.path, (Verdict.PASS, None))
            if state == "unmet" and any(f"{path}.".startswith(f"{step.path}.") for path in excuses):
                state = "known"
            elif state == "ok" and verdict is Verdict.FAIL:
                state = "failed"
            if known is not None:
                message += f" ({known.says})" if message else known.says
            yield run.Step(
                path=step.path,
                name=step.name,
                kind=step.step,
                state=state,
                file=step.file,
                line=step.line,
                start=step.t,
                end=ended.t if ended else None,
                message=message,
                known=known,
            )
        seen = {base(step.path) for step in started}
        for planned in self.began.steps:
            if planned["path"] in seen:
                continue
            skipped = self._skipped(planned["path"])
            yield run.Step(
                path=planned["path"],
                name=planned["name"],
                kind=planned["kind"],
                state="skipped" if skipped else "not_reached",
                file=planned["file"],
                line=planned["line"],
                start=None,
                end=None,
                message="",
            )

    def _state(self, end: events.StepEnd) -> str:
        """Give how a step ended; what went wrong and counts for nothing is ignored."""
        if self._past(end.path):
            return "ignored" if end.state in ("failed", "error", "unmet", "withheld") else end.state
        return "ignored" if end.state in ("error", "unmet") and self._pardoned(end.path) else end.state

    def _skipped(self, path: str) -> bool:
        """Tell whether a plan node had no need to run: it or what holds it was skipped, or nothing failed."""
        nodes = [path[: match.start()] for match in re.finditer(r"\.|$", path)]
        if any(
            end.state == "skipped" and base(end.path) in nodes and not self._past(end.path)
            for end in _all(self.own, events.StepEnd)
        ):
            return True
        begun = {base(step.path) for step in _all(self.own, events.StepStart)}
        ended = {base(end.path) for end in _all(self.own, events.StepEnd)}
        for match in re.finditer(r"\.rescue\[", path):
            rescue = path[: match.end()]
            if path[: match.start()] in ended and not any(step.startswith(rescue) for step in begun):
                return True
        return False

    def assertions(self) -> Iterator[run.Assertion]:
        """Give the cases of all marks, judged, then those never reached; a skipped scenario has none."""
        if self.ended is not None and self.ended.state == "skipped":
            return
        marks = {mark.path: mark for mark in _all(self.own, events.AssertMark) if not self._past(mark.path)}
        for mark in marks.values():
            evidence = self._evidence(mark)
            for case in mark.cases:
                finding = judge(case, evidence)
                verdict, known = self._excused(finding.verdict, case.get("known"))
                unforeseen = known is not None and known.state == "passes"
                yield run.Assertion(
                    case=self._case(case),
                    name=str(case["name"]),
                    verdict=verdict,
                    expected=f"a fail, as is known ({finding.expected})" if unforeseen else finding.expected,
                    actual=f"a pass ({finding.actual})" if unforeseen else finding.actual,
                    why="; ".join(each for each in (finding.why, known.says if known else "") if each),
                    file=str(case.get("file", self.began.file)),
                    line=int(case.get("line", 0)),
                    step=mark.path,
                    at=mark.t,
                    known=known,
                )
        reached = {base(path) for path in marks}
        for planned in self.began.steps:
            if planned["path"] in reached or self._skipped(planned["path"]):
                continue
            for case in planned.get("cases", ()):
                yield run.Assertion(
                    case=self._case(case),
                    name=str(case["name"]),
                    verdict=Verdict.UNKNOWN,
                    expected=str(case.get("says", case["name"])),
                    actual="never reached",
                    why="the run did not come to this assertion",
                    file=str(case.get("file", planned["file"])),
                    line=int(case.get("line", planned["line"])),
                    step=planned["path"],
                    at=None,
                )

    def _case(self, case: Mapping[str, Json]) -> str:
        """Give the name that joins histories: scenario, inventory, assertion; nothing measured."""
        return f"{self.began.name}@{self.inventory}: {case['name']}"

    def _evidence(self, mark: events.AssertMark) -> Evidence:
        """Give what a mark is judged by: what was sent and seen before it."""
        tracks: dict[str, list[Track]] = {}
        for each in self.probes:
            if each.start.seq < mark.seq:
                tracks.setdefault(each.start.probe, []).extend(each.tracks)
        looked_at = self.observations.get(mark.observation) if mark.observation is not None else None
        # What was asked before the last fault says nothing of what holds after it.
        hit = max(
            (each.injected or 0.0 for each in self.faults.values() if (each.injected or 0.0) < mark.t),
            default=0.0,
        )
        if looked_at is not None and looked_at.asked < hit:
            looked_at = None

        def phase(number: int, name: str) -> Measured | None:
            return Explanation(self._account(mark.t)).phase(number, name)

        return Evidence(
            phase=phase,
            at=mark.t,
            tracks=tracks,
            faults=self.faults,
            observations=tuple(self.observations.values()),
            document=looked_at.document if looked_at else None,
            ray_state=mark.ray_state,
            unmet=tuple(
                (wait.t, wait.waited)
                for wait in self.waits
                if not wait.met and wait.t <= mark.t and not self._unseen(wait.t)
            ),
        )
