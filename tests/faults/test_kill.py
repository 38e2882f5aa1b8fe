"""What kill aims at, and what it refuses."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pydantic import ValidationError

from runner.errors import CannotRun
from runner.faults.kill import KIND, Kill, aim, needs

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
        ({"node": {"worker": 2}, "how": "power_off"}, [{"kind": "node", "slot": "worker-2", "how": "power_off"}]),
        ({"node": {"worker": "all"}}, [{"kind": "node", "slot": slot, "how": "crash"} for slot in WORKERS]),
        ({"actor": "controller"}, [{"kind": "actor", "role": "controller", "how": "crash", "mode": "one"}]),
        ({"actor": "replica", "deployment": "D", "mode": "all", "node": {"worker": 1}},
         [{"kind": "actor", "role": "replica", "how": "crash", "deployment": "D", "slot": "worker-1", "mode": "all"}]),
        ({"actor": "replica", "mode": {"fixed": 2}},
         [{"kind": "actor", "role": "replica", "how": "crash", "mode": {"fixed": 2}}]),
        ({"actor": "replica", "mode": {"percent": 50}},
         [{"kind": "actor", "role": "replica", "how": "crash", "mode": {"percent": 50.0}}]),
        ({"actor": "proxy", "how": "ray_kill", "no_restart": True},
         [{"kind": "actor", "role": "proxy", "how": "ray_kill", "no_restart": True, "mode": "one"}]),
        ({"process": "gcs_server"}, [{"kind": "process", "slot": "head", "process": "gcs_server"}]),
        ({"process": "raylet"}, [{"kind": "process", "slot": "head", "process": "raylet"}]),
        ({"process": "dashboard_agent", "node": {"worker": "all"}},
         [{"kind": "process", "slot": slot, "process": "dashboard_agent"} for slot in WORKERS]),
        ({"host": {"worker": 2}, "how": "delete"}, [{"kind": "host", "slot": "worker-2", "how": "delete"}]),
        ({"service": "redis"}, [{"kind": "service", "service": "redis", "how": "crash"}]),
        ({"service": "redis", "how": "power_off"}, [{"kind": "service", "service": "redis", "how": "power_off"}]),
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


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        ({"node": "head"}, "node head"),
        ({"node": {"worker": "all"}}, "node worker-1, worker-2, worker-3"),
        ({"actor": "replica", "deployment": "D", "mode": "all"}, "every actor replica of D"),
        ({"actor": "replica", "mode": {"fixed": 2}, "node": {"worker": 1}}, "2 of actor replica on worker-1"),
        ({"actor": "replica", "app": "a", "mode": {"percent": 50}}, "50 % of actor replica of a"),
        ({"process": "dashboard"}, "process dashboard on head"),
        ({"service": "redis"}, "service redis"),
        ({"command": "x"}, "command x"),
    ],
)
def test_people_are_told_what_is_aimed_at(arguments: dict[str, Any], target: str) -> None:
    assert aim(Kill.model_validate(arguments), WORKERS, random.Random(0)).target == target


def test_what_is_powered_off_stays_away_and_all_else_comes_back_by_itself() -> None:
    draw = random.Random(0)
    for arguments in ({"node": "head"}, {"service": "redis"}, {"service": "operator"}):
        made = aim(Kill.model_validate({**arguments, "how": "power_off"}), WORKERS, draw)
        assert (made.ends, made.lasts, made.heal_after) == (True, True, None)
        made = aim(Kill.model_validate(arguments), WORKERS, draw)
        assert (made.ends, made.lasts) == (True, False)
    # A host comes back by no means of its own, whatever befell it.
    for how in ("power_off", "delete"):
        assert aim(Kill.model_validate({"host": "head", "how": how}), WORKERS, draw).lasts


@pytest.mark.parametrize(
    ("arguments", "capabilities"),
    [
        ({"node": "head"}, ("node",)),
        ({"node": "head", "how": "power_off"}, ("node", "power_off")),
        ({"node": "head", "actor": "proxy"}, ("actor",)),
        ({"node": "head", "process": "raylet"}, ("process",)),
        ({"service": "redis", "how": "power_off"}, ("redis",)),
        ({"service": "operator"}, ("operator",)),
        ({"host": "worker", "how": "power_off"}, ("host", "power_off")),
        ({"node": "worker", "how": "evict"}, ("node", "evict")),
        ({"command": "x"}, ("command",)),
    ],
)
def test_what_a_cluster_must_be_able_to_do(arguments: dict[str, Any], capabilities: tuple[str, ...]) -> None:
    assert needs(Kill.model_validate(arguments)) == capabilities
    assert needs(None) == ()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "Kill has a target"),
        ({"node": "head", "command": "x"}, "Kill has one target"),
        ({"service": "redis", "actor": "proxy"}, "Kill has one target"),
        ({"process": "raylet", "actor": "proxy"}, "two targets"),
        ({"process": "gcs_server", "node": "worker"}, "stands on the head alone"),
        ({"process": "dashboard", "node": {"worker": 1}}, "stands on the head alone"),
        ({"process": "sshd"}, "gcs_server"),
        ({"service": "postgres"}, "redis"),
        ({"node": "head", "how": "ray_kill"}, "not for a node, which takes `crash` or `delete` or `evict` or `power_off`"),
        ({"actor": "replica", "how": "delete"}, "not for a replica, which takes `crash` or `ray_kill`"),
        ({"process": "raylet", "how": "delete"}, "not for a raylet, which takes `crash`"),
        ({"service": "redis", "how": "evict"}, "redis, which takes `crash` or `delete` or `power_off`"),
        ({"host": "worker", "how": "crash"}, "not for a host, which takes `power_off` or `delete`"),
        ({"host": "worker", "node": "worker"}, "Kill has one target"),
        ({"actor": "proxy", "deployment": "D"}, "choose among replicas"),
        ({"node": "head", "app": "a"}, "choose among replicas"),
        ({"node": "head", "mode": "all"}, "how many actors"),
        ({"actor": "replica", "mode": {"fixed": 0}}, "greater than or equal to 1"),
        ({"actor": "replica", "mode": {"percent": 101}}, "less than or equal to 100"),
        ({"actor": "replica", "no_restart": True}, "goes with `how: ray_kill`"),
        ({"node": "head", "grace": "5s"}, "goes with `how: delete`"),
        ({"node": {"worker": 0}}, "greater than or equal to 1"),
        ({"node": "tail"}, "'head' or 'worker'"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Kill.model_validate(arguments)
