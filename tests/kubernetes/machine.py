"""Process 1 of a machine of the cluster: mounts what is its own, starts its programs, and again when they end.

    machine.py FILE LOCK, in network, mount, process and host name namespaces of its own

The file says, as JSON: `name`, `binds` (pairs of paths: the second is the first, in here), `sysctl` (files
under /proc/sys and what they say in here, whatever the kernel does), and `programs`: for each its `name`, its
`command`, and in `after` what it waits for: the path of a socket, or an address with its port, or nothing.
LOCK is the number of an open file whose lock says that the machine is not there yet.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PAUSE = 1.0
"""Seconds between the end of a program and its next start."""

NICE = -10
"""How its own programs stand to what else runs here: on machines of their own no pod would starve them."""


def main() -> None:
    held = int(sys.argv[2])
    fcntl.flock(held, fcntl.LOCK_UN)
    os.close(held)
    os.chdir("/")
    precede()
    machine = json.loads(Path(sys.argv[1]).read_text())
    socket.sethostname(machine["name"])
    mount(machine["binds"], machine["sysctl"])
    keep(machine["programs"])


def precede() -> None:
    """Have the kernel weigh this session's programs more, but not those of its pods, which have cgroups."""
    # Not where a kernel does not group by sessions, or a sandbox forbids it.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICE))


def mount(binds: list[tuple[str, str]], sysctl: dict[str, str]) -> None:
    """Give the machine its own /run, and its own folders over those of the host."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    for folder in ("lock", "machine", "sysctl", "xtables"):
        Path("/run", folder).mkdir()
    for source, target in binds:
        if not Path(target).exists():
            # The other node begins at the same time, and may make it between the two.
            Path(target).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--rbind", source, target], check=True)
    for name, value in sysctl.items():
        said = Path("/run/sysctl", name.replace("/", "."))
        said.write_text(f"{value}\n")
        subprocess.run(["mount", "--bind", said, f"/proc/sys/{name}"], check=True)


def keep(programs: list[dict[str, Any]]) -> None:
    """Start each program when what it waits for is there, and again when it ended; reap what others leave."""
    waiting = [(0.0, program) for program in programs]
    running: dict[int, dict[str, Any]] = {}
    while True:
        for entry in list(waiting):
            when, program = entry
            if time.monotonic() >= when and answers(program["after"]):
                waiting.remove(entry)
                running[start(program)] = program
        pid = os.waitpid(-1, os.WNOHANG if waiting else 0)[0] if running else 0
        if pid in running:
            waiting.append((time.monotonic() + PAUSE, running.pop(pid)))
        elif pid == 0:
            time.sleep(0.05)


def answers(what: str | list[Any] | None) -> bool:
    """Tell whether somebody listens there."""
    if what is None:
        return True
    family, address = (socket.AF_UNIX, what) if isinstance(what, str) else (socket.AF_INET, tuple(what))
    with socket.socket(family) as asking:
        asking.settimeout(1)
        return asking.connect_ex(address) == 0


def start(program: dict[str, Any]) -> int:
    log = f"/run/machine/log/{program['name']}.log"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    output = [(os.POSIX_SPAWN_OPEN, 1, log, flags, 0o644), (os.POSIX_SPAWN_DUP2, 1, 2)]
    command = program["command"]
    return os.posix_spawnp(command[0], command, os.environ, file_actions=output, setpgroup=0)


main()
