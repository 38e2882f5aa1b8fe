from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped
from lxml import etree

from runner.reports import junit
from runner.timeline.run import Verdict
from tests.golden import check
from tests.reports.example import (
    RUNS,
    as_known,
    could_not_start,
    head_node_failure,
    repeated,
    several,
    without_fault_tolerance,
)

HERE = Path(__file__).parent
XSD = etree.XMLSchema(etree.parse(HERE / "junit.xsd"))


def suites(run) -> JUnitXml:
    text = junit.render(run)
    XSD.assertValid(etree.fromstring(text.encode()))
    return JUnitXml.fromstring(text.encode())


def cases(run) -> dict[str, object]:
    return {case.name: case for suite in suites(run) for case in suite}


@pytest.mark.parametrize("name", RUNS)
def test_every_run_keeps_the_xsd_and_is_as_it_was(name):
    text = junit.render(RUNS[name]())
    XSD.assertValid(etree.fromstring(text.encode()))
    check(HERE / "golden" / f"{name}.junit.xml", text)


@pytest.mark.parametrize("name", RUNS)
def test_the_counts_are_those_of_the_cases(name):
    every = suites(RUNS[name]())
    for suite in every:
        results = [case.result[0] if case.result else None for case in suite]
        assert suite.tests == len(results)
        assert suite.failures == sum(isinstance(result, Failure) for result in results)
        assert suite.errors == sum(isinstance(result, Error) for result in results)
        assert suite.skipped == sum(isinstance(result, Skipped) for result in results)
    assert every.tests == sum(suite.tests for suite in every)


def test_assertions_and_waits_after_the_fault_are_cases_of_a_green_suite():
    found = cases(head_node_failure())
    assert {"same replicas", "updates work again", "Wait for recovery"} <= set(found)
    assert "Deploy the application" not in found
    assert all(case.is_passed for case in found.values())


def test_a_failed_assertion_says_what_was_expected_and_where():
    case = cases(without_fault_tolerance())["workers keep serving while the head is down"]
    (failure,) = case.result
    assert isinstance(failure, Failure)
    assert failure.message == "expected at most 0 failed requests, was 1 840 failed of 4 301 on 4 series"
    assert "scenarios/head_node.yaml:29" in failure.text
    assert case._elem.get("file") == "scenarios/head_node.yaml"
    assert case._elem.get("line") == "29"


def test_what_fails_as_is_known_is_skipped_and_names_the_issue():
    found = cases(as_known())
    for name in ("workers keep serving while the head is down", "Wait for recovery"):
        (skipped,) = found[name].result
        assert isinstance(skipped, Skipped)
        assert "https://github.com/ray-project/ray/issues/1" in skipped.message
    assert not any(isinstance(result, Failure | Error) for case in found.values() for result in case.result)


def test_an_unexpected_pass_is_a_failure_that_begins_with_why():
    run = as_known()
    first, *others = run.scenarios[0].assertions
    known = replace(first.known, state="passes", says="it holds, though it is known to fail")
    passes = replace(first, verdict=Verdict.FAIL, known=known)
    scenario = replace(run.scenarios[0], verdict=Verdict.FAIL, assertions=(passes, *others))
    (failure,) = cases(replace(run, scenarios=(scenario,)))[first.name].result
    assert isinstance(failure, Failure)
    assert failure.message.startswith("it holds, though it is known to fail; expected")


def test_each_repetition_is_a_suite_and_of_its_attempts_the_last_tells_of_the_others():
    run = repeated()
    first, second = suites(run)
    assert (first.name, second.name) == (
        "head-node-failure (repetition 1 of 2)",
        "head-node-failure (repetition 2 of 2)",
    )
    assert [case.classname for case in first][:4] == [case.classname for case in second][:4]
    properties = {each.name: each.value for each in first.properties()}
    assert properties["attempt 1"].startswith("unknown: The head did not come up within 60 s.")
    assert (properties["seed"], properties["delay"]) == ("7", "3.25 s")
    assert "Attempt 1 came out unknown. The head did not come up" in first._elem.findtext("system-out")
    assert (first.failures, first.errors) == (0, 0)
    (aborted,) = [case for case in second if case.result]
    assert aborted.name == "scenario"
    assert aborted.result[0].message.startswith("Aborted: longest downtime of users")


def test_an_unknown_assertion_is_an_error_that_says_so():
    (error,) = cases(without_fault_tolerance())["same replicas"].result
    assert isinstance(error, Error)
    assert error.type == "unknown"
    assert error.message == "unknown: nobody answered after the fault"


def test_a_wait_that_was_not_met_after_the_fault_is_a_failure():
    (failure,) = cases(without_fault_tolerance())["Wait for recovery"].result
    assert isinstance(failure, Failure)
    assert "replicas are 0, not 6" in failure.message


def test_a_wait_that_was_not_met_before_any_fault_is_an_error():
    run = without_fault_tolerance()
    scenario = replace(run.scenarios[0], faults=(), assertions=(), verdict=Verdict.UNKNOWN)
    (error,) = cases(replace(run, scenarios=(scenario,)))["Wait for recovery"].result
    assert isinstance(error, Error)


def test_an_error_in_set_up_is_an_error_of_its_step():
    found = cases(could_not_start())
    (error,) = found["Start the cluster"].result
    assert isinstance(error, Error)
    assert error.message.startswith("The head did not come up within 60 s.")


def test_a_skipped_scenario_is_skipped_with_its_reason():
    (skipped,) = list(suites(several()))[3]
    (result,) = skipped.result
    assert isinstance(result, Skipped)
    assert result.message.startswith("It requires the capability")


def test_a_scenario_that_judged_nothing_still_has_a_case_that_says_so():
    run = head_node_failure()
    scenario = replace(
        run.scenarios[0], assertions=(), faults=(), verdict=Verdict.UNKNOWN, message="", judged=0
    )
    found = cases(replace(run, scenarios=(scenario,)))
    (error,) = found["scenario"].result
    assert isinstance(error, Error)
    assert "Nothing was judged" in error.message


def test_a_run_without_scenarios_is_an_error():
    run = replace(could_not_start(), scenarios=(), state="error", message="The disk is full.")
    (error,) = cases(run)["run"].result
    assert error.message == "The disk is full."


@given(
    verdict=st.sampled_from(Verdict),
    state=st.sampled_from(["finished", "error", "interrupted", "killed"]),
    steps=st.lists(
        st.sampled_from(["ok", "failed", "error", "ignored", "unmet", "withheld", "cancelled"]),
        min_size=15,
        max_size=15,
    ),
    hit=st.booleans(),
)
def test_a_suite_is_red_exactly_where_the_verdict_is_not_pass(verdict, state, steps, hit):
    run = head_node_failure()
    scenario = run.scenarios[0]
    if verdict is Verdict.PASS:
        state = "finished"
    scenario = replace(
        scenario,
        verdict=verdict,
        state=state,
        assertions=(),
        faults=scenario.faults if hit else (),
        steps=tuple(replace(step, state=each) for step, each in zip(scenario.steps, steps, strict=True)),
    )
    every = suites(replace(run, scenarios=(scenario,)))
    assert bool(every.failures or every.errors) == (verdict is not Verdict.PASS)
    assert verdict is not Verdict.UNKNOWN or not every.failures


def test_windows_are_properties_with_their_brackets():
    (suite,) = suites(head_node_failure())
    properties = {each.name: each.value for each in suite.properties()}
    assert properties["window 1 head head/new"] == (
        "26.55 s [26.50-26.61] from 52.326 s to 78.877 s: refused 428, unreachable 96, timeout 7"
    )
    assert properties["downtime workers worker-1/new"] == "none seen"


@given(st.text())
def test_no_text_can_break_the_file(text):
    run = without_fault_tolerance()
    scenario = run.scenarios[0]
    assertion = replace(scenario.assertions[0], name=text + "x", actual=text, why=text)
    step = replace(scenario.steps[9], message=text, name=text + "y")
    suites(
        replace(run, scenarios=(replace(scenario, name=text + "z", assertions=(assertion,), steps=(step,)),))
    )
