"""A prober in a pod, over connections that break. The pod is a folder here, and its commands are processes."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.clusters.contract import Completed, Endpoint
from runner.clusters.kubernetes import prober
from runner.clusters.kubernetes.api import STDOUT
from runner.clusters.kubernetes.pods import read
from runner.clusters.kubernetes.prober import PodProber, manifest
from runner.clusters.kubernetes.settings import Share
from runner.clusters.kubernetes.tape import FRAME, Tape
from runner.errors import ClusterError, Unreachable
from runner.journal.samples import read_prober_log, read_samples
from runner.probes.session import PROGRAM, Session
from tests.probes.running import right, serving
from tests.probes.test_session import SPEC, journalled

# The tape


def piece(number: int, data: bytes) -> bytes:
    return FRAME.pack(number, len(data)) + data


def said(**event: Any) -> bytes:
    return piece(0, json.dumps(event).encode() + b"\n")


@given(st.lists(st.binary(max_size=50), max_size=6), st.lists(st.integers(0, 400), max_size=8))
def test_a_tape_cut_anywhere_gives_the_same_files_and_events(tmp_path_factory, pieces, cuts):
    whole = said(event="file", number=1, name="a.samples") + said(event="ready")
    whole += b"".join(piece(1, each) for each in pieces) + said(event="bye")
    folder = tmp_path_factory.mktemp("tape")
    tape = Tape(folder)
    edges = sorted({0, len(whole), *(min(each, len(whole)) for each in cuts)})
    heard = [event for one, two in pairwise(edges) for event in tape.take(whole[one:two])]
    tape.close()
    assert [each["event"] for each in heard] == ["ready", "bye"]
    assert tape.taken == len(whole)
    assert (folder / "a.samples").read_bytes() == b"".join(pieces)


def test_a_piece_is_written_once_it_is_whole(tmp_path):
    tape = Tape(tmp_path)
    list(tape.take(said(event="file", number=1, name="a") + piece(1, b"whole")[:-1]))
    assert (tmp_path / "a").read_bytes() == b""
    list(tape.take(b"e"))
    assert (tmp_path / "a").read_bytes() == b"whole"
    tape.close()


@pytest.mark.parametrize(
    "strange", [said(event="file", number=1, name="../a"), piece(7, b"x")], ids=["a path", "a stray piece"]
)
def test_what_no_prober_writes_is_refused(tmp_path, strange):
    with pytest.raises(ClusterError):
        list(Tape(tmp_path).take(strange))


# The pod

LIKE = {
    "spec": {
        "serviceAccountName": "ray",
        "imagePullSecrets": [{"name": "registry"}],
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "containers": [
            {
                "name": "ray-worker",
                "image": "registry.example/ours/ray:7",
                "env": [{"name": "PYTHONPATH", "value": "/opt/python"}, {"name": "SECRET", "value": "x"}],
            }
        ],
    }
}


class Claimed:
    """As much of a claim as the pod needs."""

    name = "ftrun-run"
    namespace = "ns"

    def owned(self, document: Mapping[str, Any], part: str = "") -> dict[str, Any]:
        meta = {**document["metadata"], "labels": {"ftrun/part": part}, "ownerReferences": [{"uid": "u"}]}
        return {**document, "metadata": meta}


def test_the_pod_is_like_the_rayservice_s_and_may_do_nothing():
    claim: Any = Claimed()
    pod = manifest(claim, LIKE, Share().prober, avoid={"b", "a"}, beside="c")
    spec = pod["spec"]
    (container,) = spec["containers"]
    assert pod["metadata"]["labels"] == {"ftrun/part": "prober"}
    assert container["image"] == "registry.example/ours/ray:7"
    assert spec["serviceAccountName"] == "ray"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert {"name": "PYTHONPATH", "value": "/opt/python"} in container["env"]
    assert not any(each["name"] == "SECRET" for each in container["env"])
    # PodSecurity "restricted".
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] == 1000
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert set(container["resources"]) == {"requests", "limits"}
    affinity = spec["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [each["values"] for each in term["matchFields"]] == [["a"], ["b"]]
    (preferred,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    assert preferred["preference"]["matchFields"][0]["values"] == ["c"]


@pytest.mark.parametrize("user", [1234, 0])
def test_it_runs_as_ray_does_unless_that_is_root(user):
    claim: Any = Claimed()
    like = {"spec": {**LIKE["spec"], "securityContext": {"runAsUser": user}}}
    pod = manifest(claim, like, Share().prober, avoid=(), beside=None)
    assert pod["spec"]["securityContext"]["runAsUser"] == (user or 1000)
    assert pod["spec"]["affinity"] == {}


# The connection


class Pipe:
    """A command in the pod, as `api.Stream` gives it; it can be cut."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.cut = False

    async def write(self, content: bytes) -> None:
        if self.cut:
            raise Unreachable("cut")
        assert self.process.stdin is not None
        self.process.stdin.write(content)
        await self.process.stdin.drain()

    async def chunks(self) -> AsyncIterator[tuple[int, bytes]]:
        assert self.process.stdout is not None
        while chunk := await self.process.stdout.read(1000):
            if self.cut:
                break
            yield STDOUT, chunk
        if self.cut or await self.process.wait():
            raise Unreachable("cut")

    async def ended(self) -> Completed:
        out = b"".join([chunk async for _, chunk in self.chunks()])
        return Completed(0, out.decode(), "")

    def cuts(self) -> None:
        """Cut it: its input ends, and nobody reads what it writes."""
        self.cut = True
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)

    async def close(self) -> None:
        self.cuts()
        await self.process.wait()


class Folder:
    """Stands for the API server, with one pod whose room is a folder."""

    def __init__(self, room: Path, *, python: str = "") -> None:
        self.room = room
        self.python = python
        self.pipes: list[Pipe] = []
        self.refuses = 0
        """So many connections are not made."""
        self.first: asyncio.subprocess.Process | None = None
        self.deleted = False

    async def _run(self, script: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", script.replace(prober.ROOM, str(self.room))),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )

    async def _end(self) -> None:
        """With its first process whatever else runs in the pod ends."""
        assert self.first is not None
        await self.first.wait()
        for pipe in self.pipes:
            pipe.cuts()

    async def create(self, _path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        self.first = await self._run(self.python + body["spec"]["containers"][0]["command"][2])
        self.ending = asyncio.create_task(self._end())
        found = await self.find("")
        assert found is not None
        return found

    async def find(self, _path: str) -> Mapping[str, Any] | None:
        if self.first is None or self.deleted:
            return None
        over = self.first.returncode is not None
        state = (
            {"terminated": {"exitCode": self.first.returncode, "message": "no aiohttp"}}
            if over
            else {"running": {}}
        )
        return {
            "metadata": {"name": "p", "uid": "1"},
            "spec": {"containers": [{"name": "prober"}], "nodeName": "node1"},
            "status": {
                "phase": "Failed" if over else "Running",
                "containerStatuses": [{"name": "prober", "state": state}],
            },
        }

    async def open(self, _ns: str, _pod: str, _container: str, command: Sequence[str]) -> Pipe:
        if self.refuses:
            self.refuses -= 1
            raise Unreachable("the API server is away")
        assert self.first is not None
        self.pipes.append(Pipe(await self._run(command[2])))
        if self.first.returncode is not None:
            self.pipes[-1].cuts()
        return self.pipes[-1]

    async def delete(self, _path: str, **_options: Any) -> None:
        self.deleted = True
        await self.gone()

    async def gone(self) -> None:
        """Kill the pod, with all that runs in it."""
        for pipe in self.pipes:
            pipe.cuts()
        if self.first is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.first.pid, signal.SIGKILL)
            await self.first.communicate()


class OnePod:
    """As much of a cluster as a session needs."""

    def __init__(self, api: Folder) -> None:
        self.api: Any = api

    async def prober(self, program: Path, directory: Path, _away: Sequence[str] = ()) -> PodProber:
        claim: Any = Claimed()
        return await prober.start(
            self.api, claim, program=program, directory=directory, like=LIKE, resources=Share().prober
        )


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Folder]:
    (tmp_path / "room").mkdir()
    folder = Folder(tmp_path / "room")
    yield folder
    await folder.gone()
    # Nobody reads any more.
    await asyncio.gather(folder.ending, *(each.process.communicate() for each in folder.pipes))


@asynccontextmanager
async def opened(folder: Path, api: Folder) -> AsyncIterator[Session]:
    cluster: Any = OnePod(api)
    with journalled(folder) as journal:
        session = await Session.open(cluster, folder, scenario=0, run="r", journal=journal)
        try:
            yield session
        finally:
            await session.close()


async def test_nothing_is_lost_or_done_twice_however_often_the_connection_breaks(
    tmp_path: Path, api: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prober, "AGAIN", 0.05)
    draw = random.Random(7)
    async with serving(right) as server, opened(tmp_path, api) as session:

        async def cutting() -> None:
            while True:
                await asyncio.sleep(draw.uniform(0.1, 0.5))
                api.refuses = draw.randrange(3)
                api.pipes[-1].cuts()

        cutter = asyncio.create_task(cutting())
        started = await session.start(SPEC, [Endpoint("service", "service", server.url)])
        await asyncio.sleep(3)
        await session.stop("users")
        cutter.cancel()
        await session.close()
    assert len(api.pipes) > 5
    # What came over is what stands on the tape in the pod.
    whole = Tape(tmp_path / "again")
    (tmp_path / "again").mkdir()
    events = [each["event"] for each in whole.take((api.room / "tape").read_bytes())]
    whole.close()
    assert events.count("started") == events.count("stopped") == events.count("bye") == 1
    samples = tmp_path / "samples" / "0"
    assert {each.name for each in samples.iterdir()} == {each.name for each in (tmp_path / "again").iterdir()}
    for each in samples.iterdir():
        assert each.read_bytes() == (tmp_path / "again" / each.name).read_bytes()
    for series in started:
        assert len(read_samples(tmp_path / series["file"]).n)
    assert read_prober_log(samples / "prober.jsonl").stops
    assert api.deleted


async def test_a_prober_that_cannot_run_is_told_with_what_it_said(tmp_path: Path, api: Folder) -> None:
    api.python = "python() { echo 'no aiohttp' >&2; return 1; }; sleep() { command sleep 1; }; "
    with pytest.raises(ClusterError, match="no aiohttp"):
        async with opened(tmp_path, api):
            pass
    assert api.deleted


async def test_a_pod_that_is_deleted_by_somebody_ends_the_probes(tmp_path: Path, api: Folder) -> None:
    async with serving(right) as server, opened(tmp_path, api) as session:
        await session.start(SPEC, [Endpoint("service", "service", server.url)])
        await api.delete("")
        async with asyncio.timeout(10):
            await session.lost.wait()
        assert "was deleted" in session.why_lost


def test_the_pod_reads_as_others_do() -> None:
    assert read({**LIKE, "metadata": {"name": "x", "uid": "1"}}).container == "ray-worker"


def test_the_program_is_small_enough_to_stream() -> None:
    assert PROGRAM.stat().st_size < 200_000
