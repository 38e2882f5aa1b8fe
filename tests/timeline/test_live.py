"""What is known of a series while it is recorded: never good on missing evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.journal.samples import Samples
from runner.timeline.evidence import Class, Evidence, gather, timing
from runner.timeline.live import Tally, Toll, lull, streak
from runner.timeline.windows import analyse
from tests.timeline.simulator import ORIGIN, Outage, Setting, World, nanoseconds


def known(world: World, at: float, *, written: float = 0.05):
    """Give the streak as of `at`, from the records written by then."""
    samples, stalls = world.record()
    there = samples.done <= nanoseconds(at - written)
    columns = ("n", "due", "sent", "done", "status", "who", "detail", "outcome", "flags")
    part: Samples = replace(samples, **{name: getattr(samples, name)[there] for name in columns})
    assert np.all(np.diff(part.sent) >= 0)
    return streak(part, [each for each in stalls if each[1] <= nanoseconds(at)], now=nanoseconds(at))


def seconds(instant: int) -> float:
    return (instant - ORIGIN) / 1e9


def test_good_from_the_first_sample_on():
    found = known(World(Setting()), 6.0)
    assert found.since is not None
    assert seconds(found.since) == pytest.approx(0.0, abs=0.01)
    assert seconds(found.until) == pytest.approx(5.95, abs=0.02)
    assert found.seconds == pytest.approx(5.95, abs=0.02)


def test_a_refused_request_ends_it_at_once():
    assert known(World(Setting(), [Outage(5.0, 9.0, "refused")]), 5.1).since is None


def test_it_begins_anew_after_an_outage():
    found = known(World(Setting(), [Outage(5.0, 6.0, "refused")]), 8.0)
    assert found.since is not None
    assert seconds(found.since) == pytest.approx(6.0, abs=0.02)


@pytest.mark.parametrize("kind", ["stall", "blackhole"])
@pytest.mark.parametrize("after", [0.7, 1.0, 1.5, 1.9, 2.2])
def test_silence_is_not_good_although_no_bad_sample_is_there_yet(kind, after):
    found = known(World(Setting(), [Outage(5.0, 20.0, kind)]), 5.0 + after)
    assert found.since is None
    assert seconds(found.good) <= 5.01


def test_one_request_in_four_that_hangs_is_seen_behind_the_good_ones():
    world = World(Setting(), [Outage(5.0, 20.0, "stall", share=4)])
    assert known(world, 5.3).until <= nanoseconds(5.05)
    assert known(world, 6.0).since is None


def test_a_stall_of_the_prober_begins_a_new_streak_and_keeps_nobody_waiting():
    found = known(World(Setting(), freezes=[(4.0, 5.0)]), 5.6)
    assert found.since is not None
    assert seconds(found.since) == pytest.approx(5.0, abs=0.03)
    assert seconds(found.until) == pytest.approx(5.55, abs=0.03)


def seen(kinds: list[Class], first: int) -> Evidence:
    sent = np.arange(first, first + len(kinds), dtype=np.int64)
    zeros = np.zeros(len(kinds), dtype=np.uint16)
    kind = np.array(kinds, dtype=np.uint8)
    return Evidence(sent, sent, sent, sent, kind, zeros.astype(np.uint8), zeros, zeros, zeros)


@given(st.lists(st.lists(st.sampled_from(list(Class)))))
def test_counted_bit_by_bit_is_counted_at_once(parts: list[list[Class]]):
    tally, first = Tally(), 0
    for part in parts:
        tally = tally.grown(seen(part, first))
        first += len(part)
    every = [kind for part in parts for kind in part]
    assert tally == Tally().grown(seen(every, 0))
    wrong = [kind in (Class.BAD, Class.SLOW) for kind in every]
    right = [index for index, bad in enumerate(wrong) if not bad]
    since = right[-1] + 1 if right else 0
    assert tally == Tally(len(every), sum(wrong), since if since < len(every) else None)


@given(
    st.lists(st.tuples(st.floats(0.0, 25.0), st.floats(0.05, 6.0), st.sampled_from(["refused", "stall"]))),
    st.lists(st.floats(0.0, 30.0), max_size=8),
)
def test_what_was_suffered_is_the_same_counted_at_once_and_from_lull_to_lull(
    outages: list[tuple[float, float, str]], looks: list[float]
):
    world = World(Setting(), [Outage(start, start + length, kind) for start, length, kind in outages])
    samples, stalls = world.record()
    seen, rule = gather(samples, stalls), timing(samples.header)
    first, last = int(seen.sent[0]), int(seen.sent[-1])
    toll, since = Toll(), first
    for look in sorted(looks):
        until = lull(seen.within(since, last), nanoseconds(look))
        if until is not None:
            toll, since = toll.grown(seen.within(since, until), rule), until + 1
    toll = toll.grown(seen.within(since, last), rule)
    whole = analyse(seen, rule, scope=(first, last))
    for part, every in (
        (toll.longest, whole.longest),
        (toll.total, whole.total),
        (toll.failed, whole.failed),
    ):
        assert part.lo == pytest.approx(every.lo, abs=1e-6)
        assert part.above == every.above
