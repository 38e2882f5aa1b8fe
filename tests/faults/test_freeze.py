"""What freeze aims at: a node, one of Ray's processes, actors; all of them live on."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pydantic import ValidationError

from runner.faults.aim import Aim
from runner.faults.freeze import KIND, Freeze, aim

WORKERS = ("worker-1", "worker-2")


def aimed(**arguments: Any) -> Aim:
    return aim(Freeze.model_validate(arguments), WORKERS, random.Random(0))


@pytest.mark.parametrize(
    ("arguments", "actions"),
    [
        ({"node": {"worker": 1}}, [{"slot": "worker-1"}]),
        ({"node": {"worker": "all"}, "process": "raylet"},
         [{"slot": slot, "process": "raylet"} for slot in WORKERS]),
        ({"process": "gcs_server"}, [{"slot": "head", "process": "gcs_server"}]),
        ({"actor": "replica", "app": "a", "mode": {"fixed": 2}},
         [{"role": "replica", "app": "a", "mode": {"fixed": 2}}]),
        ({"actor": "proxy", "node": "head"}, [{"role": "proxy", "mode": "one", "slot": "head"}]),
    ],
)  # fmt: skip
def test_a_target_becomes_actions(arguments: dict[str, Any], actions: list[dict[str, Any]]) -> None:
    made = aimed(**arguments)
    assert [{**each.arguments} for each in made.actions] == actions
    assert {each.kind for each in made.actions} == {"freeze"}


def test_what_is_frozen_lives_on_until_it_is_thawed() -> None:
    made = aimed(node="head", **{"for": "20s"})
    assert (made.ends, made.lasts, made.heal_after) == (False, True, 20.0)
    assert aimed(node="head").heal_after is None
    assert KIND.needs is not None
    assert KIND.needs(None) == ("freeze",)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "needs a target"),
        ({"process": "raylet", "actor": "proxy"}, "two targets"),
        ({"process": "dashboard", "node": "worker"}, "stands on the head alone"),
        ({"node": "head", "mode": "all"}, "how many actors"),
        ({"node": "head", "for": "0s"}, "greater than 0"),
        ({"command": "x"}, "Extra inputs"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Freeze.model_validate(arguments)
