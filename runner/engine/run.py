"""Runs a plan: every scenario in turn, signals, and the run's own first and last words in the journal."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

from runner import clock
from runner.clusters.contract import Facts
from runner.engine.bind import bind
from runner.engine.repetition import turns
from runner.engine.scenario import Production, told
from runner.engine.venue import Venue, in_order, opened, settings
from runner.errors import CannotRun, FtrunError, InvalidInput
from runner.journal.events import Interrupt, RunEnd, RunStart
from runner.journal.journal import Journal, Subscriber
from runner.journal.redaction import Secrets, hidden, hidden_in, of_environment, of_plan
from runner.language.plan import Plan

Json = Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def survey(plan: Plan, folder: Path) -> list[Facts]:
    """Read what each scenario's cluster can do, changing nothing, and bind the plan to it.

    Raises InvalidInput with everything that stands in the way.
    """
    found: list[Facts] = []
    known: list[tuple[object, Facts]] = []
    for scenario in plan.scenarios:
        chosen = settings(plan, scenario)
        facts = next((facts for other, facts in known if other == chosen), None)
        if facts is None:
            cluster = opened(plan, chosen, "check", folder)
            try:
                facts = await cluster.survey()
            finally:
                await cluster.close()
            known.append((chosen, facts))
        found.append(facts)
    if problems := bind(plan, found):
        raise InvalidInput(problems)
    return found


def known(plan: Plan) -> Secrets:
    """Give what is secret: what plan and environment name so."""
    return Secrets((*of_plan(plan), *of_environment(os.environ)))


async def perform(
    plan: Plan,
    folder: Path,
    *,
    argv: Sequence[str] = (),
    options: Mapping[str, Json] | None = None,
    sources: Mapping[str, Json] | None = None,
    retry_unknown: int = 0,
    secrets: Secrets | None = None,
    hear: Sequence[Subscriber] = (),
    leave: Callable[[], None] = lambda: os._exit(2),
) -> Journal:
    """Run everything, journalled in `folder`, whose name is the run's id; give the journal, closed.

    `options` are what the command line chose, `sources` where the files are kept, both to be journalled. A
    scenario that comes out unknown is run again, up to `retry_unknown` times; and once on a new
    cluster where another had used its cluster and it was held up before its first fault. What is `known`
    to be secret is hidden in all that is written; `secrets` are that, where the caller has asked already.

    The first SIGINT or SIGTERM unwinds, the second calls `leave`. Raises CannotRun where the journal could
    not be written to its end; everything is undone then, too.
    """
    loop = asyncio.get_running_loop()
    zero = loop.time()
    secrets = known(plan) if secrets is None else secrets
    journal = Journal.create(folder / "journal.jsonl", zero, now=loop.time, secrets=secrets)
    try:
        for each in hear:
            journal.subscribe(each)
        journal.append(
            _start(plan, folder.name, zero, argv=argv, options=options or {}, sources=sources or {})
        )
        working = asyncio.create_task(_every(plan, folder, journal, retry_unknown))
        with _signals(working, journal, leave):
            end = await _ended(working)
        journal.append(end)
    finally:
        journal.close()
    if journal.broken:
        raise CannotRun(
            "The journal could not be written to its end, so nothing can be said of this run. "
            "What it had broken was put back.",
            help="Make room on the disk, or choose another place with --report-dir.",
        )
    return journal


def _start(
    plan: Plan,
    run: str,
    zero: float,
    *,
    argv: Sequence[str],
    options: Mapping[str, Json],
    sources: Mapping[str, Json],
) -> RunStart:
    inventory = plan.inventory
    return RunStart(
        run=run,
        ftrun=version("ftrun"),
        wall=clock.wall(),
        monotonic=zero,
        boot_id=clock.boot_id(),
        time_namespace=clock.time_namespace(),
        argv=tuple(map(hidden, argv)),
        seed=plan.seed,
        machine={
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cpus": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        },
        inventory={
            "name": inventory.name,
            "file": inventory.file,
            "kind": inventory.kind,
            "cluster": hidden_in(dict(inventory.cluster)),
            "allow": list(inventory.allow),
        },
        options=hidden_in(dict(options)),
        sources=sources,
    )


async def _every(plan: Plan, folder: Path, journal: Journal, retry_unknown: int) -> None:
    plan = in_order(plan)
    venue = Venue(plan, journal, folder.name, folder)
    every = turns(plan)
    following = [*(turn.scenario for turn in every[1:]), None]
    number = 0
    try:
        for turn, scenario in zip(every, following, strict=True):
            for attempt in count(1):
                production = Production(
                    number=number,
                    turn=turn,
                    attempt=attempt,
                    last=attempt > retry_unknown,
                    following=scenario,
                    plan=plan,
                    venue=venue,
                    journal=journal,
                    folder=folder,
                    run=folder.name,
                )
                number += 1
                await production.perform()
                if journal.broken:
                    return
                if not production.again:
                    break
    finally:
        await venue.leave()


async def _ended(working: asyncio.Task[None]) -> RunEnd:
    """Wait for the work; give the last line of the journal."""
    try:
        await working
    except asyncio.CancelledError:
        return RunEnd(state="interrupted", message="The run was interrupted.")
    except FtrunError as error:
        return RunEnd(state="error", message=told(error))
    except Exception as error:
        if os.environ.get("FTRUN_TRACEBACK"):
            raise
        return RunEnd(state="error", message=f"This is a bug of ftrun: {type(error).__name__}: {error}")
    return RunEnd(state="finished")


@contextmanager
def _signals(working: asyncio.Task[None], journal: Journal, leave: Callable[[], None]) -> Iterator[None]:
    """Unwind at the first signal, leave at the second."""
    loop = asyncio.get_running_loop()
    heard: list[signal.Signals] = []

    def hear(number: signal.Signals) -> None:
        heard.append(number)
        if len(heard) > 1:
            leave()
            return
        working.cancel()
        try:
            journal.append(Interrupt(signal=number.name))
        except FtrunError as error:
            sys.stderr.write(f"ftrun: {error.message}\n")

    for number in SIGNALS:
        loop.add_signal_handler(number, hear, number)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
