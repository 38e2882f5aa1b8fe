"""Follows the logs of the nodes as they grow, and passes on the lines that mean something.

A look costs a `stat` for each folder and file, and reads what was appended, in bounded pieces: it never holds
up the supervisor, in whose loop it runs, for longer than some milliseconds.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Protocol

from runner import clock
from runner.clusters.local.files import node_folder
from runner.rayserve import logs
from runner.rayserve.logs import Line

Json = Any

EVERY = 0.2
"""Seconds between two looks."""

PIECE = 128 * 1024
"""Bytes of a file that one look reads at most."""

BACKLOG = 2 * 1024 * 1024
"""Bytes that may wait to be read; more are skipped, and that is said."""

LONGEST = 4096
"""Bytes of a line that are looked at."""

BURST, RATE = 300, 50.0
"""Lines of a file that are passed on at once at most, and how many a second in the long run."""

SETTLED = 0.5
"""Seconds after which a folder's time of change speaks of all that came into it: kernels keep it coarsely."""

AGREE = 1.0
"""Seconds by which a line's own time may lie outside of when it was written; else the clocks disagree."""


class Say(Protocol):
    """Takes a happening, as `units.Happenings.say` does."""

    def __call__(self, source: str, slot: str, text: str, *, at: float | None = None, **data: Json) -> None:
        """Note it."""
        ...


@dataclass(slots=True)
class _File:
    """A log, and how far it was read."""

    source: str
    slot: str
    path: str
    since: float
    """When it was last known to hold no more than what was read: minus infinity for one found at first."""
    offset: int = 0
    line: Line | None = None
    """The last line that began a message; those that follow are part of it."""
    room: float = BURST
    filled: float = 0.0
    dropped: int = 0
    last: Mapping[str, Json] = field(default_factory=dict)


class Follower:
    """All logs of a cluster. `slots` are its nodes; what their lines say goes to `say`."""

    def __init__(self, runtime: Path, slots: Sequence[str], say: Say) -> None:
        self._roots = {slot: runtime / node_folder(slot) for slot in slots}
        self._say = say
        self._wanted: dict[str, list[re.Pattern[str]]] = {source: [] for source in logs.FILES}
        self._files: dict[int, _File] = {}
        """By inode: a log that is rotated goes on under another name."""
        self._folders: dict[str, int] = {}
        """When each folder last changed, as far as it was listed."""
        self._looked = -math.inf

    def listen(self, source: str, pattern: str) -> None:
        """Pass on every line of a source that the pattern matches, too; raises ValueError for a bad one."""
        if source not in self._wanted:
            raise ValueError(f"There is no log of {source!r} here; there are {', '.join(self._wanted)}.")
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}.") from error
        if compiled not in self._wanted[source]:
            self._wanted[source].append(compiled)

    def look(self, now: float, wall: float) -> None:
        """Read what was appended since the last look. `now` is monotonic, `wall` the same instant's epoch."""
        for slot, root in self._roots.items():
            for folder in _sessions(root):
                self._list(slot, folder, wall)
        for file in self._files.values():
            try:
                self._grow(file, now, wall)
            except OSError:
                continue  # it has gone with its node's folder
        self._looked = now

    def _list(self, slot: str, folder: str, wall: float) -> None:
        """Find new logs; a folder is listed only when something came into it."""
        for source, patterns in logs.FILES.items():
            for pattern in patterns:
                inner, _, name = pattern.rpartition("/")
                place = os.path.join(folder, "logs", inner)
                for entry in self._listed(place, source, wall):
                    if not fnmatch(entry.name, name):
                        continue
                    known = self._files.setdefault(
                        entry.inode(), _File(source, slot, entry.path, self._looked)
                    )
                    known.path = entry.path

    def _listed(self, place: str, source: str, wall: float) -> list[os.DirEntry[str]]:
        """Give what a folder holds, if that has changed since it was listed last."""
        try:
            changed = os.stat(place).st_mtime_ns
            key = f"{source} {place}"
            if self._folders.get(key) == changed:
                return []
            if wall - changed / 1e9 > SETTLED:
                self._folders[key] = changed
            with os.scandir(place) as entries:
                return list(entries)
        except OSError:
            return []  # a session that has no logs yet, or none any more

    def _grow(self, file: _File, now: float, wall: float) -> None:
        """Read one piece of what was appended to a file."""
        size = os.stat(file.path).st_size
        if size < file.offset:
            file.offset, file.since = 0, self._looked
        if size == file.offset:
            file.since = now
            self._own_up(file, now)
            return
        with open(file.path, "rb") as opened:
            if size - file.offset > BACKLOG:
                skipped = size - PIECE - file.offset
                opened.seek(file.offset + skipped)
                skipped += len(opened.readline())
                file.offset += skipped
                text = f"{skipped} bytes were skipped: the log grows faster than it is read"
                self._say(file.source, file.slot, text, at=now, event="dropped", bytes=skipped)
            opened.seek(file.offset)
            piece = opened.read(PIECE)
        whole = piece.rfind(b"\n") + 1
        if not whole and len(piece) == PIECE:
            whole = PIECE  # a line that never ends
        file.offset += whole
        for raw in piece[:whole].splitlines():
            self._take(file, raw[:LONGEST].decode(errors="replace"), now, wall)
        if file.offset >= size:
            file.since = now
        self._own_up(file, now)

    def _take(self, file: _File, text: str, now: float, wall: float) -> None:
        """Pass a line on if it means something, or if somebody listens for it."""
        line = logs.read(file.source, text)
        found = logs.meaning(file.source, line) if line is not None else None
        file.line = line or file.line
        said = line.message if line is not None else text
        matches = [each.pattern for each in self._wanted[file.source] if each.search(said)]
        if found is None and not matches:
            return
        data: dict[str, Json] = {"event": found.event, **found.about} if found else {"event": "line"}
        if matches:
            data["matches"] = matches
        elif found is not None and found.event in logs.REPEATED and data == file.last:
            return
        file.last = data
        if not self._has_room(file, now):
            file.dropped += 1
            return
        at, within = _instant(file, now, wall)
        if within:
            data = {**data, "within": within}
        self._say(file.source, file.slot, said[: logs.SHORT], at=at, **data)

    def _has_room(self, file: _File, now: float) -> bool:
        file.room = min(BURST, file.room + (now - file.filled) * RATE)
        file.filled = now
        if file.room < 1:
            return False
        file.room -= 1
        return True

    def _own_up(self, file: _File, now: float) -> None:
        """Say how many lines were dropped, once there is room again."""
        if file.dropped and self._has_room(file, now):
            text = f"{file.dropped} lines that mean something were dropped: more than {RATE:g} a second"
            self._say(file.source, file.slot, text, at=now, event="dropped", lines=file.dropped)
            file.dropped = 0


def _sessions(root: Path) -> list[str]:
    """Give the session folders of a node; `session_latest` is a link to one of them."""
    try:
        with os.scandir(root) as entries:
            return [
                each.path
                for each in entries
                if each.name.startswith("session_") and each.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return []


def _instant(file: _File, now: float, wall: float) -> tuple[float, float]:
    """Give when a line was written, and how much earlier it may have been.

    Its own time counts, moved to the monotonic clock, if it lies where it must: between the last look that
    did not find it and this one. Else the wall clock was set in between, and only that is known.
    """
    if file.line is not None:
        try:
            at = logs.wall(file.line.stamp) - wall + now
        except ValueError:
            at = math.nan
        if file.since - AGREE <= at <= now + AGREE:
            return min(at, now), 0.0
    return now, round(now - file.since, 6) if math.isfinite(file.since) else 0.0


async def follow(follower: Follower) -> None:
    """Look again and again, until cancelled."""
    while True:
        follower.look(clock.monotonic(), clock.wall())
        await asyncio.sleep(EVERY)
