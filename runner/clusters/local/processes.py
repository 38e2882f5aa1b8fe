"""Processes of this machine, found by session and descent, never by name or environment.

A process title wipes the environment, and names are shared with strangers; the session id and the parent are
the kernel's own word. A process is told from a later one with the same number by its start time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from runner import clock

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Process:
    """A living process; `started` is in clock ticks since boot."""

    pid: int
    parent: int
    session: int
    started: int
    state: str = "S"
    """The kernel's letter."""

    @property
    def stopped(self) -> bool:
        """Whether it was stopped by a signal (or by who traces it)."""
        return self.state in "Tt"

    @property
    def still(self) -> bool:
        """Whether it runs no code of its own until it is let go on, once it was sent SIGSTOP.

        What waits in the kernel, as for a child that was stopped between vfork and exec, is not listed as
        stopped before that is over.
        """
        return self.state in "TtD"


def read(pid: int) -> Process | None:
    """Give the process with this number; None where there is none, or only its exit code is left."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name stands in brackets and may hold anything, brackets too.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if fields[0] in (b"Z", b"X"):
        return None
    return Process(pid, int(fields[1]), int(fields[3]), int(fields[19]), fields[0].decode())


def lives(process: Process) -> bool:
    """Tell whether this very process is still there."""
    now = read(process.pid)
    return now is not None and now.started == process.started


def living() -> list[Process]:
    """Give all processes that can be seen from here."""
    found = (read(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [process for process in found if process is not None]


def of_session(*sessions: int) -> list[Process]:
    """Give the living processes of these sessions."""
    return [process for process in living() if process.session in sessions]


def network(pid: int) -> str:
    """Give the network namespace of a process, such as `net:[4026532345]`; empty where it cannot be read."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


def words(pid: int) -> tuple[str, tuple[str, ...]]:
    """Give the file that a process runs, and its command or title; empty what cannot be read."""
    program, command = "", b""
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read()
        program = os.readlink(f"/proc/{pid}/exe")
    return program, tuple(each.decode(errors="replace") for each in command.split(b"\0") if each)


def descendants(ancestor: int) -> list[Process]:
    """Give the living processes that descend from `ancestor`."""
    children: dict[int, list[Process]] = {}
    for process in living():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    line = [ancestor]
    while line:
        below = children.get(line.pop(), [])
        found += below
        line += [process.pid for process in below]
    return found


def send(found: Collection[Process], number: int) -> int:
    """Send a signal to each; give how many were still there."""
    count = 0
    for process in found:
        try:
            os.kill(process.pid, number)
            count += 1
        except ProcessLookupError:
            continue
    return count


def kill_all(find: Callable[[], Collection[Process]], *, limit: float) -> bool:
    """SIGKILL what `find` gives, again until it gives nothing; False where some outlive `limit` seconds.

    Blocks; for processes without an event loop. What is killed may have forked just before, hence "again".
    """
    deadline = clock.monotonic() + limit
    while found := find():
        if clock.monotonic() > deadline:
            return False
        send(found, signal.SIGKILL)
        time.sleep(0.01)
    return True


def uses(pid: int, folder: Path) -> bool:
    """Whether a process stands in `folder` or has a file of it open."""
    links = [f"/proc/{pid}/cwd"]
    try:
        links += [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return False
    for link in links:
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target == str(folder) or target.startswith(f"{folder}/"):
            return True
    return False


def ask_kernel(option: int, value: int) -> None:
    """Set a property of this process (`prctl`)."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value}) was refused")
