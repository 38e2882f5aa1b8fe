"""The runtime folder of a local cluster, and how a later process ends what stands in it.

`ftrun cleanup` reads here which processes a cluster had. A number alone is never trusted: a process is ours
if it began when the note says; after a reboot none is.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import tempfile
from pathlib import Path

from runner import clock
from runner.clusters.contract import Undo
from runner.clusters.local import processes
from runner.errors import ClusterError

PREFIX = "ft-"
"""What the names of runtime folders begin with; nothing else is ever removed."""


def new_runtime() -> str:
    """Name a folder that does not exist yet. Short: Unix sockets far below it may have 107 characters."""
    base = tempfile.gettempdir()
    if len(base) > 20:
        base = "/tmp"  # noqa: S108 (the name that follows cannot be guessed)
    return f"{base}/{PREFIX}{secrets.token_hex(4)}"


def note_keeper(runtime: Path, pid: int) -> None:
    """Write down the process under which everything stands."""
    known = processes.read(pid)
    record = {"pid": pid, "started": known.started if known else 0}
    (runtime / "keeper").write_text(json.dumps(record), encoding="ascii")


def note_session(runtime: Path, leader: int) -> None:
    """Write down a session that was started."""
    known = processes.read(leader)
    with (runtime / "sessions").open("a", encoding="ascii") as file:
        file.write(f"{leader} {known.started if known else 0}\n")


def sessions(runtime: Path) -> dict[int, int]:
    """Give the sessions that were started, and when each leader began."""
    try:
        lines = (runtime / "sessions").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    # A line that was being written when its writer was killed has one word.
    pairs = [words for words in (line.split() for line in lines) if len(words) == 2]
    return {int(leader): int(started) for leader, started in pairs}


def closing(runtime: str) -> Undo:
    """Give the undo that `heal` carries out."""
    return Undo(
        "close_cluster",
        {"runtime": runtime, "boot_id": clock.boot_id()},
        f"end the local cluster in {runtime}",
    )


async def heal(undo: Undo) -> None:
    """End what a cluster that was not closed left: its processes, then its folder. Signals no stranger."""
    if undo.kind in ("link_up", "start_node", "start_service", "thaw"):
        return  # what they would mend ends with the cluster
    if undo.kind != "close_cluster":
        raise ClusterError(f"A local cluster knows no undo {undo.kind!r}.")
    runtime = Path(undo.arguments["runtime"])
    if not runtime.name.startswith(PREFIX):
        raise ClusterError(f"{runtime} is not a folder of a local cluster.")
    await asyncio.to_thread(_end, runtime, undo.arguments["boot_id"])


def _end(runtime: Path, boot_id: str) -> None:
    if not runtime.is_dir():
        return
    if boot_id == clock.boot_id() and not processes.kill_all(lambda: left(runtime), limit=20):
        pids = ", ".join(str(process.pid) for process in left(runtime))
        raise ClusterError(f"Processes of the local cluster in {runtime} cannot be killed: {pids}.")
    shutil.rmtree(runtime, ignore_errors=True)


def left(runtime: Path) -> list[processes.Process]:
    """Find the living processes of a cluster: under its keeper, and of the sessions it wrote down."""
    found: dict[int, processes.Process] = {}
    try:
        record = json.loads((runtime / "keeper").read_text(encoding="ascii"))
    except (OSError, ValueError):
        record = {"pid": 0, "started": 0}
    keeper = processes.read(record["pid"])
    if keeper is not None and keeper.started == record["started"]:
        found = {process.pid: process for process in [*processes.descendants(keeper.pid), keeper]}
    started = sessions(runtime)
    for process in processes.of_session(*started):
        leader = process if process.pid == process.session else processes.read(process.session)
        # The number of a session whose leader is gone may have been given again: look for our folder.
        if leader.started == started[process.session] if leader else processes.uses(process.pid, runtime):
            found[process.pid] = process
    return list(found.values())
