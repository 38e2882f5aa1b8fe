"""Stands between ftrun and the supervisor, and outlives neither for long: `python -m ... LIFE COMMAND ...`.

LIFE is the number of a pipe's reading end, whose other end only ftrun holds. When ftrun ends, however it
ends, the kernel closes that end, and the keeper kills whatever descends from it. It does the same when the
supervisor ends. In a PID namespace it is the first process, and its own end kills all the rest; elsewhere it
is the reaper to which the kernel gives every orphan below it, so that nothing can slip away.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

from runner.clusters.local import processes

LIMIT = 30.0
"""Seconds after which processes that cannot be killed (stuck in the kernel) are left."""


def watch(life: int, child: int) -> None:
    """Reap orphans until ftrun or the child has ended."""
    wake, written = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(written, warn_on_full_buffer=False)
    while True:
        while True:
            try:
                pid, _status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == child:
                return
            if pid == 0:
                break
        readable, _, _ = select.select([life, wake], [], [])
        if life in readable:
            return
        os.read(wake, 4096)


def main(argv: list[str]) -> int:
    """Start the command, wait, and leave nothing behind."""
    life, command = int(argv[0]), argv[1:]
    processes.ask_kernel(processes.PR_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        watch(life, child.pid)
    finally:
        whole = processes.kill_all(lambda: processes.descendants(os.getpid()), limit=LIMIT)
    return 0 if whole else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))
    sys.exit(main(sys.argv[1:]))
