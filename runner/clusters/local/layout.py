"""Where the nodes of a local cluster stand: network namespaces, or loopback addresses; and who encloses them.

In `namespaces` everything runs in a PID namespace, whose processes the kernel kills with its first one, and
in network namespaces: the supervisor, Redis, forwarder and probers in one that holds a bridge, each node in
one of its own. In `loopback` there is neither, and the keeper kills what is left (keeper.py).
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass

from runner.errors import CannotRun

BRIDGE = "10.1.0.1"
"""Address of the bus: of the forwarder, of Redis, and of whoever asks."""

# What a supervisor will do, in small. The kernel may allow namespaces and yet refuse a step of this.
TRIAL = (
    "mount -t tmpfs tmpfs /run && ip netns add t && ip link add name bus type bridge &&"
    " ip link add name v-t type veth peer name eth0 netns t && nsenter --net=/run/netns/t ip link set eth0 up"
)


@dataclass(frozen=True, slots=True)
class Layout:
    """A chosen layout: `prefix` is the command that encloses the keeper, `reason` says why this one."""

    name: str
    reason: str
    prefix: tuple[str, ...] = ()


def enclosures() -> list[tuple[str, ...]]:
    """Give the commands that make the namespaces, the one with the least reach first."""
    rootless = ("unshare", "-Urnmpf", "--kill-child", "--mount-proc")
    as_root = ("unshare", "-nmpf", "--kill-child", "--mount-proc")
    return [as_root, rootless] if os.geteuid() == 0 else [rootless]


def refusal(prefix: tuple[str, ...]) -> str | None:
    """Try the namespaces; give None where they work, else what refused. Takes about 0.1 s."""
    try:
        trial = subprocess.run(
            [*prefix, "sh", "-c", TRIAL],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if trial.returncode == 0:
        return None
    said = trial.stderr.strip().splitlines()
    return said[-1] if said else f"exit code {trial.returncode}"


def choose(wanted: str) -> Layout:
    """Give the layout for `auto`, `namespaces` or `loopback`; raises CannotRun where it cannot be had."""
    if wanted == "loopback":
        _require_linux()
        return Layout("loopback", "the inventory asks for it")
    why = _lacking()
    if why is None:
        for prefix in enclosures():
            why = refusal(prefix)
            if why is None:
                means = "a user namespace" if "-Urnmpf" in prefix else "root"
                asked = "the inventory asks for it" if wanted == "namespaces" else "this machine allows it"
                return Layout("namespaces", f"{asked} (by {means})", prefix)
    if wanted == "namespaces":
        raise CannotRun(
            f"The layout `namespaces` cannot be had on this machine: {why}.",
            help="`layout: auto` falls back to loopback addresses; `ftrun doctor` says more.",
        )
    _require_linux()
    return Layout("loopback", f"network namespaces cannot be had: {why}")


def _require_linux() -> None:
    if sys.platform != "linux":
        raise CannotRun(
            "A local cluster needs Linux.",
            help="Run ftrun in a container, or against a cluster elsewhere; `ftrun doctor` shows how.",
        )


def _lacking() -> str | None:
    """Name the first program that is missing for namespaces."""
    if sys.platform != "linux":
        return f"{sys.platform} has none"
    for program in ("unshare", "nsenter", "ip", "mount"):
        if shutil.which(program) is None:
            return f"the program `{program}` is not installed"
    return None


def loopback_network() -> str:
    """Draw a network of three numbers, such as `127.83.201`.

    Two runs never share addresses: a node that meets another run's GCS at a known address and port says
    `Session name ... does not match persisted value` and dies.
    """
    return f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250) + 2}"


def free_ports(count: int, *, near: int) -> list[int]:
    """Give ports that nobody listens on at any address, `near` and the ones after it where they are free.

    Ports stay below the range from which the kernel draws for outgoing connections.
    """
    found: list[int] = []
    for port in range(near, 32000):
        if len(found) == count:
            return found
        with socket.socket() as trial:
            try:
                trial.bind(("0.0.0.0", port))
            except OSError:
                continue
        found.append(port)
    raise CannotRun(f"There are not {count} free ports from {near} on.", help="End other clusters first.")
