"""What observing a cluster does to the latency of its users: `python -m tests.benchmarks.observing`.

One real Ray cluster under steady load, observed in every other block of time. The blocks go there and back
(without, with, with, without), so that what drifts falls on both alike. A percentile is said to move if the blocks
with observation and those without differ by more than blocks of one kind differ among themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import numpy as np

from runner.clusters.contract import Cluster, Context
from runner.clusters.local.cluster import open_cluster
from runner.clusters.local.settings import Settings
from runner.engine.watch import watch
from runner.journal.journal import Journal
from runner.journal.samples import Outcome, read_samples
from runner.language.plan import Expectation, Position, ProbeSpec
from runner.probes.session import Session
from runner.steps.scene import Scene
from tests.clusters.local.application import sleepy

QUANTILES = (50, 90, 99)


def spec(name: str, rate: float) -> ProbeSpec:
    """Give a probe of the service with new connections."""
    return ProbeSpec(
        name=name,
        endpoint="service",
        connections=("new",),
        path="/",
        method="GET",
        headers={},
        body=None,
        rate=rate,
        timeout=2.0,
        slow_after=0.5,
        blind_after=0.2,
        recover_after=1.0,
        max_in_flight=100,
        expect=Expectation(),
        identity=None,
        position=Position("observing", 1, 1),
    )


async def running(cluster: Cluster) -> None:
    """Return once every replica runs."""
    async with aclosing(cluster.observe()) as said:
        async for saying in said:
            rows = (saying.document or {}).get("replicas", ())
            if rows and all(row["state"] == "RUNNING" for row in rows):
                return


async def block(
    number: int, cluster: Cluster, folder: Path, options: argparse.Namespace, *, observed: bool
) -> np.ndarray:
    """Probe for a while; give the latencies in milliseconds of the right answers."""
    loop = asyncio.get_running_loop()
    zero = loop.time()
    journal = Journal.create(folder / f"journal-{number}.jsonl", zero, now=loop.time)
    watching = asyncio.create_task(watch(number, cluster, journal, Scene())) if observed else None
    try:
        await asyncio.sleep(options.settle)
        session = await Session.open(cluster, folder, scenario=number, run="observing", zero=zero)
        (series,) = await session.start(spec("users", options.rate), (await cluster.survey()).endpoints)
        await asyncio.sleep(options.seconds)
        await session.stop("users")
        await session.close()
    finally:
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        journal.close()
    samples = read_samples(folder / series["file"])
    return np.asarray((samples.done - samples.due)[samples.outcome == Outcome.OK] / 1e6)


def told(name: str, blocks: Sequence[np.ndarray]) -> list[list[float]]:
    """Print what each block of a kind gave; give its percentiles, a row a block."""
    rows = [[float(np.percentile(each, q)) for q in QUANTILES] for each in blocks]
    print(
        f"{name:<9}{sum(map(len, blocks)):>8}",
        *(f"{statistics.median(column):>10.2f}" for column in zip(*rows, strict=True)),
    )
    return rows


async def measured(options: argparse.Namespace) -> None:
    """Run the blocks, and print the comparison."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        cluster = open_cluster(Settings(), Context("observing", folder, 1))
        try:
            await cluster.start()
            await cluster.deploy((sleepy(folder / "code"),))
            async with asyncio.timeout(120):
                await running(cluster)
            kinds = [number % 4 in (1, 2) for number in range(options.blocks)]
            # The first one warms up: it is not counted.
            await block(len(kinds), cluster, folder, options, observed=False)
            found = [
                await block(number, cluster, folder, options, observed=observed)
                for number, observed in enumerate(kinds)
            ]
        finally:
            await cluster.close()
    print(f"{'':<9}{'answers':>8}", *(f"{f'p{q} ms':>10}" for q in QUANTILES))
    without = told("without", [each for each, observed in zip(found, kinds, strict=True) if not observed])
    with_ = told("with", [each for each, observed in zip(found, kinds, strict=True) if observed])
    for at, quantile in enumerate(QUANTILES):
        one, other = [row[at] for row in without], [row[at] for row in with_]
        moved = statistics.median(other) / statistics.median(one)
        spread = max(max(each) / min(each) for each in (one, other))
        print(f"p{quantile}: with/without {moved:.3f}; blocks of one kind differ by up to {spread:.3f}")


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=20.0, help="a block")
    parser.add_argument("--settle", type=float, default=3.0, help="before a block")
    parser.add_argument("--blocks", type=int, default=12)
    asyncio.run(measured(parser.parse_args()))


if __name__ == "__main__":
    main()
