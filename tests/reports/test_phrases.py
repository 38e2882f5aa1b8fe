from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.reports import phrases
from runner.timeline.run import Bracket, Cause, Length, Phase, Recovery, Verdict
from tests.reports.example import (
    BLIP,
    as_known,
    could_not_start,
    head_node_failure,
    repeated,
    several,
    without_fault_tolerance,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.00041, "0.41 ms"),
        (0.0041, "4.1 ms"),
        (0.412, "412 ms"),
        (0.9999, "1.00 s"),
        (4.126, "4.13 s"),
        (41.04, "41.0 s"),
        (181.4, "181 s"),
        (None, "unknown"),
        (math.inf, "unlimited"),
    ],
)
def test_durations_have_about_three_digits(seconds, text):
    assert phrases.duration(seconds) == text


def test_a_bracket_has_the_digits_that_its_width_bears():
    assert phrases.bracket(40.95, 41.0, 41.05) == "41.00 s [40.95-41.05]"
    assert phrases.bracket(40.0, 41.5, 43.0) == "42 s [40-43]"
    assert phrases.bracket(0.0, 0.01, 0.02) == "10 ms [0-20]"
    assert phrases.bracket(3.0, 4.0, math.inf) == "4.00 s [at least 3.00 s]"


@given(
    st.floats(0, 5000).map(lambda value: round(value, 6)),
    st.floats(0, 1),
    st.floats(1e-6, 100).map(lambda value: round(value, 6)),
)
def test_a_bracket_is_rounded_outwards(shortest, share, width):
    longest = shortest + width
    text = phrases.bracket(shortest, shortest + share * width, longest)
    unit = 1e-3 if " ms " in text else 1.0
    low, high = (float(each) * unit for each in re.search(r"\[(.*)-(.*)\]", text).groups())
    # A millionth of the last digit is the room that binary fractions get.
    assert low <= shortest + 2e-9
    assert high >= longest - 2e-9


def test_a_lone_bad_sample_is_never_no_downtime():
    series = replace(head_node_failure().scenarios[0].probes[0].series[0], windows=(BLIP,))
    assert phrases.say_downtime(series) == "50 ms [0-104]"


def test_blind_time_is_said_beside_downtime_and_is_none():
    series = head_node_failure().scenarios[0].probes[1].series[3]
    assert phrases.say_downtime(series) == "none seen, blind for 1.78 s"


def test_a_series_without_samples_claims_nothing():
    series = replace(head_node_failure().scenarios[0].probes[1].series[0], samples=0)
    assert phrases.say_downtime(series) == "no samples"


def test_the_sentence_of_a_run_says_what_failed_before_what_was_seen():
    assert phrases.say_run(head_node_failure()) == (
        "All 4 assertions hold. Downtime: users 50 ms [0-104]; head 26.55 s [26.50-26.61]; "
        "none seen by workers (blind for 1.78 s)."
    )
    said = phrases.say_run(without_fault_tolerance())
    assert said.startswith(
        "Failed: “workers keep serving while the head is down”, expected at most 0 failed requests, was"
    )
    assert "Unknown: “same replicas” and “updates work again”." in said
    assert "users 46.07 s [46.04-46.10], still down at the end" in said
    assert phrases.say_run(could_not_start()).startswith("The head did not come up within 60 s.")
    assert phrases.say_run(several()) == "4 scenarios: 1 passed, 1 failed, 1 error, 1 skipped."


def test_repetitions_and_attempts_are_told_apart():
    run = repeated()
    assert [phrases.titled(each) for each in run.scenarios] == [
        "head-node-failure (repetition 1 of 2, attempt 1, tried again)",
        "head-node-failure (repetition 1 of 2, attempt 2)",
        "head-node-failure (repetition 2 of 2)",
    ]
    assert phrases.titled(head_node_failure().scenarios[0]) == "head-node-failure"
    assert phrases.say_run(run) == "2 scenarios: 1 passed, 1 failed. 1 attempt came out unknown before."


def test_a_length_says_what_is_unlimited():
    assert phrases.length(Length(0.0, 0.0, 0.0)) == "0 s"
    assert phrases.length(Length(4.94, 5.0, 5.06)) == "5.00 s [4.94-5.06]"
    assert phrases.length(Length(3.0, math.inf, math.inf)) == "unlimited [at least 3.00 s]"


def test_what_is_known_is_said_first_and_the_others_are_counted_apart():
    scenario = replace(as_known().scenarios[0], message="")
    said = phrases.say_scenario(scenario)
    assert said.startswith("Known: “workers keep serving while the head is down” fails (https://github.com/")
    assert f"All {len(scenario.assertions) - 1} other assertions hold." in said


def test_a_run_that_never_began_says_so():
    assert phrases.say_run(replace(could_not_start(), scenarios=())) == "No scenario began."


@pytest.mark.parametrize(
    ("verdict", "state", "word"),
    [
        (Verdict.PASS, "finished", "passed"),
        (Verdict.FAIL, "finished", "failed"),
        (Verdict.UNKNOWN, "finished", "unknown"),
        (Verdict.UNKNOWN, "error", "error"),
        (Verdict.FAIL, "error", "failed"),
        (Verdict.FAIL, "interrupted", "interrupted"),
        (Verdict.UNKNOWN, "killed", "killed"),
        (Verdict.PASS, "skipped", "skipped"),
    ],
)
def test_one_word_says_how_it_went(verdict, state, word):
    assert phrases.word(verdict, state) == word


def recovery(*phases, causes=(), explained=(0.0, 10.0), unexplained=0.0):
    return Recovery(
        fault="fault",
        injected=0.0,
        until=10.0,
        phases=tuple(Phase(name, after, by, "gcs") for name, after, by in phases),
        downtime={},
        explained=explained,
        series="users service/new",
        causes=tuple(Cause(cause, who, 0.0, 1.0, "gcs", "", share) for cause, who, share in causes),
        unexplained=unexplained,
    )


def test_a_recovery_is_a_line_with_its_phases_and_what_took_longest():
    told = recovery(
        ("impact", Bracket(0.0, 0.1, 0.2), "refused"),
        ("detection", Bracket(4.1, 4.1, 4.1), "node dead"),
        ("mitigation", Bracket(18.1, 18.4, 18.7), "good again"),
        ("recovery", Bracket(20.6, 21.4, 21.4), "as before"),
        causes=(
            ("restart delay", "head", 0.12),
            ("head process starting", "head", 0.62),
            ("health check strikes 1 of 3", "r1", 0.05),
            ("health check strikes 2 of 3", "r1", 0.08),
            ("GCS loading", "head", 0.001),
        ),
        unexplained=0.129,
    )
    assert phrases.say_recovery(told) == (
        "detected after 4.10 s, traffic good after 18.4 s [18.1-18.7], as before after 21.4 s [20.6-21.4];"
        " of the longest downtime 62% head process starting, 13% health check strikes, 12% restart delay, 13% unexplained"
    )


def test_what_did_not_come_or_is_not_known_says_why():
    told = recovery(
        ("detection", None, "the cluster said nothing about it"),
        ("mitigation", None, "no traffic was lost"),
        ("recovery", None, "nobody saw that all was as before"),
        explained=None,
        unexplained=1.0,
    )
    assert phrases.say_recovery(told) == (
        "not detected (the cluster said nothing about it), no traffic was lost, nobody saw that all was as before"
    )
