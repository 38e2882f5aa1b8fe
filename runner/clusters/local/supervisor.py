"""Plays kubelet and KubeRay for a local cluster: `python -m runner.clusters.local.supervisor BLUEPRINT`.

It lives inside the namespaces, keeps the units of its blueprint running, hands Serve its configuration again
where the controller is gone, and answers on a Unix socket. A connection carries one question, a JSON object
on a line, and its answer: `{"ok": true, ...}` or `{"ok": false, "error": "..."}`.

| ask | fields | answer |
|---|---|---|
| `units` | | `units`: slot, role, state, count, starts, session, frozen, cut_off of each |
| `events` | `since` | happenings from number `since` on, a line each, as they come |
| `kill` | `slot`, `how` (crash, delete), `grace` | `at`, `until`, `killed`, `session` |
| `find` | `slot`, `process` | `processes`: [pid, started] of those that play this part of Ray there |
| `living` | `pids` | `processes`: by pid, of those that live in a unit, [started, title] |
| `signal` | `slot`, `pids`, `signal` | `at`, `until` (only processes of that node) |
| `freeze`, `thaw` | `slot`, `processes` | `at`, `until` (all of the node's where that is null) |
| `frozen` | `slot`, `processes` | `running`: how many of them live and are not stopped |
| `gone` | `sessions`, `pids`, `limit` | once none of them lives: `left` (how many do, at the limit), `at` |
| `link` | `slot`, `up` | `at`, `until` |
| `joined` | `slot` | `joined`: whether its link is up |
| `stop`, `start` | `slot` | as `kill`; `at` (what is stopped stays down) |
| `listen` | `source`, `pattern` | from now on each line of that log that the pattern matches happens |
| `submit` | `body` | `status`, `body` of Serve's answer; the body is what is handed in again later |
| `connect` | `host`, `port`, `limit` | afterwards the connection is the one asked for |
| `spawn` | `name`, `command`, `environment`, `slot`, `errors` | afterwards it is its stdin and stdout |
| `wait` | `name`, `limit` | `exit_code`; at the limit it is killed |
| `exec` | `slot`, `command`, `limit` | `exit_code`, `stdout`, `stderr` |
| `cpu` | | `seconds` of processors that the supervisor has taken |
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner import clock
from runner.clusters.contract import Answer
from runner.clusters.local import blueprint, http, networks, processes, remains, splice
from runner.clusters.local.blueprint import Blueprint, Unit
from runner.clusters.local.follower import Follower, follow
from runner.clusters.local.units import POLL, Happenings, Running
from runner.errors import ClusterError, FtrunError, Unreachable
from runner.rayserve import dashboard

Json = Any

RECONCILE = 2.0
"""Seconds between two looks at the applications, as KubeRay has it."""

GRACE = 30.0
"""Kubernetes' default time between SIGTERM and SIGKILL."""


class Supervisor:
    """The units of one blueprint, and the answers to whoever asks."""

    def __init__(self, plan: Blueprint) -> None:
        self._plan = plan
        self._runtime = Path(plan.runtime)
        self._happenings = Happenings()
        self._units = {
            unit.slot: Running(unit, plan, self._happenings, self._begin_unit) for unit in plan.units
        }
        nodes = [unit.slot for unit in plan.units if unit.role == "node"]
        self._follower = Follower(self._runtime, nodes, self._happenings.say)
        self._spawned: dict[str, asyncio.subprocess.Process] = {}
        self._submitted: bytes | None = None
        self._submitting = asyncio.Lock()
        self._killing: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Make the networks, keep everything running and answer, until SIGTERM; then end every session."""
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        if self._plan.layout == "namespaces":
            nodes = [unit for unit in self._plan.units if unit.role == "node"]
            networks.make(self._plan.bus, nodes)
            for unit in nodes:
                self._units[unit.slot].network = networks.identify(unit.slot)
        server = await asyncio.start_unix_server(self._serve, str(self._runtime / "s"), limit=1 << 24)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        keeping = [asyncio.create_task(running.keep()) for running in self._units.values()]
        keeping.append(asyncio.create_task(follow(self._follower)))
        if self._plan.resubmit:
            keeping.append(asyncio.create_task(self._reconcile()))
        waited: list[asyncio.Task[Any]] = [asyncio.create_task(stopped.wait()), *keeping]
        done, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        for task in keeping:
            task.cancel()
        server.close()
        sessions = remains.sessions(self._runtime)
        processes.kill_all(lambda: processes.of_session(*sessions), limit=10)
        for task in done:
            task.result()  # a unit's task ends only by a bug: its traceback belongs on stderr, which is a log

    async def _begin_unit(self, unit: Unit, output: int) -> asyncio.subprocess.Process:
        stdout = asyncio.subprocess.PIPE if unit.speaks else output
        return await self._begin(unit.command, unit.slot, unit.environment, stdout=stdout, stderr=output)

    async def _begin(
        self,
        command: Sequence[str],
        slot: str | None,
        environment: Mapping[str, str],
        *,
        stdin: int = asyncio.subprocess.DEVNULL,
        stdout: int,
        stderr: int,
    ) -> asyncio.subprocess.Process:
        """Start a process in a node's network (`slot`) or on the bus, in a session that is written down."""
        inside = self._plan.layout == "namespaces" and slot is not None
        entering = networks.entering(slot) if inside and slot and self._unit(slot).unit.role == "node" else []
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        process = await asyncio.create_subprocess_exec(
            *entering,
            *command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=self._runtime,
            env={**inherited, **environment},
            start_new_session=True,
        )
        remains.note_session(self._runtime, process.pid)
        return process

    async def _reconcile(self) -> None:
        """Hand in the configuration again where Serve answers that it has none, as KubeRay does."""

        async def ask(method: str, path: str, body: bytes | None) -> Answer:
            assert self._plan.dashboard is not None
            host, port = self._plan.dashboard
            return await http.request(host, port, method, path, body=body, timeout=60 if body else RECONCILE)

        while True:
            await asyncio.sleep(RECONCILE)
            if self._submitted is None or self._submitting.locked():
                continue
            try:
                if (await dashboard.applications(ask)).get("applications"):
                    continue
                async with self._submitting:
                    status = (await ask("PUT", dashboard.APPLICATIONS, self._submitted)).status
            except Unreachable:
                continue
            text = f"Serve has no application: configuration handed in again (status {status})"
            self._happenings.say("supervisor", "head", text, event="resubmitted", status=status)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one question of a connection."""
        try:
            question = json.loads(await reader.readline())
            answer = await self._answer(question, reader, writer)
            if answer is not None:
                await _write(writer, {"ok": True, **answer})
        except (FtrunError, OSError, KeyError, ValueError) as error:
            with contextlib.suppress(OSError, RuntimeError):
                await _write(writer, {"ok": False, "error": str(error) or repr(error)})
        finally:
            writer.close()

    async def _answer(
        self, question: Mapping[str, Json], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Mapping[str, Json] | None:
        """Give the answer, or None where the connection has been used for something else."""
        match question["ask"]:
            case "units":
                return {"units": self._table()}
            case "events":
                async for happening in self._happenings.follow(question["since"]):
                    await _write(writer, happening)
                return None
            case "kill":
                return await self._kill(self._unit(question["slot"]), question["how"], question["grace"])
            case "signal":
                return self._signal(self._unit(question["slot"]), question["pids"], question["signal"])
            case "gone":
                return await _gone(question["sessions"], question["pids"], question["limit"])
            case "find":
                found = self._unit(question["slot"]).playing(question["process"])
                return {"processes": [[process.pid, process.started] for process in found]}
            case "living":
                return {"processes": self._living(question["pids"])}
            case "freeze":
                return await self._freeze(self._unit(question["slot"]), question["processes"])
            case "thaw":
                return self._thaw(self._unit(question["slot"]), question["processes"])
            case "frozen":
                found = _among(self._unit(question["slot"]), question["processes"])
                return {"running": sum(not process.still for process in found)}
            case "link":
                return await self._link(self._unit(question["slot"]), up=question["up"])
            case "joined":
                return {"joined": await asyncio.to_thread(networks.joined, question["slot"])}
            case "start":
                running = self._unit(question["slot"])
                if not running.wanted.is_set():
                    running.say("switched on", "switched_on")
                running.wanted.set()
                return {"at": clock.monotonic()}
            case "stop":
                running = self._unit(question["slot"])
                running.wanted.clear()
                running.say("powered off", "powered_off")
                return await self._kill(running, "crash", None)
            case "listen":
                self._follower.listen(question["source"], question["pattern"])
                return {}
            case "submit":
                return await self._submit(question["body"].encode())
            case "connect":
                async with asyncio.timeout(question["limit"]):
                    there = await asyncio.open_connection(question["host"], question["port"])
                await _write(writer, {"ok": True})
                await splice.both((reader, writer), there)
                return None
            case "spawn":
                await self._spawn(question, writer)
                return None
            case "wait":
                return {"exit_code": await self._wait(question["name"], question["limit"])}
            case "cpu":
                return {"seconds": clock.cpu()}
            case "exec":
                return await self._exec(question["slot"], question["command"], question["limit"])
            case other:
                raise ClusterError(f"The supervisor knows no {other!r}.")

    def _unit(self, slot: str) -> Running:
        if slot not in self._units:
            raise ClusterError(f"There is no {slot!r}; there are {', '.join(self._units)}.")
        return self._units[slot]

    def _table(self) -> list[dict[str, Json]]:
        counts: dict[int, int] = {}
        frozen: dict[int, int] = {}
        for process in processes.living():
            counts[process.session] = counts.get(process.session, 0) + 1
            frozen[process.session] = frozen.get(process.session, 0) + process.stopped

        def row(slot: str, running: Running) -> dict[str, Json]:
            count = counts.get(running.session, 0)
            return {
                "slot": slot,
                "role": running.unit.role,
                # Its end is seen here before whoever waits for it has been told.
                "state": "waiting" if running.state == "up" and not count else running.state,
                "count": count,
                "starts": running.starts,
                "session": running.session,
                "frozen": frozen.get(running.session, 0),
                "cut_off": running.cut_off,
            }

        return [row(slot, running) for slot, running in self._units.items()]

    async def _kill(self, running: Running, how: str, grace: float | None) -> Mapping[str, Json]:
        """End a unit: at once, or with SIGTERM and `grace` seconds before SIGKILL."""
        session = running.session
        gently = how == "delete" and grace != 0
        found = running.members()
        at = clock.monotonic()
        killed = processes.send(found, signal.SIGTERM if gently else signal.SIGKILL)
        until = clock.monotonic()
        if gently:
            task = asyncio.create_task(self._finish(running, session, GRACE if grace is None else grace))
            self._killing.add(task)
            task.add_done_callback(self._killing.discard)
        else:
            await running.sweep()
        return {"at": at, "until": until, "killed": killed, "session": session}

    async def _finish(self, running: Running, session: int, grace: float) -> None:
        """Kill what a SIGTERM left, after `grace` seconds."""
        await _gone([session], [], grace)
        if running.session == session:
            await running.sweep()

    def _signal(self, running: Running, pids: list[int], number: int) -> Mapping[str, Json]:
        found = [process for process in running.members() if process.pid in pids]
        if len(found) != len(set(pids)):
            raise ClusterError(f"Not all of the processes {pids} live and belong to {running.unit.slot}.")
        at = clock.monotonic()
        processes.send(found, number)
        return {"at": at, "until": clock.monotonic()}

    def _living(self, pids: list[int]) -> dict[int, tuple[int, str]]:
        """Say of those of these processes that live in some unit when they began, and their titles."""
        ours = [process for running in self._units.values() for process in running.members()]
        return {
            process.pid: (process.started, " ".join(processes.words(process.pid)[1]).strip())
            for process in ours
            if process.pid in pids
        }

    async def _freeze(self, running: Running, chosen: list[list[int]] | None) -> Mapping[str, Json]:
        """Stop processes, again until all of them are: one may have forked just before."""
        at = clock.monotonic()
        sent: set[tuple[int, int]] = set()

        def left() -> list[processes.Process]:
            return [
                process
                for process in _among(running, chosen)
                if not process.stopped and not (process.still and (process.pid, process.started) in sent)
            ]

        while found := left():
            processes.send(found, signal.SIGSTOP)
            sent |= {(process.pid, process.started) for process in found}
            await asyncio.sleep(POLL / 5)
        until = clock.monotonic()
        text = "frozen" if chosen is None else "processes frozen"
        running.say(text, "frozen", processes=chosen)
        return {"at": at, "until": until}

    def _thaw(self, running: Running, chosen: list[list[int]] | None) -> Mapping[str, Json]:
        found = [process for process in _among(running, chosen) if process.still]
        at = clock.monotonic()
        processes.send(found, signal.SIGCONT)
        if found:
            running.say("goes on" if chosen is None else "processes go on", "thawed", processes=chosen)
        return {"at": at, "until": clock.monotonic()}

    async def _link(self, running: Running, *, up: bool) -> Mapping[str, Json]:
        if self._plan.layout != "namespaces":
            raise ClusterError("Links can be cut only in the layout `namespaces`.")
        at = clock.monotonic()
        await asyncio.to_thread(networks.set_link, running.unit.slot, up=up)
        until = clock.monotonic()
        if running.cut_off == up:
            running.say("joined again" if up else "cut off", "joined" if up else "cut_off")
        running.cut_off = not up
        return {"at": at, "until": until}

    async def _submit(self, body: bytes) -> Mapping[str, Json]:
        if self._plan.dashboard is None:
            raise ClusterError("This cluster has no dashboard.")
        async with self._submitting:
            host, port = self._plan.dashboard
            answer = await http.request(host, port, "PUT", dashboard.APPLICATIONS, body=body, timeout=120)
        if answer.status == 200:
            # Where there is to be no application, there is nothing that Serve could have lost.
            self._submitted = body if json.loads(body).get("applications") else None
        return {"status": answer.status, "body": answer.body.decode(errors="replace")}

    async def _spawn(self, question: Mapping[str, Json], writer: asyncio.StreamWriter) -> None:
        """Start a process that has the connection as stdin and stdout, and its own copy of it alone."""
        # From the answer on, what comes is for the process: here nobody may read it, nor wait for it.
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        await _write(writer, {"ok": True})
        handle = os.dup(writer.get_extra_info("socket").fileno())
        try:
            os.set_blocking(handle, True)
            path = Path(question["errors"] or self._runtime / "logs" / "spawned.log")
            with path.open("ab") as errors:  # noqa: ASYNC230 (a small local file)
                self._spawned[question["name"]] = await self._begin(
                    question["command"],
                    question["slot"],
                    question["environment"],
                    stdin=handle,
                    stdout=handle,
                    stderr=errors.fileno(),
                )
        finally:
            os.close(handle)

    async def _wait(self, name: str, limit: float) -> int:
        """Wait for the end of a spawned process; its session is killed at the limit."""
        process = self._spawned[name]
        try:
            async with asyncio.timeout(limit):
                return await process.wait()
        except TimeoutError:
            processes.send(processes.of_session(process.pid), signal.SIGKILL)
            return await process.wait()

    async def _exec(self, slot: str, command: Sequence[str], limit: float) -> Mapping[str, Json]:
        """Run a command on a node; its session is killed when it ends, and at the limit."""
        pipe = asyncio.subprocess.PIPE
        process = await self._begin(
            command, slot, self._unit(slot).unit.environment, stdout=pipe, stderr=pipe
        )
        try:
            async with asyncio.timeout(limit):
                stdout, stderr = await process.communicate()
        except TimeoutError as error:
            raise ClusterError(f"The command on {slot} did not end within {limit:g} s.") from error
        finally:
            processes.send(processes.of_session(process.pid), signal.SIGKILL)
        return {
            "exit_code": process.returncode,
            "stdout": stdout.decode(errors="replace"),
            "stderr": stderr.decode(errors="replace"),
        }


def _among(running: Running, chosen: list[list[int]] | None) -> list[processes.Process]:
    """Give a unit's living processes, or those of them that are chosen by pid and start."""
    members = running.members()
    if chosen is None:
        return members
    return [process for process in members if [process.pid, process.started] in chosen]


async def _gone(sessions: list[int], pids: list[int], limit: float) -> Mapping[str, Json]:
    """Wait until no process of these sessions and none of these processes lives."""
    known = {process.pid: process.started for process in map(processes.read, pids) if process is not None}
    deadline = clock.monotonic() + limit
    while True:
        left = len(processes.of_session(*sessions)) if sessions else 0
        for pid, started in known.items():
            process = processes.read(pid)
            left += process is not None and process.started == started
        at = clock.monotonic()
        if left == 0 or at > deadline:
            return {"left": left, "at": at}
        await asyncio.sleep(POLL)


async def _write(writer: asyncio.StreamWriter, document: Mapping[str, Json]) -> None:
    writer.write(json.dumps(document, separators=(",", ":")).encode() + b"\n")
    await writer.drain()


def main(argv: list[str]) -> int:
    """Run the supervisor of the blueprint in the file that is named."""
    # Where the keeper is killed, nobody else ends the sessions. In a PID namespace the kernel has already.
    processes.ask_kernel(processes.PR_SET_PDEATHSIG, signal.SIGTERM)
    plan = blueprint.load(Path(argv[0]).read_text(encoding="utf-8"))
    asyncio.run(Supervisor(plan).run())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
