"""The session: what the engine asks of a prober, with the real one behind it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner import clock
from runner.clusters.contract import Endpoint, Prober
from runner.clusters.lines import Lines
from runner.errors import CannotRun, ClusterError, Unreachable
from runner.journal.events import ClockPing, from_json
from runner.journal.journal import Journal
from runner.journal.samples import Outcome, read_prober_log, read_samples
from runner.language.plan import Expectation, Identity, Position, ProbeSpec
from runner.probes.session import Session, redacted, selected
from tests.probes.running import right, serving, until
from tests.truth.outages import ELSEWHEN

SPEC = ProbeSpec(
    name="users",
    endpoint="service",
    connections=("new", "reused"),
    path="/",
    method="GET",
    headers={},
    body=None,
    rate=50,
    timeout=5.0,
    slow_after=0.125,
    blind_after=0.1,
    recover_after=1.0,
    max_in_flight=100,
    expect=Expectation(),
    identity=Identity("body"),
    position=Position("x.yaml", 1, 1),
)
NODES = [
    Endpoint("service", "service", "http://s", simulated=True),
    Endpoint("head", "head", "http://h"),
    Endpoint("worker-1", "worker", "http://w1"),
    Endpoint("worker-2", "worker", "http://w2"),
]


class OneProber:
    """As much of a cluster as a session needs."""

    def __init__(self, *command: str, before: Sequence[str] = ()) -> None:
        self.command = command
        self.before = before
        """What starts the prober, in a time namespace of its own for one."""
        self.process: asyncio.subprocess.Process | None = None

    async def prober(self, program: Path, directory: Path, _away: Collection[str] = ()) -> Prober:
        command = self.command or ("-I", str(program), str(directory))
        self.process = await asyncio.create_subprocess_exec(
            *self.before,
            sys.executable,
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        return Lines(self.process.stdout, self.process.stdin, self.process.communicate)


@contextmanager
def journalled(folder: Path) -> Iterator[Journal]:
    journal = Journal.create(folder / "journal.jsonl", clock.monotonic())
    try:
        yield journal
    finally:
        journal.close()


@asynccontextmanager
async def opened(
    folder: Path, *, before: Sequence[str] = ()
) -> AsyncIterator[tuple[Session, asyncio.subprocess.Process]]:
    cluster: Any = OneProber(before=before)
    with journalled(folder) as journal:
        session = await Session.open(cluster, folder, scenario=0, run="r", journal=journal)
        try:
            yield session, cluster.process
        finally:
            await session.close()
            assert cluster.process.returncode is not None


async def test_it_starts_and_stops_a_probe_and_says_where_its_samples_are(tmp_path: Path) -> None:
    began = time.monotonic()
    async with serving(right) as server, opened(tmp_path) as (session, _):
        series = await session.start(SPEC, [Endpoint("service", "service", server.url, simulated=True)])
        assert session.running() == ("users",)
        await until(lambda: all(len(read_samples(tmp_path / each["file"]).n) >= 15 for each in series))
        at = await session.stop("users")
        assert session.running() == ()
        assert [each["series"] for each in series] == ["service/new", "service/reused"]
        assert {(each["endpoint"], each["role"], each["simulated"], each["rate"]) for each in series} == {
            ("service", "service", True, 50)
        }
        for each in series:
            samples = read_samples(tmp_path / each["file"])
            assert set(samples.outcome) == {Outcome.OK}
            assert samples.header["run"] == "r"
            # The axis is the run's: seconds since its zero.
            assert 0 < each["t0"] < at < time.monotonic() - began
        assert (tmp_path / "samples" / "0" / "prober.jsonl").exists()


async def test_a_probe_may_be_started_again_and_keeps_its_first_samples(tmp_path: Path) -> None:
    async with serving(right) as server, opened(tmp_path) as (session, _):
        here = [Endpoint("service", "service", server.url)]
        first = await session.start(SPEC, here)
        with pytest.raises(CannotRun, match="runs already"):
            await session.start(SPEC, here)
        await session.stop("users")
        second = await session.start(SPEC, here)
        assert not {each["file"] for each in first} & {each["file"] for each in second}
        await session.stop("users")
        with pytest.raises(CannotRun, match="does not run"):
            await session.stop("users")


async def test_retarget_follows_a_slot_to_its_new_address(tmp_path: Path) -> None:
    async with serving(right) as old, serving(right) as new, opened(tmp_path) as (session, _):
        await session.start(replace(SPEC, path="/a"), [Endpoint("service", "service", old.url)])
        await session.start(replace(SPEC, name="other", path="/b"), [Endpoint("service", "service", old.url)])

        def paths(requests: list[bytes]) -> set[bytes]:
            return {request.split()[1] for request in requests}

        await until(lambda: paths(old.requests) == {b"/a", b"/b"})
        await session.retarget("service", new.url)
        # What was under way to the old one has come when a good many have come to the new one.
        await until(lambda: len(new.requests) > 20)
        before = len(old.requests)
        await until(lambda: len(new.requests) > 40)
        assert len(old.requests) == before
        assert paths(new.requests) == {b"/a", b"/b"}


async def test_it_pings(tmp_path: Path) -> None:
    async with opened(tmp_path) as (session, _):
        await until(lambda: len(session.pings) >= 2)
        assert all(ping.r1 <= ping.p <= ping.r2 for ping in session.pings)
        logged = [
            e for e in read_prober_log(tmp_path / "samples/0/prober.jsonl").others if e["kind"] == "ping"
        ]
        assert [each["p_ns"] for each in logged[: len(session.pings)]] == [ping.p for ping in session.pings]
        # One clock needs no joining.
        assert (tmp_path / "journal.jsonl").read_text() == ""


async def test_the_pings_of_another_clock_are_journalled_and_its_stamps_told_on_the_run_s_axis(
    tmp_path: Path,
) -> None:
    async with serving(right) as server, opened(tmp_path, before=ELSEWHEN) as (session, _):
        (one, _) = await session.start(SPEC, [Endpoint("service", "service", server.url)])
        await asyncio.sleep(1.1)
        at = await session.stop("users")
        lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    samples = read_samples(tmp_path / one["file"])
    assert int(samples.header["t0_ns"]) / 1e9 - clock.monotonic() > 9_000
    assert 0 < one["t0"] < at < 30
    pings = [each for each in map(from_json, map(json.loads, lines)) if isinstance(each, ClockPing)]
    assert len(pings) >= 2
    assert [each.p_ns for each in pings[: len(session.pings)]] == [ping.p for ping in session.pings]
    for ping in pings:
        assert 0 < ping.asked < ping.heard < 30


async def test_a_prober_that_dies_is_told_at_once(tmp_path: Path) -> None:
    async with serving(right) as server, opened(tmp_path) as (session, process):
        await session.start(SPEC, [Endpoint("service", "service", server.url)])
        process.send_signal(signal.SIGKILL)
        async with asyncio.timeout(20):
            await session.lost.wait()
        assert "blind from there on" in session.why_lost
        with pytest.raises(Unreachable, match="prober is gone"):
            await session.stop("users")


async def test_a_prober_that_dies_while_asked_fails_the_question(tmp_path: Path) -> None:
    async with opened(tmp_path) as (session, process):
        process.send_signal(signal.SIGSTOP)
        asking = asyncio.create_task(
            session.start(SPEC, [Endpoint("service", "service", "http://127.0.0.1:1")])
        )
        await asyncio.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        with pytest.raises(Unreachable, match="blind"):
            await asking


async def test_what_the_prober_cannot_do_is_raised_as_a_sentence(tmp_path: Path) -> None:
    async with opened(tmp_path) as (session, _):
        with pytest.raises(
            ClusterError, match="The prober could not do it: a method or header holds a line break"
        ):
            await session.start(
                replace(SPEC, headers={"X": "\n"}), [Endpoint("service", "service", "http://127.0.0.1:1")]
            )
        assert session.running() == ()


async def test_a_prober_that_does_not_come_up(tmp_path: Path) -> None:
    cluster: Any = OneProber("-c", "")
    with journalled(tmp_path) as journal, pytest.raises(CannotRun, match="The prober is gone"):
        await Session.open(cluster, tmp_path, scenario=0, run="r", journal=journal)
    assert cluster.process.returncode == 0


async def test_close_stops_what_runs_and_may_be_called_twice(tmp_path: Path) -> None:
    async with serving(right) as server, opened(tmp_path) as (session, process):
        await session.start(SPEC, [Endpoint("service", "service", server.url)])
        assert session.cpu is None
        await session.close()
        assert process.returncode == 0
        assert session.cpu is not None
        assert session.cpu > 0
        assert not session.lost.is_set()
        assert "users" in read_prober_log(tmp_path / "samples/0/prober.jsonl").stops


# Which endpoints


@pytest.mark.parametrize(
    ("endpoint", "slots"),
    [
        ("service", ["service"]),
        ("head", ["head"]),
        ("worker-2", ["worker-2"]),
        ("each-worker", ["worker-1", "worker-2"]),
        ("each-node", ["head", "worker-1", "worker-2"]),
        ("http://u:p@x:1/y?token=z", ["http://x:1/y"]),
    ],
)
def test_selected(endpoint: str, slots: list[str]) -> None:
    assert [each.slot for each in selected(replace(SPEC, endpoint=endpoint), NODES)] == slots


def test_selecting_what_is_not_there_names_what_is() -> None:
    with pytest.raises(CannotRun, match=r"users asks endpoint each-worker, .* it has: service"):
        selected(replace(SPEC, endpoint="each-worker"), NODES[:1])


def test_redacted() -> None:
    assert redacted("https://user:secret@host:1/path?token=secret#x") == "https://host:1/path"
