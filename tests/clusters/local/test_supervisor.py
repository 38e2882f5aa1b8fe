"""The supervisor keeps units running and answers, in both layouts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner import clock
from runner.clusters.local import http, processes
from runner.clusters.local.blueprint import Blueprint, Unit
from runner.clusters.local.supervisor import Supervisor
from runner.errors import ClusterError, Unreachable
from tests.clusters.local.stage import ADDRESSES, LAYOUTS, LISTEN, free_port, shell, stage

both_layouts = pytest.mark.parametrize("layout", LAYOUTS)

SLEEP = "sleep 100000"


def one(text: str, **fields: Any) -> Any:
    return lambda runtime, addresses: [shell(runtime, "head", text, address=addresses[1], **fields)]


def listening(slot: str, host: str, port: int, runtime: str, **fields: Any) -> Unit:
    code = LISTEN.format(host=host, port=port)
    return Unit(
        slot=slot,
        role="node",
        address=host,
        command=(sys.executable, "-c", code),
        log=f"{runtime}/logs/{slot}.log",
        restart_delay=0.1,
        ready=((host, port),),
        **fields,
    )


@both_layouts
async def test_a_unit_comes_up_and_is_counted(layout: str, tmp_path: Path) -> None:
    async with stage(layout, tmp_path, one(f"{SLEEP} & {SLEEP}")) as it:
        await it.heard("head", "up")
        row = await it.grown("head", 3)
        assert (row["state"], row["starts"], row["role"], row["count"]) == ("up", 1, "node", 3)


async def test_a_unit_of_which_nothing_lives_is_not_up_though_nobody_has_taken_note(tmp_path: Path) -> None:
    supervisor = Supervisor(
        Blueprint("loopback", str(tmp_path), "127.0.0.1", (shell(str(tmp_path), "head", SLEEP),))
    )
    head = supervisor._units["head"]
    head.state, head.session = "up", 1 << 30
    [row] = supervisor._table()
    assert (row["state"], row["count"]) == ("waiting", 0)


@both_layouts
async def test_a_unit_that_ends_is_started_again_after_its_delay(layout: str, tmp_path: Path) -> None:
    async with stage(layout, tmp_path, one(SLEEP, restart_delay=0.7)) as it:
        await it.heard("head", "up")
        acted = await it.ask("kill", slot="head", how="crash", grace=None)
        said = await it.heard("head", "up", "ended", "started", "up")
        ended, started = (
            next(each["at"] for each in said if each["text"].startswith(text))
            for text in ("ended (SIGKILL)", "started again")
        )
        assert acted["at"] <= acted["until"] <= ended
        assert 0.7 <= started - ended < 5
        assert (await it.unit("head"))["starts"] == 2


@both_layouts
async def test_a_stopped_unit_stays_down_until_it_is_started(layout: str, tmp_path: Path) -> None:
    async with stage(layout, tmp_path, one(SLEEP)) as it:
        await it.heard("head", "up")
        await it.ask("stop", slot="head")
        await it.heard("head", "ended")
        assert (await it.ask("gone", sessions=[(await it.unit("head"))["session"]], pids=[], limit=5))[
            "left"
        ] == 0
        assert (await it.unit("head"))["state"] in ("down", "waiting")
        before = clock.monotonic()
        assert before <= (await it.ask("start", slot="head"))["at"] <= clock.monotonic()
        await it.heard("head", "up", "powered_off", "ended", "switched_on", "up")


@both_layouts
async def test_trap_01_what_says_already_running_is_deleted_before_each_start(
    layout: str, tmp_path: Path
) -> None:
    port = free_port()

    def make(runtime: str, addresses: tuple[str, ...]) -> list[Unit]:
        mark = f"{runtime}/ray_current_cluster"
        listen = LISTEN.format(host=addresses[1], port=port)
        text = f'test ! -e {mark} && echo running > {mark} && exec {sys.executable} -c "{listen}"'
        place = (addresses[1], port)
        return [shell(runtime, "head", text, address=addresses[1], forget=(mark,), ready=(place,))]

    async with stage(layout, tmp_path, make) as it:
        await it.heard("head", "up")
        await it.ask("kill", slot="head", how="crash", grace=None)
        await it.heard("head", "up", "ended", "started", "up")
        assert (await it.unit("head"))["starts"] == 2


@both_layouts
async def test_trap_02_a_start_that_dies_is_tried_again(layout: str, tmp_path: Path) -> None:
    port = free_port()

    def make(runtime: str, addresses: tuple[str, ...]) -> list[Unit]:
        counter = f"{runtime}/counter"
        code = LISTEN.format(host=addresses[1], port=port)
        text = f'echo x >> {counter}; test $(wc -l < {counter}) -ge 3 && exec {sys.executable} -c "{code}"'
        return [shell(runtime, "head", text, address=addresses[1], ready=((addresses[1], port),))]

    async with stage(layout, tmp_path, make) as it:
        await it.heard("head", "ended", "ended", "up")
        assert (await it.unit("head"))["starts"] == 3


async def test_a_unit_that_never_comes_up_is_given_up(tmp_path: Path) -> None:
    def make(runtime: str, addresses: tuple[str, ...]) -> list[Unit]:
        ready = ((addresses[1], free_port()),)
        return [shell(runtime, "head", "echo the reason; exit 7", address=addresses[1], ready=ready)]

    async with stage("loopback", tmp_path, make) as it:
        said = await it.heard("head", "failed")
        assert [each["data"]["code"] for each in said if each["data"]["event"] == "ended"] == [7, 7, 7]
        assert (it.runtime / "logs" / "head.log").read_text() == "the reason\n" * 3


async def test_a_start_that_hangs_is_killed_and_tried_again(tmp_path: Path) -> None:
    def make(runtime: str, addresses: tuple[str, ...]) -> list[Unit]:
        return [shell(runtime, "head", SLEEP, address=addresses[1], ready=((addresses[1], free_port()),))]

    async with stage("loopback", tmp_path, make, start_limit=0.3) as it:
        await it.heard("head", "late", "ended", "started", "late", "ended", "started", "late", "failed")


async def test_a_unit_waits_for_those_it_needs(tmp_path: Path) -> None:
    port = free_port()

    def make(runtime: str, addresses: tuple[str, ...]) -> list[Unit]:
        head = (addresses[1], port)
        return [
            shell(runtime, "worker-1", SLEEP, address=addresses[2], after=(head,)),
            listening("head", addresses[1], port, runtime),
        ]

    async with stage("loopback", tmp_path, make) as it:
        said = await it.heard("worker-1", "up")
        assert [each["data"]["event"] for each in said] == ["awaits", "started", "up"]
        assert said[0]["text"].startswith("waits for ")
        started = said[1]
        head = (await it.heard("head", "started"))[0]
        assert started["at"] > head["at"]


@both_layouts
async def test_trap_03_processes_without_a_trace_in_their_environment_are_killed(
    layout: str, tmp_path: Path
) -> None:
    # Orphaned, without environment, and some that fork all the time while they are being killed.
    text = f"(env -i {SLEEP} &); env -i sh -c 'while :; do sleep 100000 & sleep 0.02; done' & {SLEEP}"
    async with stage(layout, tmp_path, one(text)) as it:
        await it.heard("head", "up")
        row = await it.grown("head", 6)
        acted = await it.ask("kill", slot="head", how="crash", grace=None)
        assert acted["killed"] >= row["count"] - 1  # one of those counted slept for 20 ms only
        assert (await it.ask("gone", sessions=[row["session"]], pids=[], limit=5))["left"] == 0


async def test_what_left_the_session_of_a_node_dies_with_its_network(tmp_path: Path) -> None:
    async with stage(
        "namespaces", tmp_path, one(f"{SLEEP} & setsid sh -c '{SLEEP} & touch own; wait'; true")
    ) as it:
        await it.heard("head", "up")
        file = it.runtime / "own"
        while not file.exists():
            await it.ask("units")
        acted = await it.ask("kill", slot="head", how="crash", grace=None)
        assert acted["killed"] >= 4


@both_layouts
@pytest.mark.parametrize("polite", [True, False])
async def test_delete_asks_first_and_kills_after_the_grace(layout: str, polite: bool, tmp_path: Path) -> None:
    end = "exit 0" if polite else ":"
    text = f"trap 'echo asked; {end}' TERM; echo up; while :; do sleep 0.05; done"
    async with stage(layout, tmp_path, one(text, restart_delay=60)) as it:
        await it.heard("head", "up")
        log = it.runtime / "logs" / "head.log"
        while not log.read_text():
            await it.ask("units")
        grace = 20.0 if polite else 2.0
        acted = await it.ask("kill", slot="head", how="delete", grace=grace)
        ended = (await it.heard("head", "ended"))[-1]
        assert "asked" in log.read_text()
        if polite:
            assert ended["data"]["code"] == 0
            assert ended["at"] - acted["at"] < grace
        else:
            assert ended["data"]["code"] == -signal.SIGKILL
            assert ended["at"] - acted["at"] >= grace


@both_layouts
async def test_signals_reach_processes_of_the_node_and_no_others(layout: str, tmp_path: Path) -> None:
    async with stage(layout, tmp_path, one(f"{SLEEP} & echo $! > pid; wait")) as it:
        await it.heard("head", "up")
        file = it.runtime / "pid"
        while not file.exists() or not file.read_text().endswith("\n"):
            await it.ask("units")
        pid = int(file.read_text())
        with pytest.raises(ClusterError, match="belong to head"):
            await it.ask("signal", slot="head", pids=[pid, os.getppid()], signal=9)
        before = clock.monotonic()
        acted = await it.ask("signal", slot="head", pids=[pid], signal=9)
        assert before <= acted["at"] <= acted["until"] <= clock.monotonic()
        await it.heard("head", "ended")


@both_layouts
async def test_a_frozen_node_stands_still_with_all_that_it_forks_and_goes_on_later(
    layout: str, tmp_path: Path
) -> None:
    text = f"(env -i {SLEEP} &); while :; do echo x >> ticks; sleep 0.05; done"
    async with stage(layout, tmp_path, one(text)) as it:
        await it.heard("head", "up")
        ticks = it.runtime / "ticks"
        while not ticks.exists():
            await it.ask("units")
        before = clock.monotonic()
        acted = await it.ask("freeze", slot="head", processes=None)
        assert before <= acted["at"] <= acted["until"] <= clock.monotonic()
        assert (await it.ask("frozen", slot="head", processes=None))["running"] == 0
        row = await it.unit("head")
        # One that forks is caught before its child is, and cannot be listed as stopped.
        assert 1 <= row["count"] - 1 <= row["frozen"] <= row["count"]
        assert row["state"] == "up"
        size = ticks.stat().st_size
        await asyncio.sleep(0.3)
        assert ticks.stat().st_size == size
        for _ in range(2):
            await it.ask("thaw", slot="head", processes=None)
        async with asyncio.timeout(10):
            while ticks.stat().st_size == size:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert (await it.unit("head"))["frozen"] == 0
        said = await it.heard("head", "frozen", "thawed")
        assert [each["text"] for each in said][-2:] == ["frozen", "goes on"]


@both_layouts
async def test_a_frozen_process_is_told_by_its_beginning_and_others_go_on(
    layout: str, tmp_path: Path
) -> None:
    async with stage(layout, tmp_path, one(f"{SLEEP} & echo $! > pid; wait")) as it:
        await it.heard("head", "up")
        file = it.runtime / "pid"
        while not file.exists() or not file.read_text().endswith("\n"):
            await it.ask("units")
        pid = int(file.read_text())
        title = ""
        while title != SLEEP:  # first it has that of the shell that forked it
            living = (await it.ask("living", pids=[pid, os.getppid()]))["processes"]
            started, title = living[str(pid)]
        assert living.keys() == {str(pid)}
        await it.ask("freeze", slot="head", processes=[[pid, started - 1]])
        assert (await it.unit("head"))["frozen"] == 0
        await it.ask("freeze", slot="head", processes=[[pid, started]])
        assert (await it.unit("head"))["frozen"] == 1
        # What is frozen dies like anything else, and with it the undo has nothing to do.
        acted = await it.ask("kill", slot="head", how="crash", grace=None)
        assert (await it.ask("gone", sessions=[acted["session"]], pids=[], limit=5))["left"] == 0
        await it.ask("thaw", slot="head", processes=[[pid, started]])


async def test_a_node_without_its_vital_process_is_ended_and_started_again(tmp_path: Path) -> None:
    def make(runtime: str, addresses: tuple[str, ...]) -> list[Unit]:
        # A process whose program has the name of Ray's; its parent does not mind its end.
        text = f"cp $(command -v sleep) raylet; ./raylet 100000 & {SLEEP} & wait; {SLEEP}"
        return [shell(runtime, "head", text, address=addresses[1], vital="raylet")]

    async with stage("loopback", tmp_path, make, start_limit=5.0) as it:
        await it.heard("head", "up")
        # What was forked is a shell until it is the program.
        async with asyncio.timeout(20):
            while not (found := (await it.ask("find", slot="head", process="raylet"))["processes"]):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        [[pid, _started]] = found
        assert (await it.ask("find", slot="head", process="gcs_server"))["processes"] == []
        acted = await it.ask("signal", slot="head", pids=[pid], signal=9)
        said = await it.heard("head", "dead", "ended", "up")
        dead = next(each for each in said if each["data"].get("event") == "dead")
        assert dead["text"] == "has no raylet any more: killed"
        assert 2 <= dead["at"] - acted["at"] < 15


@both_layouts
async def test_spawned_processes_speak_over_the_connection_and_end_with_it(
    layout: str, tmp_path: Path
) -> None:
    async with stage(layout, tmp_path, one(SLEEP)) as it:
        question = {"ask": "spawn", "name": "echo", "slot": None, "environment": {"WORD": "hello"}}
        question |= {"command": ["/bin/sh", "-c", "echo $WORD; exec cat"], "errors": None}
        _, (reader, writer) = await it.wire.open(question, timeout=5)
        assert await reader.readline() == b"hello\n"
        writer.write(b"and back\n")
        assert await reader.readline() == b"and back\n"
        writer.close()
        assert (await it.ask("wait", name="echo", limit=5))["exit_code"] == 0


@both_layouts
async def test_a_spawned_process_that_does_not_end_is_killed_at_the_limit(
    layout: str, tmp_path: Path
) -> None:
    async with stage(layout, tmp_path, one(SLEEP)) as it:
        question = {"ask": "spawn", "name": "deaf", "slot": None, "environment": {}, "errors": None}
        _, (_reader, writer) = await it.wire.open(question | {"command": ["sleep", "100000"]}, timeout=5)
        writer.close()
        assert (await it.ask("wait", name="deaf", limit=0.2))["exit_code"] == -signal.SIGKILL


async def test_what_watching_costs_is_told_since_it_was_asked_last(tmp_path: Path) -> None:
    async with stage("loopback", tmp_path, one(SLEEP)) as it:
        await it.heard("head", "up")
        first = await it.cluster.weight()
        assert first["requests"] == 0
        assert 0.01 < first["supervisor_cpu_s"] < 60
        with suppress(Unreachable):  # nobody is there, and it was asked all the same
            await it.cluster._ask("GET", "/", None)
        second = await it.cluster.weight()
        assert second["requests"] == 1
        assert 0 <= second["supervisor_cpu_s"] < first["supervisor_cpu_s"]


@both_layouts
async def test_commands_run_in_a_node(layout: str, tmp_path: Path) -> None:
    async with stage(layout, tmp_path, one(SLEEP, environment={"PLACE": "here"})) as it:
        answer = await it.ask(
            "exec", slot="head", command=["sh", "-c", "echo $PLACE; ip -4 -br address; exit 3"], limit=10
        )
        assert (answer["exit_code"], answer["stdout"].splitlines()[0]) == (3, "here")
        assert ("10.1.0.2" in answer["stdout"]) == (layout == "namespaces")
        with pytest.raises(ClusterError, match="did not end within"):
            await it.ask("exec", slot="head", command=["sleep", "100000"], limit=0.2)
        with pytest.raises(ClusterError, match="There is no 'worker-9'"):
            await it.ask("exec", slot="worker-9", command=["true"], limit=1)


async def test_a_cut_link_separates_a_node_and_joins_it_again(tmp_path: Path) -> None:
    port = free_port()
    make = lambda runtime, addresses: [listening("head", addresses[1], port, runtime)]  # noqa: E731
    question = {"ask": "connect", "host": "10.1.0.2", "port": port, "limit": 1.0}
    async with stage("namespaces", tmp_path, make) as it:
        await it.heard("head", "up")
        (await it.wire.open(question, timeout=5))[1][1].close()
        await it.ask("link", slot="head", up=False)
        assert not (await it.ask("joined", slot="head"))["joined"]
        assert (await it.unit("head"))["cut_off"]
        with pytest.raises(ClusterError):
            await it.wire.open(question, timeout=5)
        for _ in range(2):
            await it.ask("link", slot="head", up=True)
        assert (await it.ask("joined", slot="head"))["joined"]
        assert not (await it.unit("head"))["cut_off"]
        said = await it.heard("head", "cut_off", "joined")
        assert [each["text"] for each in said][-2:] == ["cut off", "joined again"]
        (await it.wire.open({**question, "limit": 10.0}, timeout=15))[1][1].close()
    async with stage("loopback", tmp_path, one(SLEEP)) as it:
        with pytest.raises(ClusterError, match="only in the layout `namespaces`"):
            await it.ask("link", slot="head", up=False)


async def test_trap_07_what_listens_everywhere_in_a_node_is_not_exposed(tmp_path: Path) -> None:
    port = free_port()
    make = lambda runtime, addresses: [  # noqa: E731
        Unit(
            slot="head",
            role="node",
            address=addresses[1],
            command=(sys.executable, "-c", LISTEN.format(host="0.0.0.0", port=port)),
            log=f"{runtime}/logs/head.log",
            ready=((addresses[1], port),),
        )
    ]
    async with stage("namespaces", tmp_path, make) as it:
        await it.heard("head", "up")
        with pytest.raises(Unreachable):
            await http.request("127.0.0.1", port, "GET", "/", timeout=2)


SERVE = """
import http.server, json, pathlib, sys
class Handler(http.server.BaseHTTPRequestHandler):
    applications = {}
    def do_GET(self): self.answer({"applications": self.applications})
    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open("puts", "ab") as file: file.write(body + b"\\n")
        if pathlib.Path("forget").exists(): pathlib.Path("forget").unlink()
        else: Handler.applications = {"a": {}}
        self.answer({})
    def answer(self, document):
        content = json.dumps(document).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(content))); self.end_headers()
        self.wfile.write(content)
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""


@pytest.mark.parametrize(("resubmit", "applications"), [(True, ["a"]), (False, ["a"]), (True, [])])
async def test_the_configuration_is_handed_in_again_where_serve_lost_it(
    resubmit: bool, applications: list[str], tmp_path: Path
) -> None:
    port = free_port()
    host = "127.19.7.2"

    def make(runtime: str, _addresses: tuple[str, ...]) -> list[Unit]:
        command = (sys.executable, "-c", SERVE, host, str(port))
        log = f"{runtime}/logs/head.log"
        return [Unit("head", "node", host, command, log, restart_delay=0.1, ready=((host, port),))]

    async with stage("loopback", tmp_path, make, dashboard=(host, port), resubmit=resubmit) as it:
        await it.heard("head", "up")
        body = json.dumps({"applications": [{"name": name} for name in applications]})
        assert (await it.ask("submit", body=body))["status"] == 200
        await it.ask("kill", slot="head", how="crash", grace=None)
        await it.heard("head", "up", "ended", "up")
        if resubmit and applications:
            said = await it.heard("head", "resubmitted")
            assert said[-1]["data"]["status"] == 200
            assert (it.runtime / "puts").read_text() == f"{body}\n{body}\n"
        else:
            # Longer than two looks of the supervisor: nothing may come.
            with pytest.raises(TimeoutError):
                await it.heard("head", "resubmitted", limit=5)
            assert (it.runtime / "puts").read_text() == f"{body}\n"


async def test_lines_of_logs_that_mean_something_or_are_listened_for_happen(tmp_path: Path) -> None:
    def make(runtime: str, addresses: tuple[str, ...]) -> list[Unit]:
        logs = f"{runtime}/head/session_2026-01-01_00-00-00_000000_1/logs"
        line = "[$(date '+%Y-%m-%d %H:%M:%S'),000 I 1 1] (gcs_server) gcs_server.cc:1:"
        text = (
            f"mkdir -p {logs}; until [ -e {runtime}/now ]; do sleep 0.05; done;"
            f' echo "{line} nothing of note" >> {logs}/gcs_server.out;'
            f' echo "{line} GcsServer server started, listening on port 6400." >> {logs}/gcs_server.out;'
            f' echo "{line} all is well" >> {logs}/gcs_server.out; {SLEEP}'
        )
        return [shell(runtime, "head", text, address=addresses[1])]

    async with stage("loopback", tmp_path, make) as it:
        await it.heard("head", "up")
        before = clock.monotonic()
        await it.ask("listen", source="gcs", pattern="is (well|ill)")
        (it.runtime / "now").touch()
        said = (await it.heard("head", "gcs_started", "line"))[-2:]
        assert [(each["source"], each["text"]) for each in said] == [
            ("gcs", "GcsServer server started, listening on port 6400."),
            ("gcs", "all is well"),
        ]
        # The lines' own time has whole seconds here.
        assert all(before - 1 <= each["at"] <= clock.monotonic() for each in said)
        with pytest.raises(ClusterError, match="no regular expression"):
            await it.ask("listen", source="gcs", pattern="(")


async def test_what_is_asked_wrongly_is_answered_with_a_sentence(tmp_path: Path) -> None:
    async with stage("loopback", tmp_path, one(SLEEP)) as it:
        for what, fields in (
            ("nonsense", {}),
            ("kill", {"slot": "x", "how": "crash", "grace": None}),
            ("kill", {}),
        ):
            with pytest.raises(ClusterError):
                await it.ask(what, **fields)
        assert (await it.unit("head"))["slot"] == "head"


async def test_no_file_handle_of_ftrun_reaches_a_unit(tmp_path: Path) -> None:
    async with stage("loopback", tmp_path, one(SLEEP)) as it:
        await it.heard("head", "up")
        (process,) = processes.of_session((await it.unit("head"))["session"])[:1]
        assert sorted(os.listdir(f"/proc/{process.pid}/fd")) == ["0", "1", "2"]


@both_layouts
async def test_a_request_goes_from_the_bus_to_an_endpoint_with_its_headers_and_body(
    layout: str, tmp_path: Path
) -> None:
    port, echo = free_port(), tmp_path / "echo.py"
    echo.write_text(
        """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Echo(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.send_response(201)
        self.end_headers()
        self.wfile.write(f"{self.path} {self.headers['X-Word']} {body}".encode())
HTTPServer((sys.argv[1], int(sys.argv[2])), Echo).serve_forever()
"""
    )

    def make(runtime: str, addresses: tuple[str, ...]) -> list[Unit]:
        text = f"exec {sys.executable} {echo} {addresses[1]} {port}"
        place = (addresses[1], port)
        return [shell(runtime, "head", text, address=addresses[1], ready=(place,))]

    async with stage(layout, tmp_path, make) as it:
        await it.heard("head", "up")
        url = f"http://{ADDRESSES[layout][1]}:{port}/base"
        it.cluster.context = replace(it.cluster.context, endpoints={"echo": url})
        answer = await it.cluster.http("echo", "POST", "/a?b=c", headers={"X-Word": "w"}, body=b"hello")
        assert (answer.status, answer.body) == (201, b"/base/a?b=c w hello")
