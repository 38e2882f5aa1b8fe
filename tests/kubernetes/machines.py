"""Machines made of namespaces: a network each on one bridge, and in it a process 1 that can be killed.

`cp` runs Kubernetes' control plane and holds the bridge; `node1` and `node2` run pods. This host reaches all of
them, their node ports, pods and services through `cp`: a link of its own leads there, with routes. So a test,
and ftrun itself, needs to enter nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.kubernetes.ground import CGROUPS, HERE, STATE, Trouble, run

CONTROL = "cp"
NODES = ("node1", "node2")
LINK = "ftrun-kube"
"""The link from this host into `cp`."""
HOST, DOOR = "10.99.255.2", "10.99.255.1"
"""Its two ends: here and there."""
BUS = "10.99.0.1"
"""The control plane's address for the nodes and their pods: API server and DNS."""
BRIDGE = "02:00:0a:63:00:01"
MACHINES, PODS, SERVICES = "10.99.0.0/24", "10.244.0.0/16", "10.96.0.0/16"
OWN = ("/var/lib/cni", "/var/lib/kubelet", "/var/log/containers", "/var/log/pods")
"""Folders of which each node has its own, for Kubernetes' programs know no others."""
STARTING = Path("/run/lock/ftrun-kubernetes-starting")
"""What a machine holds until its process 1 is where it can be found."""
GRACE = 15.0
"""Seconds within which what was killed is gone."""


def address(node: str) -> str:
    """Give a node's address."""
    return f"10.99.0.{10 + int(node[4:])}"


def subnet(node: str) -> str:
    """Give the addresses of a node's pods."""
    return f"10.244.{node[4:]}.0/24"


def network(name: str) -> str:
    """Give the name of a machine's network namespace."""
    return f"ftrun-{name}"


def entering(name: str) -> list[str]:
    """Give the command that runs another one in a machine's network.

    Not `ip netns exec`, which mounts another /sys and so hides the cgroups.
    """
    return ["nsenter", f"--net=/run/netns/{network(name)}", "--"]


def exists(name: str) -> bool:
    """Tell whether a machine has a network."""
    return Path("/run/netns", network(name)).exists()


def runs(name: str) -> bool:
    """Tell whether a machine was started, and not crashed."""
    return next(processes(name), None) is not None


def _ip(*commands: str, within: str | None = None) -> None:
    run(*(entering(within) if within else ()), "ip", "-batch", "-", text="\n".join(commands) + "\n")


def _set(name: str, setting: str, value: int) -> None:
    run(*entering(name), "sh", "-c", f"echo {value} >/proc/sys/net/{setting}")


def join_control() -> None:
    """Make the network of the control plane, the bridge in it, and the way from here into it."""
    _ip(f"netns add {network(CONTROL)}", f"link add {LINK} type veth peer name host netns {network(CONTROL)}")
    _ip(
        "link set lo up",
        # Without an address of its own it has that of a port, and another one when a node crashes or comes.
        f"link add br0 address {BRIDGE} type bridge",
        f"address add {BUS}/24 dev br0",
        "link set br0 up",
        f"address add {DOOR}/30 dev host",
        "link set host up",
        within=CONTROL,
    )
    _set(CONTROL, "ipv4/ip_forward", 1)
    # What passes the bridge is the nodes' own: the control plane's rules for services are not for it.
    _set(CONTROL, "bridge/bridge-nf-call-iptables", 0)
    ways = [f"route add {net} via {DOOR}" for net in (MACHINES, PODS, SERVICES)]
    _ip(f"address add {HOST}/30 dev {LINK}", f"link set {LINK} up", *ways)


def join_node(node: str) -> None:
    """Make the network of a node, on the bridge."""
    _disconnect(node)
    _ip(f"netns add {network(node)}")
    _ip(
        f"link add {node} type veth peer name eth0 netns {network(node)}",
        f"link set {node} master br0 up",
        f"route replace {subnet(node)} via {address(node)}",
        within=CONTROL,
    )
    others = [f"route add {subnet(other)} via {address(other)}" for other in NODES if other != node]
    _ip(
        "link set lo up",
        f"address add {address(node)}/24 dev eth0",
        "link set eth0 up",
        f"route add default via {BUS}",
        *others,
        within=node,
    )
    _set(node, "ipv4/ip_forward", 1)
    _set(node, "bridge/bridge-nf-call-iptables", 1)


def make_cgroups(node: str) -> None:
    """Make a cgroup of the node's own in each hierarchy: else two kubelets remove each other's pods'.

    The pods of all nodes together weigh as much as one process does that keeps each processor busy: what runs
    beside them here, and has machines of its own elsewhere, must not wait for them.
    """
    weight = 1024 * (os.cpu_count() or 1)
    for hierarchy in _hierarchies("cgroup"):
        for folder in (hierarchy / CGROUPS, hierarchy / CGROUPS / node):
            folder.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (folder / name).exists():
                    (folder / name).write_text((folder.parent / name).read_text())
            if (folder / "cpu.shares").exists():
                (folder / "cpu.shares").write_text(str(weight))


def start(name: str, description: dict[str, Any]) -> None:
    """Start a machine's process 1, which outlives this command."""
    folder = STATE / name
    (folder / "log").mkdir(parents=True, exist_ok=True)
    (folder / "machine.json").write_text(json.dumps({"name": name, **description}, indent=1))
    unshare = ["unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
    with STARTING.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        os.set_inheritable(held.fileno(), True)
        first = [sys.executable, "-I", HERE / "machine.py", folder / "machine.json", held.fileno()]
        command = [*entering(name), *unshare, *map(str, first)]
        writing = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        files = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(folder / "log/machine.log"), writing, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        os.posix_spawnp(command[0], command, os.environ, file_actions=files, setsid=True)


def set_link(node: str, *, up: bool) -> None:
    """Join a node to the bridge, or cut it off."""
    _ip(f"link set {node} {'up' if up else 'down'}", within=CONTROL)


def crash(node: str) -> None:
    """End a node as a power failure does: first nothing leaves it any more, then all that ran in it is gone."""
    set_link(node, up=False)
    kill(node)
    _disconnect(node)


def _disconnect(node: str) -> None:
    """Remove what is left of the network of a node that does not run."""
    if exists(node):
        _ip(f"netns del {network(node)}")
    with suppress(Trouble):
        # With the network it goes as well, but later.
        _ip(f"link del {node}", within=CONTROL)


def kill(name: str) -> None:
    """End all processes of a machine, found by its network: its process 1, and with it all in its pods."""
    with STARTING.open("w") as none_starts:
        fcntl.flock(none_starts, fcntl.LOCK_EX)
    until = time.monotonic() + GRACE
    while left := list(processes(name)):
        if time.monotonic() > until:
            raise Trouble(f"The processes {left} of {name} do not end.")
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)


def processes(name: str, program: str | None = None) -> Iterator[int]:
    """Give the processes of a machine; those of one program, or all.

    They are in its network, and in process namespaces of their own, or what started these and waits: a shell
    that somebody entered the network with is not among them.
    """
    description = str(STATE / name / "machine.json").encode()
    try:
        here = os.stat("/proc/self/ns/pid").st_ino
        there = os.stat(f"/run/netns/{network(name)}").st_ino
    except FileNotFoundError:
        return
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "ns/net").stat().st_ino != there:
                continue
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if (folder / "ns/pid").stat().st_ino == here and description not in words:
                continue
        except OSError:
            continue
        if program in (None, os.path.basename(words[0]).decode()):
            yield int(folder.name)


def first(name: str) -> int:
    """Give a machine's process 1, as its number is here."""
    for pid in processes(name):
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        if next(line for line in status if line.startswith("NSpid:")).split()[-1] == "1":
            return pid
    raise Trouble(f"{name} does not run.")


def remove() -> bool:
    """Remove all that a cluster left, whole or in pieces, also of one that was killed; tell if there was anything."""
    found = False
    if Path("/sys/class/net", LINK).exists():
        found = True
        _ip(f"link del {LINK}")
    for name in (*NODES, CONTROL):
        if exists(name):
            found = True
            kill(name)
            _ip(f"netns del {network(name)}")
    for hierarchy in _hierarchies("cgroup", "cgroup2"):  # runc makes its own in version 2, where it is there
        if (hierarchy / CGROUPS).exists():
            found = True
            _remove_cgroup(hierarchy / CGROUPS)
    if STATE.exists():
        found = True
        shutil.rmtree(STATE)
    for folder in OWN:
        # They were made for a node to mount its own there; what holds something is not ours.
        with suppress(OSError):
            os.rmdir(folder)
    return found


def _hierarchies(*kinds: str) -> list[Path]:
    """Give the hierarchies of cgroups of these versions, each once (some have two names)."""
    folders = (
        Path(line.split()[1])
        for line in Path("/proc/mounts").read_text().splitlines()
        if line.split()[2] in kinds
    )
    return sorted({folder.resolve() for folder in folders})


def _remove_cgroup(top: Path) -> None:
    """Remove a cgroup and all under it, when what was in them has ended."""
    until = time.monotonic() + GRACE
    for folder, _, _ in os.walk(top, topdown=False):
        while True:
            try:
                os.rmdir(folder)
                break
            except FileNotFoundError:
                break
            except OSError as refused:
                if time.monotonic() > until:
                    raise Trouble(f"The cgroup {folder} cannot be removed: {refused}.") from None
                # Its processes were in a machine that was killed, or they would be no part of this cgroup.
                for pid in Path(folder, "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
                time.sleep(0.05)
