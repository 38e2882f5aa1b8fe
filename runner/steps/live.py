"""What running probes see right now, by the same evidence that the final judgement reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.journal.events import ProbeStart
    from runner.journal.samples import Recordings
    from runner.timeline.clocks import Axis


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
    lost: bool = False
    """Its prober's clock and the run's cannot be joined, so that nothing is known of now."""

    @property
    def length(self) -> float:
        """Seconds of unbroken good evidence."""
        return 0.0 if self.since is None else max(0.0, self.until - self.since)


def streaks(
    recordings: Recordings,
    probes: Iterable[ProbeStart],
    *,
    axis: Axis,
    now: float,
    at_least: float | None = None,
) -> list[Streak]:
    """Give the good streak that every series of these probes is in. A request in flight ends what is known.

    `now` is in seconds since the run's zero, and `axis` tells how the clock in the cluster stands to that;
    a streak is as long as it is at least. Samples are read as far back as it takes to know one of `at_least`
    seconds (default: each its own `recover_after`); a longer one may be told shorter than it is.
    """
    return [
        _streak(recordings, probe, series, axis=axis.of(probe.origin), now=now, at_least=at_least)
        for probe in probes
        for series in probe.series
    ]


def _streak(
    recordings: Recordings,
    probe: ProbeStart,
    series: Mapping[str, Any],
    *,
    axis: Axis,
    now: float,
    at_least: float | None,
) -> Streak:
    from runner.journal.samples import WRITTEN
    from runner.timeline import live

    name = str(series["series"])
    if not name.startswith(f"{probe.probe}/"):  # a probe is often called as what it asks
        name = f"{probe.probe}/{name}"
    recover_after = float(series["recover_after"])
    enough = recover_after if at_least is None else at_least
    # Series are compared with each other: what is known of them may end this much apart.
    enough += float(series["slow_after"]) + WRITTEN / 1e9
    back = max(enough, float(series["timeout"])) + 1.0
    there = axis.instants(now)
    if there is None:
        return Streak(name, None, now, recover_after, now - began(series), lost=True)
    # At the earliest it is that late there; both ends of a streak are as uncertain as their places.
    present, slack = there[0], (there[1] - there[0]) / 1e9
    enough += slack
    while True:
        at = present - round(back * 1e9)
        whole = now - back - slack < began(series)
        samples = recordings.since(series["file"], at)
        if samples is None or (whole and not len(samples.n)):
            return Streak(name, None, now, recover_after, now - began(series))
        stalls = recordings.stalls(probe.scenario, at, probe.origin)
        known = live.streak(samples, stalls, now=present)
        reaches = back > float(series["timeout"]) + WRITTEN / 1e9 + sum(b - a for a, b in stalls) / 1e9
        if whole or (reaches and (not known.cut or known.seconds >= enough)):
            return Streak(
                name,
                None if known.since is None else _places(axis, known.since)[1],
                _places(axis, known.until)[0],
                recover_after,
                now - axis.seconds(known.good),
            )
        back *= 4


def _places(axis: Axis, at: int) -> tuple[float, float]:
    """Give the places between which an instant lies; where nothing is known of then, its best one twice."""
    return axis.places(at) or (axis.seconds(at),) * 2


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
    if worst.lost:
        return f"the clock of probe {worst.series} cannot be joined with the run's: its pings disagree{more}"
    if worst.since is None:
        return f"probe {worst.series} has had no good answer for {worst.lasting:.1f} s{more}"
    return f"probe {worst.series} has been good for {worst.length:.1f} s only{more}"
