"""A million samples of one series: what classifying, analysing and drawing them costs.

    python tests/benchmarks/timeline.py [SAMPLES]

Prints seconds of CPU, and the ratio to one pass of numpy over the same samples (a sort of their latencies).
"""

from __future__ import annotations

import sys
import time

import numpy as np

from runner.journal.samples import Outcome, ProberLog, Samples
from runner.timeline.clocks import Axis
from runner.timeline.evidence import gather, timing
from runner.timeline.series import Track, describe


def samples_of(count: int) -> Samples:
    """Give samples at 100/s: an outage of a second each minute, a stall of 300 ms every five."""
    rng = np.random.default_rng(7)
    n = np.arange(count, dtype=np.int64)
    n = n[n % 30_000 > 30]
    due = n * 10_000_000
    sent = due + rng.integers(0, 400, len(n)) * 1000
    down = n % 6000 < 100
    done = sent + rng.integers(1000, 20_000, len(n)) * 1000
    return Samples(
        header={
            "t0_ns": 0,
            "period_ns": [10_000_000, 1],
            "timeout_ns": 2_000_000_000,
            "slow_after_ns": 500_000_000,
            "blind_after_ns": 100_000_000,
            "recover_after_ns": 1_000_000_000,
        },
        n=n,
        due=due,
        sent=sent,
        done=done,
        status=np.where(down, 503, 200).astype(np.uint16),
        who=rng.integers(1, 7, len(n)).astype(np.uint16),
        detail=np.zeros(len(n), dtype=np.uint16),
        outcome=np.where(down, Outcome.HTTP_5XX, Outcome.OK).astype(np.uint8),
        flags=np.zeros(len(n), dtype=np.uint8),
    )


def main() -> None:
    """Measure, and print a line a part."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    samples = samples_of(count)
    length = count / 100
    stalls = tuple((at * 10_000_000, at * 10_000_000 + 300_000_000) for at in range(30_000, count, 30_000))
    log = ProberLog(stalls, {index: str(index) for index in range(7)}, {}, {}, ())
    spec = {"series": "service/new"}

    def cpu(work) -> float:
        best = float("inf")
        for _ in range(3):
            began = time.process_time()
            work()
            best = min(best, time.process_time() - began)
        return best

    evidence = gather(samples, stalls)
    track = Track(
        spec, 0.0, (0.0, length), Axis(0), log, stopped=True, timing=timing(samples.header), evidence=evidence
    )
    baseline = cpu(lambda: np.sort(samples.done - samples.due))
    parts = {
        "classify": cpu(lambda: gather(samples, stalls)),
        "windows, blind cells, intervals": cpu(lambda: track.analyse((0.0, length))),
        "all a report says of the series, chart included": cpu(lambda: describe(track, (0.0, length))),
    }
    found = track.analyse((0.0, length))
    assert found is not None
    print(f"{len(samples.n)} samples, {len(found.windows)} windows, {len(found.blind)} blind cells")
    for name, took in parts.items():
        print(f"{took:6.3f} s of CPU, {took / baseline:5.1f} sorts: {name}")


if __name__ == "__main__":
    main()
