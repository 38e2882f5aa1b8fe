"""What partition aims at: links, that are cut until they are joined."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pydantic import ValidationError

from runner.faults.aim import Aim
from runner.faults.partition import KIND, Partition, aim

WORKERS = ("worker-1", "worker-2")


def aimed(**arguments: Any) -> Aim:
    return aim(Partition.model_validate(arguments), WORKERS, random.Random(0))


def test_a_link_is_cut_and_its_node_lives_on() -> None:
    made = aimed(node={"worker": 2}, **{"for": "8s"})
    assert [(each.kind, each.arguments) for each in made.actions] == [("cut_link", {"slot": "worker-2"})]
    assert (made.ends, made.lasts, made.heal_after) == (False, True, 8.0)
    assert made.target == "node worker-2"


def test_without_a_time_it_lasts_until_it_is_healed() -> None:
    assert aimed(node="head").heal_after is None
    assert [each.arguments["slot"] for each in aimed(node={"worker": "all"}).actions] == list(WORKERS)


def test_it_needs_a_cluster_whose_links_can_be_cut() -> None:
    assert KIND.is_fault
    assert KIND.needs is not None
    assert KIND.needs(None) == ("partition",)


@pytest.mark.parametrize(
    "arguments", [{}, {"node": "head", "for": 8}, {"node": "head", "for": "0s"}, {"actor": "proxy"}]
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Partition.model_validate(arguments)
