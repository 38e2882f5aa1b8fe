"""Which actor an action means, and how killing by Ray's means is prepared."""

from __future__ import annotations

from typing import Any

import pytest

from runner.clusters.local import arms
from runner.clusters.local.wire import Wire
from runner.errors import ClusterError, Unreachable


def actor(role: str, number: int, **changes: Any) -> dict[str, Any]:
    row = {"id": f"{role}{number}", "role": role, "name": f"{role}-{number}", "state": "ALIVE", "dead": False}
    return (
        row
        | {"pid": 100 + number, "node_id": "n", "slot": f"worker-{number % 2 + 1}", "restarts": 0}
        | changes
    )


DOCUMENT: dict[str, Any] = {
    "unknown": [],
    "actors": [
        actor("controller", 0, slot="head"),
        actor("controller", 9, state="DEAD", dead=True, pid=7),
        *(actor("replica", number) for number in range(1, 7)),
        actor("replica", 7, state="PENDING_CREATION", pid=None),
        actor("replica", 8),
    ],
    "replicas": [
        {
            "actor_id": f"replica{number}",
            "app": "b" if number == 6 else "a",
            "deployment": "D",
            "state": "RUNNING",
        }
        for number in range(1, 7)
    ]
    + [{"actor_id": "replica8", "app": "a", "deployment": "D", "state": "STOPPING"}],
}


def ids(seed: int = 1, **arguments: Any) -> list[str]:
    return [row["id"] for row in arms.chosen(DOCUMENT, arguments, seed)]


def test_only_the_living_are_chosen() -> None:
    assert ids(role="controller") == ["controller0"]
    assert ids(role="replica", mode="all") == [f"replica{number}" for number in range(1, 7)]


def test_one_is_drawn_with_the_seed() -> None:
    assert all(ids(seed, role="replica") == ids(seed, role="replica") for seed in range(20))
    assert len({ids(seed, role="replica")[0] for seed in range(50)}) > 3


def test_application_deployment_and_node_narrow_it() -> None:
    assert ids(role="replica", mode="all", app="b") == ["replica6"]
    assert ids(role="replica", mode="all", slot="worker-2", app="a") == ["replica1", "replica3", "replica5"]
    for words in ({"app": "c"}, {"deployment": "E"}, {"slot": "head"}):
        with pytest.raises(ClusterError, match="There is no living actor with the role replica"):
            ids(role="replica", **words)


@pytest.mark.parametrize("unknown", ["actors", "replicas"])
def test_what_nobody_knows_cannot_be_aimed_at(unknown: str) -> None:
    with pytest.raises(ClusterError, match="Nobody can say now"):
        arms.chosen(DOCUMENT | {"unknown": [unknown]}, {"role": "replica"}, 1)


async def test_trap_10_without_a_head_ray_is_not_even_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def open_nothing(_self: Wire, question: dict[str, Any], **_: Any) -> Any:
        asked.append(question["ask"])
        raise ClusterError("Connection refused.")

    async def never(*_: Any) -> Any:
        raise AssertionError("asked the dashboard")

    monkeypatch.setattr(Wire, "open", open_nothing)
    head = arms.Head("python", ("10.1.0.2", 6400), never)
    with pytest.raises(Unreachable, match="only a signal can end an actor now"):
        await arms.arm_actor(Wire("/none"), {"role": "controller", "how": "ray_kill"}, head, DOCUMENT, 1)
    assert asked == ["connect"]
    # A signal needs no head: what is known of the actor is enough.
    armed = await arms.arm_actor(Wire("/none"), {"role": "controller"}, head, DOCUMENT, 1)
    assert [hit.ids["pid"] for hit in armed.hits] == [100]
