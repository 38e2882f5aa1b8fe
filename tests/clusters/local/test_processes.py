"""Processes are found by session and descent, and killed again until none is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.clusters.local import processes
from runner.clusters.local.blueprint import Blueprint
from runner.clusters.local.units import Happenings, Running
from tests.clusters.local.stage import shell


@pytest.fixture
def family() -> Iterator[subprocess.Popen[str]]:
    """A session of a shell and its child, whose number it says."""
    process = subprocess.Popen(
        ["sh", "-c", "sleep 1000 & echo $!; wait"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    yield process
    processes.kill_all(lambda: processes.of_session(process.pid), limit=5)
    assert process.stdout is not None
    process.stdout.close()
    process.wait()


def child(family: subprocess.Popen[str]) -> int:
    assert family.stdout is not None
    return int(family.stdout.readline())


def test_a_process_is_found_by_number_session_and_descent(family: subprocess.Popen[str]) -> None:
    number = child(family)
    known = processes.read(number)
    assert known is not None
    assert (known.parent, known.session) == (family.pid, family.pid)
    assert {each.pid for each in processes.of_session(family.pid)} == {family.pid, number}
    assert [each.pid for each in processes.descendants(family.pid)] == [number]
    assert number in {each.pid for each in processes.descendants(os.getpid())}
    assert processes.network(number) == processes.network(os.getpid()) != ""


def test_names_with_brackets_and_spaces_do_not_confuse(tmp_path: Path) -> None:
    odd = tmp_path / "a) R 1 (b"
    odd.symlink_to(sys.executable)
    with subprocess.Popen([str(odd), "-c", "import time; time.sleep(1000)"]) as process:
        known = processes.read(process.pid)
        assert known is not None
        assert known.parent == os.getpid()
        process.kill()


def test_the_dead_are_not_found_though_nobody_waited_for_them() -> None:
    process = subprocess.Popen(["sh", "-c", "exit 3"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read()
    process.stdout.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert processes.read(process.pid) is None
    assert process.wait() == 3


def test_killing_goes_on_until_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[list[int]] = []
    monkeypatch.setattr(processes, "send", lambda found, _number: sent.append([each.pid for each in found]))
    rounds = iter([[processes.Process(5, 1, 5, 0)], [processes.Process(6, 1, 5, 0)], []])
    assert processes.kill_all(lambda: next(rounds), limit=5)
    assert sent == [[5], [6]]
    immortal = [processes.Process(7, 1, 5, 0)]
    assert not processes.kill_all(lambda: immortal, limit=0.05)


async def test_trap_03_a_node_is_swept_until_nothing_of_it_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(processes, "send", lambda found, _number: sent.extend(each.pid for each in found))
    unit = shell(str(tmp_path), "head", "true")

    async def never(*_: object) -> None:
        raise AssertionError

    running = Running(unit, Blueprint("loopback", str(tmp_path), "", (unit,)), Happenings(), never)  # type: ignore[arg-type]
    rounds = iter([[processes.Process(5, 1, 5, 0)], [processes.Process(6, 5, 5, 0)], []])
    monkeypatch.setattr(running, "members", lambda: next(rounds))
    await running.sweep()
    assert sent == [5, 6]


def test_a_process_that_uses_a_folder_is_told_from_one_that_does_not(tmp_path: Path) -> None:
    folder, other = tmp_path / "ft-1", tmp_path / "ft-12"
    for each in (folder, other):
        each.mkdir()
    with (folder / "log").open("w") as log:
        for arguments, expected in (
            ({"cwd": folder}, True),
            ({"stdout": log}, True),
            ({"cwd": other}, False),
        ):
            with subprocess.Popen(["sleep", "1000"], **arguments) as process:  # type: ignore[call-overload]
                assert processes.uses(process.pid, folder) is expected
                process.send_signal(signal.SIGKILL)
    assert not processes.uses(process.pid, folder)
