"""The journal of a run: one event a line, written and flushed before anything may use what it says.

The file is locked (flock) as long as the process that writes it lives: that is how `ftrun cleanup` tells
a run that was killed from one that runs. docs/formats.md describes the lines.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from runner import clock
from runner.errors import CannotRun, FtrunError
from runner.journal.events import VERSION, Event, RunStart, UndoDone, UndoPushed, from_json, to_json
from runner.journal.redaction import Secrets

E = TypeVar("E", bound=Event)
Subscriber = Callable[[Event], None]


def _plain(value: Any) -> Any:
    """Give what JSON has for a value that the encoder does not know."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain).encode


class Journal:
    """Appends events to journal.jsonl. `events` is what the file holds; callbacks hear each new one."""

    def __init__(
        self,
        file: BinaryIO,
        zero: float,
        now: Callable[[], float],
        secrets: Secrets,
        events: Sequence[Event] = (),
    ) -> None:
        self.zero = zero
        """The instant that is 0 in this journal, in seconds of CLOCK_MONOTONIC."""
        self.events: list[Event] = list(events)
        self.secrets = secrets
        """What is never written."""
        self._file = file
        self._now = now
        self._subscribers: list[Subscriber] = []
        self.broken = False
        """Whether the disk has refused a line: nothing more reaches the file."""

    @classmethod
    def create(
        cls,
        path: Path,
        zero: float,
        *,
        now: Callable[[], float] = clock.monotonic,
        secrets: Secrets | None = None,
    ) -> Journal:
        """Begin a journal in a new file. `now` gives seconds of CLOCK_MONOTONIC; `secrets` are never written.

        Raises OSError where the file cannot be made.
        """
        file = path.open("xb", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return cls(file, zero, now, secrets or Secrets())

    @classmethod
    def reopen(cls, path: Path) -> Journal:
        """Go on with the journal of a process that is gone; raises FtrunError while it is alive."""
        file = path.open("r+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise FtrunError(
                f"The run of {path.parent} is still alive.",
                help="Wait for it to end, or stop it with Ctrl-C; it cleans up after itself.",
            ) from None
        try:
            events = read(path)
            file.truncate(path.read_bytes().rfind(b"\n") + 1)
        except BaseException:
            file.close()
            raise
        file.seek(0, os.SEEK_END)
        assert isinstance(events[0], RunStart)
        return cls(file, events[0].monotonic, clock.monotonic, Secrets(), events)

    def now(self) -> float:
        """Seconds since zero."""
        return self._now() - self.zero

    def append(self, event: E, *, durable: bool = False) -> E:
        """Write an event, numbered and stamped; give it as it was written. `durable` also waits for the disk.

        Raises CannotRun where the disk does not take it. The run then unwinds: what it still says is kept
        in memory only, and nothing durable is accepted any more.
        """
        last = self.events[-1] if self.events else None
        event = replace(
            event,
            seq=last.seq + 1 if last else 0,
            t=max(round(self.now(), 6), last.t if last else 0.0),
        )
        line = _encode(to_json(event))
        if self.secrets.within(line):
            # The names of the fields are ours.
            shown = {
                name: value if name == "kind" else self.secrets.hide_in(value)
                for name, value in json.loads(line).items()
            }
            line = _encode(shown)
            hidden = from_json(shown)
            assert isinstance(hidden, type(event))
            event = hidden
        try:
            self._write(line.encode() + b"\n", durable=durable)
        finally:
            self.events.append(event)
            for subscriber in self._subscribers:
                subscriber(event)
        return event

    def _write(self, line: bytes, *, durable: bool) -> None:
        if self.broken:
            if durable:
                raise CannotRun("The journal cannot be written any more, so nothing may be broken any more.")
            return
        try:
            # Unbuffered: a line is with the kernel when this returns, and survives SIGKILL.
            if self._file.write(line) != len(line):
                raise OSError("No space left for a whole line")
            if durable:
                os.fsync(self._file.fileno())
        except OSError as error:
            self.broken = True
            raise CannotRun(
                f"The journal cannot be written any more: {error.strerror or error}.",
                help="Make room on the disk, or choose another place with --report-dir.",
            ) from error

    def subscribe(self, callback: Subscriber) -> None:
        """Call `callback` with every event from now on, after it was written."""
        self._subscribers.append(callback)

    def unsubscribe(self, callback: Subscriber) -> None:
        """Call it no more."""
        self._subscribers.remove(callback)

    def close(self) -> None:
        """Close the file and give up its lock."""
        self._file.close()


def read(path: Path) -> tuple[Event, ...]:
    """Give the events of a journal; a partial last line is dropped, unknown kinds are left out.

    Raises FtrunError where it is no journal, or one of a version that this ftrun does not read.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise FtrunError(f"The journal {path} cannot be read: {error.strerror}.") from error
    events: list[Event] = []
    for number, line in enumerate(raw.split(b"\n")[:-1], start=1):
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise FtrunError(
                f"{path}:{number}: this line is no JSON, so the file is no journal of ftrun."
            ) from error
        if number == 1 and (not isinstance(entry, dict) or entry.get("kind") != RunStart.kind):
            raise FtrunError(f"{path}: the first line is no run_start, so the file is no journal of ftrun.")
        if number == 1 and entry.get("version") != VERSION:
            raise FtrunError(
                f"{path}: the journal has version {entry.get('version')}; this ftrun reads version {VERSION}."
            )
        event = from_json(entry)
        if event is not None:
            events.append(event)
    if not events:
        raise FtrunError(f"{path}: the journal is empty; the run ended before it began.")
    return tuple(events)


def pending(events: Sequence[Event]) -> list[UndoPushed]:
    """Give the undos that were announced and never carried out, the latest first."""
    done = {event.undo for event in events if isinstance(event, UndoDone) and event.error is None}
    return [event for event in reversed(events) if isinstance(event, UndoPushed) and event.undo not in done]
