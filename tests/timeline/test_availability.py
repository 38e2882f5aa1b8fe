"""The worst window of each size, against trying every window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.timeline import availability as subject
from runner.timeline.availability import availability

STRETCHES = st.lists(
    st.tuples(st.integers(0, 4000), st.integers(0, 900)).map(
        lambda pair: (pair[0] / 100, (pair[0] + pair[1]) / 100)
    ),
    max_size=8,
)


def most_down(stretches, scope, size: float) -> float:
    """Try every window, a hundredth of a second apart; all edges lie on hundredths."""
    ticks = np.arange(round(scope[0] * 100), round(scope[1] * 100)) + 0.5
    down = np.zeros(len(ticks), dtype=bool)
    for one, two in stretches:
        down |= (ticks > one * 100) & (ticks < two * 100)
    width = round(size * 100)
    return max(down[start : start + width].sum() for start in range(len(ticks) - width + 1)) / 100


@given(certain=STRETCHES, more=STRETCHES, length=st.integers(120, 4000))
def test_it_is_what_trying_every_window_gives(certain, more, length):
    scope = 1.0, 1.0 + length / 100
    sizes, worst = availability(scope, certain=certain, possible=[*certain, *more])
    assert sizes == (*(size for size in subject.SIZES if size < length / 100), pytest.approx(length / 100))
    for size, (lo, hi) in zip(sizes, worst, strict=True):
        assert lo == pytest.approx(1 - most_down([*certain, *more], scope, size) / size, abs=1e-6)
        assert hi == pytest.approx(1 - most_down(certain, scope, size) / size, abs=1e-6)
        assert 0 <= lo <= hi <= 1


def test_one_long_outage_and_many_short_ones_of_the_same_length_differ():
    long = availability((0.0, 100.0), certain=[(50, 60)], possible=[(50, 60)])
    short = availability(
        (0.0, 100.0),
        certain=[(10 * n, 10 * n + 1) for n in range(10)],
        possible=[(10 * n, 10 * n + 1) for n in range(10)],
    )
    assert long == (
        (1, 5, 15, 60, 100),
        ((0, 0), (0, 0), (pytest.approx(1 / 3),) * 2, (pytest.approx(5 / 6),) * 2, (0.9, 0.9)),
    )
    assert short[1][:2] == ((0, 0), (0.8, 0.8))
    assert short[1][-1] == (0.9, 0.9)


def test_without_downtime_it_is_whole_and_without_time_there_is_none():
    assert availability((0.0, 3.0), certain=(), possible=()) == ((1.0, 3.0), ((1.0, 1.0), (1.0, 1.0)))
    assert availability((2.0, 2.0), certain=(), possible=()) == ((), ())
