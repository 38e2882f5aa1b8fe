"""The prober, as a real process against real sockets on loopback."""

from __future__ import annotations

import ast
import asyncio
import os
import resource
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runner.journal.samples import RECORD, Outcome, read_prober_log, read_samples
from runner.probes import prober as program
from runner.timeline.evidence import Class, gather
from tests.probes.running import PROBER, RIGHT, right, running, serving, specification, until

SECOND = 1_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "samples"


def outcomes(samples: Any) -> set[Outcome]:
    return {Outcome(code) for code in samples.outcome}


async def silent(_: bytes) -> bytes:
    await asyncio.sleep(60)
    return RIGHT


# What it is


def test_it_runs_on_python_3_9() -> None:
    ast.parse(PROBER.read_text(), feature_version=(3, 9))


def test_it_imports_nothing_of_ftrun() -> None:
    assert "runner" not in PROBER.read_text().split("class ")[0].replace("the runner", "")


def test_its_codes_are_those_the_reader_knows() -> None:
    named = {name: getattr(program, name) for name in Outcome.__members__ if name != "NEVER"}
    assert named == {each.name: each.value for each in Outcome if each}
    assert [(name, kind) for name, kind in program.RECORD_FIELDS] == [
        (name, kind.replace("|", "")) for name, kind in RECORD.descr
    ]
    assert program.RECORD.size == RECORD.itemsize


async def test_it_runs_without_uvloop(folder: Path) -> None:
    hidden = (
        "import runpy, sys; sys.modules['uvloop'] = None; sys.argv = ['prober.py', sys.argv[1]];"
        f"runpy.run_path({str(PROBER)!r}, run_name='__main__')"
    )
    async with serving(right) as server, running(folder, "-c", hidden) as prober:
        assert prober.logged("ready")[0]["uvloop"] is None
        samples = await prober.measure(
            specification(server.url), specification(server.url, connection="reused")
        )
        assert outcomes(samples) == {Outcome.OK}
        assert outcomes(prober.samples("reused.samples")) == {Outcome.OK}


# Sending


async def test_new_opens_a_connection_for_each_request_and_lets_the_server_close_it(folder: Path) -> None:
    async with serving(right) as server, running(folder) as prober:
        samples = await prober.measure(specification(server.url), least=21)
        assert outcomes(samples) == {Outcome.OK}
        assert server.connections == len(server.requests) == len(samples.n) > 20
        assert all(b"\r\nConnection: close\r\n" in request for request in server.requests)
        assert set(samples.flags) == {program.BODY | program.OPENED}


async def test_new_resets_what_the_server_does_not_close(folder: Path) -> None:
    ends: asyncio.Queue[type[Exception] | None] = asyncio.Queue()

    async def stubborn(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(RIGHT)
        try:
            assert await reader.read() == b""
            ends.put_nowait(None)
        except ConnectionError as error:
            ends.put_nowait(type(error))
        writer.close()

    listener = await asyncio.start_server(stubborn, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
    async with running(folder) as prober:
        samples = await prober.measure(specification(url))
        assert outcomes(samples) == {Outcome.OK}
        assert {await ends.get() for _ in samples.n} == {ConnectionResetError}
    listener.close()
    await listener.wait_closed()


async def test_reused_keeps_to_its_connections(folder: Path) -> None:
    async with serving(right) as server, running(folder) as prober:
        samples = await prober.measure(specification(server.url, connection="reused"), least=30)
        assert outcomes(samples) == {Outcome.OK}
        assert b"Connection" not in server.requests[0]
        assert set(samples.flags) <= {program.BODY | program.OPENED, program.BODY}
        opened = np.flatnonzero(samples.flags & program.OPENED)
        assert len(opened) == server.connections < len(samples.n)
        # Another is opened only while none idles, which on a busy machine happens.
        for standing, index in enumerate(opened):
            assert (samples.done[:index] >= samples.sent[index]).sum() >= standing


def test_reused_takes_the_connection_that_idled_shortest() -> None:
    series: Any = program.Series.__new__(program.Series)
    idle: Any = [SimpleNamespace(alive=lambda: True) for _ in range(3)]
    series.idle = list(idle)
    assert [series._idle_connection() for _ in range(4)] == [*reversed(idle), None]


async def test_a_get_on_a_connection_closed_under_it_is_never_repeated(folder: Path) -> None:
    answered = iter([True])

    async def once(_: bytes) -> bytes | None:
        return RIGHT if next(answered, False) else None

    async with serving(once) as server, running(folder) as prober:
        samples = await prober.measure(specification(server.url, connection="reused"))
        assert len(server.requests) == len(samples.n)
        assert list(samples.outcome) == [Outcome.OK] + [Outcome.EOF] * (len(samples.n) - 1)


async def test_idle_connections_that_the_peer_closed_are_dropped_first(folder: Path) -> None:
    async with serving(right) as server, running(folder) as prober:
        await prober.start(specification(server.url, connection="reused", period_ns=[SECOND, 2]))
        for number in range(1, 4):
            await until(lambda number=number: len(server.requests) >= number)
            await asyncio.sleep(0.05)  # it was answered, and the next one is far off
            for writer in list(server.writers):
                writer.close()
        await until(lambda: len(server.requests) == 4)
        await prober.stop()
        samples = prober.samples("reused.samples")
        assert outcomes(samples) == {Outcome.OK}
        assert len(prober.logged("dropped")) >= 3
        assert server.connections >= 3


@pytest.mark.parametrize("spoken", [b"", b"x", None])
def test_an_idle_connection_is_alive_while_its_peer_is_silent(spoken: bytes | None) -> None:
    """Looked at before each use: the loop may not have come round to telling of it."""
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        connection = program.Connection.__new__(program.Connection)
        connection.sock = here
        if spoken:
            there.send(spoken)
        elif spoken is not None:
            there.close()
        assert connection.alive() == (spoken is None)
        series = program.Series.__new__(program.Series)
        series.idle, dropped = [connection], []
        series.drop = lambda each: (dropped.append(each), series.idle.remove(each))  # type: ignore[method-assign]
        assert series._idle_connection() is (connection if spoken is None else None)
        assert dropped == ([] if spoken is None else [connection])


async def test_it_sends_on_schedule_and_counts_from_t0(folder: Path) -> None:
    async with serving(right) as server, running(folder) as prober:
        started = await prober.start(specification(server.url, period_ns=[SECOND, 30]))
        await until(lambda: len(prober.samples().n) >= 10)
        stopped = await prober.stop()
        samples = prober.samples()
        t0 = started["series"][0]["t0_ns"]
        assert list(samples.due) == [t0 + n * SECOND // 30 for n in samples.n]
        assert (samples.sent >= samples.due).all()
        assert (samples.done >= samples.sent).all()
        assert samples.sent.max() <= stopped["at_ns"] == prober.log.stops["users"]


async def test_no_more_than_the_cap_is_in_flight(folder: Path) -> None:
    async with serving(silent) as server, running(folder) as prober:
        few = specification(server.url, max_in_flight=5, timeout_ns=3 * SECOND)
        samples = await prober.measure(few, seconds=1.0, least=0)
        assert len(samples.n) == 5
        # A line a second, and one for the rest.
        capped = prober.logged("capped")
        assert 1 <= len(capped) <= 2
        assert {each["series"] for each in capped} == {"service/new"}
        assert sum(each["count"] for each in capped) >= 20
        # From the first that was due, and not too late to be sent.
        assert capped[0]["start_ns"] > samples.due[4]
        assert (capped[0]["start_ns"] - samples.due[4]) % 10_000_000 == 0
        assert all(each["end_ns"] > each["start_ns"] for each in capped)


async def test_post_with_headers_and_body(folder: Path) -> None:
    async with serving(right) as server, running(folder) as prober:
        await prober.measure(
            specification(
                server.url + "predict?x=1 2",
                method="POST",
                headers={"Content-Type": "application/json", "host": "example.test"},
                body='{"a": "é"}',
            )
        )
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"POST /predict?x=1%202 HTTP/1.1"
        assert b"Content-Type: application/json" in lines
        assert [line for line in lines if line.lower().startswith(b"host")] == [b"host: example.test"]
        assert body == '{"a": "é"}'.encode()


async def test_retarget_sends_to_the_new_address(folder: Path) -> None:
    async with serving(right) as old, serving(right) as new, running(folder) as prober:
        await prober.start(specification(old.url, connection="reused"))
        await until(lambda: old.requests)
        await prober.say(command="retarget", series="service/reused", url=new.url)
        assert (await prober.hear())["event"] == "retargeted"
        # What was under way to the old one has come when several have come to the new one.
        await until(lambda: len(new.requests) > 5)
        before = len(old.requests)
        await until(lambda: len(new.requests) > 15)
        await prober.stop()
        assert len(old.requests) == before
        assert outcomes(prober.samples("reused.samples")) == {Outcome.OK}


# How requests end


@pytest.mark.parametrize(
    ("answer", "outcome", "status"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy", Outcome.HTTP_5XX, 503),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Outcome.HTTP_4XX, 404),
        (b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", Outcome.WRONG_BODY, 302),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyou", Outcome.WRONG_BODY, 0),
        (b"220 smtp.example.test\r\n\r\n", Outcome.WRONG_BODY, 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nme", Outcome.EOF, 0),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n9\r\nme",
            Outcome.EOF,
            0,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nm\r\n1\r\ne\r\n0\r\n\r\n",
            Outcome.OK,
            200,
        ),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nme", Outcome.OK, 200),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + RIGHT, Outcome.OK, 200),
        (None, Outcome.EOF, 0),
    ],
)
@pytest.mark.parametrize("connection", ["new", "reused"])
async def test_what_an_answer_means(
    folder: Path, connection: str, answer: bytes | None, outcome: Outcome, status: int
) -> None:
    async def answering(_: bytes) -> bytes | None:
        return answer

    async with serving(answering) as server, running(folder) as prober:
        expect = {"status": [[200, 299]], "body": "me"}
        samples = await prober.measure(
            specification(server.url, connection=connection, expect=expect), seconds=0.15
        )
        assert outcomes(samples) == {outcome}
        assert not status or set(samples.status) == {status}
        assert len(server.requests) == len(samples.n)
        assert all(prober.log.detail[index] for index in samples.detail) == (outcome != Outcome.OK)


async def test_an_interim_answer_is_not_the_answer(folder: Path) -> None:
    async def hinting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        await asyncio.sleep(0.02)
        writer.write(RIGHT)
        writer.close()

    listener = await asyncio.start_server(hinting, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
    async with running(folder) as prober:
        samples = await prober.measure(specification(url))
        assert outcomes(samples) == {Outcome.OK}
        assert set(samples.status) == {200}
    listener.close()
    await listener.wait_closed()


async def test_no_content_and_head_have_no_body_to_wait_for(folder: Path) -> None:
    async def answering(request: bytes) -> bytes:
        if request.startswith(b"HEAD"):
            return b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"
        return b"HTTP/1.1 204 No Content\r\n\r\n"

    async with serving(answering) as server, running(folder) as prober:
        head = specification(server.url, connection="reused", method="HEAD", series="h", file="h.samples")
        samples = await prober.measure(head, specification(server.url, connection="reused"))
        assert outcomes(samples) == outcomes(prober.samples("reused.samples")) == {Outcome.OK}


@pytest.mark.parametrize("connection", ["new", "reused"])
async def test_reset(folder: Path, connection: str) -> None:
    async def resetting(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    listener = await asyncio.start_server(resetting, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
    async with running(folder) as prober:
        assert outcomes(await prober.measure(specification(url, connection=connection))) == {Outcome.RESET}
    listener.close()
    await listener.wait_closed()


async def test_refused(folder: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/"
        async with running(folder) as prober:
            samples = await prober.measure(specification(url))
            assert outcomes(samples) == {Outcome.REFUSED}
            assert set(samples.flags) == {program.CONNECT | program.OPENED}
            assert "refused" in prober.log.detail[samples.detail[0]]


async def test_a_name_that_does_not_resolve(folder: Path) -> None:
    async with running(folder) as prober:
        # A resolver that reaches no name server may take its time.
        patient = {"period_ns": [SECOND, 10], "timeout_ns": 60 * SECOND}
        samples = await prober.measure(specification("http://nowhere.invalid/", **patient))
        assert outcomes(samples) == {Outcome.DNS}


async def test_a_name_is_resolved_and_each_of_its_addresses_tried(folder: Path) -> None:
    async with serving(right) as server, running(folder) as prober:
        samples = await prober.measure(specification(f"http://localhost:{server.port}/"))
        assert outcomes(samples) == {Outcome.OK}
        assert server.requests[0].count(b"Host: localhost:%d\r\n" % server.port) == 1


async def test_timeout_is_never_early_and_not_rounded_and_stop_awaits_it(folder: Path) -> None:
    async with serving(silent) as server, running(folder) as prober:
        await prober.start(specification(server.url, period_ns=[10 * SECOND, 1], timeout_ns=5_300_000_000))
        await until(lambda: server.requests)
        stopped = await prober.stop()
        samples = prober.samples()
        assert list(samples.outcome) == [Outcome.TIMEOUT]
        stalled = sum(end - start for start, end in prober.log.stalls)
        assert 5_300_000_000 <= samples.done[0] - samples.sent[0] < 5_600_000_000 + stalled
        assert stopped["at_ns"] < samples.done[0]


async def test_a_right_answer_is_ok_however_late(folder: Path) -> None:
    async def late(_: bytes) -> bytes:
        await asyncio.sleep(1.5)  # longer than a machine that is busy holds the prober up, which is taken off
        return RIGHT

    async with serving(late) as server, running(folder) as prober:
        samples = await prober.measure(specification(server.url))
        assert outcomes(samples) == {Outcome.OK}
        assert set(gather(samples, prober.log.stalls).kind) == {Class.SLOW}


async def test_without_descriptors_it_is_void(folder: Path) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))

    async with serving(silent) as server, running(folder, preexec_fn=few) as prober:
        named = specification(
            f"http://localhost:{server.port}/", series="named", file="named.samples", timeout_ns=SECOND
        )
        samples = await prober.measure(specification(server.url, timeout_ns=SECOND), named, seconds=0.6)
        assert outcomes(samples) == {Outcome.TIMEOUT, Outcome.VOID}
        assert outcomes(prober.samples("named.samples")) == {Outcome.TIMEOUT, Outcome.VOID}
        void = samples.detail[samples.outcome == Outcome.VOID]
        assert {prober.log.detail[index] for index in void} == {"OSError: [Errno 24] Too many open files"}


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    paths = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        [
            *command.split(),
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-out",
            paths[0],
            "-keyout",
            paths[1],
        ],
        check=True,
        capture_output=True,
    )
    return paths


@pytest.mark.parametrize("connection", ["new", "reused"])
async def test_tls_is_verified(folder: Path, certificate: tuple[Path, Path], connection: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    trusting = {"SSL_CERT_FILE": str(certificate[0])}
    async with serving(right, ssl=context) as server:
        url = f"https://127.0.0.1:{server.port}/"
        async with running(folder, "-I", str(PROBER), env=trusting) as prober:
            # Slowly enough that connections come to idle, handshakes on a busy machine included.
            slowly = {"period_ns": [SECOND, 10], "timeout_ns": 5 * SECOND}
            series = specification(url, connection=connection, **slowly)
            samples = await prober.measure(series, seconds=1.2)
            assert outcomes(samples) == {Outcome.OK}
            opened = int((samples.flags & program.OPENED > 0).sum())
            assert opened == server.connections
            assert (opened == len(samples.n)) == (connection == "new")
        async with running(folder.with_name("untrusting")) as prober:
            samples = await prober.measure(series)
            assert outcomes(samples) == {Outcome.TLS}
            assert set(samples.flags) == {program.TLS_PHASE | program.OPENED}
    async with serving(right) as server, running(folder.with_name("plain")) as prober:
        samples = await prober.measure(
            specification(f"https://127.0.0.1:{server.port}/", connection=connection, timeout_ns=SECOND)
        )
        assert outcomes(samples) <= {Outcome.TLS, Outcome.EOF, Outcome.TIMEOUT}


# Who answered


@pytest.mark.parametrize(
    ("identity", "who"),
    [
        (None, ""),
        ({"kind": "body", "value": None}, '{"pid": 7, "at": ["worker-1", {"x": null}]}'),
        ({"kind": "json", "value": ["pid"]}, "7"),
        ({"kind": "json", "value": ["at", 0]}, "worker-1"),
        ({"kind": "json", "value": ["at", 9]}, ""),
        ({"kind": "header", "value": "x-Replica"}, "r-1"),
        ({"kind": "regex", "value": r'"pid": (\d+)'}, "7"),
        ({"kind": "regex", "value": "worker-."}, "worker-1"),
        ({"kind": "regex", "value": "nobody"}, ""),
    ],
)
async def test_identity(folder: Path, identity: dict[str, Any] | None, who: str) -> None:
    body = b'{"pid": 7,\n "at": ["worker-1", {"x": null}]}'

    async def answering(_: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nX-Replica: r-1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    async with serving(answering) as server, running(folder) as prober:
        samples = await prober.measure(specification(server.url, identity=identity), seconds=0.15)
        assert {prober.log.who[index] for index in samples.who} == {who}


async def test_an_identity_is_of_sane_length_and_only_of_right_answers(folder: Path) -> None:
    answers = iter([b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nsick"])

    async def answering(_: bytes) -> bytes:
        return next(answers, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)

    async with serving(answering) as server, running(folder) as prober:
        samples = await prober.measure(specification(server.url, identity={"kind": "body"}), least=2)
        assert [len(prober.log.who[index]) for index in samples.who[:2]] == [0, 200]


# Its own faults


async def test_a_stall_is_logged_and_no_downtime(folder: Path) -> None:
    async def slow(_: bytes) -> bytes:
        await asyncio.sleep(0.1)
        return RIGHT

    async with serving(slow) as server, running(folder) as prober:
        # The server, which no stall of the prober's excuses, has two seconds to answer.
        patient = {"timeout_ns": 2 * SECOND, "slow_after_ns": 2 * SECOND}
        await prober.start(specification(server.url, **patient))
        await asyncio.sleep(0.4)
        prober.process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic_ns()
        await asyncio.sleep(3.5)
        continued = time.monotonic_ns()
        prober.process.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.3)
        await prober.stop()
        samples, stalls = prober.samples(), prober.log.stalls
        # The answers came while it was stopped, long before it could read them and long after their deadline.
        assert outcomes(samples) == {Outcome.OK}
        assert max(min(end, continued) - max(start, stopped) for start, end in stalls) > 3_200_000_000
        assert set(gather(samples, stalls).kind) <= {Class.GOOD, Class.SLOW}
        inside = gather(samples, stalls).kind[(samples.sent < stopped) & (samples.done > continued)]
        assert len(inside) > 0
        assert set(inside) == {Class.GOOD}
        # What would have been sent too late is missing.
        missing = set(range(int(samples.n[-1]))) - set(samples.n.tolist())
        assert len(missing) > 300
        assert int((samples.sent - samples.due).max()) <= 20_000_000 + 5_000_000


async def test_after_a_stall_sockets_are_served_before_anything_else() -> None:
    done: list[str] = []
    prober: Any = program.Prober.__new__(program.Prober)
    prober.loop = asyncio.get_running_loop()
    prober.log = SimpleNamespace(write=lambda kind, **_: done.append(kind))
    prober.held = {}
    prober.woke, prober.stalled = program.clock() - 100 * program.MS, 0
    prober._work = lambda: done.append("work")
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        prober.loop.add_reader(here.fileno(), lambda: done.append("served") or here.recv(1))  # type: ignore[func-returns-value]
        there.send(b"x")
        prober._wake()
        await asyncio.sleep(0.05)
        prober.loop.remove_reader(here.fileno())
    assert done == ["stall", "served", "work"]
    assert prober.stalled >= 100 * program.MS


async def test_deadlines_move_by_the_time_it_stalled(folder: Path) -> None:
    async with serving(silent) as server, running(folder) as prober:
        await prober.start(specification(server.url, period_ns=[10 * SECOND, 1], timeout_ns=2 * SECOND))
        await until(lambda: server.requests)
        prober.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(0.5)
        prober.process.send_signal(signal.SIGCONT)
        await prober.stop()
        samples = prober.samples()
        stalled = sum(end - max(start, int(samples.sent[0])) for start, end in prober.log.stalls)
        assert list(samples.outcome) == [Outcome.TIMEOUT]
        assert stalled > 400_000_000
        assert samples.done[0] - samples.sent[0] >= 2 * SECOND + stalled


@pytest.mark.parametrize("before", ["", "x" * 190, "x" * 395, "hunter2hunter2 " * 60])
@pytest.mark.parametrize("expect", [{"status": [[200, 299]]}, {"status": [[500, 500]]}])
async def test_of_an_answer_no_secret_is_written_not_even_a_part_that_is_cut(
    folder: Path, before: str, expect: dict[str, Any]
) -> None:
    body = f"{before}hunter2hunter2 and more".encode()

    async def telling(_: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    async with serving(telling) as server, running(folder) as prober:
        spec = specification(
            server.url,
            url_shown=f"{server.url}hunter2hunter2",
            identity={"kind": "body"},
            expect=expect,
            secrets=["hunter2hunter2"],
        )
        samples = await prober.measure(spec)
        assert len(samples.n)
        assert samples.header["url"].endswith("/(hidden)")
    for path in folder.iterdir():
        assert b"hunter" not in path.read_bytes()


async def test_killed_it_leaves_what_ended_100_ms_before(folder: Path) -> None:
    async with serving(right) as server, running(folder) as prober:
        await prober.start(specification(server.url, identity={"kind": "body"}))
        await until(lambda: len(prober.samples().n))
        behind, latest = [], 0
        for _ in range(31):
            await asyncio.sleep(0.023)
            now, latest = time.monotonic_ns(), int(prober.samples().done.max())
            behind.append(now - latest)
        prober.process.kill()
        await prober.process.wait()
        samples = prober.samples()
        assert samples.done.max() >= latest
        # More often than not: a machine that stands still for a while holds up prober and server, too.
        assert sorted(behind)[15] < 100_000_000
        assert outcomes(samples) == {Outcome.OK}
        assert {prober.log.who[index] for index in samples.who} == {"me"}
        assert not prober.log.stops
        assert not prober.logged("bye")


async def test_sigterm_ends_it_at_once_and_what_was_in_flight_is_void(folder: Path) -> None:
    async with serving(silent) as server, running(folder) as prober:
        await prober.start(specification(server.url, timeout_ns=60 * SECOND))
        await until(lambda: server.requests)
        began = time.monotonic()
        prober.process.terminate()
        assert await prober.process.wait() == 0
        assert time.monotonic() - began < 20
        assert outcomes(prober.samples()) == {Outcome.VOID}
        assert "users" in prober.log.stops
        assert prober.logged("bye")[0]["why"] == "SIGTERM"


async def test_sigint_is_the_runners_affair(folder: Path) -> None:
    async with running(folder) as prober:
        prober.process.send_signal(signal.SIGINT)
        await prober.say(command="ping", id=1)
        assert (await prober.hear())["event"] == "pong"


async def test_end_of_input_is_quit(folder: Path) -> None:
    async with serving(right) as server, running(folder) as prober:
        await prober.start(specification(server.url))
        await asyncio.sleep(0.2)
        assert prober.process.stdin is not None
        prober.process.stdin.close()
        assert (await prober.hear())["event"] == "stopped"
        bye = await prober.hear()
        assert bye["event"] == "bye"
        assert await prober.process.wait() == 0
        assert "users" in prober.log.stops
        # It said what it took, less what ending takes.
        assert prober.logged("bye")[0]["cpu_ns"] == bye["cpu_ns"]
        taken = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert 10_000_000 < bye["cpu_ns"] <= (taken.ru_utime + taken.ru_stime) * 1e9


async def test_no_input_at_all_is_quit_too(folder: Path) -> None:
    folder.mkdir()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        str(PROBER),
        str(folder),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    assert b'"bye"' in said


def changed(tmp_path: Path, old: str, new: str) -> Path:
    """A copy of the prober with other constants."""
    source = PROBER.read_text()
    assert old in source
    copy = tmp_path / "changed.py"
    copy.write_text(source.replace(old, new))
    return copy


async def test_without_a_ping_it_stops(tmp_path: Path, folder: Path) -> None:
    assert program.LEASE == 60 * SECOND
    copy = changed(tmp_path, "LEASE = 60_000 * MS", "LEASE = 4_000 * MS")
    async with serving(right) as server, running(folder, "-I", str(copy)) as prober:
        for number in range(6):
            await asyncio.sleep(0.8)
            await prober.say(command="ping", id=number)
            assert (await prober.hear())["id"] == number
        await prober.start(specification(server.url))
        assert (await prober.hear())["event"] == "stopped"
        bye = await prober.hear()
        assert (bye["event"], bye["why"]) == ("bye", "no ping for 60 s")


async def test_a_suspended_machine_is_logged(tmp_path: Path, folder: Path) -> None:
    copy = changed(tmp_path, "time.clock_gettime_ns(time.CLOCK_BOOTTIME) - clock()", "clock()")
    async with running(folder, "-I", str(copy)) as prober:
        await until(lambda: prober.logged("suspend"))
        first = prober.logged("suspend")[0]
        assert first["grew_ns"] > 10_000_000
        assert first["at_ns"] <= time.monotonic_ns()


def test_who_held_it_back_for_most_of_a_stall_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    ms = 1_000_000
    lines: list[tuple[str, dict[str, int]]] = []
    prober = SimpleNamespace(
        held={"run_delay": 5 * ms, "steal": 10 * ms},
        looked=0,
        log=SimpleNamespace(write=lambda kind, **fields: lines.append((kind, fields))),
    )
    monkeypatch.setattr(program, "held_back", lambda: {"run_delay": 75 * ms, "steal": 20 * ms})
    program.Prober._look(prober, 1000 * ms, 100 * ms)  # type: ignore[arg-type]
    assert lines == [("run_delay", {"start_ns": 900 * ms, "end_ns": 1000 * ms, "grew_ns": 70 * ms})]
    program.Prober._look(prober, 1100 * ms, 100 * ms)  # type: ignore[arg-type]
    assert len(lines) == 1


def test_it_reads_what_the_system_counts() -> None:
    first = program.held_back()
    assert set(first) <= {"run_delay", "steal"}
    assert all(program.held_back()[cause] >= value for cause, value in first.items())


def test_being_held_up_between_two_clocks_is_no_suspend(monkeypatch: pytest.MonkeyPatch) -> None:
    real = program.clock
    waits = iter([0.03, 0.0, 0.03])

    def held_up() -> int:
        time.sleep(next(waits))
        return real()

    before = program.slept()
    monkeypatch.setattr(program, "clock", held_up)
    assert abs(program.slept() - before) < program.SUSPENDED


# Commands


async def test_pings_are_answered_and_logged(folder: Path) -> None:
    async with running(folder) as prober:
        before = time.monotonic_ns()
        await prober.say(command="ping", id=7)
        pong = await prober.hear()
        assert pong["id"] == 7
        assert before < pong["p_ns"] < time.monotonic_ns()
        assert prober.logged("ping") == [{"kind": "ping", "id": 7, "p_ns": pong["p_ns"]}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": "ftp://x/", "url_shown": "ftp://x/"}, "'ftp://x/' is not an http(s) URL"),
        ({"connection": "old"}, "connection is 'old', not new or reused"),
        ({"period_ns": [0, 1]}, "the period is not positive"),
        ({"identity": {"kind": "face"}}, "unknown kind of identity 'face'"),
        ({"headers": {"X": "a\r\nY: b"}}, "a method or header holds a line break"),
        ({"expect": {"body": None}}, "'status' is missing"),
    ],
)
async def test_it_says_what_it_cannot_do_and_goes_on(
    folder: Path, change: dict[str, Any], message: str
) -> None:
    async with serving(right) as server, running(folder) as prober:
        said = await prober.start(specification(server.url) | change)
        assert said == {"event": "error", "message": message, "command": "start", "probe": "users"}
        assert outcomes(await prober.measure(specification(server.url), seconds=0.15)) == {Outcome.OK}


async def test_commands_that_make_no_sense(folder: Path) -> None:
    async with running(folder) as prober:
        for command, message in [
            ({"command": "dance"}, "unknown command 'dance'"),
            ({"command": "stop", "probe": "x"}, "no probe 'x' runs"),
            ({"command": "retarget", "series": "x", "url": "http://x/"}, "no series 'x' runs"),
            ({"no": "command"}, "'command' is missing"),
        ]:
            await prober.say(**command)
            assert (await prober.hear())["message"] == message
        assert prober.process.stdin is not None
        prober.process.stdin.write(b"not json\n")
        assert (await prober.hear())["event"] == "error"


async def test_a_probe_runs_once_at_a_time(folder: Path) -> None:
    async with serving(right) as server, running(folder) as prober:
        await prober.start(specification(server.url))
        again = await prober.start(specification(server.url, file="again.samples"))
        assert again["message"] == "probe 'users' runs already"
        await prober.stop()
        assert (await prober.start(specification(server.url, file="again.samples")))["event"] == "started"


async def test_the_header_tells_the_series(folder: Path) -> None:
    async with serving(right) as server, running(folder) as prober:
        samples = await prober.measure(specification(server.url, url_shown="http://shown/"), seconds=0.1)
        given = specification("http://shown/")
        for key in ("run", "probe", "series", "endpoint", "connection", "period_ns", "timeout_ns", "expect"):
            assert samples.header[key] == given[key]
        assert samples.header["url"] == "http://shown/"
        assert np.dtype([tuple(each) for each in samples.header["record"]]) == RECORD
        assert len(samples.header["prober_sha256"]) == 64
        assert sorted(each.name for each in folder.iterdir()) == ["new.samples", "prober.jsonl"]


def test_a_line_that_a_full_disk_took_half_of_is_written_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = program.Log(program.Folder(str(tmp_path)))
    with monkeypatch.context() as patch:
        patch.setattr(program.os, "write", lambda fd, data, write=os.write: write(fd, data[:5]))
        log.write("stall", start_ns=1, end_ns=2)
    log.write("stall", start_ns=3, end_ns=4)
    log.close()
    assert read_prober_log(tmp_path / "prober.jsonl").stalls == ((1, 2), (3, 4))


DISK_OF_ITS_OWN = """
import os, sys
folder = sys.argv[1]
does = 'mount -t tmpfs -o size=64k none "$1" && exec "$2" -I "$3" "$1" 2>> "$1/prober.log"'
shell = ("sh", "-c", does, "sh", folder, sys.executable, "{prober}")
os.execvp("unshare", ("unshare", "--user", "--map-root-user", "--mount", *shell))
"""
"""A prober that writes to a small disk, its standard error, too."""


async def test_what_a_full_disk_does_not_take_is_kept_though_standard_error_is_on_it(folder: Path) -> None:
    command = ("-c", DISK_OF_ITS_OWN.format(prober=PROBER))
    async with serving(right) as server, running(folder, *command) as prober:
        there = Path(f"/proc/{prober.process.pid}/root", *folder.parts[1:])
        await prober.start(specification(server.url))
        await until(lambda: server.requests)
        with pytest.raises(OSError, match="No space left"), (there / "fill").open("wb", 0) as fill:
            while True:
                fill.write(bytes(1024))
        # More than there is room for in the page that the file has.
        asked = len(server.requests) + 4096 // RECORD.itemsize + 50
        await until(lambda: len(server.requests) > asked)
        (there / "fill").unlink()
        await until(lambda: len(read_samples(there / "new.samples").n) >= asked - 10)
        written = read_samples(there / "new.samples")
        assert len(set(written.n)) == len(written.n)
        assert (await prober.stop())["event"] == "stopped"


# Commands that may arrive twice


async def test_a_numbered_command_is_obeyed_once(folder: Path) -> None:
    async with serving(right) as server, running(folder) as prober:
        start = {"command": "start", "probe": "users", "series": [specification(server.url)], "number": 1}
        for _ in range(2):
            await prober.say(**start)
        await prober.say(command="stop", probe="users", number=2)
        await prober.say(command="stop", probe="users", number=2)
        await prober.say(command="ping", id=9)
        heard = [await prober.hear() for _ in range(5)]
    assert [(each["event"], each.get("number")) for each in heard if each["event"] == "heard"] == [
        ("heard", 1),
        ("heard", 2),
    ]
    assert sorted(each["event"] for each in heard) == ["heard", "heard", "pong", "started", "stopped"]
