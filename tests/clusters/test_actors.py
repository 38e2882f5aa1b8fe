"""Which actors an action means."""

from __future__ import annotations

from typing import Any

import pytest

from runner.clusters import actors
from runner.errors import ClusterError


def actor(role: str, number: int, **changes: Any) -> dict[str, Any]:
    row = {"id": f"{role}{number}", "role": role, "name": f"{role}-{number}", "state": "ALIVE", "dead": False}
    row["class"] = f"Serve{role.title()}"
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
    return [row["id"] for row in actors.chosen(actors.matching(DOCUMENT, arguments), arguments, seed)]


def test_only_the_living_are_chosen() -> None:
    assert ids(role="controller") == ["controller0"]
    assert ids(role="replica", mode="all") == [f"replica{number}" for number in range(1, 7)]


def test_one_is_drawn_with_the_seed() -> None:
    assert all(ids(seed, role="replica") == ids(seed, role="replica") for seed in range(20))
    assert len({ids(seed, role="replica")[0] for seed in range(50)}) > 3


def test_some_are_drawn_and_too_few_are_said() -> None:
    three = ids(role="replica", mode={"fixed": 3})
    assert len(three) == 3
    assert three == sorted(three) == ids(role="replica", mode={"fixed": 3})
    assert len(ids(role="replica", mode={"percent": 50})) == 3
    with pytest.raises(ClusterError, match="7 are to be hit, and there are only 6"):
        ids(role="replica", mode={"fixed": 7})


async def test_a_signal_is_for_processes_that_are_seen_to_be_the_actors() -> None:
    """The head goes on listing dead ones for seconds, and a container gives their numbers to others."""
    asked = []

    async def living(rows: Any) -> list[Any]:
        asked.append(len(rows))
        return [row for row in rows if row["id"] == "replica2"]

    about = {"role": "replica", "mode": "all"}
    hit = await actors.resolve(about, [DOCUMENT], 1, living, by_signal=True)
    assert [row["id"] for row in hit] == ["replica2"]
    # Ray itself knows its actors.
    hit = await actors.resolve(about, [DOCUMENT], 1, living, by_signal=False)
    assert len(hit) == 6
    assert asked == [6]


def test_application_deployment_and_node_narrow_it() -> None:
    assert ids(role="replica", mode="all", app="b") == ["replica6"]
    assert ids(role="replica", mode="all", slot="worker-2", app="a") == ["replica1", "replica3", "replica5"]
    for words in ({"app": "c"}, {"deployment": "E"}, {"slot": "head"}):
        with pytest.raises(ClusterError, match="There is no living actor with the role replica"):
            ids(role="replica", **words)
