"""Lines of logs as they come, whatever brings them: which mean something, when they were written.

What reads a log gives each line to `Listening.take`; what means something, or is listened for, goes on to
`say`, at most so many lines a second.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from runner.rayserve import logs
from runner.rayserve.logs import Line

Json = Any

BURST, RATE = 300, 50.0
"""Lines of a file that are passed on at once at most, and how many a second in the long run."""

AGREE = 1.0
"""Seconds by which a line's own time may lie outside of when it was written; else the clocks disagree."""


class Say(Protocol):
    """Takes a happening, as `units.Happenings.say` does."""

    def __call__(self, source: str, slot: str, text: str, *, at: float | None = None, **data: Json) -> None:
        """Note it."""
        ...


@dataclass(slots=True)
class Log:
    """A log, and what was heard of it."""

    source: str
    slot: str
    since: float
    """When it was last known to hold no more than what was read: minus infinity for one found at first."""
    line: Line | None = None
    """The last line that began a message; those that follow are part of it."""
    room: float = BURST
    filled: float = 0.0
    dropped: int = 0
    last: Mapping[str, Json] = field(default_factory=dict)


class Listening:
    """What is listened for, and where it goes."""

    def __init__(self, say: Say, sources: Iterable[str] = tuple(logs.FILES)) -> None:
        self.say = say
        self._wanted: dict[str, list[re.Pattern[str]]] = {source: [] for source in sources}

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

    def take(self, log: Log, text: str, now: float, wall: float) -> None:
        """Pass a line on if it means something, or if somebody listens for it.

        `now` is monotonic, `wall` the same instant since the epoch by the clock of who writes the log.
        """
        line = logs.read(log.source, text)
        found = logs.meaning(log.source, line) if line is not None else None
        log.line = line or log.line
        said = line.message if line is not None else text
        matches = [each.pattern for each in self._wanted[log.source] if each.search(said)]
        if found is None and not matches:
            return
        data: dict[str, Json] = {"event": found.event, **found.about} if found else {"event": "line"}
        if matches:
            data["matches"] = matches
        elif found is not None and found.event in logs.REPEATED and data == log.last:
            return
        log.last = data
        if not _has_room(log, now):
            log.dropped += 1
            return
        at, within = _instant(log, now, wall)
        if within:
            data = {**data, "within": within}
        self.say(log.source, log.slot, said[: logs.SHORT], at=at, **data)

    def own_up(self, log: Log, now: float) -> None:
        """Say how many lines were dropped, once there is room again."""
        if log.dropped and _has_room(log, now):
            text = f"{log.dropped} lines that mean something were dropped: more than {RATE:g} a second"
            self.say(log.source, log.slot, text, at=now, event="dropped", lines=log.dropped)
            log.dropped = 0


def _has_room(log: Log, now: float) -> bool:
    log.room = min(BURST, log.room + (now - log.filled) * RATE)
    log.filled = now
    if log.room < 1:
        return False
    log.room -= 1
    return True


def _instant(log: Log, now: float, wall: float) -> tuple[float, float]:
    """Give when a line was written, and how much earlier it may have been.

    Its own time counts, moved to the monotonic clock, if it lies where it must: between the last look that
    did not find it and this one. Else the wall clock was set in between, and only that is known.
    """
    if log.line is not None:
        try:
            at = logs.wall(log.line.stamp) - wall + now
        except ValueError:
            at = math.nan
        if log.since - AGREE <= at <= now + AGREE:
            return min(at, now), 0.0
    return now, round(now - log.since, 6) if math.isfinite(log.since) else 0.0
