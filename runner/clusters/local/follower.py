"""Follows the logs of the nodes as they grow, and passes on the lines that mean something.

A look costs a `stat` for each folder and file, and reads what was appended, in bounded pieces: it never holds
up the supervisor, in whose loop it runs, for longer than some milliseconds.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from runner import clock
from runner.clusters.listening import Listening, Log, Say
from runner.clusters.local.files import node_folder
from runner.rayserve import logs

Json = Any

EVERY = 0.2
"""Seconds between two looks."""

PIECE = 128 * 1024
"""Bytes of a file that one look reads at most."""

BACKLOG = 2 * 1024 * 1024
"""Bytes that may wait to be read; more are skipped, and that is said."""

LONGEST = 4096
"""Bytes of a line that are looked at."""

SETTLED = 0.5
"""Seconds after which a folder's time of change speaks of all that came into it: kernels keep it coarsely."""


@dataclass(slots=True)
class _File:
    """A log on this machine, and how far it was read."""

    path: str
    log: Log
    offset: int = 0


class Follower:
    """All logs of a cluster. `slots` are its nodes; what their lines say goes to `say`."""

    def __init__(self, runtime: Path, slots: Sequence[str], say: Say) -> None:
        self._roots = {slot: runtime / node_folder(slot) for slot in slots}
        self._listening = Listening(say)
        self._files: dict[int, _File] = {}
        """By inode: a log that is rotated goes on under another name."""
        self._folders: dict[str, int] = {}
        """When each folder last changed, as far as it was listed."""
        self._looked = -math.inf

    def listen(self, source: str, pattern: str) -> None:
        """Pass on every line of a source that the pattern matches, too; raises ValueError for a bad one."""
        self._listening.listen(source, pattern)

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
                    log = Log(source, slot, self._looked)
                    known = self._files.setdefault(entry.inode(), _File(entry.path, log))
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
            file.offset, file.log.since = 0, self._looked
        if size == file.offset:
            file.log.since = now
            self._listening.own_up(file.log, now)
            return
        with open(file.path, "rb") as opened:
            if size - file.offset > BACKLOG:
                skipped = size - PIECE - file.offset
                opened.seek(file.offset + skipped)
                skipped += len(opened.readline())
                file.offset += skipped
                text = f"{skipped} bytes were skipped: the log grows faster than it is read"
                self._listening.say(
                    file.log.source, file.log.slot, text, at=now, event="dropped", bytes=skipped
                )
            opened.seek(file.offset)
            piece = opened.read(PIECE)
        whole = piece.rfind(b"\n") + 1
        if not whole and len(piece) == PIECE:
            whole = PIECE  # a line that never ends
        file.offset += whole
        for raw in piece[:whole].splitlines():
            self._listening.take(file.log, raw[:LONGEST].decode(errors="replace"), now, wall)
        if file.offset >= size:
            file.log.since = now
        self._listening.own_up(file.log, now)


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


async def follow(follower: Follower) -> None:
    """Look again and again, until cancelled."""
    while True:
        follower.look(clock.monotonic(), clock.wall())
        await asyncio.sleep(EVERY)
