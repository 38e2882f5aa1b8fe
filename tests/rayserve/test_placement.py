"""Replicas without room are said with what they ask and what nodes offer, and only when all nodes are there."""

from __future__ import annotations

from typing import Any

from runner.rayserve.placement import unplaceable


def document(asks: dict[str, float] | None, **changes: Any) -> dict[str, Any]:
    offers = {"head": {"memory": 2e9}, "worker-1": {"CPU": 3.0}, "worker-2": {"CPU": 3.0, "odd": 1.0}}
    return {
        "unknown": [],
        "nodes": [
            {"slot": slot, "address": "", "state": "ALIVE", "resources": resources}
            for slot, resources in offers.items()
        ],
        "deployments": [{"app": "a", "name": "D", "target_replicas": 6, "asks": asks}],
        "processes": [{"slot": slot, "role": "node", "state": "up"} for slot in offers],
    } | changes


def test_what_fits_is_not_mentioned() -> None:
    for asks in ({"CPU": 1.0}, {"CPU": 0.5}, {}, None, {"CPU": 0.0}):
        assert unplaceable(document(asks)) == []


def test_shares_that_add_up_to_all_there_is_fit() -> None:
    # 0.3 / 0.1 is a little less than 3.
    nodes = [{"slot": name, "address": "", "state": "ALIVE", "resources": {"odd": 0.3}} for name in "abc"]
    told = document({"odd": 0.1}, nodes=nodes)
    told["deployments"][0]["target_replicas"] = 9
    assert unplaceable(told) == []


def test_what_does_not_fit_is_said_with_numbers() -> None:
    (sentence,) = unplaceable(document({"CPU": 2.0}))
    assert sentence == (
        "a/D wants 6 replicas of 2 CPU each, and the nodes have room for 2"
        " (head: 0 CPU; worker-1: 3 CPU; worker-2: 3 CPU)."
    )
    assert "room for 1 (" in unplaceable(document({"CPU": 1.0, "odd": 1.0}))[0]
    assert "0 GPU" in unplaceable(document({"GPU": 1.0}))[0]


def test_nothing_is_said_while_a_node_is_away_or_not_known() -> None:
    whole = document({"CPU": 2.0})
    away = [{**whole["processes"][0], "state": "waiting"}, *whole["processes"][1:]]
    assert unplaceable(whole | {"processes": away}) == []
    assert unplaceable(whole | {"nodes": whole["nodes"][:2]}) == []
    dead = [*whole["nodes"][:2], {**whole["nodes"][2], "state": "DEAD"}]
    assert unplaceable(whole | {"nodes": dead}) == []
    for name in ("nodes", "deployments", "processes"):
        assert unplaceable(whole | {"unknown": [name]}) == []
    unsaid = [{**row, "resources": None} for row in whole["nodes"]]
    assert unplaceable(whole | {"nodes": unsaid}) == []
