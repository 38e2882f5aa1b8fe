"""A pixel shows its worst sample, and what was not seen is not shown as good."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.journal.samples import Outcome
from runner.timeline.chart import COLUMNS, draw
from runner.timeline.evidence import gather, timing
from runner.timeline.run import Chart
from tests.timeline.simulator import ORIGIN, Setting, table


def chart(letters: dict[int, str], length: float) -> Chart:
    """Draw samples at 100/s: g good (5 ms), s slow, b refused."""
    took = {"g": 5, "s": 700, "b": 1}
    sent = [ORIGIN + n * 10_000_000 for n in letters]
    samples = table(
        Setting(),
        list(letters),
        sent,
        sent,
        [at + took[letter] * 1_000_000 for at, letter in zip(sent, letters.values(), strict=True)],
        [Outcome.REFUSED if letter == "b" else Outcome.OK for letter in letters.values()],
    )
    return draw(gather(samples, ()), timing(samples.header), zero=ORIGIN, axis=(0.0, length))


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.sets(st.integers(0, 29_999), min_size=1, max_size=5), st.sampled_from("sb"))
def test_no_bad_sample_is_hidden_among_thirty_thousand(bad, letter):
    drawn = chart({n: letter if n in bad else "g" for n in range(30_000)}, 300.0)
    assert {n * COLUMNS // 30_000 for n in bad} == set(
        np.flatnonzero(drawn.worst == {"s": 3, "b": 4}[letter]).tolist()
    )
    assert set(drawn.worst.tolist()) == {1, {"s": 3, "b": 4}[letter]}


def test_a_column_without_a_sample_shows_the_sample_before_it():
    drawn = chart({n: "b" if 50 <= n < 60 else "g" for n in range(100)}, 1.0)
    assert len(drawn.worst) == COLUMNS
    assert set(drawn.worst[600:708].tolist()) == {4}
    assert set(drawn.worst[:600].tolist()) == {1}


def test_a_blind_stretch_is_neither_good_nor_bad():
    drawn = chart({n: "g" for n in range(1200) if not 600 <= n < 700}, 12.0)
    assert set(drawn.worst[602:698].tolist()) == {2}
    assert set(drawn.worst[:598].tolist()) == {1}


def test_what_was_bad_before_a_blind_stretch_is_not_known_to_be_bad_in_it():
    drawn = chart({n: "b" if n > 550 else "g" for n in range(1200) if not 600 <= n < 700}, 12.0)
    assert set(drawn.worst[602:698].tolist()) == {2}
    assert drawn.worst[599] == drawn.worst[700] == 4


def test_nothing_is_drawn_where_nothing_was_sent():
    drawn = chart(dict.fromkeys(range(600), "g"), 12.0)
    assert set(drawn.worst[601:].tolist()) == {0}
    assert np.isnan(drawn.latency_max[601:]).all()


def test_latency_is_that_of_right_answers():
    drawn = chart({n: "s" if n == 300 else "b" if n >= 900 else "g" for n in range(1200)}, 120.0)
    assert drawn.latency_max[30] == 0.7
    assert drawn.latency_p50[30] == 0.005
    assert np.isnan(drawn.latency_p50[91:]).all()
