"""Simulated outages whose truth is known: it lies in every bracket, none is missed, none is invented."""

from __future__ import annotations

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runner.timeline.evidence import gather, timing
from runner.timeline.windows import Analysis, analyse
from tests.timeline.simulator import ORIGIN, Outage, Setting, World, nanoseconds

EPSILON = 3e-6
"""Records hold whole microseconds."""

KINDS = ("refused", "http_503", "stall", "blackhole")

thorough = settings(
    max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


@st.composite
def worlds(draw, outages: int = 1, freezes: int = 2) -> World:
    rate = draw(st.sampled_from((20.0, 50.0, 100.0)))
    timeout = draw(st.sampled_from((1.0, 2.0)))
    setting = Setting(
        rate=rate,
        timeout=timeout,
        slow_after=draw(st.sampled_from((timeout / 4, 0.1))),
        blind_after=max(2 / rate, 0.1),
        length=8.0 + 6.0 * outages,
        reused=draw(st.booleans()),
    )
    down: list[Outage] = []
    at = 0.0
    for _ in range(outages):
        # An up time long enough for the last deadlines, a freeze, and the row of goods that closes a window.
        at += draw(st.floats(2.0, 4.0)) + (setting.timeout + 4.0 if down else 0.0)
        length = draw(st.one_of(st.floats(2.05 / rate, 0.3), st.floats(0.3, 5.0)))
        down.append(Outage(at, at + length, draw(st.sampled_from(KINDS))))
        at += length
    frozen: list[tuple[float, float]] = []
    at = 0.0
    for _ in range(draw(st.integers(0, freezes))):
        at += draw(st.floats(0.03, 6.0))
        length = draw(st.one_of(st.floats(0.02, 0.3), st.floats(0.3, 3.0)))
        frozen.append((at, at + length))
        at += length
    setting = Setting(
        **{**vars(setting), "length": max(setting.length, at + 2.0, down[-1].end + 6.0 if down else 0.0)}
    )
    return World(setting, down, frozen, seed=draw(st.integers(0, 2**32)))


def look(world: World) -> tuple[Analysis, tuple[tuple[float, float], ...]]:
    samples, stalls = world.record()
    analysis = analyse(
        gather(samples, stalls),
        timing(samples.header),
        scope=(ORIGIN, nanoseconds(world.setting.length)),
        zero=ORIGIN,
    )
    return analysis, tuple(((start - ORIGIN) / 1e9, (end - ORIGIN) / 1e9) for start, end in stalls)


def overlap(start: float, end: float, stretches) -> float:
    return sum(max(0.0, min(end, right) - max(start, left)) for left, right in stretches)


def counts(outage: Outage, world: World, stalls) -> bool:
    """Whether the outage is long enough to be claimed: delays only count beyond slow_after, where visible."""
    if outage.kind in ("refused", "http_503"):
        return True
    visible = outage.end - outage.start - overlap(outage.start, outage.end, stalls)
    return visible > world.setting.slow_after + 2 / world.setting.rate + 0.005


@thorough
@given(worlds())
@example(
    World(
        Setting(timeout=1.0, slow_after=0.25, length=14.0),
        [Outage(2.0, 2.0205, "refused")],
        freezes=[(2.0, 2.02)],
        seed=1,
    )
)
def test_the_truth_lies_in_every_bracket(world):
    analysis, stalls = look(world)
    (truth,) = world.outages
    assert len(analysis.windows) <= 1
    for window in analysis.windows:
        assert window.end is not None
        assert window.start.earliest <= window.start.at <= window.start.latest
        assert window.end.earliest <= window.end.at <= window.end.latest
        if not counts(truth, world, stalls):
            continue
        assert window.start.earliest - EPSILON <= truth.start <= window.start.latest + EPSILON
        assert window.end.earliest - EPSILON <= truth.end <= window.end.latest + EPSILON
        assert window.shortest - EPSILON <= truth.end - truth.start <= window.longest + EPSILON


@thorough
@given(worlds())
def test_the_truth_lies_in_the_intervals_that_verdicts_look_at(world):
    analysis, stalls = look(world)
    (truth,) = world.outages
    if counts(truth, world, stalls):
        length = truth.end - truth.start
        assert analysis.total.lo - EPSILON <= length <= analysis.total.hi + EPSILON
        assert analysis.longest.lo - EPSILON <= length <= analysis.longest.hi + EPSILON
        assert analysis.count.lo <= 1 <= analysis.count.hi


@thorough
@given(worlds(freezes=0))
def test_no_outage_of_two_periods_is_missed_and_each_edge_is_within_one(world):
    analysis, stalls = look(world)
    (truth,) = world.outages
    if counts(truth, world, stalls):
        (window,) = analysis.windows
        period = 1 / world.setting.rate
        service = 0.005
        assert window.end is not None
        assert abs(window.start.at - truth.start) <= period + service
        assert abs(window.end.at - truth.end) <= period + service


@thorough
@given(worlds(outages=0, freezes=3))
def test_no_outage_is_invented(world):
    analysis, _ = look(world)
    assert analysis.windows == ()
    assert analysis.failed.lo == 0
    assert analysis.total.lo == 0


@thorough
@given(worlds(outages=3))
def test_several_outages_are_told_apart(world):
    analysis, stalls = look(world)
    truths = [outage for outage in world.outages if counts(outage, world, stalls)]
    if len(truths) == len(world.outages):
        total = sum(outage.end - outage.start for outage in truths)
        assert analysis.total.lo - EPSILON <= total <= analysis.total.hi + EPSILON
        assert analysis.count.lo <= len(truths) <= analysis.count.hi
    for window in analysis.windows:
        assert window.end is not None
        assert any(
            not counts(outage, world, stalls)
            or (
                window.start.earliest - EPSILON <= outage.start <= window.start.latest + EPSILON
                and window.end.earliest - EPSILON <= outage.end <= window.end.latest + EPSILON
            )
            for outage in world.outages
        )


@thorough
@given(worlds(outages=2), st.floats(0.5, 6.0), st.floats(0.2, 12.0))
def test_a_scope_is_a_clip_of_the_truth(world, start, length):
    """Total downtime within any scope lies in the interval, edges of the scope included."""
    samples, stalls = world.record()
    end = min(start + length, world.setting.length)
    analysis = analyse(
        gather(samples, stalls),
        timing(samples.header),
        scope=(nanoseconds(start), nanoseconds(end)),
        zero=ORIGIN,
    )
    for window in analysis.windows:
        assert start - EPSILON <= window.start.earliest
        assert window.end is None or window.end.latest <= end + EPSILON
    if all(outage.kind in ("refused", "http_503") for outage in world.outages):
        total = overlap(start, end, [(outage.start, outage.end) for outage in world.outages])
        assert analysis.total.lo - EPSILON <= total <= analysis.total.hi + EPSILON
        assert analysis.longest.lo - EPSILON <= total
