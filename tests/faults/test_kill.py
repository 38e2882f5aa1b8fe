"""What kill aims at, and what it refuses."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pydantic import ValidationError

from runner.errors import CannotRun
from runner.faults.kill import KIND, Kill, aim

WORKERS = ("worker-1", "worker-2", "worker-3")


def aimed(seed: int = 0, **arguments: Any) -> list[dict[str, Any]]:
    made = aim(Kill.model_validate(arguments), WORKERS, random.Random(seed))
    return [{"kind": action.kind, **action.arguments} for action in made.actions]


def test_kill_is_a_fault() -> None:
    assert KIND.is_fault


@pytest.mark.parametrize(
    ("arguments", "actions"),
    [
        ({"node": "head"}, [{"kind": "node", "slot": "head", "how": "crash"}]),
        ({"node": {"worker": 2}, "how": "delete", "grace": "5s"},
         [{"kind": "node", "slot": "worker-2", "how": "delete", "grace": 5.0}]),
        ({"node": {"worker": "all"}}, [{"kind": "node", "slot": slot, "how": "crash"} for slot in WORKERS]),
        ({"actor": "controller"}, [{"kind": "actor", "role": "controller", "how": "crash", "mode": "one"}]),
        ({"actor": "replica", "deployment": "D", "mode": "all", "node": {"worker": 1}},
         [{"kind": "actor", "role": "replica", "how": "crash", "deployment": "D", "slot": "worker-1", "mode": "all"}]),
        ({"actor": "proxy", "how": "ray_kill", "no_restart": True},
         [{"kind": "actor", "role": "proxy", "how": "ray_kill", "no_restart": True, "mode": "one"}]),
        ({"command": "break"}, [{"kind": "command", "name": "break"}]),
    ],
)  # fmt: skip
def test_a_target_becomes_actions(arguments: dict[str, Any], actions: list[dict[str, Any]]) -> None:
    assert aimed(**arguments) == actions


@pytest.mark.parametrize("node", ["worker", {"worker": "any"}])
def test_any_worker_is_drawn_by_the_seed(node: Any) -> None:
    assert aimed(1, node=node) == aimed(1, node=node)
    assert {aimed(seed, node=node)[0]["slot"] for seed in range(30)} == set(WORKERS)


@pytest.mark.parametrize("node", [{"worker": 4}, "worker"])
def test_a_worker_that_is_not_there_is_a_sentence(node: Any) -> None:
    workers = WORKERS if isinstance(node, dict) else ()
    with pytest.raises(CannotRun, match=r"There is no worker"):
        aim(Kill.model_validate({"node": node}), workers, random.Random(0))


def test_people_are_told_what_is_aimed_at() -> None:
    draw = random.Random(0)
    assert aim(Kill.model_validate({"node": "head"}), WORKERS, draw).target == "node head"
    replicas = Kill.model_validate({"actor": "replica", "deployment": "D", "mode": "all"})
    assert aim(replicas, WORKERS, draw).target == "every actor replica of D"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"node": "head", "command": "x"},
        {"node": "head", "how": "ray_kill"},
        {"actor": "replica", "how": "delete"},
        {"actor": "proxy", "deployment": "D"},
        {"node": "head", "app": "a"},
        {"actor": "replica", "no_restart": True},
        {"node": "head", "grace": "5s"},
        {"node": {"worker": 0}},
        {"node": "tail"},
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Kill.model_validate(arguments)
