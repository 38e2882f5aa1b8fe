"""Run the prober against the server that goes down at known times; compare what is found with the truth."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from runner.journal.samples import ProberLog, Samples, read_prober_log, read_samples
from runner.timeline.clocks import Axis, Ping, Placing
from runner.timeline.evidence import gather, timing
from runner.timeline.run import Window
from runner.timeline.windows import analyse
from tests.truth.server import KINDS

ROOT = Path(__file__).parents[2]
SERVER = Path(__file__).with_name("server.py")
PROBER = ROOT / "runner" / "probes" / "prober.py"
DELAYING = ("blackholed", "stalled", "hiccup")
"""Outages that only delay answers: they count if longer than slow_after + 2 periods."""
ROOT_THERE = () if os.geteuid() == 0 else ("--user", "--map-root-user")
ELSEWHEN = ("unshare", *ROOT_THERE, "--time", "--monotonic", "10000", "--")
"""Starts a process whose CLOCK_MONOTONIC is 10 000 s ahead."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to probe. Seconds; None for ftrun's default."""

    rate: int = 100
    timeout: float = 2.0
    slow_after: float | None = None
    blind_after: float | None = None
    recover_after: float = 1.0

    @property
    def slow(self) -> float:
        return self.timeout / 4 if self.slow_after is None else self.slow_after

    @property
    def blind(self) -> float:
        return max(2 / self.rate, 0.1) if self.blind_after is None else self.blind_after


@dataclass(frozen=True, slots=True)
class Outage:
    """A truth: nanoseconds of CLOCK_MONOTONIC."""

    kind: str
    down: int
    up: int


@dataclass(frozen=True, slots=True)
class Recording:
    """What one run left behind."""

    settings: Settings
    truth: tuple[Outage, ...]
    hiccups: tuple[Outage, ...]
    series: tuple[Samples, ...]
    log: ProberLog
    pings: tuple[Ping, ...] | None = None
    """How the prober's clock stands to that of the truth, where it is another one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a series says of one outage. Errors in seconds; None where no single window belongs to it."""

    outage: Outage
    connection: str
    due: bool
    """Begun while it was probed, long enough, asked about, not beside a blind cell: it has to be found."""
    windows: int
    start_error: float | None = None
    end_error: float | None = None
    inside: bool | None = None
    """Both edges and the length lie within their brackets."""
    note: str = ""


def schedule(seconds: float, seed: int) -> list[dict[str, float | str]]:
    """Draw outages of every kind, 50 to 5000 ms, each length as likely as its double, with up time between."""
    draw = random.Random(seed)
    outages: list[dict[str, float | str]] = []
    for kind in itertools.cycle(KINDS):
        lasts, after = 0.05 * 100 ** draw.random(), draw.uniform(2.0, 3.0)
        seconds -= lasts + after
        if seconds < 0 and len(outages) >= len(KINDS):
            return outages
        outages.append({"kind": kind, "after": after, "lasts": lasts})
    raise AssertionError


def specification(port: int, connection: str, settings: Settings) -> dict[str, object]:
    """Give the prober's specification of one series."""
    url = f"http://127.0.0.1:{port}/"
    return {
        "run": "truth",
        "probe": "truth",
        "series": f"server/{connection}",
        "endpoint": "server",
        "connection": connection,
        "url": url,
        "url_shown": url,
        "method": "GET",
        "headers": {},
        "body": None,
        "period_ns": [10**9, settings.rate],
        "timeout_ns": int(settings.timeout * 1e9),
        "slow_after_ns": int(settings.slow * 1e9),
        "blind_after_ns": int(settings.blind * 1e9),
        "recover_after_ns": int(settings.recover_after * 1e9),
        "max_in_flight": 2000,
        "expect": {"status": [[200, 299]], "body": "truth"},
        "identity": {"kind": "body"},
        "file": f"{connection}.samples",
    }


@contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process that ends with its input."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            assert child.stdin is not None
            child.stdin.close()
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()


@contextmanager
def ready(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process that ends with its input, from the line on that says that it is ready."""
    with process(*command) as child:
        assert child.stdout is not None
        assert child.stdout.readline()
        yield child


def free_port() -> int:
    """Give a port below those that the kernel gives to clients, so that nobody takes it while the server is gone."""
    while True:
        port = random.SystemRandom().randrange(20000, 30000)
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def record(
    folder: Path,
    outages: Sequence[dict[str, float | str]],
    settings: Settings,
    *,
    quiet: float = 0.0,
    before: Sequence[str] = (),
) -> Recording:
    """Let the server go down as scheduled while the prober asks it over new and reused connections.

    `quiet` seconds follow in which nothing goes down. `before` starts the prober, on another clock.
    """
    port = free_port()
    truth: list[Outage] = []
    pings: list[Ping] = []
    # The server begins at once: the prober stands ready by then.
    with (
        ready(*before, sys.executable, "-I", str(PROBER), str(folder)) as prober,
        ready(sys.executable, str(SERVER), str(port), json.dumps(list(outages))) as server,
    ):
        assert server.stdin is not None
        assert server.stdout is not None
        assert prober.stdin is not None
        assert prober.stdout is not None

        def say(**command: object) -> None:
            prober.stdin.write(json.dumps(command) + "\n")
            prober.stdin.flush()

        series = [specification(port, connection, settings) for connection in ("new", "reused")]
        say(command="start", probe="truth", series=series)
        prober.stdout.readline()
        # Long enough to let the last window close. The prober wants to hear from us every minute.
        left, number = quiet + settings.recover_after + 1, 0
        done = False
        while not done or left > 0:
            number += 1
            asked = time.monotonic_ns()
            say(command="ping", id=number)
            pong = json.loads(prober.stdout.readline())
            pings.append(Ping(asked, pong["p_ns"], time.monotonic_ns()))
            if done:
                time.sleep(min(left, 10))
                left -= 10
                continue
            said = json.loads(server.stdout.readline())
            done = "done" in said
            if not done:
                truth.append(Outage(said["kind"], said["down"], said["up"]))
        say(command="stop", probe="truth")
        prober.stdout.readline()
        # Pauses of the server after its last outage wait in the pipe until it ends.
        server.stdin.close()
        for line in server.stdout:
            said = json.loads(line)
            truth.append(Outage(said["kind"], said["down"], said["up"]))
    return Recording(
        settings,
        tuple(each for each in truth if each.kind != "hiccup"),
        tuple(each for each in truth if each.kind == "hiccup"),
        tuple(read_samples(folder / f"{connection}.samples") for connection in ("new", "reused")),
        read_prober_log(folder / "prober.jsonl"),
        tuple(pings) if before else None,
    )


def compare(recording: Recording) -> tuple[list[Finding], list[tuple[str, Window]]]:
    """Give what was found of each outage, and the windows (by connection) that belong to none."""
    findings: list[Finding] = []
    false: list[tuple[str, Window]] = []
    settings = recording.settings
    period = 1 / settings.rate
    for samples in recording.series:
        connection = samples.header["connection"]
        evidence = gather(samples, recording.log.stalls)
        t0 = int(samples.header["t0_ns"])
        scope = (t0, max(int(samples.sent[-1]), recording.log.stops["truth"]))
        found = analyse(evidence, timing(samples.header), scope=scope, zero=t0, log=recording.log)
        # From here on all is counted from t0 by the clock of the truth.
        zero = t0 + Axis(0, recording.pings).best(t0)
        axis = Axis(zero, recording.pings)
        placing = Placing(axis, t0, (-math.inf, math.inf))
        found = replace(
            found,
            windows=tuple(placing.window(each) for each in found.windows),
            blind=tuple(placing.blind(each) for each in found.blind),
        )
        sent = samples.sent + (zero - t0)
        scope = (scope[0] + (zero - t0), scope[1] + (zero - t0))
        unclaimed = list(found.windows)
        for outage in recording.truth:
            down, up = (outage.down - zero) / 1e9, (outage.up - zero) / 1e9
            limit = 2 * period + (settings.slow if outage.kind in DELAYING else 0)
            # What the server's own pauses and the prober's blindness touch proves nothing of either.
            reach = settings.slow * 1e9
            # A pause that close is one window with the outage: nothing closes it in between.
            near = reach + settings.recover_after * 1e9
            muddled = any(
                h.up - h.down > reach / 2 and h.down < outage.up + near and outage.down - near < h.up
                for h in recording.hiccups
            )
            dark = [b for b in found.blind if b.start < up + settings.slow and down - settings.slow < b.end]
            windows = [w for w in found.windows if w.start.earliest <= up and down <= _latest(w, scope, zero)]
            unclaimed = [w for w in unclaimed if w not in windows]
            # On a busy machine even a short pause of the prober can hide a short outage from it.
            late = outage.up - (reach if outage.kind in DELAYING else 0)
            asked = bool(((sent > outage.down) & (sent < late)).any())
            due = down >= 0 and up - down >= limit and asked and not muddled and not dark
            note = "hiccup" if muddled else "blind" if dark else "" if asked else "nobody asked"
            if len(windows) != 1 or windows[0].end is None:
                findings.append(Finding(outage, connection, due, len(windows), note=note))
                continue
            (window,) = windows
            assert window.end is not None
            inside = (
                window.start.earliest <= down <= window.start.latest
                and window.end.earliest <= up <= window.end.latest
                and window.shortest <= up - down <= window.longest
            )
            findings.append(
                Finding(
                    outage,
                    connection,
                    due,
                    1,
                    abs(window.start.at - down),
                    abs(window.end.at - up),
                    inside,
                    note,
                )
            )
        false += [(connection, w) for w in unclaimed if not _explained(w, recording.hiccups, scope, zero)]
    return findings, false


def _latest(window: Window, scope: tuple[int, int], zero: int) -> float:
    return window.end.latest if window.end else (scope[1] - zero) / 1e9


def _explained(window: Window, hiccups: Sequence[Outage], scope: tuple[int, int], zero: int) -> bool:
    """Whether the server itself says that it did not run then."""
    return any(
        window.start.earliest <= (h.up - zero) / 1e9 and (h.down - zero) / 1e9 <= _latest(window, scope, zero)
        for h in hiccups
    )


def wrong(findings: Sequence[Finding], false: Sequence[tuple[str, Window]]) -> list[str]:
    """Say what must not be: an outage missed or split, a truth outside its bracket, a window without outage."""
    problems = []
    for each in findings:
        lasts = (each.outage.up - each.outage.down) / 1e9
        what = f"{each.outage.kind} for {lasts:.3f} s over {each.connection} connections"
        if each.due and each.windows != 1:
            problems.append(f"{what}: {each.windows} windows instead of one")
        if each.due and each.inside is False:
            problems.append(f"{what}: the truth lies outside its bracket")
    problems += [f"a window over {connection} connections that was no outage: {w}" for connection, w in false]
    return problems
