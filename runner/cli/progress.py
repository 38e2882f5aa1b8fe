"""What is seen and kept of a run while it goes: lines on the terminal, diagnostics in run.log."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from runner.cli.guard import hush
from runner.journal.events import (
    AssertMark,
    ClockPing,
    Event,
    Observation,
    ProbeStart,
    ProbeStop,
    ScenarioStart,
    StepEnd,
)
from runner.journal.journal import Subscriber
from runner.reports.terminal import Counts, Style, Telling, judged, live

if TYPE_CHECKING:
    from runner.journal.redaction import Secrets
    from runner.timeline.live import Tally

EVERY = 0.5
"""Seconds between two live lines."""
PINGS = 10
"""So many of the last pings tell well enough what another clock shows."""


def style(out: TextIO) -> Style:
    """Give colours to a terminal whose user has not asked for none."""
    return Style(colour=out.isatty() and not os.environ.get("NO_COLOR"))


class Progress:
    """Writes lines as events come; on a terminal a live line of the probes stands below them."""

    def __init__(self, folder: Path, out: TextIO) -> None:
        self._folder = folder
        self._out = out
        self._live = out.isatty()
        self._style = style(out)
        self._telling = Telling(style=self._style, announce=not self._live)
        self._events: list[Event] = []
        self._marks: set[str] = set()
        self._probes: dict[str, ProbeStart] = {}
        self._pings: deque[ClockPing] = deque(maxlen=PINGS)
        self._settled: dict[str, tuple[int, Tally]] = {}
        """By sample file, how far its requests are counted for good, and what was counted."""

    def hear(self, event: Event) -> None:
        """Show what an event is worth."""
        self._events.append(event)
        match event:
            case ProbeStart():
                self._probes[event.probe] = event
            case ScenarioStart():
                self._pings.clear()
            case ClockPing():
                self._pings.append(event)
            case ProbeStop():
                self._probes.pop(event.probe, None)
            case AssertMark():
                self._marks.add(event.path)
            case _:
                pass
        lines = self._telling.tell(event)
        if isinstance(event, StepEnd) and event.path in self._marks:
            self._marks.discard(event.path)
            lines += self._judged(event.path)
        if lines:
            self._show("\n".join(lines) + "\n")

    def _judged(self, path: str) -> list[str]:
        """Give the lines of an assert step's cases, as they stand now."""
        from runner.journal.samples import Recordings
        from runner.timeline.fold import assertions

        return judged(assertions(self._events, Recordings(self._folder), path), self._style)

    async def tick(self) -> None:
        """Write the live line again and again, until cancelled."""
        import asyncio

        while self._live:
            await asyncio.sleep(EVERY)
            running = next((step.name for step in reversed(self._telling.running.values())), "")
            text = live(
                self._counts(),
                asyncio.get_running_loop().time() - self._began(),
                running=running,
                width=shutil.get_terminal_size().columns - 1,
                style=self._style,
            )
            self._show(text)

    def _began(self) -> float:
        """Give the run's zero."""
        return float(getattr(self._events[0], "monotonic", 0.0)) if self._events else 0.0

    def _counts(self) -> list[Counts]:
        """Count what every running probe has seen; what can change no more is counted once."""
        from runner.journal.samples import Recordings
        from runner.timeline.clocks import Axis, pinged
        from runner.timeline.evidence import gather
        from runner.timeline.live import Tally, settled

        recordings = Recordings(self._folder)
        axis = Axis(round(self._began() * 1e9), pinged(self._pings, self._began()) or None)
        found = []
        for probe in self._probes.values():
            tallies = []
            for series in probe.series:
                since, tally = self._settled.get(series["file"], (0, Tally()))
                samples = recordings.since(series["file"], since)
                if samples is None or not len(samples.n):
                    tallies.append(tally)
                    continue
                seen = gather(samples, recordings.stalls(probe.scenario, since, probe.origin))
                until = settled(samples)
                if until > since:
                    tally = tally.grown(seen.within(since, until))
                    since = until + 1
                    self._settled[series["file"]] = since, tally
                tallies.append(tally.grown(seen.within(since, int(samples.sent[-1]))))
            there = axis.of(probe.origin)
            downs = [there.seconds(each.down) for each in tallies if each.down is not None]
            ended, bad = sum(each.ended for each in tallies), sum(each.bad for each in tallies)
            found.append(Counts(probe.probe, ended, bad, min(downs, default=None)))
        return found

    def _show(self, text: str) -> None:
        """Write in place of the live line. Where nobody reads any more, the run goes on all the same."""
        try:
            self._out.write(("\r\x1b[K" if self._live else "") + text)
            self._out.flush()
        except OSError:
            hush()
            self._live = False

    def end(self) -> None:
        """Take the live line away."""
        self._show("")


class _Forward(logging.Handler):
    """Hands what libraries log to ours, so that no traceback of theirs reaches the terminal."""

    def __init__(self, loggers: list[Any], secrets: Secrets) -> None:
        super().__init__(logging.WARNING)
        self._secrets = secrets
        self._loggers = loggers

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            for each in self._loggers:
                each.warning(
                    self._secrets.hide(record.getMessage()),
                    logger=record.name,
                    traceback=self._secrets.hide(_traceback(record)) or None,
                )


def _traceback(record: logging.LogRecord) -> str:
    return logging.Formatter().formatException(record.exc_info) if record.exc_info else ""


@contextmanager
def diagnostics(path: Path, secrets: Secrets, *, verbose: bool) -> Iterator[Subscriber]:
    """Keep diagnostics as JSON lines in a file, and show them where `verbose`; gives what hears events."""
    import structlog

    shared: list[Any] = [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso")]
    with path.open("a", encoding="utf-8", buffering=1) as file:
        json_lines = structlog.processors.JSONRenderer(default=str)
        loggers = [structlog.wrap_logger(structlog.WriteLogger(file), processors=[*shared, json_lines])]
        if verbose:
            readable = structlog.dev.ConsoleRenderer(colors=style(sys.stderr).colour)
            loggers.append(
                structlog.wrap_logger(structlog.WriteLogger(sys.stderr), processors=[*shared, readable])
            )
        forward = _Forward(loggers, secrets)
        logging.getLogger().addHandler(forward)

        def hear(event: Event) -> None:
            if isinstance(event, Observation):
                return
            said = {
                name: value
                for name in (
                    "path",
                    "step",
                    "state",
                    "message",
                    "probe",
                    "fault",
                    "text",
                    "slot",
                    "says",
                    "error",
                )
                if (value := getattr(event, name, None)) not in (None, "")
            }
            # A full disk is the journal's to report.
            with suppress(OSError):
                for each in loggers:
                    each.info(event.kind, seq=event.seq, t=event.t, **said)

        try:
            yield hear
        finally:
            logging.getLogger().removeHandler(forward)
