"""A server that goes down at known times, and a prober that may freeze: what would it have recorded?

Written from the definitions of the sample file and of sending alone; shares nothing with runner.timeline.
Instants are seconds; the samples it gives are in nanoseconds from an arbitrary origin.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import numpy as np

from runner.journal.samples import Outcome, Samples

ORIGIN = 7_000_000_000_123
"""CLOCK_MONOTONIC at second 0, in nanoseconds."""


@dataclass(frozen=True)
class Outage:
    """Down in [start, end). kind: refused, http_503, stall, blackhole. share: of so many requests one is hit."""

    start: float
    end: float
    kind: str
    share: int = 1


@dataclass(frozen=True)
class Setting:
    rate: float = 100.0
    timeout: float = 2.0
    slow_after: float = 0.5
    blind_after: float = 0.1
    recover_after: float = 1.0
    length: float = 15.0
    reused: bool = False
    service: tuple[float, float] = (0.001, 0.004)


@dataclass
class World:
    setting: Setting
    outages: list[Outage] = field(default_factory=list)
    freezes: list[tuple[float, float]] = field(default_factory=list)
    """When the prober did not run. Sorted, disjoint."""
    void: tuple[tuple[float, float], ...] = ()
    """When sockets could not be made."""
    seed: int = 0

    def record(self) -> tuple[Samples, tuple[tuple[int, int], ...]]:
        """Give the samples and the stalls (start, end) in nanoseconds."""
        luck = random.Random(self.seed)
        # The prober wakes every 20 ms; a stall reaches from the last time it woke.
        gaps = [(start - luck.uniform(0, 0.02), end) for start, end in self.freezes]
        stalls = [(start, end) for start, end in gaps if end - start > 0.05]
        rows = []
        for n in range(math.ceil(self.setting.length * self.setting.rate)):
            due = n / self.setting.rate
            sent = self.awake(due + luck.uniform(0, 0.0005))
            if sent - due > max(1 / self.setting.rate, 0.02) or sent > self.setting.length:
                continue
            outcome, done = self.ask(n, sent, stalls, luck)
            rows.append((n, due, sent, done, outcome))
        due_ns = [ORIGIN + round(row[1] * 1e9) for row in rows]
        sent_ns = [
            due + math.floor((row[2] - row[1]) * 1e6) * 1000 for due, row in zip(due_ns, rows, strict=True)
        ]
        done_ns = [
            sent + math.ceil((row[3] - row[2]) * 1e6) * 1000 for sent, row in zip(sent_ns, rows, strict=True)
        ]
        samples = table(
            self.setting, [row[0] for row in rows], due_ns, sent_ns, done_ns, [row[4] for row in rows]
        )
        return samples, tuple((nanoseconds(start), nanoseconds(end)) for start, end in stalls)

    def awake(self, at: float) -> float:
        """Give the first instant from `at` on at which the prober runs."""
        return next((end for start, end in self.freezes if start <= at < end), at)

    def ask(
        self, n: int, sent: float, stalls: list[tuple[float, float]], luck: random.Random
    ) -> tuple[Outcome, float]:
        """Send one request: how it ends, and when the prober has noticed."""
        deadline = sent + self.setting.timeout
        for start, end in stalls:
            if sent < end and start < deadline:
                deadline += end - max(start, sent)
        if any(start <= sent < end for start, end in self.void):
            return Outcome.VOID, sent + 0.0001
        outcome, done = self.serve(n, sent, luck)
        if done < deadline:
            noticed = self.awake(done)
            return outcome, noticed
        return Outcome.TIMEOUT, self.awake(deadline)

    def serve(self, n: int, sent: float, luck: random.Random) -> tuple[Outcome, float]:
        """What the server does with a request, were there no deadline."""
        work = luck.uniform(*self.setting.service)
        arrives = sent + work / 4
        hit = self.down(arrives, n)
        if hit is not None and hit.kind == "blackhole":
            # TCP sends again: the first packet of a connection after 1 s, others sooner, twice as late each time.
            wait, tries = (0.2 if self.setting.reused else 1.0), 0.0
            while (hit := self.down(arrives + tries, n)) is not None and hit.kind == "blackhole":
                tries, wait = tries + wait, wait * 2
                if tries > 100:
                    return Outcome.TIMEOUT, math.inf
            arrives += tries
            hit = self.down(arrives, n)
        match hit:
            case None:
                answers = arrives + work / 2
                frozen = self.down(answers, n)
                if frozen is not None and frozen.kind == "stall":
                    answers = frozen.end + work / 2
                return Outcome.OK, answers + work / 4
            case Outage(kind="refused"):
                return Outcome.REFUSED, arrives + work / 4
            case Outage(kind="http_503"):
                return Outcome.HTTP_5XX, arrives + work / 2
            case Outage(kind="stall"):
                return Outcome.OK, hit.end + work
            case _:
                raise ValueError(hit)

    def down(self, at: float, n: int) -> Outage | None:
        return next(
            (each for each in self.outages if each.start <= at < each.end and n % each.share == 0), None
        )


def nanoseconds(at: float) -> int:
    return ORIGIN + round(at * 1e9)


def table(setting: Setting, n, due, sent, done, outcome, who=None) -> Samples:
    """Give columns (nanoseconds) as `read_samples` would, sorted by (sent, n)."""
    order = sorted(range(len(n)), key=lambda row: (sent[row], n[row]))

    def column(values, kind):
        return np.array([values[row] for row in order], dtype=kind)

    zeros = [0] * len(n)
    return Samples(
        header={
            "t0_ns": ORIGIN,
            "period_ns": [1_000_000_000_000, round(setting.rate * 1000)],
            "timeout_ns": round(setting.timeout * 1e9),
            "slow_after_ns": round(setting.slow_after * 1e9),
            "blind_after_ns": round(setting.blind_after * 1e9),
            "recover_after_ns": round(setting.recover_after * 1e9),
        },
        n=column(n, np.int64),
        due=column(due, np.int64),
        sent=column(sent, np.int64),
        done=column(done, np.int64),
        status=column([200 if each == Outcome.OK else 0 for each in outcome], np.uint16),
        who=column(who or zeros, np.uint16),
        detail=column(zeros, np.uint16),
        outcome=column([int(each) for each in outcome], np.uint8),
        flags=column(zeros, np.uint8),
    )
