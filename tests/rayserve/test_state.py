"""What Ray 2.60.0 answered on a local cluster, and the state document that is made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from runner.rayserve import state
from runner.rayserve.members import Members, count

RECORDED = Path(__file__).parent / "recorded"
SCHEMA = json.loads((Path(__file__).parents[1] / "clusters" / "state_schema.json").read_text())
SLOTS = {"10.1.0.2": "head", "10.1.0.3": "worker-1", "10.1.0.4": "worker-2"}
PROCESSES = [{"slot": "head", "role": "node", "state": "up", "count": 22, "starts": 1}]


def recorded(name: str, **changes: Any) -> dict[str, Any]:
    """The document of what was recorded; `changes` replace answers."""
    said = json.loads((RECORDED / f"{name}.json").read_text())
    given = {
        "nodes": said["nodes"]["data"]["result"]["result"],
        "actors": said["actors"]["data"]["result"]["result"],
        "applications": said["applications"],
        "processes": PROCESSES,
    } | changes
    made = state.document(**given, slots=SLOTS)
    jsonschema.validate(made, SCHEMA)
    return made


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDED.glob("*.json")))
def test_every_answer_becomes_a_document_that_keeps_the_schema(name: str) -> None:
    made = recorded(name)
    assert {row["slot"] for row in made["nodes"]} == {"head", "worker-1", "worker-2"}
    assert made["processes"] == PROCESSES


def test_a_running_application() -> None:
    made = recorded("running")
    assert made["unknown"] == []
    assert count(made) == Members(heads=1, workers=2, replicas=6, proxies=3, controllers=1)
    assert [(row["name"], row["status"]) for row in made["applications"]] == [("sleepy", "RUNNING")]
    (deployment,) = made["deployments"]
    assert (deployment["target_replicas"], deployment["asks"]) == (6, {"CPU": 1})
    assert sorted(row["slot"] for row in made["replicas"]) == ["worker-1"] * 3 + ["worker-2"] * 3
    (head,) = (row for row in made["nodes"] if row["is_head"])
    assert (head["slot"], head["address"], head["state"]) == ("head", "10.1.0.2", "ALIVE")
    assert all(isinstance(row["pid"], int) for row in made["replicas"])


def test_trap_11_the_dead_are_marked_and_numbers_are_numbers() -> None:
    made = recorded("worker_back")
    dead = [row for row in made["nodes"] + made["actors"] if row["dead"]]
    assert {row["state"] for row in dead} == {"DEAD"}
    assert [row["slot"] for row in dead if "address" in row] == ["worker-1"]
    assert all(type(row["restarts"]) is int for row in made["actors"])
    assert count(made) == Members(heads=1, workers=2, replicas=6, proxies=3, controllers=1)


def test_an_actor_without_a_process_has_none() -> None:
    # Ray writes 0 for it.
    made = recorded("worker_dead")
    assert [row["pid"] for row in made["actors"] if row["state"] == "PENDING_CREATION"] == [None] * 2
    assert made["applications"][0]["status"] == "UNHEALTHY"


def test_an_actor_that_restarts_has_no_process_and_does_not_count() -> None:
    # Ray counts the restart, and names the dead process until it has leased another.
    said = json.loads((RECORDED / "running.json").read_text())["actors"]["data"]["result"]["result"]
    (controller,) = (row for row in said if row["class_name"] == "ServeController")
    assert controller["pid"]
    controller |= {"state": "RESTARTING", "num_restarts": "1"}
    made = recorded("running", actors=said)
    (row,) = (row for row in made["actors"] if row["role"] == "controller")
    assert (row["state"], row["restarts"], row["pid"], row["dead"]) == ("RESTARTING", 1, None, False)
    assert count(made).controllers == 0


def test_a_cluster_that_never_had_a_controller_has_no_applications() -> None:
    made = recorded("fresh")
    assert made["unknown"] == []
    assert made["applications"] == []


def test_an_empty_answer_without_a_controller_says_nothing() -> None:
    made = recorded("controller_gone")
    assert made["unknown"] == ["applications", "deployments", "replicas", "proxies"]
    assert made["applications"] == made["replicas"] == made["proxies"] == []
    assert count(made) == Members(heads=1, workers=2, replicas=None, proxies=None, controllers=0)


def test_an_empty_answer_says_nothing_either_where_actors_are_unknown() -> None:
    made = recorded("controller_gone", actors=None)
    assert set(made["unknown"]) == {"actors", "applications", "deployments", "replicas", "proxies"}


def test_without_a_head_everything_of_ray_is_unknown_and_processes_are_not() -> None:
    made = recorded("running", nodes=None, actors=None, applications=None)
    assert set(made["unknown"]) == {"nodes", "actors", *state.SERVE_LISTS}
    assert all(made[name] == [] for name in made["unknown"])
    assert made["processes"] == PROCESSES
    assert recorded("running", processes=None)["unknown"] == ["processes"]


def test_a_failed_deployment_says_why() -> None:
    (application,) = recorded("bad_import")["applications"]
    assert application["status"] == "DEPLOY_FAILED"
    assert "nope" in application["message"]


@pytest.mark.parametrize(
    ("class_name", "role"),
    [
        ("ServeController", "controller"),
        ("ProxyActor", "proxy"),
        ("HAProxyManager", "proxy"),
        ("HTTPProxyActor", "proxy"),
        ("ServeReplica:app:Deployment", "replica"),
        ("ServeReplica:Deployment", "replica"),
        ("Counter", "other"),
        ("", "other"),
    ],
)
def test_the_role_of_an_actor_is_told_by_its_class(class_name: str, role: str) -> None:
    assert state.role(class_name) == role
