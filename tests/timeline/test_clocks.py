"""Another clock: what pings tell of it, and where on the run's axis what it stamped lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.journal import events
from runner.journal.events import Event
from runner.timeline.clocks import Axis, Ping, Placing
from runner.timeline.fold import fold
from runner.timeline.run import Blind, Bracket, Verdict, Window
from tests.timeline.simulator import ORIGIN, Outage, Setting, World
from tests.timeline.test_fold import START, Tape, only, tape, whole

EPSILON = 3e-6
SECOND = 10**9

ping_lists = st.lists(
    st.tuples(st.integers(0, 10**12), st.integers(0, 10**8), st.integers(0, 10**8)), min_size=1, max_size=20
)


@dataclass(frozen=True)
class Clock:
    """A prober's clock: apart from the runner's by `apart`, drifting by `drift` parts per million."""

    apart: int
    drift: int

    def runner(self, p: int) -> int:
        """Give the runner's clock when the prober's says p."""
        return p + self.apart + p * self.drift // 1_000_000

    def pings(self, asked: list[tuple[int, int, int]]) -> list[Ping]:
        """Give pings from when they were answered, and how long the ways there and back took."""
        return [Ping(self.runner(p) - there, p, self.runner(p) + back) for p, there, back in asked]


clocks = st.builds(Clock, st.integers(-(10**15), 10**15), st.integers(-900, 900))


# What pings tell


def test_on_one_clock_nothing_is_unsure():
    axis = Axis(100)
    assert axis.offset(5 * SECOND) == (0, 0)
    assert axis.places(100 + SECOND) == (1.0, 1.0)
    assert axis.instants(1.0) == (100 + SECOND, 100 + SECOND)
    assert axis.worst(0, SECOND) == 0.0


def test_no_ping_tells_no_offset():
    axis = Axis(0, [])
    assert axis.offset(0) is None
    assert axis.places(0) is None
    assert axis.instants(0.0) is None
    assert axis.worst(0, SECOND) is None


def test_pings_that_disagree_tell_no_offset():
    axis = Axis(0, [Ping(0, 100, 10), Ping(1000, 0, 1010)])
    assert axis.offset(0) is None
    assert axis.worst(0, 100) is None


@given(clocks, ping_lists, st.integers(0, 10**12))
def test_the_offset_lies_within_its_bounds(clock, asked, at):
    bounds = Axis(0, clock.pings(asked)).offset(at)
    assert bounds is not None
    assert bounds[0] - 1 <= clock.runner(at) - at <= bounds[1] + 1


@given(st.lists(st.tuples(*(st.integers(0, 10**10),) * 3), min_size=1, max_size=8), st.integers(0, 10**10))
def test_the_bounds_are_the_intersection_of_what_each_ping_says(said, at):
    """As written in the definition: [r1 - p - rho |t - p|, r2 - p + rho |t - p|], empty where they disagree."""
    pings = [Ping(r1, p, r1 + took) for r1, p, took in said]
    rho = Fraction(1, 1000)
    low = max(each.r1 - each.p - rho * abs(at - each.p) for each in pings)
    high = min(each.r2 - each.p + rho * abs(at - each.p) for each in pings)
    known = Axis(0, pings).offset(at)
    if low <= high:
        assert known is not None
        assert known[0] <= low < known[0] + 1
        assert known[1] - 1 < high <= known[1]
    else:
        assert known is None or low - high < 2


@given(clocks, ping_lists, st.integers(0, 10**12))
def test_an_instant_and_its_place_lie_in_each_others_brackets(clock, asked, at):
    axis = Axis(clock.runner(0), clock.pings(asked))
    true = (clock.runner(at) - axis.zero) / 1e9
    places = axis.places(at)
    assert places is not None
    assert places[0] - 1e-6 <= true <= places[1] + 1e-6
    assert places[0] - 1e-6 <= axis.seconds(at) <= places[1] + 1e-6
    instants = axis.instants(true)
    assert instants is not None
    assert instants[0] - 1000 <= at <= instants[1] + 1000
    assert abs(axis.instant(axis.seconds(at)) - at) <= 1000


@given(clocks, ping_lists, st.integers(0, 10**12), st.integers(0, 10**10))
def test_nowhere_is_a_place_more_uncertain_than_the_worst(clock, asked, start, length):
    axis = Axis(0, clock.pings(asked))
    worst = axis.worst(start, start + length)
    assert worst is not None
    for at in (start, start + length, *(p for p, _, _ in asked if start < p < start + length)):
        low, high = axis.offset(at) or (0, 0)
        assert (high - low) / 2e9 <= worst


# Placing


@given(clocks, ping_lists, st.lists(st.integers(0, 10**12), min_size=6, max_size=6))
def test_a_placed_window_holds_the_truth_and_lasts_as_long(clock, asked, edges):
    axis = Axis(clock.runner(0), clock.pings(asked))
    times = [each / 1e9 for each in sorted(edges)]
    start, end = Bracket(*times[:3]), Bracket(*times[3:])
    window = Window(start, end, end.earliest - start.latest, end.latest - start.earliest, False, {})
    zero = axis.zero - axis.best(0)
    raw = replace(
        window,
        start=Bracket(*((round(t * 1e9) - zero) / 1e9 for t in times[:3])),
        end=Bracket(*((round(t * 1e9) - zero) / 1e9 for t in times[3:])),
    )
    placed = Placing(axis, zero, (-1e9, 1e9)).window(raw)
    assert (placed.shortest, placed.longest) == (window.shortest, window.longest)
    assert placed.end is not None
    for edge, truths in ((placed.start, times[:3]), (placed.end, times[3:])):
        assert edge.earliest <= edge.at <= edge.latest
        for truth in truths:
            true = (clock.runner(round(truth * 1e9)) - axis.zero) / 1e9
            assert edge.earliest - 1e-6 <= true <= edge.latest + 1e-6


@given(clocks, st.integers(1, 10**8), st.floats(0.0, 500.0), st.floats(0.0, 500.0))
def test_what_was_measured_lasts_as_long_on_the_axis(clock, took, start, length):
    """At best: the offset may have been read anew between the two edges."""
    asked = [(n * SECOND, took * (n % 3), took * (n % 2)) for n in range(1001)]
    axis = Axis(clock.runner(0), clock.pings(asked))
    zero = axis.zero - axis.best(0)
    placing = Placing(axis, zero, (-1e9, 1e9))
    away = zero / 1e9
    blind = placing.blind(Blind(start - away, start + length - away, ()))
    assert blind.end - blind.start == pytest.approx(length, abs=1e-6)
    assert blind.start == pytest.approx(axis.seconds(round(start * 1e9)), abs=1e-6)
    edge, stop = Bracket(*(start - away,) * 3), Bracket(*(start + length - away,) * 3)
    window = placing.window(Window(edge, stop, length, length, False, {}))
    assert window.end is not None
    lasted = window.end.at - window.start.at
    # Where the offset is known to a hair, an edge has hardly any place to choose.
    assert lasted == pytest.approx(length, abs=1e-6) or window.end.at in (
        window.end.earliest,
        window.end.latest,
    )


def test_where_clocks_cannot_be_joined_a_window_may_lie_anywhere():
    axis = Axis(0, [Ping(0, 0, 10), Ping(5 * SECOND, SECOND, 5 * SECOND + 10)])
    edge = Bracket(1.0, 1.0, 1.0)
    placed = Placing(axis, 0, (0.0, 60.0)).window(Window(edge, edge, 0.0, 0.0, False, {}))
    assert (placed.start.earliest, placed.start.latest) == (0.0, 60.0)


# A whole run whose prober reads another clock

READY = {"kind": "ready", "at_ns": 0, "boot_id": "there", "time_namespace": "t"}
AHEAD = 10_000.0
"""Seconds by which the prober's clock is ahead at the run's zero."""


def away(
    told: Sequence[Event], rtt: float, *, drift: int = 0, jump: float = 0.0, even: bool = False
) -> list[Event]:
    """Give a journal whose runner has another clock than the prober, pinged every second.

    Second 0 is the same instant by both. `drift` is in parts per million; with a `jump` the prober's clock was
    set forth by so much at 7 s. The way back takes as long as the way there where `even`, else that changes.
    """
    pings = []
    for n in range(18):
        here = n * (1 + drift / 1e6)
        p = ORIGIN + round((n + (jump if n >= 7 else 0.0)) * 1e9)
        there = rtt / 2 if even else rtt * (n % 4) / 3
        pings.append(events.ClockPing(scenario=0, asked=here - there, p_ns=p, heard=here + rtt - there))
    start = replace(START, monotonic=ORIGIN / 1e9 - AHEAD, boot_id="here", time_namespace="t")
    every = [start, *told[1:], *pings]
    return [replace(each, seq=number) for number, each in enumerate(every)]


def there(recordings: Tape) -> Tape:
    """Give recordings by a prober that says it is on another machine."""
    return Tape(recordings.files, replace(recordings.log, others=(READY, *recordings.log.others)))


def case(**more: Any) -> dict[str, Any]:
    return {"name": "claim", "file": "s.yaml", "line": 9, "probe": "users", **more}


OUTAGE = Outage(5.2, 6.0, "refused")


@settings(max_examples=60)
@given(
    st.floats(5.05, 7.0),
    st.floats(0.1, 1.5),
    st.sampled_from((0.0, 0.004, 0.05, 0.2)),
    st.integers(-900, 900),
)
def test_a_run_with_another_clock_holds_the_truth_and_measures_the_same(start, length, rtt, drift):
    down = Outage(start, start + length, "refused")
    here = only(fold(whole(), tape(down))).probes[0].series[0]
    scenario = only(fold(away(whole(), rtt, drift=drift), there(tape(down))))
    series = scenario.probes[0].series[0]
    (one,), (two,) = here.windows, series.windows
    assert (two.shortest, two.longest, two.outcomes) == (one.shortest, one.longest, one.outcomes)
    assert one.end is not None
    assert two.end is not None
    assert two.end.at - two.start.at == pytest.approx(one.end.at - one.start.at, abs=0.003 + rtt / 100)
    for edge, mine, truth in ((two.start, one.start, down.start), (two.end, one.end, down.end)):
        assert edge.earliest - EPSILON <= truth * (1 + drift / 1e6) <= edge.latest + EPSILON
        assert edge.latest - edge.earliest <= mine.latest - mine.earliest + rtt + 0.003
    assert series.unsure is not None
    assert series.unsure <= rtt / 2 + 0.001
    impact, _, mitigation, _ = scenario.recoveries[0].phases
    for phase, truth in ((impact, down.start), (mitigation, down.end)):
        assert phase.after is not None
        assert (
            phase.after.earliest - EPSILON <= truth * (1 + drift / 1e6) - 5.0 <= phase.after.latest + EPSILON
        )


@settings(max_examples=40)
@given(st.floats(4.0, 12.0), st.floats(0.1, 1.5), st.sampled_from((0.0, 0.01, 0.1)), st.integers(-900, 900))
def test_a_scope_is_clipped_on_the_axis_of_the_run(start, length, rtt, drift):
    """Downtime from the fault at 5 s to its recovery at 8 s: by the truth it never passes and fails wrongly."""
    down = Outage(start, start + length, "refused")
    true = max(0.0, min(8.0, down.end * (1 + drift / 1e6)) - max(5.0, down.start * (1 + drift / 1e6)))
    during = {"fault": 0, "phase": "during"}
    for limit in (0.0, true - 0.2, true - 0.001, true + 0.001, true + 0.2, 5.0):
        told = whole([case(during=during, total={"max": max(0.0, limit)})])
        (claim,) = only(fold(away(told, rtt, drift=drift), there(tape(down)))).assertions
        if claim.verdict is Verdict.PASS:
            # The rest of an outage that is shorter than the resolution may be missed, as on one clock.
            assert true <= max(0.0, limit) + 0.0105
        elif claim.verdict is Verdict.FAIL:
            assert true >= max(0.0, limit) - EPSILON


def test_what_may_have_been_sent_before_the_fault_is_not_counted_after_it():
    """A request fails 10 ms before the fault by the best guess, which may be 20 ms wrong."""
    lone = Outage(4.989, 4.996, "refused")
    for phase in ("before", "during"):
        told = whole([case(during={"fault": 0, "phase": phase}, failed={"max": 0})])
        verdicts = [
            only(fold(away(told, rtt, even=True), there(tape(lone)))).assertions[0].verdict
            for rtt in (0.0, 0.04)
        ]
        assert verdicts == [Verdict.FAIL if phase == "before" else Verdict.PASS, Verdict.UNKNOWN]


def test_where_a_probe_ended_its_own_clock_knows():
    """Pings take 0.4 s, and nothing is blind because of that: it stopped before the mark."""
    over = ORIGIN + 11_500_000_000
    samples, _ = World(Setting(length=11.5)).record()
    recorded = Tape({"samples/0/a": samples}, replace(tape().log, stops={"users": over}))
    stopped = [replace(each, at=11.5) if isinstance(each, events.ProbeStop) else each for each in whole()]
    scenario = only(fold(away(stopped, 0.4, even=True), there(recorded)))
    assert scenario.assertions[0].verdict is Verdict.PASS
    assert scenario.probes[0].series[0].unsure == pytest.approx(0.2, abs=0.001)


def test_pings_that_disagree_leave_joins_unknown_and_durations_known():
    down = Outage(5.5, 6.1, "refused")
    here = only(fold(whole(), tape(down))).probes[0].series[0].windows[0]
    scenario = only(fold(away(whole([case(longest={"max": 5.0})]), 0.004, jump=0.3), there(tape(down))))
    series = scenario.probes[0].series[0]
    (window,) = series.windows
    assert series.unsure is None
    assert (window.shortest, window.longest) == (here.shortest, here.longest)
    assert (window.start.earliest, window.start.latest) == (0.0, 15.0)
    (claim,) = scenario.assertions
    assert claim.verdict is Verdict.UNKNOWN
    assert "cannot be joined" in claim.why
    impact = scenario.recoveries[0].phases[0]
    assert (impact.phase, impact.after) == ("impact", None)
    assert "blind" in impact.by


def test_a_prober_on_another_clock_that_was_never_pinged_is_not_taken_for_this_one():
    told = [each for each in away(whole(), 0.0) if not isinstance(each, events.ClockPing)]
    assert only(fold(told, there(tape(OUTAGE)))).assertions[0].verdict is Verdict.UNKNOWN
    told = [replace(each, boot_id="there") if isinstance(each, events.RunStart) else each for each in whole()]
    told = [replace(each, time_namespace="t") if isinstance(each, events.RunStart) else each for each in told]
    assert only(fold(told, there(tape(OUTAGE)))).assertions[0].verdict is Verdict.FAIL
