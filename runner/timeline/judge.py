"""The judge: a case of docs/assertions.md and the evidence give a verdict, and say why.

It looks at nothing but what is handed in, so the same run is judged alike during it, after it, and later
from its folder.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from runner.journal.samples import Outcome
from runner.timeline.cast import Observed
from runner.timeline.evidence import Class
from runner.timeline.matching import Finding, match, unchanged
from runner.timeline.recovery import Measured
from runner.timeline.run import Fault, Verdict
from runner.timeline.series import Track, latencies, percentile
from runner.timeline.verdict import Interval, merge, within
from runner.timeline.windows import Analysis, named
from runner.timeline.words import between, counted, number, ordinal, seconds, share

Json = Any


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a mark may be judged by. Tracks are those that began before it; faults go by number."""

    at: float
    tracks: Mapping[str, Sequence[Track]] = field(default_factory=dict)
    faults: Mapping[int, Fault] = field(default_factory=dict)
    observations: Sequence[Observed] = ()
    document: Mapping[str, Json] | None = None
    ray_state: Mapping[str, Json] | None = None
    phase: Callable[[int, str], Measured | None] = lambda _number, _name: None
    """Gives one phase of a fault, as far as was known at the mark."""
    unmet: Sequence[tuple[float, str]] = ()
    """Waits that ended without their condition, as far as that was seen: when, and for what."""


class _Unknown(Exception):
    """Nothing can be said, for this reason."""


Part = tuple[Track, tuple[float, float]]
"""A series and the stretch of it that is looked at."""


def judge(case: Mapping[str, Json], evidence: Evidence) -> Finding:
    """Judge one case; all that it says must hold."""
    findings = list(_judge(case, evidence))
    if not findings:
        return Finding(Verdict.UNKNOWN, "something to assert", "nothing", "the case asserts nothing")
    return Finding(
        merge(each.verdict for each in findings),
        "; ".join(each.expected for each in findings),
        "; ".join(each.actual for each in findings),
        "; ".join(dict.fromkeys(each.why for each in findings if each.why)),
    )


def _judge(case: Mapping[str, Json], evidence: Evidence) -> Iterable[Finding]:
    for name, judgement in _JUDGEMENTS.items():
        if case.get(name) is None or (name == "count" and case.get("probe") is None):
            continue
        try:
            yield judgement(case, evidence)
        except _Unknown as reason:
            yield Finding(Verdict.UNKNOWN, _EXPECTED[name](case), "not known", str(reason))


# Limits on what a probe measured


@dataclass(frozen=True, slots=True)
class _Measure:
    """How one limit is measured, and said."""

    noun: str
    measure: Callable[[Track, tuple[float, float], Analysis, Mapping[str, Json]], Interval | None]
    """None where there was no right answer to measure."""
    say: Callable[[float], str]
    resolved: bool
    """Whether what is shorter than the resolution escapes it."""


def _success(analysis: Analysis) -> Interval:
    """Give the share of good samples, were what is unseen all bad, or all good."""
    every = analysis.evidence + analysis.unseen
    if not every:
        return Interval(0.0, 1.0)
    return Interval(analysis.good / every, (analysis.good + analysis.unseen) / every)


def _latency(
    track: Track, scope: tuple[float, float], analysis: Analysis, limit: Mapping[str, Json]
) -> Interval | None:
    stretch = track.stretch(scope, -1)
    ordered = latencies(stretch) if stretch is not None else None
    if ordered is None or not len(ordered):
        return None
    return percentile(ordered, float(limit.get("percentile", 99.0)), analysis.unseen)


_MEASURES: Mapping[str, _Measure] = {
    "failed": _Measure("failed requests", lambda _t, _s, found, _l: found.failed, number, False),
    "count": _Measure("downtime windows", lambda _t, _s, found, _l: found.count, number, True),
    "total": _Measure("downtime in all", lambda _t, _s, found, _l: found.total, seconds, True),
    "longest": _Measure("longest downtime", lambda _t, _s, found, _l: found.longest, seconds, True),
    "success": _Measure("good samples", lambda _t, _s, found, _l: _success(found), share, False),
    "latency": _Measure("latency", _latency, seconds, False),
}


def _limit(name: str) -> Callable[[Mapping[str, Json], Evidence], Finding]:
    """Give the judgement of one limit: on every series of the probe, merged."""

    def judgement(case: Mapping[str, Json], evidence: Evidence) -> Finding:
        how, limit = _MEASURES[name], case[name]
        verdicts: dict[str, Verdict] = {}
        said: list[str] = []
        for track, scope in _parts(case, evidence):
            analysis = track.analyse(scope)
            if analysis is None or not analysis.evidence:
                verdict, text = Verdict.UNKNOWN, "no samples"
            elif (measured := how.measure(track, scope, analysis, limit)) is None:
                verdict, text = Verdict.UNKNOWN, "no right answer"
            else:
                verdict = within(measured, least=limit.get("min"), most=limit.get("max"))
                text = between(measured, how.say)
                if how.resolved and analysis.resolution is not None:
                    text += f" (resolution {seconds(analysis.resolution)})"
                text += _dark(analysis)
            # A probe that ran twice has two series of one name.
            verdicts[track.name] = merge((verdicts.get(track.name, Verdict.PASS), verdict))
            said.append(f"{track.name}: {text}")
        verdict = merge(verdicts.values())
        return Finding(verdict, _EXPECTED[name](case), "; ".join(said), _blame(verdict, verdicts))

    return judgement


def _errors(case: Mapping[str, Json], evidence: Evidence) -> Finding:
    """Judge how requests failed; what is blind can only hide more ways to fail."""
    allowed = set(case["errors"]["allow"])
    verdicts: dict[str, Verdict] = {}
    said: list[str] = []
    strange: dict[str, int] = {}
    for track, scope in _parts(case, evidence):
        stretch, analysis = track.stretch(scope, -1), track.analyse(scope)
        if stretch is None or analysis is None or not analysis.evidence:
            verdict, text = Verdict.UNKNOWN, "no samples"
        else:
            failed = named(np.bincount(stretch.outcome[stretch.kind == Class.BAD]))
            others = {name: number for name, number in failed.items() if name not in allowed}
            unseen = analysis.failed.hi - analysis.failed.lo
            verdict = within(Interval(sum(others.values()), sum(others.values()) + unseen), most=0)
            text = (counted(failed) or "none failed") + _dark(analysis)
            for name, number in others.items():
                strange[name] = strange.get(name, 0) + number
        verdicts[track.name] = merge((verdicts.get(track.name, Verdict.PASS), verdict))
        said.append(f"{track.name}: {text}")
    verdict = merge(verdicts.values())
    why = _blame(verdict, verdicts) + (f" by {counted(strange)}" if strange else "")
    return Finding(verdict, _EXPECTED["errors"](case), "; ".join(said), why)


def _dark(analysis: Analysis) -> str:
    """Say for how long nothing is known, and why; nothing where all is."""
    if not analysis.blind:
        return ""
    dark = sum(each.end - each.start for each in analysis.blind)
    causes = sorted({cause for each in analysis.blind for cause in each.causes})
    return f" (blind for {seconds(dark)}{': ' if causes else ''}{', '.join(causes)})"


def _blame(verdict: Verdict, verdicts: Mapping[str, Verdict]) -> str:
    """Name the series that the verdict is due to."""
    if verdict is Verdict.PASS:
        return ""
    names = ", ".join(name for name, each in verdicts.items() if each is verdict)
    return f"failed on {names}" if verdict is Verdict.FAIL else f"too little is known of {names}"


def _parts(case: Mapping[str, Json], evidence: Evidence) -> list[Part]:
    """Give the series that a case looks at, each with its scope."""
    probe = case["probe"]
    tracks = evidence.tracks.get(probe, ())
    if not tracks:
        raise _Unknown(f"the probe {probe} never ran before this assertion")
    chosen = [
        track
        for track in tracks
        if case.get("endpoint") in (None, track.spec.get("endpoint"))
        and case.get("connection") in (None, track.spec.get("connection"))
    ]
    if not chosen:
        raise _Unknown(f"the probe {probe} has no series at that endpoint and connection")
    during = case.get("during")
    start, end = (
        _phase(during["phase"], _fault(during["fault"], evidence), evidence)
        if during
        else (-math.inf, math.inf)
    )
    parts = [(track, scope) for track in chosen if (scope := track.clip(start, min(end, evidence.at)))]
    if not parts:
        raise _Unknown(f"the probe {probe} did not run then")
    if any(track.unsure is None for track, _ in parts):
        raise _Unknown("the pings of its prober disagree, so that its clock cannot be joined with the run's")
    return parts


# Faults


def _fault(number: int | str, evidence: Evidence) -> Fault:
    """Give a fault that is known to have hit; one that was not injected stands with its name."""
    fault = evidence.faults.get(number) if isinstance(number, int) else None
    if fault is None or fault.injected is None:
        raise _Unknown(f"the fault {fault.name if fault else number} was not injected")
    if not fault.confirmed:
        raise _Unknown(f"the fault {fault.name} was not confirmed")
    return fault


def _phase(phase: str, fault: Fault, evidence: Evidence) -> tuple[float, float]:
    """Give the time before, during or after a fault; "during" ends at the mark if no recovery was seen."""
    assert fault.injected is not None
    recovered = fault.recovered if fault.recovered is not None and fault.recovered <= evidence.at else None
    if phase == "before":
        return -math.inf, fault.injected
    if phase == "during":
        return fault.injected, evidence.at if recovered is None else recovered
    if recovered is None:
        raise _Unknown(f"no recovery from {fault.name} was seen before this assertion")
    return recovered, evidence.at


def _recovery(case: Mapping[str, Json], evidence: Evidence) -> Finding:
    limit = case["recovery"]
    fault = _fault(limit["fault"], evidence)
    assert fault.injected is not None
    expected = _EXPECTED["recovery"](case)
    if (name := limit.get("phase", "recovery")) != "recovery":
        return _early(name, limit, expected, evidence.phase(limit["fault"], name))
    if fault.recovered is not None and fault.recovered <= evidence.at:
        took = fault.recovered - fault.injected
        # Recovered when seen so at the latest; at the earliest when last seen not to be.
        missing = max(0.0, fault.evidence.get("missing_at", fault.injected) - fault.injected)
        verdict = within(Interval(missing, took, above=missing > 0), most=limit["max"])
        why = "" if verdict is not Verdict.UNKNOWN else f"last seen not recovered after {seconds(missing)}"
        return Finding(verdict, expected, f"recovered, as was seen {seconds(took)} after the fault", why)
    waited = max(
        (
            at - fault.injected
            for at, what in evidence.unmet
            # A wait for more than that may have been in vain for another reason.
            if at >= fault.injected and what == f"the cluster recovered from {fault.name}"
        ),
        default=None,
    )
    if waited is None:
        raise _Unknown(f"nobody saw a recovery from {fault.name} before this assertion")
    verdict = Verdict.FAIL if waited > limit["max"] else Verdict.UNKNOWN
    why = "" if verdict is Verdict.FAIL else "the wait for it ended before the limit did"
    return Finding(verdict, expected, f"not recovered {seconds(waited)} after the fault", why)


def _early(name: str, limit: Mapping[str, Json], expected: str, measured: Measured | None) -> Finding:
    """Judge how soon a phase before the recovery came."""
    if measured is None:
        raise _Unknown("nothing is known of the fault")
    phase, interval = measured.phase, measured.interval
    if phase.after is None:
        actual = phase.by
    else:
        when = between(Interval(phase.after.earliest, phase.after.latest), seconds)
        actual = f"{name} {when} after the fault: {phase.by}" + (f" ({phase.source})" if phase.source else "")
    if interval is None:
        return Finding(Verdict.UNKNOWN, expected, actual, phase.by)
    verdict = within(interval, most=limit["max"])
    why = "" if verdict is not Verdict.UNKNOWN else f"it lies {between(interval, seconds)} after the fault"
    return Finding(verdict, expected, actual, why)


def _identities(case: Mapping[str, Json], evidence: Evidence) -> Finding:
    """Judge how many different ones answered, in all series together."""
    parts = _parts(case, evidence)
    if not any(track.spec.get("identity") for track, _ in parts):
        raise _Unknown(f"the probe {case['probe']} has no `identity`: nobody knows who answered")
    limit = case["identities"]
    seen = {name for track, scope in parts for name in track.identities(scope, -1)}
    # What nobody saw, or said no name, may be another one each.
    hidden = sum(_unseen(part, part[1]) for part in parts)
    shared = _shared(seen, evidence)
    measured = Interval(len(seen), len(seen) + hidden + sum(each - 1 for each in shared.values()))
    verdict = within(measured, least=limit.get("min"), most=limit.get("max"))
    why = ""
    if verdict is Verdict.UNKNOWN:
        why = _sharing(shared) if shared else f"who answered {number(hidden)} more requests is not known"
    actual = f"{between(measured, number)} answered"
    return Finding(verdict, _EXPECTED["identities"](case), actual, why)


def _same_identities(case: Mapping[str, Json], evidence: Evidence) -> Finding:
    fault = _fault(case["same_identities"], evidence)
    before = _phase("before", fault, evidence)
    during = _phase("during", fault, evidence)
    expected = _EXPECTED["same_identities"](case)
    whole = {key: value for key, value in case.items() if key != "during"}
    parts = _parts(whole, evidence) if case.get("probe") else []
    hidden, shared = 0, {}
    if any(track.spec.get("identity") for track, _ in parts):
        # Who may have answered before the fault is nobody new after it.
        who = _who_answered(parts, before, 1), _who_answered(parts, during, -1)
        # Of all replicas, and so at any endpoint of the probe; here only who surely answered before.
        heard = _who_answered(_parts({"probe": case["probe"]}, evidence), before, -1)
        noun, note = "identities that answered", ""
        hidden = sum(_unseen(part, during) for part in parts)
        shared = _shared(who[1], evidence)
    else:
        who = _replicas_seen(evidence, before), _replicas_seen(evidence, during)
        heard = who[0]
        noun, note = (
            "replicas observed",
            "the probe has no identity: replicas' actor ids as observed were compared",
        )
    if not who[0]:
        raise _Unknown(f"no {noun} before the fault")
    if not who[1]:
        raise _Unknown(f"no {noun} between the fault and the recovery")
    new = sorted(who[1] - who[0])
    actual = f"{len(who[0])} {noun} before the fault, {len(who[1])} from it to the recovery, "
    actual += f"{len(new)} of them new: {', '.join(new[:10])}" if new else "none of them new"
    if hidden and not new:
        # What nobody saw, or said no name, may be a new one.
        return Finding(
            Verdict.UNKNOWN, expected, actual, f"who answered {number(hidden)} more requests is not known"
        )
    if shared and not new:
        return Finding(Verdict.UNKNOWN, expected, actual, _sharing(shared))
    if 0 < len(new) <= (silent := _silent(heard, evidence, before)):
        why = f"{number(silent)} of the replicas that ran before the fault had not answered by then"
        return Finding(Verdict.UNKNOWN, expected, actual, why)
    return Finding(Verdict.FAIL if new else Verdict.PASS, expected, actual, note)


def _shared(names: Iterable[str], evidence: Evidence) -> dict[str, int]:
    """Give the names that are no names: the process id of several replicas, and of how many.

    Containers number their processes from 1 each, so alike containers, and one that started again, give their
    replicas the same ids.
    """
    having: dict[str, set[str]] = {}
    for rows in _replica_rows(evidence, (-math.inf, math.inf)):
        for replica in rows:
            if replica.get("pid") is not None and replica.get("actor_id") is not None:
                having.setdefault(str(replica["pid"]), set()).add(str(replica["actor_id"]))
    return {name: len(having[name]) for name in sorted(names) if len(having.get(name, ())) > 1}


def _sharing(shared: Mapping[str, int]) -> str:
    name, count = next(iter(shared.items()))
    return f"{name} is the process id of {count} replicas: let answers say what only one has, as actor ids"


def _unseen(part: Part, when: tuple[float, float]) -> int:
    """Count the requests of a series that may have been answered in that time, nobody knows by whom."""
    track, scope = part[0], (max(part[0].began, when[0]), min(part[1][1], when[1]))
    stretch = track.stretch(scope, -1) if scope[0] < scope[1] else None
    analysis = track.analyse(scope) if stretch is not None else None
    if stretch is None or analysis is None:
        return 0
    nameless = np.count_nonzero((stretch.outcome == Outcome.OK) & (stretch.who == 0))
    return analysis.unseen + int(nameless)


def _who_answered(parts: Iterable[Part], when: tuple[float, float], margin: int) -> set[str]:
    """Give who answered; also what was sent before the probe was steady tells who was there."""
    return {
        name
        for track, _ in parts
        if (scope := (max(track.began, when[0]), min(track.scope[1], when[1])))[0] < scope[1]
        for name in track.identities(scope, margin)
    }


def _silent(heard: Collection[str], evidence: Evidence, when: tuple[float, float]) -> int:
    """Count the replicas that ran, as the last document of that time says, beyond those that were heard."""
    every = _replica_rows(evidence, when)
    running = [each for each in every[-1] if each.get("state") == "RUNNING"] if every else []
    # Replicas that share a process id are all heard by it: none of them comes as somebody new.
    having = Counter(str(each["pid"]) for each in running if each.get("pid") is not None)
    return len(running) - sum(max(1, having[name]) for name in heard)


def _replicas_seen(evidence: Evidence, when: tuple[float, float]) -> set[str]:
    """Give the actor ids of the replicas that ran, as documents of that time say."""
    return {
        str(replica["actor_id"])
        for rows in _replica_rows(evidence, when)
        for replica in rows
        if replica.get("state") == "RUNNING" and replica.get("actor_id") is not None
    }


def _replica_rows(evidence: Evidence, when: tuple[float, float]) -> list[Sequence[Mapping[str, Json]]]:
    """Give the replicas of each document asked for and answered in that time in which they are known."""
    return [
        seen.document.get("replicas", ())
        for seen in evidence.observations
        if when[0] <= seen.asked
        and seen.at <= min(when[1], evidence.at)
        and "replicas" not in seen.document.get("unknown", ())
    ]


# Documents and expressions


def _state(case: Mapping[str, Json], evidence: Evidence) -> Finding:
    look = _look(case, evidence)
    if (during := case.get("during")) is None:
        return look(evidence.document)
    start, end = _phase(during["phase"], _fault(during["fault"], evidence), evidence)
    seen = [
        each for each in evidence.observations if start <= each.asked and each.at <= min(end, evidence.at)
    ]
    found = [(each.at, look(each.document)) for each in seen]
    known = [(at, finding) for at, finding in found if finding.verdict is not Verdict.UNKNOWN]
    if not known:
        reason = found[-1][1].why if found else "nothing was observed then"
        raise _Unknown(reason)
    expected = f"{known[0][1].expected}, all the time {during['phase']} the fault"
    for at, finding in known:
        if finding.verdict is Verdict.FAIL:
            return Finding(
                Verdict.FAIL, expected, f"{finding.actual}, as was seen at {seconds(at)}", finding.why
            )
    silent = "" if len(known) == len(seen) else f"; in {len(seen) - len(known)} more nobody could say"
    return Finding(Verdict.PASS, expected, f"so it was in {len(known)} observations{silent}")


def _look(case: Mapping[str, Json], evidence: Evidence) -> Callable[[Mapping[str, Json] | None], Finding]:
    """Give what judges one document."""
    path: str = case["state"]
    if case.get("unchanged") is None:
        return lambda document: match(case, path, document)
    injected = _fault(case["unchanged"], evidence).injected
    assert injected is not None
    earlier = [each.document for each in evidence.observations if each.at <= injected]
    # The last one that somebody could answer for.
    able = (each for each in reversed(earlier) if unchanged(path, each, each).verdict is not Verdict.UNKNOWN)
    before = next(able, earlier[-1] if earlier else None)
    return lambda document: unchanged(path, before, document)


def _ray_state(case: Mapping[str, Json], evidence: Evidence) -> Finding:
    asked = case["ray_state"]
    answers = evidence.ray_state or {}
    finding = match(case, asked["path"], answers.get(asked["resource"]))
    return Finding(finding.verdict, f"{asked['resource']}: {finding.expected}", finding.actual, finding.why)


def _that(case: Mapping[str, Json], _evidence: Evidence) -> Finding:
    that = case["that"]
    value = that.get("value")
    if value is None:
        raise _Unknown(that.get("why") or "the expression gave nothing")
    return Finding(Verdict.PASS if value else Verdict.FAIL, _EXPECTED["that"](case), f"it is {value!r}")


_JUDGEMENTS: Mapping[str, Callable[[Mapping[str, Json], Evidence], Finding]] = {
    **{name: _limit(name) for name in _MEASURES},
    "errors": _errors,
    "identities": _identities,
    "same_identities": _same_identities,
    "recovery": _recovery,
    "state": _state,
    "ray_state": _ray_state,
    "that": _that,
}

# What is said to people


def _expect(name: str) -> Callable[[Mapping[str, Json]], str]:
    """Give the sentence of one limit, such as `longest downtime of users at most 10 s`."""

    def sentence(case: Mapping[str, Json]) -> str:
        how, limit = _MEASURES[name], case[name]
        noun = (
            f"{ordinal(limit.get('percentile', 99.0))} percentile of latency"
            if name == "latency"
            else how.noun
        )
        return f"{noun} of {_of(case)} {_bounds(limit, how.say)}"

    return sentence


def _bounds(limit: Mapping[str, Json], say: Callable[[float], str]) -> str:
    return " and ".join(
        f"at {word} {say(limit[bound])}"
        for bound, word in (("min", "least"), ("max", "most"))
        if limit.get(bound) is not None
    )


def _of(case: Mapping[str, Json]) -> str:
    """Give what a case looks at: `users head new during the fault`."""
    place = "".join(f" {case[key]}" for key in ("endpoint", "connection") if case.get(key))
    phase = f" {case['during']['phase']} the fault" if case.get("during") else ""
    return f"{case['probe']}{place}{phase}"


def _expect_errors(case: Mapping[str, Json]) -> str:
    allowed = " or ".join(case["errors"]["allow"])
    return f"requests of {_of(case)} fail " + (f"by {allowed} only" if allowed else "not at all")


_PHASES = {
    "impact": "the first request lost",
    "detection": "noticed by the cluster",
    "mitigation": "all traffic good again",
    "recovery": "recovered",
}

_EXPECTED: Mapping[str, Callable[[Mapping[str, Json]], str]] = {
    **{name: _expect(name) for name in _MEASURES},
    "errors": _expect_errors,
    "identities": lambda case: (
        f"different identities that answer {_of(case)} {_bounds(case['identities'], number)}"
    ),
    "same_identities": lambda _: "who answers from the fault to the recovery answered before it",
    "recovery": lambda case: (
        f"{_PHASES[case['recovery'].get('phase', 'recovery')]} at most"
        f" {seconds(case['recovery']['max'])} after the fault"
    ),
    "state": lambda case: str(case["state"]),
    "that": lambda case: str(case["that"].get("text", "")),
}
