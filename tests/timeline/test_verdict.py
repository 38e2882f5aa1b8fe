"""Limits on intervals, and what a run's verdict and exit code are."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.timeline.run import Verdict
from runner.timeline.verdict import Interval, at_least, at_most, exit_code, merge, within

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("interval", "limit", "verdict"),
    [
        (Interval(0, 0), 0, PASS),
        (Interval(1, 2), 2, PASS),
        (Interval(1, 2), 1.5, UNKNOWN),
        (Interval(1, 2), 1, UNKNOWN),
        (Interval(1, 2, above=True), 1, FAIL),
        (Interval(0, 0.02, above=True), 0, FAIL),
        (Interval(1, 2), 0.5, FAIL),
        (Interval(0, math.inf), 5, UNKNOWN),
    ],
)
def test_max(interval, limit, verdict):
    assert at_most(interval, limit) is verdict


@pytest.mark.parametrize(
    ("interval", "limit", "verdict"),
    [
        (Interval(1, 2), 1, PASS),
        (Interval(1, 2), 2, UNKNOWN),
        (Interval(1, 2), 2.1, FAIL),
        (Interval(0, math.inf), 5, UNKNOWN),
    ],
)
def test_min(interval, limit, verdict):
    assert at_least(interval, limit) is verdict


@given(st.floats(0, 10), st.floats(0, 10), st.floats(0, 10), st.floats(0, 10))
def test_a_verdict_never_contradicts_a_truth_in_the_interval(low, width, part, limit):
    interval = Interval(low, low + width)
    truth = low + min(part / 10, 1.0) * width
    assert within(interval, most=limit) is not (FAIL if truth <= limit else PASS)
    assert within(interval, least=limit) is not (FAIL if truth >= limit else PASS)


def test_the_gravest_verdict_counts():
    assert merge([]) is PASS
    assert merge([PASS, UNKNOWN]) is UNKNOWN
    assert merge([UNKNOWN, FAIL, PASS]) is FAIL
    assert within(Interval(1, 2), least=3, most=1.5) is FAIL


def test_exit_codes():
    assert [exit_code(each, interrupted=False) for each in (PASS, FAIL, UNKNOWN)] == [0, 1, 3]
    assert [exit_code(each, interrupted=True) for each in (PASS, FAIL, UNKNOWN)] == [2, 2, 2]
