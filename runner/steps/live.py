"""What running probes see right now, by the same evidence that the final judgement reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.journal.events import ProbeStart
from runner.journal.samples import Recordings

if TYPE_CHECKING:
    from runner.journal.samples import ProberLog, Samples


@dataclass(frozen=True, slots=True)
class Streak:
    """Since when a series is wholly good, and how far that is known; seconds since the run's zero.

    `since` is None where the last evidence is bad, or too old to speak of now; `lasting` is the time since
    the last good request was sent.
    """

    series: str
    since: float | None
    until: float
    recover_after: float
    lasting: float = 0.0

    @property
    def length(self) -> float:
        """Seconds of unbroken good evidence."""
        return 0.0 if self.since is None else max(0.0, self.until - self.since)


def streak(name: str, samples: Samples, log: ProberLog, *, zero: float, now: float) -> Streak:
    """Give the good streak a series is in. A request still in flight ends what is known.

    `zero` is absolute, `now` relative to it, both in seconds of the prober's clock.
    """
    from runner.timeline import live

    base = round(zero * 1e9)
    known = live.streak(samples, log.stalls, now=base + round(now * 1e9))
    return Streak(
        name,
        None if known.since is None else (known.since - base) / 1e9,
        (known.until - base) / 1e9,
        samples.header["recover_after_ns"] / 1e9,
        now - (known.good - base) / 1e9,
    )


def streaks(recordings: Recordings, probes: Iterable[ProbeStart], *, zero: float, now: float) -> list[Streak]:
    """Give the streak of every series of these probes."""
    found = []
    for probe in probes:
        log = recordings.prober(probe.scenario)
        for series in probe.series:
            name = f"{probe.probe}/{series['series']}"
            samples = recordings.series(series["file"])
            if samples is None or not len(samples.n):
                found.append(
                    Streak(name, None, now, float(series.get("recover_after", 1.0)), now - began(series))
                )
            else:
                found.append(streak(name, samples, log, zero=zero, now=now))
    return found


def began(series: Mapping[str, Any]) -> float:
    """Give the instant a series began to send."""
    return float(series["t0"])


def not_good(found: Iterable[Streak], *, at_least: float | None = None) -> str | None:
    """Say which series are not good for `at_least` seconds (default: each its own `recover_after`)."""
    short = [each for each in found if each.length < (each.recover_after if at_least is None else at_least)]
    if not short:
        return None
    down = [each for each in short if each.since is None]
    worst = max(down, key=lambda each: each.lasting) if down else min(short, key=lambda each: each.length)
    more = f", and {len(short) - 1} more series" if len(short) > 1 else ""
    if worst.since is None:
        return f"probe {worst.series} has had no good answer for {worst.lasting:.1f} s{more}"
    return f"probe {worst.series} has been good for {worst.length:.1f} s only{more}"
