"""The undo stack: last in first out, all of it, whatever fails and whoever cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.clusters.contract import Undo
from runner.engine.undo import Undos
from runner.errors import CannotRun, ClusterError
from runner.journal.events import RunStart, UndoDone, UndoPushed
from runner.journal.journal import Journal

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal.create(tmp_path / "journal.jsonl", 0.0, now=lambda: 0.0)
    made.append(RunStart(run="r", ftrun="0", wall=0.0, monotonic=0.0))
    yield made
    made.close()


async def test_all_run_the_last_first_and_errors_are_collected(journal: Journal) -> None:
    done: list[str] = []
    undos = Undos(journal)

    async def fine(name: str) -> None:
        done.append(name)

    async def broken() -> None:
        raise ClusterError("It is stuck.")

    async def buggy() -> None:
        raise KeyError("oops")

    undos.push(Undo("a", {}), lambda: fine("a"))
    undos.push(Undo("b", {}, "mend b"), broken)
    undos.push(Undo("c", {}), buggy)
    undos.push(Undo("d", {}), lambda: fine("d"))
    errors = await undos.unwind()
    assert done == ["d", "a"]
    assert errors == ["Could not c: KeyError: 'oops'", "Could not mend b: It is stuck."]
    ends = [(event.undo, event.error) for event in journal.events if isinstance(event, UndoDone)]
    assert ends == [(3, None), (2, "KeyError: 'oops'"), (1, "It is stuck."), (0, None)]


async def test_cancelling_does_not_stop_it_and_is_passed_on(journal: Journal) -> None:
    done: list[str] = []
    undos = Undos(journal)

    async def slow(name: str) -> None:
        await asyncio.sleep(5)
        done.append(name)

    for name in "ab":
        undos.push(Undo(name, {}), lambda name=name: slow(name))  # type: ignore[misc]
    task = asyncio.create_task(undos.unwind())
    for _ in range(2):
        await asyncio.sleep(1)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["b", "a"]


async def test_an_undo_that_hangs_has_an_end_and_the_others_run(journal: Journal) -> None:
    done: list[str] = []
    undos = Undos(journal)

    async def fine() -> None:
        done.append("fine")

    undos.push(Undo("fine", {}), fine)
    undos.push(Undo("hang", {}), lambda: asyncio.sleep(10**6))
    assert await undos.unwind() == ["Could not hang: it took longer than 60s."]
    assert done == ["fine"]


async def test_an_undo_takes_as_long_as_it_says_that_it_may(journal: Journal) -> None:
    undos = Undos(journal)
    undos.push(Undo("boot", {"timeout": 300.0}), lambda: asyncio.sleep(290))
    undos.push(Undo("hang", {"timeout": 100.0}), lambda: asyncio.sleep(10**6))
    assert await undos.unwind() == ["Could not hang: it took longer than 110s."]


async def test_an_undo_that_cannot_be_announced_is_refused(journal: Journal) -> None:
    journal.broken = True
    undos = Undos(journal)
    with pytest.raises(CannotRun):
        undos.push(Undo("a", {}), lambda: asyncio.sleep(0))
    assert await undos.unwind() == []


async def test_it_is_on_the_disk_before_the_act(journal: Journal, tmp_path: Path) -> None:
    undos = Undos(journal)
    undos.push(Undo("a", {"slot": "head"}, "start it"), lambda: asyncio.sleep(0))
    assert '"slot":"head"' in (tmp_path / "journal.jsonl").read_text().splitlines()[-1]
    assert UndoPushed.kind in (tmp_path / "journal.jsonl").read_text()
