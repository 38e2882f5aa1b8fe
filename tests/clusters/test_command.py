"""Commands: armed without effect, ended for certain, and never waited for longer than they run."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from runner import clock
from runner.clusters.command import complete, prepare, tail
from runner.clusters.contract import Completed
from runner.errors import ClusterError


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def gone(pid: int) -> bool:
    """Wait a little for a process that was killed to disappear."""
    for _ in range(1000):
        if not alive(pid):
            return True
        await asyncio.sleep(0.02)
    return False


async def test_gives_output_and_exit_code_of_a_shell_text_and_of_words() -> None:
    assert await complete("echo a; echo b >&2; exit 3", timeout=10) == Completed(3, "a\n", "b\n")
    assert await complete(("printf", "%s", "$HOME; exit 4"), timeout=10) == Completed(0, "$HOME; exit 4", "")


async def test_a_program_that_is_not_there_ends_with_127() -> None:
    assert (await complete(("no-such-program",), timeout=10)).exit_code == 127


async def test_the_gate_holds_until_released(tmp_path: Path) -> None:
    command = await prepare(f"touch {tmp_path / 'done'}")
    await asyncio.sleep(0.2)
    assert not (tmp_path / "done").exists()
    await command.release()
    assert (await command.ended(10)).exit_code == 0
    assert (tmp_path / "done").exists()


async def test_a_gate_whose_ftrun_died_ends_unused(tmp_path: Path) -> None:
    command = await prepare(f"touch {tmp_path / 'done'}")
    assert command.process.stdin is not None
    command.process.stdin.close()
    assert (await command.ended(10)).exit_code == 1
    assert not (tmp_path / "done").exists()


async def test_the_command_reads_nothing_from_ftrun() -> None:
    assert (await complete("cat", timeout=10)).stdout == ""


async def test_a_timeout_ends_the_whole_session_other_groups_included(tmp_path: Path) -> None:
    # `timeout` makes a process group of its own, which a signal to the command's group would miss.
    text = f"timeout 600 sh -c 'echo $$ > {tmp_path}/pid; sleep 600'; true"
    with pytest.raises(ClusterError, match=r"did not end within 2 s and was killed\.$"):
        await complete(text, timeout=2)
    assert await gone(int((tmp_path / "pid").read_text()))


async def test_cancelling_ends_it(tmp_path: Path) -> None:
    task = asyncio.create_task(complete(f"echo $$ > {tmp_path}/pid; sleep 600; true", timeout=600))
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(int((tmp_path / "pid").read_text()))


async def test_what_it_starts_in_the_background_neither_delays_it_nor_is_killed() -> None:
    began = clock.monotonic()
    completed = await complete("sleep 600 & echo $!", timeout=60)
    assert clock.monotonic() - began < 30
    pid = int(completed.stdout)
    assert alive(pid)
    os.kill(pid, 9)


def test_the_tail_is_the_end_of_what_was_written() -> None:
    assert tail(Completed(1, "", "")) == ""
    assert tail(Completed(1, "x" * 5000 + "\n", "last\n")).endswith("x\nlast")
    assert len(tail(Completed(1, "x" * 5000, ""))) == 2001
