"""How actions on actors are prepared, and killing by Ray's means."""

from __future__ import annotations

from typing import Any

import pytest

from runner.clusters.local import actors
from runner.clusters.local.scripts import Head
from runner.clusters.local.wire import Wire
from runner.errors import ClusterError, Unreachable
from tests.clusters.test_actors import DOCUMENT


class Supervised:
    """A wire to a supervisor that knows these living processes: pid to when it began, and its title."""

    def __init__(self, **living: tuple[int, str]) -> None:
        self.living = {pid.removeprefix("p"): list(said) for pid, said in living.items()}

    async def ask(self, what: str, **fields: Any) -> Any:
        assert what == "living"
        return {"processes": {pid: said for pid, said in self.living.items() if int(pid) in fields["pids"]}}


async def never(*_: Any) -> Any:
    raise AssertionError("asked the dashboard")


HEAD = Head("python", ("10.1.0.2", 6400), never)


async def armed(wire: Any, arguments: dict[str, Any], *documents: dict[str, Any], **more: Any) -> list[Any]:
    made = await actors.arm_actor(wire, arguments, HEAD, documents, 1, **more)
    return [hit.ids["pid"] for hit in made.hits]


@pytest.mark.parametrize("unknown", ["actors", "replicas"])
async def test_what_nobody_knows_cannot_be_aimed_at(unknown: str) -> None:
    silent = DOCUMENT | {"unknown": [unknown]}
    with pytest.raises(Unreachable, match="Nobody can say now"):
        await armed(Supervised(), {"role": "replica"}, silent)
    with pytest.raises(Unreachable, match="Nobody can say now"):
        await armed(Supervised(), {"role": "replica"}, silent, silent)


async def test_with_the_head_down_a_signal_finds_the_actors_that_were_known_and_live() -> None:
    silent = DOCUMENT | {"unknown": ["actors", "replicas"]}
    # Of the six that ran, one lives on; the number of another was given to a stranger.
    living = Supervised(p103=(5, "ray::ServeReplica:a:D"), p104=(6, "sleep 100"))
    assert await armed(living, {"role": "replica", "mode": "all"}, silent, DOCUMENT) == [103]
    with pytest.raises(ClusterError, match="no living actor with the role controller"):
        await armed(living, {"role": "controller"}, silent, DOCUMENT)


async def test_a_frozen_actor_is_thawed_by_its_number_and_its_beginning() -> None:
    living = Supervised(p100=(7, "ray::ServeController"))
    made = await actors.arm_actor(living, {"role": "controller"}, HEAD, [DOCUMENT], 1, freeze=True)  # type: ignore[arg-type]
    assert made.undo is not None
    assert (made.undo.kind, made.undo.arguments) == ("thaw", {"frozen": [["head", [[100, 7]]]]})
    with pytest.raises(ClusterError, match="no living actor with the role controller"):
        await armed(Supervised(), {"role": "controller"}, DOCUMENT, freeze=True)


async def test_trap_10_without_a_head_ray_is_not_even_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def open_nothing(_self: Wire, question: dict[str, Any], **_: Any) -> Any:
        asked.append(question["ask"])
        raise ClusterError("Connection refused.")

    monkeypatch.setattr(Wire, "open", open_nothing)
    with pytest.raises(Unreachable, match="nobody can ask Ray for anything now") as caught:
        await armed(Wire("/none"), {"role": "controller", "how": "ray_kill"}, DOCUMENT)
    assert "Only a signal" in str(caught.value.help)
    assert asked == ["connect"]
    # A signal needs no head: what is known of the actor is enough, and that it lives.
    living = Supervised(p100=(7, "ray::ServeController.listen_for_change"))
    assert await armed(living, {"role": "controller"}, DOCUMENT) == [100]
