"""What the repetitions of a scenario say together: the spread of downtime and recovery, the worst case. Pure.

A measured duration is an interval. The k-th smallest truth lies between the k-th smallest lower and the k-th
smallest upper end, whatever the truths are: so each rank is bracketed as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from runner.timeline.replay import command
from runner.timeline.run import Fault, Length, Repeated, Scenario, Series, Spread, Turn

Json = Any
Measure = Callable[[Scenario], Iterator[tuple[str, Length]]]


def repeated(scenarios: Sequence[Scenario], options: Mapping[str, Json]) -> Iterator[Repeated]:
    """Give what the repetitions of each repeated scenario say together; of attempts the last."""
    kept = [each for each in scenarios if each.repetition is not None and not each.superseded]
    for name in dict.fromkeys(each.name for each in kept):
        own = [each for each in kept if each.name == name]
        counted = [each for each in own if each.state in ("finished", "aborted")]
        hit = [each for each in counted if any(fault.injected is not None for fault in each.faults)]
        counted = hit or counted
        downtime = tuple(_spreads(counted, _downtimes))
        recovery = tuple(_spreads(counted, _recoveries))
        yield Repeated(
            name=name,
            turns=tuple(_turn(each, options) for each in own),
            downtime=downtime,
            recovery=recovery,
            worst=_worst(downtime) or _worst(recovery),
        )


def spread(of: str, lengths: Mapping[int, Length]) -> Spread:
    """Give the spread of a duration that is known of these repetitions, one at least."""
    worst = max(lengths, key=lambda number: (lengths[number].at, lengths[number].longest, -number))
    columns = [
        sorted(getattr(length, end) for length in lengths.values()) for end in ("shortest", "at", "longest")
    ]

    def rank(share: float) -> Length:
        nth = max(1, math.ceil(share * len(lengths))) - 1
        return Length(*(column[nth] for column in columns))

    return Spread(of, len(lengths), rank(0.0), rank(0.5), rank(0.9), rank(1.0), worst)


def _spreads(scenarios: Sequence[Scenario], measure: Measure) -> Iterator[Spread]:
    found: dict[str, dict[int, Length]] = {}
    for scenario in scenarios:
        assert scenario.repetition is not None
        for name, length in measure(scenario):
            found.setdefault(name, {})[scenario.repetition] = length
    for name, lengths in found.items():
        if any(math.isfinite(length.at) for length in lengths.values()):
            yield spread(name, lengths)


def _downtimes(scenario: Scenario) -> Iterator[tuple[str, Length]]:
    """Give the downtime of each probe: that of its worst series."""
    for name in dict.fromkeys(probe.name for probe in scenario.probes):
        lengths = [
            downtime(series) for probe in scenario.probes if probe.name == name for series in probe.series
        ]
        if lengths:
            yield (
                name,
                Length(
                    max(each.shortest for each in lengths),
                    max(each.at for each in lengths),
                    max(each.longest for each in lengths),
                ),
            )


def downtime(series: Series) -> Length:
    """Give all downtime of a series; at most it is that of its windows and of its blind time."""
    stop = series.scope[1]
    at = sum(max(0.0, (each.end.at if each.end else stop) - each.start.at) for each in series.windows)
    edges = [(each.start.earliest, each.end.latest if each.end else stop) for each in series.windows]
    edges += [(each.start, each.end) for each in series.blind]
    asleep = any("suspend" in each.causes for each in series.blind)
    return Length(
        sum(each.shortest for each in series.windows), at, math.inf if asleep else max(at, _covered(edges))
    )


def _covered(edges: Iterable[tuple[float, float]]) -> float:
    """Give the length of the union of the intervals."""
    covered, reached = 0.0, -math.inf
    for start, end in sorted(edges):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def _recoveries(scenario: Scenario) -> Iterator[tuple[str, Length]]:
    """Give the time to recovery of each fault that hit; without end where none was seen."""
    for fault in scenario.faults:
        if fault.injected is not None:
            yield fault.name, recovery(fault)


def recovery(fault: Fault) -> Length:
    """Give how long the recovery from a fault took: it came after it was last missed, before it was seen."""
    assert fault.injected is not None
    if fault.recovered is None:
        return Length(0.0, math.inf, math.inf)
    took = fault.recovered - fault.injected
    return Length(max(0.0, fault.evidence.get("missing_at", fault.injected) - fault.injected), took, took)


def _worst(spreads: Iterable[Spread]) -> int | None:
    """Give the repetition with the greatest of all; None where all are nothing."""
    greatest = max(spreads, key=lambda each: (each.max.at, each.max.longest), default=None)
    return greatest.worst if greatest is not None and greatest.max.at > 0 else None


def _turn(scenario: Scenario, options: Mapping[str, Json]) -> Turn:
    assert scenario.repetition is not None
    seed = scenario.seed or 0
    return Turn(
        repetition=scenario.repetition,
        seed=seed,
        delay=scenario.delay or 0.0,
        verdict=scenario.verdict,
        state=scenario.state,
        command=command(options, scenario.file, seed, repeat=1),
    )
