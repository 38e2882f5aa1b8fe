"""How well outages are found: `python -m tests.benchmarks.outages --minutes 10`.

A server goes down at known times (tests/truth); this prints what was found of it, once with the settings of
the benchmark and once with ftrun's defaults, and ends with exit code 1 if an outage is missed, a truth lies
outside its bracket, or a window is no outage.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from tests.truth.outages import Finding, Settings, compare, record, schedule, wrong
from tests.truth.server import KINDS

RUNS = {
    "100/s, slow after 100 ms, blind after 100 ms": Settings(100, 2.0, 0.1, 0.1),
    "defaults: 20/s, timeout 2 s": Settings(20),
}


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


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=2.0, help="how long, all runs together")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    failed = False
    for title, settings in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            outages = schedule(options.minutes * 60 / len(RUNS), options.seed)
            recording = record(Path(folder), outages, settings)
        findings, false = compare(recording)
        problems = wrong(findings, false)
        print(f"{title}; {len(outages)} outages, edges in periods of {1000 / settings.rate:g} ms")
        print(table(findings, settings.rate))
        print(
            f"false windows: {len(false)}; stalls of the prober: {len(recording.log.stalls)}; "
            f"pauses of the server: {len(recording.hiccups)}"
        )
        print(*(f"WRONG: {problem}" for problem in problems), "", sep="\n")
        failed |= bool(problems)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
