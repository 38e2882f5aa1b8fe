"""What is run inside of containers, run by a real shell on processes of this test."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from runner.clusters.kubernetes import scripts


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    with ExitStack() as stack:
        started = [stack.enter_context(subprocess.Popen(["sleep", "60"])) for _ in range(2)]
        yield started
        for each in started:
            each.kill()


def start(script: str, **words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        scripts.shell(scripts.fill(script, **words)),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def state(process: subprocess.Popen[bytes]) -> str:
    with open(f"/proc/{process.pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("script", [scripts.KILL, scripts.FREEZE])
def test_without_the_word_nothing_is_done(script: str, sleepers: list[subprocess.Popen[bytes]]) -> None:
    pid = str(sleepers[0].pid)
    with start(script, pids=pid, stop=pid, turns="1") as process:
        assert process.communicate(timeout=10) == ("", None)
    assert state(sleepers[0]) == "S"


def test_what_was_stopped_stands_still_and_goes_on_when_it_is_thawed(
    sleepers: list[subprocess.Popen[bytes]],
) -> None:
    pids = " ".join(str(each.pid) for each in sleepers)
    with start(scripts.FREEZE, pids=pids, stop=pids, turns="50") as process:
        said, _ = process.communicate("go\n", timeout=10)
    assert said.split() == ["acted", "gone"]
    assert [state(each) for each in sleepers] == ["T", "T"]

    [one, other] = (
        each for each in scripts.processes(listed()) if each.pid in {each.pid for each in sleepers}
    )
    thawed = next(each for each in sleepers if each.pid == one.pid)
    each = f"{one.pid}:{one.started} {other.pid}:{int(other.started) + 1}"
    with start(scripts.THAW, each=each) as process:
        process.communicate(timeout=10)
    # It runs until it sleeps again.
    limit = time.monotonic() + 20
    while state(thawed) != "S" and time.monotonic() < limit:
        time.sleep(0.01)
    # The other one's number belongs to a process that began later than the one that was stopped.
    states = {each.pid: state(each) for each in sleepers}
    assert states == {one.pid: "S", other.pid: "T"}


def listed() -> str:
    with start(scripts.LIST) as process:
        return process.communicate(timeout=30)[0]


def test_a_process_stops_when_a_processor_takes_it_up_which_is_waited_for(
    sleepers: list[subprocess.Popen[bytes]],
) -> None:
    stopped, late = sleepers
    with start(scripts.FREEZE, pids=str(late.pid), stop=str(stopped.pid), turns="100") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "acted\n"
        subprocess.run(["kill", "-STOP", str(late.pid)], check=True)
        assert process.stdout.read() == "gone\n"


def test_what_does_not_stop_is_named(sleepers: list[subprocess.Popen[bytes]]) -> None:
    stopped, never = sleepers
    pids = f"{stopped.pid} {never.pid}"
    with start(scripts.FREEZE, pids=pids, stop=str(stopped.pid), turns="2") as process:
        said, _ = process.communicate("go\n", timeout=10)
    assert said.splitlines() == ["acted", f"not stopped {never.pid}"]


def test_what_was_killed_is_gone(sleepers: list[subprocess.Popen[bytes]]) -> None:
    killed, other = sleepers
    with start(scripts.KILL, pids=str(killed.pid), turns="50") as process:
        said, _ = process.communicate("go\n", timeout=10)
    assert said.split() == ["acted", "gone"]
    assert (state(killed), state(other)) == ("Z", "S")
