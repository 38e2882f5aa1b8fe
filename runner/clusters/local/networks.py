"""Network namespaces: a bridge here, and for each node a network of its own with one address on it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from runner.clusters.local.blueprint import Unit
from runner.errors import ClusterError


def entering(slot: str) -> list[str]:
    """Give the command that runs another one inside a node's network."""
    return ["nsenter", f"--net=/run/netns/{slot}", "--"]


def make(bus: str, nodes: Sequence[Unit]) -> None:
    """Make the networks of the nodes around a bridge with the address `bus`; blocks for about 0.3 s.

    What is mounted is private to this mount namespace: the names of the networks, and shared memory, which
    goes when the last process does.
    """
    for folder in ("/run", "/dev/shm"):  # noqa: S108 (where Ray keeps objects)
        _run(["mount", "-t", "tmpfs", "tmpfs", folder])
    _ip("link set lo up", "link add name bus type bridge", f"address add {bus}/24 dev bus", "link set bus up")
    for unit in nodes:
        _ip(
            f"netns add {unit.slot}",
            f"link add name v-{unit.slot} type veth peer name eth0 netns {unit.slot}",
            f"link set v-{unit.slot} master bus up",
        )
        for command in (f"address add {unit.address}/24 dev eth0", "link set lo up", "link set eth0 up"):
            _run([*entering(unit.slot), "ip", *command.split()])


def identify(slot: str) -> str:
    """Give the kernel's name of a node's network, such as `net:[4026532345]`."""
    return _run([*entering(slot), "readlink", "/proc/self/ns/net"]).strip()


def set_link(slot: str, *, up: bool) -> None:
    """Join a node to the bridge, or cut it off."""
    _ip(f"link set v-{slot} {'up' if up else 'down'}")


def joined(slot: str) -> bool:
    """Tell whether a node's link is up."""
    flags = _run(["ip", "-o", "link", "show", f"v-{slot}"]).partition("<")[2].partition(">")[0]
    return "UP" in flags.split(",")


def _ip(*commands: str) -> None:
    _run(["ip", "-batch", "-"], "\n".join(commands) + "\n")


def _run(command: Sequence[str], text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"The networks cannot be made: {done.stderr.strip()} ({' '.join(command)} {text})")
    return done.stdout
