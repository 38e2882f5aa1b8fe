"""What upgrade aims at: the cluster that serves, by whoever runs it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pydantic import ValidationError

from runner.faults.upgrade import KIND, Upgrade, aim


def aimed(**arguments: Any) -> Any:
    return aim(Upgrade.model_validate(arguments), ("worker-1",), random.Random(0))


def test_another_cluster_is_asked_for_and_what_was_there_is_gone_then() -> None:
    made = aimed(environment={"RAY_X": "1"})
    [action] = made.actions
    assert (action.kind, action.arguments) == (
        "upgrade",
        {"how": "new_cluster", "environment": {"RAY_X": "1"}},
    )
    assert (made.how, made.ends, made.lasts, made.heal_after) == ("new_cluster", True, False, None)


def test_step_by_step_it_has_steps() -> None:
    [action] = aimed(how="incremental").actions
    assert (action.arguments["step"], action.arguments["interval"]) == (20, 10.0)
    [action] = aimed(how="incremental", step=50, interval="3s").actions
    assert (action.arguments["step"], action.arguments["interval"]) == (50, 3.0)


def test_each_way_needs_a_cluster_that_has_it() -> None:
    assert KIND.is_fault
    assert KIND.needs is not None
    assert KIND.expand is not None
    assert KIND.needs(None) == ("upgrade",)
    assert KIND.expand(None) == {}
    assert KIND.needs(Upgrade()) == ("upgrade",)
    assert KIND.needs(Upgrade(how="incremental")) == ("incremental_upgrade",)


@pytest.mark.parametrize(
    "arguments",
    [
        {"how": "blue_green"},
        {"step": 10},
        {"interval": "5s"},
        {"how": "incremental", "step": 0},
        {"how": "incremental", "interval": "1500ms"},
        {"environment": {"": "x"}},
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Upgrade.model_validate(arguments)
