"""How well outages are found: `python -m tests.benchmarks.outages --minutes 10`.

A server goes down at known times (tests/truth); this prints what was found of it, half of the time with the
settings of the benchmark and half with ftrun's defaults; then the server stays up as long again. Exit code 1
if an outage is missed, a truth lies outside its bracket, or a window is no outage.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from tests.truth.outages import Finding, Settings, compare, record, schedule, wrong
from tests.truth.server import KINDS

FAST = Settings(rate=100, slow_after=0.1, blind_after=0.1)
DEFAULT = Settings(rate=20)


def table(findings: list[Finding], rate: int) -> str:
    """Give one line a kind: how many, found, and errors of edges in periods (median, max)."""
    lines = [
        f"{'kind':<12}{'connection':<12}{'outages':>8}{'due':>6}{'found':>7}{'inside':>8}   start p50/max    end p50/max"
    ]
    for kind in KINDS:
        for connection in ("new", "reused"):
            group = [f for f in findings if f.outage.kind == kind and f.connection == connection]
            due = [f for f in group if f.due]
            starts = [f.start_error * rate for f in due if f.start_error is not None]
            ends = [f.end_error * rate for f in due if f.end_error is not None]
            lines.append(
                f"{kind:<12}{connection:<12}{len(group):>8}{len(due):>6}{sum(f.windows == 1 for f in due):>7}"
                f"{sum(f.inside is True for f in due):>8}   {spread(starts)}  {spread(ends)}"
            )
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """Give median and maximum."""
    return f"{statistics.median(values):6.2f}/{max(values):6.2f}" if values else f"{'-':>13}"


def run(title: str, settings: Settings, outages: list[dict[str, float | str]], quiet: float = 0.0) -> bool:
    """Record, compare, print; give whether all is as it must be."""
    with tempfile.TemporaryDirectory() as folder:
        recording = record(Path(folder), outages, settings, quiet=quiet)
    findings, false = compare(recording)
    problems = wrong(findings, false)
    print(f"{title}; {len(outages)} outages, edges in periods of {1000 / settings.rate:g} ms")
    if findings:
        print(table(findings, settings.rate))
    print(
        f"false windows: {len(false)}; stalls of the prober: {len(recording.log.stalls)}; "
        f"pauses of the server: {len(recording.hiccups)}"
    )
    print(*(f"WRONG: {problem}" for problem in problems), "", sep="\n", flush=True)
    return not problems


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=2.0, help="how long with outages, and again without")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    seconds = options.minutes * 60
    right = [
        run("100/s, slow after 100 ms", FAST, schedule(seconds / 2, options.seed)),
        run("defaults (20/s, timeout 2 s)", DEFAULT, schedule(seconds / 2, options.seed + 1)),
        run("100/s, slow after 100 ms, always up", FAST, [], quiet=seconds),
    ]
    return 0 if all(right) else 1


if __name__ == "__main__":
    raise SystemExit(main())
