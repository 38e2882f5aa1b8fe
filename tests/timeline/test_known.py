"""What a verdict counts as where a fail is known."""

from __future__ import annotations

from datetime import date

import pytest

from runner.timeline.known import day, excused, version
from runner.timeline.run import Verdict
from runner.timeline.verdict import merge

PASS, FAIL, UNKNOWN, KNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN, Verdict.KNOWN
SAID = {"issue": "https://example.org/1", "until": "2027-06-30", "ray": "<2.61"}
LAST, NEXT = date(2027, 6, 30), date(2027, 7, 1)


@pytest.mark.parametrize(
    ("verdict", "today", "ray", "counts", "state", "says"),
    [
        (FAIL, LAST, "2.60.0", KNOWN, "fails", "known until 2027-06-30"),
        (FAIL, NEXT, "2.60.0", FAIL, "late", "that day has gone by"),
        (PASS, LAST, "2.60.0", FAIL, "passes", "remove `known`"),
        (PASS, NEXT, "2.60.0", FAIL, "passes", "remove `known`"),
        (UNKNOWN, LAST, "2.60.0", UNKNOWN, "unknown", "known to fail"),
        (UNKNOWN, NEXT, "2.60.0", UNKNOWN, "unknown", "known to fail"),
        (FAIL, LAST, "2.61.0", FAIL, "elsewhere", "and this is 2.61.0"),
        (PASS, LAST, "2.61.0", PASS, "elsewhere", "and this is 2.61.0"),
        (FAIL, LAST, None, FAIL, "elsewhere", "is not known"),
        (FAIL, LAST, "nightly", FAIL, "elsewhere", "is not known"),
    ],
)
def test_what_it_counts_as_and_the_sentence(verdict, today, ray, counts, state, says):
    found, known = excused(verdict, SAID, today=today, ray=ray)
    assert (found, known.state) == (counts, state)
    assert says in known.says
    assert SAID["issue"] in known.says


def test_without_a_range_it_holds_for_every_version_and_for_none():
    said = {**SAID, "ray": None}
    for ray in ("2.60.0", None):
        assert excused(FAIL, said, today=LAST, ray=ray)[0] is KNOWN


def test_merged_it_is_as_good_as_a_pass():
    assert merge([KNOWN, PASS]) is PASS
    assert merge([KNOWN]) is PASS
    assert merge([KNOWN, UNKNOWN]) is UNKNOWN
    assert merge([KNOWN, FAIL]) is FAIL


def test_the_day_is_that_of_utc():
    assert day(1814399999.0) == date(2027, 6, 30)
    assert day(1814400000.0) == date(2027, 7, 1)


def test_rays_version_is_what_the_survey_found():
    assert version({"ray": {"version": "2.60.0", "commit": "x"}}) == "2.60.0"
    assert version({"ray": "2.60.0"}) == "2.60.0"
    assert version({"ray": {"version": None}}) is None
    assert version({}) is None
