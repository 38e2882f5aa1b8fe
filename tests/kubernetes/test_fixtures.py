"""What tests are given of a Kubernetes, without one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.kubernetes.fixtures import Kubernetes, arrange, command, until


class Item(SimpleNamespace):
    """As much of a test as is looked at when tests are arranged."""

    def __init__(self, name: str, *fixtures: str, seconds: int | None = None) -> None:
        super().__init__(name=name, fixturenames=fixtures, marks=[])
        if seconds is not None:
            self.marks.append(pytest.mark.timeout(seconds).mark)

    def add_marker(self, marker: Any, append: bool = True) -> None:
        mark = getattr(pytest.mark, marker).mark if isinstance(marker, str) else marker.mark
        self.marks.insert(len(self.marks) if append else 0, mark)

    def iter_markers(self, name: str) -> list[pytest.Mark]:
        return [mark for mark in self.marks if mark.name == name]


def test_what_needs_a_kubernetes_runs_last_and_its_start_is_not_counted() -> None:
    items = [Item("a", "kubernetes"), Item("b"), Item("c", "tmp_path", "kubernetes", seconds=900), Item("d")]
    arrange(items)  # type: ignore[arg-type]
    assert [item.name for item in items] == ["b", "d", "a", "c"]
    assert [bool(item.iter_markers("kubernetes")) for item in items] == [False, False, True, True]
    first = [item.iter_markers("timeout")[0] for item in items[2:]]
    assert [(mark.args, mark.kwargs) for mark in first] == [
        ((300,), {"func_only": True}),
        ((900,), {"func_only": True}),
    ]


def test_machines_of_somebody_are_not_broken(tmp_path: Path) -> None:
    theirs = Kubernetes(tmp_path / "config")
    assert not theirs.ours
    with pytest.raises(pytest.fail.Exception, match=r"`crash node1`, and the machines of .* are not ours"):
        theirs.machines("crash", "node1")


def test_a_look_that_ends_badly_is_no_answer_and_is_told_of_if_none_comes(tmp_path: Path) -> None:
    looks = iter([None, False, True])

    def happened() -> object:
        look = next(looks, None)
        return command("no-such-verb") if look is None else look

    until(happened, 30, every=0)
    with pytest.raises(pytest.fail.Exception, match=r"After 0 s: .*no-such-verb"):
        until(happened, 0, every=0)
    with pytest.raises(pytest.fail.Exception, match="After 0 s: not so"):
        until(lambda: False, 0, every=0)


def test_what_a_command_said_fails_the_test_that_ran_it() -> None:
    with pytest.raises(pytest.fail.Exception, match="invalid choice: 'node9'"):
        command("crash", "node9")
