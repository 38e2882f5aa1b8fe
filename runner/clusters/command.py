"""A command that runs next to ftrun: armed ahead, in a session of its own, with an end in any case."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from runner.clusters.contract import Completed
from runner.errors import ClusterError

TAIL = 2000
"""Characters of output that an error message keeps."""

GATE = 'read -r go || exit 1; exec "$@" </dev/null'
"""Waits for a line before it becomes the command; end of file (ftrun died, or disarmed) ends it unused."""


@dataclass(slots=True)
class Command:
    """A process that waits behind a gate. It writes to files: a pipe that a daemon inherits never ends."""

    says: str
    process: asyncio.subprocess.Process
    stdout: IO[bytes]
    stderr: IO[bytes]

    async def release(self) -> None:
        """Let it run; a gate that was killed meanwhile shows in how the command ended."""
        assert self.process.stdin is not None
        with suppress(ConnectionError):
            self.process.stdin.write(b"go\n")
            await self.process.stdin.drain()
        self.process.stdin.close()

    async def ended(self, limit: float) -> Completed:
        """Wait for its end; kills its session and raises ClusterError where it takes longer than `limit`."""
        try:
            async with asyncio.timeout(limit):
                code = await self.process.wait()
            return Completed(code, _text(self.stdout), _text(self.stderr))
        except TimeoutError:
            raise ClusterError(f"`{self.says}` did not end within {limit:g} s and was killed.") from None
        finally:
            await self.close()

    async def close(self) -> None:
        """Kill what still runs of it. What it left in the background, having ended by itself, stays."""
        if self.process.returncode is None:
            # It leads its session and is not yet waited for: the number is still its own.
            for pid in _session(self.process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await self.process.wait()
        self.stdout.close()
        self.stderr.close()


def _session(leader: int) -> list[int]:
    """Give the processes of a session; only its leader where the system does not list them."""
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return [leader]
    found = []
    for pid in pids:
        with suppress(ProcessLookupError):
            if os.getsid(pid) == leader:
                found.append(pid)
    return found


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


async def prepare(command: tuple[str, ...] | str, environment: Mapping[str, str] | None = None) -> Command:
    """Start the command behind its gate; a string goes to the shell. `environment` is added to ours."""
    words = ("/bin/sh", "-c", command) if isinstance(command, str) else command
    stdout, stderr = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 (Command closes them)
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", GATE, "ftrun", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )
    return Command(command if isinstance(command, str) else shlex.join(command), process, stdout, stderr)


async def complete(
    command: tuple[str, ...] | str, *, timeout: float, environment: Mapping[str, str] | None = None
) -> Completed:
    """Run the command to its end; raises ClusterError where that takes longer than `timeout` seconds."""
    prepared = await prepare(command, environment)
    try:
        await prepared.release()
        return await prepared.ended(timeout)
    finally:
        await prepared.close()


def tail(completed: Completed) -> str:
    """Give the end of what a command wrote, to put behind a sentence."""
    text = (completed.stdout + completed.stderr).strip()
    return f"\n{text[-TAIL:]}" if text else ""
