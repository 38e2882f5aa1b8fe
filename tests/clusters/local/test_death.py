"""Nothing that a local cluster started outlives ftrun, whoever is killed, in both layouts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runner import clock
from runner.clusters.contract import Undo
from runner.clusters.local import processes, remains
from runner.clusters.local.cluster import heal
from runner.clusters.local.wire import Wire
from runner.errors import ClusterError
from tests.clusters.local.stage import LAYOUTS

both_layouts = pytest.mark.parametrize("layout", LAYOUTS)

# A stand-in for ftrun: starts a supervisor with a forwarder and two busy nodes, says so, and waits.
FTRUN = """
import asyncio, json, sys
from pathlib import Path
from runner.clusters.local.blueprint import Unit
from tests.clusters.local.stage import free_port, shell, stage

def make(runtime, addresses):
    port = free_port()
    forwarder = (sys.executable, "-m", "runner.clusters.local.forwarder", addresses[0], str(port))
    text = "(env -i sleep 100000 &); env -i sh -c 'while :; do sleep 9 & sleep 0.1; done'"
    if sys.argv[3] == "strays":
        text = "(setsid sleep 100000 &); " + text
    return [
        Unit("service", "service", addresses[0], forwarder, f"{runtime}/logs/service.log",
             ready=((addresses[0], port),), speaks=True),
        shell(runtime, "head", text, address=addresses[1]),
        shell(runtime, "worker-1", text, address=addresses[2]),
    ]

async def main():
    async with stage(sys.argv[1], Path(sys.argv[2]), make) as it:
        question = {"ask": "spawn", "name": "prober", "slot": None, "environment": {}, "errors": None}
        await it.wire.open({**question, "command": ["sleep", "100000"]}, timeout=10)
        for slot in ("service", "head", "worker-1"):
            await it.heard(slot, "up")
        print(json.dumps({"runtime": str(it.runtime), "outer": it.cluster._process.pid}), flush=True)
        await asyncio.sleep(1000)

asyncio.run(main())
"""


class Victim:
    """A stand-in for ftrun, and all that descends from it."""

    def __init__(self, layout: str, folder: Path, *, strays: bool) -> None:
        arguments = (layout, str(folder), "strays" if strays else "none")
        self.process = subprocess.Popen(
            [sys.executable, "-c", FTRUN, *arguments], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        said = json.loads(self.process.stdout.readline())
        self.runtime = Path(said["runtime"])
        self.outer: int = said["outer"]
        time.sleep(0.3)  # some of the forks of the nodes
        deadline = time.monotonic() + 30
        while len(found := processes.descendants(self.process.pid)) < 9 and time.monotonic() < deadline:
            time.sleep(0.05)
        self.below = found
        self.undo = remains.closing(str(self.runtime))

    def running(self, module: str) -> int:
        """The process below that runs a module."""
        lines = {each.pid: command_line(each.pid) for each in self.below}
        (pid,) = [pid for pid, line in lines.items() if line[1:3] == ["-m", module]]
        return pid

    def living(self) -> list[processes.Process]:
        """What lives: of those that were seen, and of those that came to this process as orphans."""
        orphans = [each for each in processes.descendants(os.getpid()) if each.pid != self.process.pid]
        return orphans + [known for known in self.below if self._same(known) and known not in orphans]

    @staticmethod
    def _same(known: processes.Process) -> bool:
        now = processes.read(known.pid)
        return now is not None and now.started == known.started

    def wait_for_nothing(self, limit: float = 60.0) -> None:
        deadline = time.monotonic() + limit
        while left := self.living():
            reap()
            if time.monotonic() > deadline:
                pytest.fail(f"{len(left)} processes live on: {[command_line(each.pid) for each in left[:5]]}")
            time.sleep(0.05)

    def end(self) -> None:
        for each in [*self.below, *processes.descendants(os.getpid())]:
            if self._same(each):
                os.kill(each.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        asyncio.run(heal(self.undo))


def command_line(pid: int) -> list[str]:
    """The words of a process's command line; none where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def reap() -> None:
    """Wait for orphans that the kernel gave to this process."""
    for process in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = process.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] == "Z" and int(fields[1]) == os.getpid():
            try:
                os.waitpid(int(process.parent.name), os.WNOHANG)
            except ChildProcessError:
                continue


@contextmanager
def victim(layout: str, folder: Path, *, strays: bool = True) -> Iterator[Victim]:
    # Orphans come to this process instead of to the first one, so that none is overlooked.
    processes.ask_kernel(processes.PR_SET_CHILD_SUBREAPER, 1)
    made = Victim(layout, folder, strays=strays)
    try:
        assert len(made.below) >= 9
        yield made
    finally:
        made.end()
        reap()
        processes.ask_kernel(processes.PR_SET_CHILD_SUBREAPER, 0)


@both_layouts
def test_trap_04_sigkill_of_ftrun_leaves_no_process(layout: str, tmp_path: Path) -> None:
    with victim(layout, tmp_path) as it:
        it.process.kill()
        it.process.wait()
        it.wait_for_nothing()
        assert it.runtime.exists()
        asyncio.run(heal(it.undo))
        assert not it.runtime.exists()


@both_layouts
def test_sigkill_of_the_supervisor_ends_everything_below(layout: str, tmp_path: Path) -> None:
    with victim(layout, tmp_path) as it:
        os.kill(it.running("runner.clusters.local.supervisor"), signal.SIGKILL)
        it.wait_for_nothing()


@both_layouts
def test_sigkill_of_the_outermost_process_ends_everything_below(layout: str, tmp_path: Path) -> None:
    # On loopback that is the keeper: then the supervisor ends the sessions, the only thing it knows of them.
    with victim(layout, tmp_path, strays=layout == "namespaces") as it:
        os.kill(it.outer, signal.SIGKILL)
        it.wait_for_nothing()


def test_sigkill_of_the_first_process_of_the_namespace_ends_everything_below(tmp_path: Path) -> None:
    with victim("namespaces", tmp_path) as it:
        os.kill(it.running("runner.clusters.local.keeper"), signal.SIGKILL)
        it.wait_for_nothing()


@both_layouts
def test_ftrun_killed_while_the_supervisor_hangs_leaves_no_process(layout: str, tmp_path: Path) -> None:
    with victim(layout, tmp_path) as it:
        os.kill(it.running("runner.clusters.local.supervisor"), signal.SIGSTOP)
        it.process.kill()
        it.process.wait()
        it.wait_for_nothing()


@both_layouts
@pytest.mark.parametrize("whom", ["ftrun", "supervisor"])
def test_what_is_frozen_is_ended_all_the_same(layout: str, whom: str, tmp_path: Path) -> None:
    with victim(layout, tmp_path) as it:
        supervisor = it.running("runner.clusters.local.supervisor")
        asyncio.run(Wire(f"{it.runtime}/s").ask("freeze", slot="head", processes=None))
        found = [processes.read(known.pid) for known in it.living()]
        assert sum(process is not None and process.still for process in found) >= 3
        os.kill(supervisor if whom == "supervisor" else it.process.pid, signal.SIGKILL)
        if whom == "ftrun":
            it.process.wait()
        it.wait_for_nothing()


def test_what_ends_with_the_cluster_needs_no_healing_of_its_own() -> None:
    for kind in ("link_up", "start_node", "start_service", "thaw"):
        asyncio.run(heal(Undo(kind, {"slot": "head"})))
    with pytest.raises(ClusterError, match="knows no undo 'magic'"):
        asyncio.run(heal(Undo("magic", {})))


def test_what_nobody_is_left_to_end_is_healed_later(tmp_path: Path) -> None:
    with victim("loopback", tmp_path, strays=False) as it:
        supervisor = it.running("runner.clusters.local.supervisor")
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in (supervisor, it.outer, it.process.pid):
                os.kill(pid, number)
        it.process.wait()
        assert len(it.living()) >= 6
        asyncio.run(heal(it.undo))
        it.wait_for_nothing(limit=5)
        assert not it.runtime.exists()
        asyncio.run(heal(it.undo))


@both_layouts
def test_a_cluster_that_still_runs_is_ended_from_its_undo_alone(layout: str, tmp_path: Path) -> None:
    with victim(layout, tmp_path) as it:
        asyncio.run(heal(it.undo))
        it.process.kill()
        it.process.wait()
        it.wait_for_nothing(limit=5)
        assert not it.runtime.exists()


# -- healing signals no stranger


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def folder(tmp_path: Path, **files: str) -> tuple[Path, Undo]:
    runtime = tmp_path / f"{remains.PREFIX}test"
    runtime.mkdir()
    for name, content in files.items():
        (runtime / name).write_text(content)
    return runtime, remains.closing(str(runtime))


def started(process: subprocess.Popen[bytes]) -> int:
    known = processes.read(process.pid)
    assert known is not None
    return known.started


async def test_a_process_that_got_the_number_later_is_left_alone(
    tmp_path: Path, stranger: subprocess.Popen[bytes]
) -> None:
    record = {"pid": stranger.pid, "started": started(stranger) - 1}
    runtime, undo = folder(
        tmp_path, keeper=json.dumps(record), sessions=f"{stranger.pid} {started(stranger) - 1}\n"
    )
    await heal(undo)
    assert stranger.poll() is None
    assert not runtime.exists()


async def test_after_a_reboot_nothing_is_signalled(tmp_path: Path, stranger: subprocess.Popen[bytes]) -> None:
    runtime, undo = folder(tmp_path, sessions=f"{stranger.pid} {started(stranger)}\n")
    await heal(Undo(undo.kind, {**undo.arguments, "boot_id": "another"}))
    assert stranger.poll() is None
    assert not runtime.exists()


def test_a_session_without_leader_is_ours_only_if_it_uses_our_folder(tmp_path: Path) -> None:
    runtime, undo = folder(tmp_path)
    lines = []
    for place in (runtime, tmp_path):
        leader = subprocess.Popen(
            ["sh", "-c", "sleep 1000 & echo $!"],
            cwd=place,
            start_new_session=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert leader.stdout is not None
        lines.append((leader.pid, int(leader.stdout.readline())))
        leader.stdout.close()
        leader.wait()
    ours, theirs = lines
    (runtime / "sessions").write_text(f"{ours[0]} 5\n{theirs[0]} 5\n77")
    try:
        asyncio.run(heal(undo))
        assert processes.read(ours[1]) is None
        assert processes.read(theirs[1]) is not None
    finally:
        os.kill(theirs[1], signal.SIGKILL)


async def test_only_folders_of_clusters_are_removed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    with pytest.raises(ClusterError, match="is not a folder of a local cluster"):
        await heal(Undo("close_cluster", {"runtime": str(precious), "boot_id": clock.boot_id()}))
    assert precious.exists()
