"""CPU and size of the reports of a million samples: `python -m tests.benchmarks.report`.

Six series, of which one is down for a while and one loses a request now and then. Nothing is timed as a test.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from runner.journal import events
from runner.journal.samples import HEADER_BYTES, MAGIC, RECORD, Outcome, Recordings

SERIES = 6
SAMPLES = 1_000_000
RATE = 100


def record(folder: Path) -> tuple[events.Event, ...]:
    """Write the sample files; give the journal that goes with them."""
    each = SAMPLES // SERIES
    length = each / RATE
    random = np.random.default_rng(1)
    series = []
    (folder / "samples" / "0").mkdir(parents=True)
    for number in range(SERIES):
        name = f"worker-{number}"
        records = np.zeros(each, RECORD)
        records["n"] = np.arange(each)
        records["late"] = random.exponential(100, each)
        records["took"] = random.lognormal(8.3, 0.5, each)
        records["status"] = 200
        records["outcome"] = Outcome.OK
        if number == 0:
            records["outcome"][each // 3 : each // 2] = Outcome.REFUSED
        if number == 1:
            records["outcome"][random.integers(0, each, 500)] = Outcome.HTTP_5XX
        header = {
            "t0_ns": 0,
            "period_ns": [10**9, RATE],
            "timeout_ns": 2 * 10**9,
            "slow_after_ns": 5 * 10**8,
            "blind_after_ns": 10**8,
            "recover_after_ns": 10**9,
        }
        file = f"samples/0/users.{name}.new.samples"
        head = (MAGIC + json.dumps(header).encode()).ljust(HEADER_BYTES - 1) + b"\n"
        (folder / file).write_bytes(head + records.tobytes())
        series.append(
            {
                "series": f"{name}/new",
                "endpoint": name,
                "role": "worker",
                "connection": "new",
                "url": "http://127.0.0.1/",
                "rate": RATE,
                "file": file,
                "t0": 0.0,
            }
        )
    stop = {"kind": "stop", "probe": "users", "at_ns": round(length * 1e9)}
    (folder / "samples" / "0" / "prober.jsonl").write_text(json.dumps(stop) + "\n", encoding="utf-8")
    case = {"name": "users", "probe": "users", "longest": {"max": 1.0}}
    return (
        events.RunStart(seq=0, run="benchmark", ftrun="0", wall=0.0, monotonic=0.0),
        events.ScenarioStart(seq=1, scenario=0, name="benchmark", file="a.yaml"),
        events.ProbeStart(seq=2, scenario=0, probe="users", series=tuple(series)),
        events.AssertMark(seq=3, t=length, scenario=0, path="steps[0]", cases=(case,)),
        events.ProbeStop(seq=4, t=length, scenario=0, probe="users", at=length),
        events.ScenarioEnd(seq=5, t=length, scenario=0, state="finished"),
        events.RunEnd(seq=6, t=length, state="finished"),
    )


def cpu(work: Callable[[], Any], times: int = 5) -> tuple[float, Any]:
    """Give the median of the CPU seconds that the work takes, and what it gave last."""
    spent = []
    for _ in range(times):
        begun = time.process_time()
        result = work()
        spent.append(time.process_time() - begun)
    return sorted(spent)[times // 2], result


def main() -> None:
    """Print a table."""
    from runner.reports import html, junit, markdown, run_json
    from runner.timeline.fold import fold

    with tempfile.TemporaryDirectory() as name:
        journal = record(Path(name))
        took, run = cpu(lambda: fold(journal, Recordings(Path(name))))
    rows = [("fold of journal and samples", took, "")]
    for title, module in (
        ("run.json", run_json),
        ("junit.xml", junit),
        ("summary.md", markdown),
        ("report.html", html),
    ):
        took, text = cpu(lambda module=module: module.render(run))
        rows.append((title, took, f"{len(text.encode()) / 1000:.0f} kB"))
    total = sum(took for _, took, _ in rows)
    print(f"{SAMPLES:,} samples, {SERIES} series, CPU after import, median of 5")
    for title, took, size in [*rows, ("all", total, "reach: 500 ms, 200 kB")]:
        print(f"{title:<30}{took * 1e3:8.1f} ms  {size}")


if __name__ == "__main__":
    main()
