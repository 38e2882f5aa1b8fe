"""What drain aims at: a node that Ray is to let go, for good."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pydantic import ValidationError

from runner.faults.aim import Aim
from runner.faults.drain import KIND, Drain, aim


def aimed(**arguments: Any) -> Aim:
    return aim(Drain.model_validate(arguments), ("worker-1", "worker-2"), random.Random(0))


def test_a_node_is_drained_and_comes_back_as_another() -> None:
    made = aimed(node={"worker": 1}, deadline="40s", reason="idle")
    said = {"slot": "worker-1", "deadline": 40.0, "reason": "idle"}
    assert [(each.kind, each.arguments) for each in made.actions] == [("drain", said)]
    assert (made.target, made.how) == ("node worker-1", "idle")
    assert (made.ends, made.lasts) == (True, False)
    assert KIND.needs is not None
    assert KIND.needs(None) == ("drain",)


def test_a_busy_node_is_taken_away_unless_it_is_said_to_be_idle() -> None:
    assert aimed(node="worker").actions[0].arguments["reason"] == "preemption"


def test_a_host_is_drained_until_it_is_healed() -> None:
    made = aimed(host={"worker": 2})
    said = {"slot": "worker-2", "how": "drain"}
    assert [(each.kind, each.arguments) for each in made.actions] == [("host", said)]
    assert (made.target, made.how, made.lasts) == ("host of worker-2", "drained", True)
    assert KIND.needs is not None
    assert KIND.needs(Drain.model_validate({"host": "worker"})) == ("host",)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"node": "head", "reason": "whim"},
        {"node": "head", "deadline": "0s"},
        {"node": "head", "host": "head"},
        {"host": "head", "deadline": "5s"},
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Drain.model_validate(arguments)
