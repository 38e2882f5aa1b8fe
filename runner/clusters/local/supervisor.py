"""Plays kubelet and KubeRay for a local cluster: `python -m runner.clusters.local.supervisor BLUEPRINT`.

It lives inside the namespaces, starts the units of its blueprint, starts them again when they end, hands Serve its
configuration again where the controller is gone, and answers on a Unix socket. A connection carries one
question, a JSON object on a line, and its answer: `{"ok": true, ...}` or `{"ok": false, "error": "..."}`.

| ask | fields | answer |
|---|---|---|
| `units` | | `units`: slot, role, state, count, starts, session of each |
| `events` | `since` | happenings from number `since` on, a line each, as they come |
| `kill` | `slot`, `how` (crash, delete), `grace` | `at`, `until`, `killed`, `session` |
| `signal` | `slot`, `pids`, `signal` | `at`, `until`, `signalled` (only processes of that node) |
| `gone` | `sessions`, `pids`, `limit` | once none of them lives: `left` (how many do, at the limit) |
| `link` | `slot`, `up` | |
| `stop`, `start` | `slot` | a stopped node stays down |
| `submit` | `body` | `status`, `body` of Serve's answer; the body is what is handed in again later |
| `connect` | `host`, `port`, `limit` | afterwards the connection is the one asked for |
| `spawn` | `name`, `command`, `environment`, `slot`, `errors` | afterwards the connection is its stdin and stdout |
| `wait` | `name`, `limit` | `exit_code`; at the limit it is killed |
| `exec` | `slot`, `command`, `limit` | `exit_code`, `stdout`, `stderr` |
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from runner import clock
from runner.clusters.local import blueprint, http, processes, splice
from runner.clusters.local.blueprint import Blueprint, Place, Unit
from runner.errors import ClusterError, FtrunError, Unreachable

Json = Any

POLL = 0.05
"""Seconds between two looks at a port that does not accept yet, or a session that is not gone yet."""

RECONCILE = 2.0
"""Seconds between two looks at the applications, as KubeRay has it."""


def sessions_file(runtime: str) -> Path:
    """Where the session ids stand that a later clean-up reads, one `session started` a line."""
    return Path(runtime, "sessions")


async def accepts(place: Place) -> bool:
    """Whether somebody accepts connections there."""
    try:
        async with asyncio.timeout(1.0):
            _reader, writer = await asyncio.open_connection(*place)
    except OSError:  # TimeoutError is one
        return False
    writer.close()
    return True


async def accepting(places: tuple[Place, ...]) -> None:
    """Wait until somebody accepts connections at each of the places."""
    for place in places:
        while not await accepts(place):
            await asyncio.sleep(POLL)


class Happenings:
    """All that happened, for whoever asks now or later."""

    def __init__(self) -> None:
        self._said: list[Mapping[str, Json]] = []
        self._more = asyncio.Condition()
        self._pending: set[asyncio.Task[None]] = set()

    def say(self, source: str, slot: str, text: str, *, at: float | None = None, **data: Json) -> None:
        """Add one happening; `at` is now unless it is given."""
        self._said.append(
            {
                "at": clock.monotonic() if at is None else at,
                "source": source,
                "slot": slot,
                "text": text,
                "data": data,
            }
        )
        task = asyncio.ensure_future(self._wake())
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _wake(self) -> None:
        async with self._more:
            self._more.notify_all()

    async def follow(self, since: int) -> AsyncIterator[Mapping[str, Json]]:
        """Give what was and will be said, from number `since` on; never ends."""
        while True:
            async with self._more:
                await self._more.wait_for(lambda: len(self._said) > since)
            yield self._said[since]
            since += 1


class Running:
    """A unit and what became of it. state: waiting, starting, up, down."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.state = "waiting"
        self.starts = 0
        self.was_up = False
        self.session = 0
        self.network = ""
        self.wanted = asyncio.Event()
        self.wanted.set()

    def members(self) -> list[processes.Process]:
        """Give its living processes: of its session, and of its network where it has one of its own."""
        if not self.session and not self.network:
            return []
        own = os.getpid()
        return [
            process
            for process in processes.living()
            if process.pid != own
            and (
                (self.session and process.session == self.session)
                or (self.network and processes.network(process.pid) == self.network)
            )
        ]


class Supervisor:
    """The units of one blueprint, and the answers to whoever asks."""

    def __init__(self, plan: Blueprint) -> None:
        self.plan = plan
        self.happenings = Happenings()
        self.units = {unit.slot: Running(unit) for unit in plan.units}
        self.spawned: dict[str, asyncio.subprocess.Process] = {}
        self.submitted: bytes | None = None
        self.submitting = asyncio.Lock()
        self.killing: set[asyncio.Task[None]] = set()

    # -- starting, watching, starting again

    def entering(self, slot: str | None) -> list[str]:
        """Give the command that enters the network of a node; empty where there is only one network."""
        if self.plan.layout != "namespaces" or slot is None or self.units[slot].unit.role != "node":
            return []
        return ["nsenter", f"--net=/run/netns/{slot}", "--"]

    async def begin(
        self,
        command: tuple[str, ...] | list[str],
        *,
        slot: str | None,
        environment: Mapping[str, str],
        stdin: int = asyncio.subprocess.DEVNULL,
        stdout: int,
        stderr: int,
    ) -> asyncio.subprocess.Process:
        """Start a process in a session of its own and write the session down."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        process = await asyncio.create_subprocess_exec(
            *self.entering(slot),
            *command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=self.plan.runtime,
            env=inherited | environment,
            start_new_session=True,
        )
        known = processes.read(process.pid)
        with sessions_file(self.plan.runtime).open("a", encoding="ascii") as file:
            file.write(f"{process.pid} {known.started if known else 0}\n")
        return process

    async def keep(self, running: Running) -> None:
        """Start a unit, and start it again whenever it ends, as long as it is wanted."""
        unit = running.unit
        failures = 0
        while True:
            running.state = "waiting" if running.wanted.is_set() else "down"
            await running.wanted.wait()
            running.state = "waiting"
            await accepting(unit.after)
            for path in unit.forget:
                Path(path).unlink(missing_ok=True)
            ended = await self.live(running)
            failures = 0 if running.was_up and ended else failures + 1
            if not running.wanted.is_set():
                continue
            if not running.was_up and failures >= self.plan.tries:
                running.state = "down"
                running.wanted.clear()
                self.happenings.say(
                    "supervisor", unit.slot, "given up", event="failed", starts=running.starts
                )
                continue
            running.state = "waiting"
            await asyncio.sleep(unit.restart_delay)

    async def live(self, running: Running) -> bool:
        """Start a unit and wait for its end; gives whether it came up. Nothing of it lives afterwards."""
        unit = running.unit
        running.state = "starting"
        running.starts += 1
        with open(unit.log, "ab") as log:
            process = await self.begin(
                unit.command,
                slot=unit.slot,
                environment=unit.environment,
                stdout=asyncio.subprocess.PIPE if unit.speaks else log.fileno(),
                stderr=log.fileno(),
            )
        running.session = process.pid
        text = "started" if running.starts == 1 else "started again"
        self.happenings.say("supervisor", unit.slot, text, event="started", starts=running.starts)
        speaking = asyncio.create_task(self.listen(unit, process.stdout)) if process.stdout else None
        rising = asyncio.create_task(self.rise(running, process.pid))
        try:
            code = await process.wait()
        finally:
            rising.cancel()
        came_up = running.state == "up"
        running.state = "waiting"
        self.happenings.say("supervisor", unit.slot, f"ended ({_ending(code)})", event="ended", code=code)
        await self.sweep(running)
        if speaking is not None:
            speaking.cancel()
        return came_up

    async def rise(self, running: Running, pid: int) -> None:
        """Note when a unit is up; kill it where it does not come up in time."""
        try:
            async with asyncio.timeout(self.plan.start_limit):
                await accepting(running.unit.ready)
        except TimeoutError:
            self.happenings.say("supervisor", running.unit.slot, "does not come up", event="late")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return
        running.state = "up"
        running.was_up = True
        self.happenings.say("supervisor", running.unit.slot, "up", event="up", starts=running.starts)

    async def listen(self, unit: Unit, output: asyncio.StreamReader) -> None:
        """Pass on what a unit says of itself."""
        while line := await output.readline():
            said = json.loads(line)
            self.happenings.say("forwarder", said["slot"], said["text"], at=said["at"], **said["data"])

    async def sweep(self, running: Running) -> None:
        """Kill what is left of a unit, again until nothing is: a process may fork while it is being killed."""
        while left := running.members():
            processes.send(left, signal.SIGKILL)
            await asyncio.sleep(POLL / 5)

    async def reconcile(self) -> None:
        """Hand in the configuration again where Serve answers that it has none, as KubeRay does."""
        while True:
            await asyncio.sleep(RECONCILE)
            if self.submitted is None or self.submitting.locked() or self.plan.dashboard is None:
                continue
            path = "/api/serve/applications/"
            try:
                answer = await http.request(*self.plan.dashboard, "GET", path, timeout=RECONCILE)
                if answer.status != 200 or json.loads(answer.body).get("applications"):
                    continue
                async with self.submitting:
                    again = await http.request(
                        *self.plan.dashboard, "PUT", path, body=self.submitted, timeout=60
                    )
            except (Unreachable, ValueError):
                continue
            self.happenings.say(
                "supervisor",
                "head",
                f"Serve has no application: configuration handed in again (status {again.status})",
                event="resubmitted",
                status=again.status,
            )

    # -- answering

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one question of a connection."""
        try:
            question = json.loads(await reader.readline())
            answer = await self.answer(question, reader, writer)
            if answer is not None:
                await _write(writer, {"ok": True, **answer})
        except (FtrunError, OSError, KeyError, ValueError) as error:
            with contextlib.suppress(OSError, RuntimeError):
                await _write(writer, {"ok": False, "error": str(error) or repr(error)})
        finally:
            writer.close()

    async def answer(
        self, question: Mapping[str, Json], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Mapping[str, Json] | None:
        """Give the answer, or None where the connection has been used for something else."""
        match question["ask"]:
            case "units":
                return {"units": self.table()}
            case "events":
                async for happening in self.happenings.follow(question["since"]):
                    await _write(writer, happening)
                return None
            case "kill":
                return await self.kill(self.node(question["slot"]), question["how"], question.get("grace"))
            case "signal":
                return self.signal(self.node(question["slot"]), question["pids"], question["signal"])
            case "gone":
                return await self.gone(question["sessions"], question["pids"], question["limit"])
            case "link":
                return await self.link(question["slot"], up=question["up"])
            case "stop" | "start" as verb:
                running = self.node(question["slot"])
                if verb == "start":
                    running.wanted.set()
                    return {}
                running.wanted.clear()
                return await self.kill(running, "crash", None)
            case "submit":
                return await self.submit(question["body"].encode())
            case "connect":
                async with asyncio.timeout(question["limit"]):
                    there = await asyncio.open_connection(question["host"], question["port"])
                await _write(writer, {"ok": True})
                await splice.both((reader, writer), there)
                return None
            case "spawn":
                await self.spawn(question, writer)
                return None
            case "wait":
                return await self.wait(question["name"], question["limit"])
            case "exec":
                return await self.execute(question["slot"], question["command"], question["limit"])
            case other:
                raise ClusterError(f"The supervisor knows no {other!r}.")

    def node(self, slot: str) -> Running:
        """Give the unit of a slot."""
        if slot not in self.units:
            raise ClusterError(f"There is no {slot}; there are {', '.join(self.units)}.")
        return self.units[slot]

    def table(self) -> list[dict[str, Json]]:
        """Give what is known of each unit."""
        found = processes.living()
        counts: dict[int, int] = {}
        for process in found:
            counts[process.session] = counts.get(process.session, 0) + 1
        return [
            {
                "slot": slot,
                "role": running.unit.role,
                "state": running.state,
                "count": counts.get(running.session, 0),
                "starts": running.starts,
                "session": running.session,
            }
            for slot, running in self.units.items()
        ]

    async def kill(self, running: Running, how: str, grace: float | None) -> Mapping[str, Json]:
        """End a node: at once, or with SIGTERM and `grace` seconds before SIGKILL."""
        session = running.session
        found = running.members()
        at = clock.monotonic()
        if how == "delete" and grace != 0:
            sent = processes.send(found, signal.SIGTERM)
            until = clock.monotonic()
            task = asyncio.create_task(self._kill_later(running, session, 30.0 if grace is None else grace))
            self.killing.add(task)
            task.add_done_callback(self.killing.discard)
        else:
            sent = processes.send(found, signal.SIGKILL)
            until = clock.monotonic()
            await self.sweep(running)
        return {"at": at, "until": until, "killed": sent, "session": session}

    async def _kill_later(self, running: Running, session: int, grace: float) -> None:
        deadline = clock.monotonic() + grace
        while clock.monotonic() < deadline and processes.of_session(session):
            await asyncio.sleep(POLL)
        if running.session == session:
            await self.sweep(running)

    def signal(self, running: Running, pids: list[int], number: int) -> Mapping[str, Json]:
        """Signal processes of a node, and no others."""
        found = [process for process in running.members() if process.pid in pids]
        if len(found) != len(set(pids)):
            raise ClusterError(f"Not all of the processes {pids} belong to {running.unit.slot}.")
        at = clock.monotonic()
        sent = processes.send(found, number)
        return {"at": at, "until": clock.monotonic(), "signalled": sent}

    async def gone(self, sessions: list[int], pids: list[int], timeout: float) -> Mapping[str, Json]:
        """Wait until no process of these sessions and none of these processes lives."""
        known = {process.pid: process.started for process in map(processes.read, pids) if process is not None}
        deadline = clock.monotonic() + timeout
        while True:
            left = len(processes.of_session(*sessions)) if sessions else 0
            for pid, started in known.items():
                process = processes.read(pid)
                left += process is not None and process.started == started
            if left == 0 or clock.monotonic() > deadline:
                return {"left": left, "at": clock.monotonic()}
            await asyncio.sleep(POLL)

    async def link(self, slot: str, *, up: bool) -> Mapping[str, Json]:
        """Cut a node off the network, or join it again."""
        if self.plan.layout != "namespaces":
            raise ClusterError("Links can be cut only in the layout `namespaces`.")
        running = self.node(slot)
        at = clock.monotonic()
        await asyncio.to_thread(_ip, f"link set v-{running.unit.slot} {'up' if up else 'down'}")
        return {"at": at, "until": clock.monotonic()}

    async def submit(self, body: bytes) -> Mapping[str, Json]:
        """Hand Serve a configuration, and keep it for handing it in again."""
        if self.plan.dashboard is None:
            raise ClusterError("This cluster has no dashboard.")
        async with self.submitting:
            path = "/api/serve/applications/"
            answer = await http.request(*self.plan.dashboard, "PUT", path, body=body, timeout=120)
        if answer.status == 200 and self.plan.resubmit:
            self.submitted = body
        return {"status": answer.status, "body": answer.body.decode(errors="replace")}

    async def spawn(self, question: Mapping[str, Json], writer: asyncio.StreamWriter) -> None:
        """Start a process whose stdin and stdout are the connection; it ends with the connection."""
        await _write(writer, {"ok": True})
        handle = os.dup(writer.get_extra_info("socket").fileno())
        try:
            os.set_blocking(handle, True)
            with open(question["errors"] or f"{self.plan.runtime}/logs/spawned.log", "ab") as errors:
                self.spawned[question["name"]] = await self.begin(
                    question["command"],
                    slot=question["slot"],
                    environment=question["environment"],
                    stdin=handle,
                    stdout=handle,
                    stderr=errors.fileno(),
                )
        finally:
            os.close(handle)

    async def wait(self, name: str, timeout: float) -> Mapping[str, Json]:
        """Wait for the end of a spawned process; kill its session at the limit."""
        process = self.spawned[name]
        try:
            async with asyncio.timeout(timeout):
                code = await process.wait()
        except TimeoutError:
            processes.send(processes.of_session(process.pid), signal.SIGKILL)
            code = await process.wait()
        return {"exit_code": code}

    async def execute(self, slot: str, command: list[str], timeout: float) -> Mapping[str, Json]:
        """Run a command on a node; its session is killed at the limit."""
        running = self.node(slot)
        process = await self.begin(
            command,
            slot=slot,
            environment=running.unit.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(timeout):
                stdout, stderr = await process.communicate()
        except TimeoutError as error:
            raise ClusterError(f"The command on {slot} did not end within {timeout:g} s.") from error
        finally:
            processes.send(processes.of_session(process.pid), signal.SIGKILL)
        assert process.returncode is not None
        return {
            "exit_code": process.returncode,
            "stdout": stdout.decode(errors="replace"),
            "stderr": stderr.decode(errors="replace"),
        }

    # -- the whole

    async def run(self) -> None:
        """Make the networks, start everything, answer until SIGTERM; then end every session."""
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        if self.plan.layout == "namespaces":
            make_networks(self.plan)
            for slot, running in self.units.items():
                if running.unit.role == "node":
                    entered = subprocess.check_output(
                        [*self.entering(slot), "readlink", "/proc/self/ns/net"], text=True
                    )
                    running.network = entered.strip()
        server = await asyncio.start_unix_server(self.serve, f"{self.plan.runtime}/s", limit=1 << 24)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        tasks = [asyncio.create_task(self.keep(running)) for running in self.units.values()]
        if self.plan.resubmit:
            tasks.append(asyncio.create_task(self.reconcile()))
        ending = asyncio.create_task(stopped.wait())
        done, _ = await asyncio.wait([ending, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        server.close()
        sessions = [
            int(line.split()[0]) for line in sessions_file(self.plan.runtime).read_text().splitlines()
        ]
        processes.kill_all(lambda: processes.of_session(*sessions), limit=10)
        for task in done - {ending}:
            task.result()  # a unit's task ends only by a bug: say it on stderr, which is a log


async def _write(writer: asyncio.StreamWriter, document: Mapping[str, Json]) -> None:
    writer.write(json.dumps(document, separators=(",", ":")).encode() + b"\n")
    await writer.drain()


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _ip(*commands: str) -> None:
    """Run `ip` once for all the commands; raises ClusterError with what it says."""
    done = subprocess.run(
        ["ip", "-batch", "-"], input="\n".join(commands) + "\n", capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ClusterError(f"The networks cannot be made: {done.stderr.strip()}.")


def make_networks(plan: Blueprint) -> None:
    """Make the bridge, and for each node a network of its own with one address on it."""
    # Private to this mount namespace: names of networks, and shared memory that goes when the last process does.
    for folder in ("/run", "/dev/shm"):  # noqa: S108 (where Ray keeps objects)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    _ip("link set lo up", "link add name bus type bridge", f"address add {plan.bus}/24 dev bus", "link set bus up")
    nodes = [unit for unit in plan.units if unit.role == "node"]
    for unit in nodes:
        _ip(
            f"netns add {unit.slot}",
            f"link add name v-{unit.slot} type veth peer name eth0 netns {unit.slot}",
            f"link set v-{unit.slot} master bus up",
        )
        inside = [f"--net=/run/netns/{unit.slot}", "ip"]
        for command in (f"address add {unit.address}/24 dev eth0", "link set lo up", "link set eth0 up"):
            subprocess.run(["nsenter", *inside, *command.split()], check=True)


def main(argv: list[str]) -> int:
    """Run the supervisor of the blueprint in the file that is named."""
    # Where the keeper is killed, nobody else ends the sessions. In a PID namespace the kernel has already.
    processes.ask_kernel(processes.PR_SET_PDEATHSIG, signal.SIGTERM)
    asyncio.run(Supervisor(blueprint.load(Path(argv[0]).read_text(encoding="utf-8"))).run())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
