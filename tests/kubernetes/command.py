"""Starts, breaks and stops a real Kubernetes on this machine, for tests: a control plane and two nodes."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kubernetes import ground, machines, plane
from tests.kubernetes.archives import PATH, Image, archive
from tests.kubernetes.ground import STATE, Trouble, run, say
from tests.kubernetes.images import images
from tests.kubernetes.machines import CONTROL, NODES
from tests.kubernetes.programs import programs

PATIENCE = 180.0
"""Seconds that the start of the cluster, or of a node, may take on a busy machine."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="cluster", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(act: Callable[..., None], text: str, **arguments: dict[str, object]) -> None:
        command = commands.add_parser(act.__name__, help=text, description=text)
        for name, options in arguments.items():
            command.add_argument(name, **options)  # type: ignore[arg-type]
        command.set_defaults(act=act)

    node = {"choices": NODES}
    add(build, "build programs and images, if they are not kept from before; start nothing")
    add(up, "start the cluster, in place of one that is there; print the path of its kubeconfig")
    add(down, "remove the cluster, or what is left of one that was killed")
    add(crash, "end a node, as a power failure does", node=node)
    add(start, "start a node that crashed", node=node)
    add(cut, "cut a node off from the network", node=node)
    add(join, "join a node that was cut off", node=node)
    add(
        restart,
        "kill one program of a machine, which starts it again after a second",
        machine={"choices": (CONTROL, *NODES)},
        program={"help": "such as kube-apiserver, kubelet"},
    )
    add(
        load,
        "make an image of a folder, and give it to both nodes",
        name={"help": "such as team/operator:1"},
        folder={"type": Path},
        entrypoint={"nargs": "?", "help": "such as /manager"},
    )
    add(kubectl, "run kubectl on the cluster", arguments={"nargs": argparse.REMAINDER})
    given = vars(parser.parse_args())
    act = given.pop("act")
    try:
        ground.enter()
        act(**given)
    except Trouble as trouble:
        sys.exit(f"cluster: {trouble}")


def build() -> None:
    ground.require(memory=4)
    images(programs())
    say("all is built")


def up() -> None:
    ground.require(memory=4)
    ground.require_disk(STATE, 2)
    made, unpacked = programs(), images(programs())
    with _changing():
        if machines.remove():
            say("removed an earlier cluster")
        plane.write_secrets()
        machines.join_control()
        machines.start(CONTROL, plane.control(made))
        for node in NODES:
            _start(node, made, unpacked)
        say("started the machines")
        _until("the API server answers", lambda: bool(plane.ask("/version")))
        _until("names are resolved", lambda: _listens(machines.BUS, 53))
        _until("both nodes are Ready", lambda: _ready() == set(NODES))
        _until(
            "pods can be made", lambda: bool(plane.ask("/api/v1/namespaces/default/serviceaccounts/default"))
        )
    print(plane.KUBECONFIG)


def down() -> None:
    with _changing():
        say("removed the cluster" if machines.remove() else "there is no cluster")


def crash(node: str) -> None:
    with _changing(node):
        machines.crash(node)


def start(node: str) -> None:
    with _changing(CONTROL):
        if machines.runs(node):
            raise Trouble(f"{node} runs.")
        _start(node, programs(), images(programs()))


def _start(node: str, made: Path, unpacked: Path) -> None:
    machines.join_node(node)
    machines.make_cgroups(node)
    machines.start(node, plane.node(node, made, unpacked))


def cut(node: str) -> None:
    with _changing(node):
        machines.set_link(node, up=False)


def join(node: str) -> None:
    with _changing(node):
        machines.set_link(node, up=True)


def restart(machine: str, program: str) -> None:
    with _changing(machine):
        found = list(machines.processes(machine, program))
        if not found:
            raise Trouble(f"{machine} runs no {program}.")
        for pid in found:
            os.kill(pid, signal.SIGKILL)


def load(name: str, folder: Path, entrypoint: str | None) -> None:
    with _changing(*NODES), tempfile.TemporaryDirectory() as made:
        config = {"Env": [f"PATH={PATH}"], **({"Entrypoint": [entrypoint]} if entrypoint else {})}
        layer = Path(made, "layer")
        shutil.copytree(folder, layer, symlinks=True)
        file = archive(Image((name,), (layer,), config), Path(made, "image.tar"))
        for node in NODES:
            process = machines.first(node)
            run(
                "nsenter",
                f"--target={process}",
                "--mount",
                "--",
                "ctr",
                "--namespace",
                "k8s.io",
                "images",
                "import",
                file,
            )


def kubectl(arguments: list[str]) -> None:
    if not plane.KUBECONFIG.exists():
        raise Trouble("There is no cluster: `cluster up` starts it.")
    environment = {**os.environ, "KUBECONFIG": str(plane.KUBECONFIG)}
    os.execve(programs() / "kubectl", ["kubectl", *arguments], environment)


def _ready() -> set[str]:
    return {
        node["metadata"]["name"]
        for node in plane.ask("/api/v1/nodes")["items"]
        for condition in node["status"]["conditions"]
        if (condition["type"], condition["status"]) == ("Ready", "True")
    }


def _listens(host: str, port: int) -> bool:
    with socket.create_connection((host, port), timeout=1):
        return True


def _until(what: str, happened: Callable[[], bool]) -> None:
    """Wait for something, and say when it is so."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            if happened():
                say(what)
                return
            last = ""
        except OSError as refused:
            last = f" ({refused})"
        if time.monotonic() > until:
            raise Trouble(
                f"After {PATIENCE:.0f} s it is still not so that {what}{last}. {STATE} has what the programs said; "
                f"their last words:\n{_last_words()}"
            )
        time.sleep(0.3)


def _last_words() -> str:
    """Give the last line of each program's log."""
    said = []
    for name in (CONTROL, *NODES):
        for log in sorted((STATE / name / "log").glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()
            said.append(f"  {name} {log.stem}: {lines[-1] if lines else '(nothing)'}")
    return "\n".join(said)


@contextmanager
def _changing(*running: str) -> Iterator[None]:
    """Be the only command that changes the cluster; refuse if one of these machines does not run."""
    with ground.locked(Path("/run/lock/ftrun-kubernetes")):
        for name in running:
            if not machines.runs(name):
                raise Trouble(
                    f"{name} does not run. `cluster up` starts the cluster, `cluster start NODE` a node."
                )
        yield
