"""Which scenario gets which cluster, and in what order."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.engine.venue import in_order
from runner.journal.events import ScenarioEnd, ScenarioStart, UndoPushed
from runner.language.plan import Plan
from tests.engine.staging import plan_of, play

STEPS = "- assert: [{name: so, that: 'true'}]\n"


@cache
def plain(number: int) -> Plan:
    return plan_of(STEPS, more=[STEPS] * (number - 1))


def asking(*wanted: int) -> Plan:
    """Give a plan whose scenarios want clusters of so many workers."""
    plan = plain(len(wanted))
    return replace(
        plan,
        scenarios=tuple(
            replace(scenario, cluster={"workers": workers})
            for scenario, workers in zip(plan.scenarios, wanted, strict=True)
        ),
    )


def order(plan: Plan) -> list[tuple[str, object]]:
    return [(scenario.name, scenario.cluster.get("workers")) for scenario in plan.scenarios]


def test_scenarios_that_want_one_cluster_follow_each_other_and_otherwise_nothing_moves() -> None:
    plan = in_order(asking(2, 3, 2, 1, 3))
    assert order(plan) == [
        ("scenario 0", 2),
        ("scenario 2", 2),
        ("scenario 1", 3),
        ("scenario 4", 3),
        ("scenario 3", 1),
    ]


def test_what_is_said_and_what_is_the_default_are_one_cluster() -> None:
    plan = asking(2, 3, 2)
    first, *others = plan.scenarios
    said_nothing = replace(plan, scenarios=(replace(first, cluster={}), *others))
    assert [name for name, _ in order(in_order(said_nothing))] == ["scenario 0", "scenario 2", "scenario 1"]


def test_a_scenario_with_wrong_settings_stays_where_it_is() -> None:
    plan = asking(2, 3, 2)
    wrong = replace(plan.scenarios[0], cluster={"workers": "many"})
    assert order(in_order(replace(plan, scenarios=(wrong, *plan.scenarios[1:]))))[0] == ("scenario 0", "many")


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_every_cluster_is_made_once_and_no_scenario_is_lost(wanted: list[int]) -> None:
    before, after = order(asking(*wanted)), order(in_order(asking(*wanted)))
    assert sorted(before) == sorted(after)
    changes = sum(one[1] != other[1] for one, other in pairwise(after))
    assert changes == len(set(wanted)) - 1


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_run_keeps_to_that_order(tmp_path: Path) -> None:
    told = await play(asking(2, 3, 2), tmp_path)
    assert [event.name for event in told.all(ScenarioStart)] == ["scenario 0", "scenario 2", "scenario 1"]


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize(("no_restart", "clusters"), [("false", 1), ("true", 2)])
async def test_a_cluster_whose_controller_died_for_good_is_not_handed_on(
    no_restart: str, clusters: int, tmp_path: Path
) -> None:
    killed = f"""
    - deploy:
    - kill: {{actor: controller, how: ray_kill, no_restart: {no_restart}}}
      register: fault
    - wait_for: {{recovered: fault}}
    """
    told = await play(plan_of(killed, more=["- deploy:\n"]), tmp_path)
    assert [event.state for event in told.all(ScenarioEnd)] == ["finished", "finished"]
    assert sum(event.act == "close_cluster" for event in told.all(UndoPushed)) == clusters
