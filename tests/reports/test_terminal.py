from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.journal import events
from runner.reports.terminal import Counts, Style, Telling, judged, live, recap
from tests.golden import check
from tests.reports.example import (
    FILE,
    KILLED,
    RECOVERED,
    RUNS,
    STARTED,
    STEPS,
    head_node_failure,
    without_fault_tolerance,
)

GOLDEN = Path(__file__).parent / "golden"


def journal() -> list[events.Event]:
    """What a run that ends badly writes down, in short."""
    told: list[events.Event] = [
        events.RunStart(run="a-run", ftrun="0.1.0", wall=0.0, monotonic=0.0, seed=7),
        events.ScenarioStart(
            t=0.1,
            scenario=0,
            name="head-node-failure",
            file=FILE,
            line=1,
            description="The workers keep serving.",
        ),
        events.Facts(
            t=14.6,
            scenario=0,
            document={
                "kind": "local",
                "layout": "namespaces",
                "ray": {"version": "2.60.0"},
                "workers": 2,
                "gcs_fault_tolerance": "redis",
            },
        ),
    ]
    between: dict[str, list[events.Event]] = {
        "probe": [
            events.ProbeStart(
                t=44.2, scenario=0, probe="users", series=({"series": "service/new", "rate": 20.0},)
            )
        ],
        "log": [events.Said(t=49.6, scenario=0, level="info", text="now\nit comes")],
        "kill": [
            events.FaultIntent(
                t=52.3, scenario=0, fault=0, name="fault", path="steps[6]", fault_kind="kill", how="crash",
                target="node head", hits=({"slot": "head", "says": "head (10.1.0.2), 14 processes"},),
            ),
            events.FaultInjected(t=52.32, fault=0, at=KILLED),
            events.FaultConfirmed(t=52.6, fault=0, confirmed=True),
        ],
    }  # fmt: skip
    for number, (name, kind, line, start, end) in enumerate(STEPS[:10]):
        path = f"steps[{number}]"
        told.append(
            events.StepStart(t=start, scenario=0, path=path, name=name, step=kind, file=FILE, line=line)
        )
        told += between.get(kind, [])
        state, message = ("unmet", "replicas are 0, not 6") if number == 9 else ("ok", "said nothing")
        if number == 9:
            told += [
                events.FaultHealed(t=STARTED, fault=0, at=STARTED),
                events.FaultRecovered(t=RECOVERED, fault=0, at=RECOVERED),
                events.Interrupt(t=84.0, signal="SIGINT"),
            ]
        told.append(events.StepEnd(t=end, scenario=0, path=path, state=state, message=message))
    return [
        *told,
        events.FaultConfirmed(t=85.0, fault=1, confirmed=False, why="its process is still there"),
        events.UndoDone(t=85.1, undo=3, error="no route to host"),
        events.ScenarioEnd(t=85.2, scenario=0, state="interrupted", message="SIGINT asked to stop."),
        events.RunEnd(t=85.3, state="interrupted"),
    ]


@pytest.mark.parametrize("announce", [False, True])
def test_a_run_is_told_line_by_line(announce):
    telling = Telling(announce=announce)
    lines = [line for event in journal() for line in telling.tell(event)]
    check(GOLDEN / f"telling{'.announced' if announce else ''}.txt", "\n".join(lines) + "\n")


def test_steps_under_way_are_known_for_the_live_line():
    telling = Telling()
    seen = set()
    for event in journal():
        telling.tell(event)
        seen |= {step.name for step in telling.running.values()}
    assert "Wait for recovery" in seen
    assert not telling.running


@pytest.mark.parametrize("name", RUNS)
def test_the_recap_is_as_it_was(name):
    check(GOLDEN / f"{name}.recap.txt", recap(RUNS[name](), "reports/a-run/report.html"))


def test_colour_adds_nothing_but_colour():
    for run in (make() for make in RUNS.values()):
        coloured = recap(run, style=Style(colour=True))
        assert "\x1b[" in coloured
        assert re.sub(r"\x1b\[\d+m", "", coloured) == recap(run)
    plain, painted = Telling(), Telling(Style(colour=True))
    for event in journal():
        assert [re.sub(r"\x1b\[\d+m", "", line) for line in painted.tell(event)] == plain.tell(event)


def test_an_assertion_that_does_not_pass_says_why():
    assert judged(head_node_failure().scenarios[0].assertions[:1], Style()) == [
        "  passed              workers keep serving while the head is down"
    ]
    lines = judged(without_fault_tolerance().scenarios[0].assertions[:1], Style())
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["expected", "actual", "why", "at"]


def test_the_live_line_says_who_is_down_since_when():
    line = live([Counts("users", 412, 0), Counts("head", 300, 41, 52.3)], 64.6, running="Wait for recovery")
    assert line == "   64.6 s | Wait for recovery | users 0 bad of 412 | head 41 bad of 300, down 12.3 s"


@given(
    st.lists(st.tuples(st.text(max_size=30), st.integers(0, 10**9), st.booleans()), max_size=8),
    st.text(max_size=60),
    st.integers(1, 120),
)
def test_the_live_line_never_wraps(probes, running, width):
    counts = [Counts(name, sent, sent // 2, 1.0 if down else None) for name, sent, down in probes]
    line = live(counts, 100.0, running=running, width=width)
    assert "\n" not in line
    assert len(line) <= width


def test_texts_of_others_cannot_steer_the_terminal():
    said = events.Said(scenario=0, level="info", text="\x1b[2J\x07gone")
    assert Telling().tell(said) == ["  says                [2Jgone"]
