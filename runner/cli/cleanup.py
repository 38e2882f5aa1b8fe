"""`ftrun cleanup [RUN]`: heals and removes what a killed run left behind, by what its journal announced."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import FtrunError

if TYPE_CHECKING:
    from runner.journal.journal import Journal
    from runner.language.plan import Inventory

LIMIT = 120.0
"""Seconds that one undo may take."""


def main(argv: list[str]) -> int:
    """Undo what is pending; exit code 0 if all of it could be undone, 3 otherwise."""
    parser = ArgumentParser(
        prog="ftrun cleanup", description="Heal and remove what a killed run left behind."
    )
    parser.add_argument(
        "run",
        nargs="?",
        metavar="RUN",
        help="a run's folder or its name (default: every run with something left)",
    )
    parser.add_argument(
        "--report-dir", type=Path, default=Path("reports"), metavar="DIR", help="where runs are written"
    )
    parser.add_argument(
        "-i",
        "--inventory",
        metavar="FILE",
        help="look in a Kubernetes cluster, by the labels there, for what runs of any machine left",
    )
    from runner.cli import options

    options.add_variables(parser)
    args = parser.parse_args(argv)
    if args.inventory is not None:
        return _in_cluster(options.inventory_of(args), args.run)
    if args.extra_vars:
        parser.error("-e gives variables to the inventory of -i, and there is none")
    from runner.journal.journal import Journal

    if args.run is not None:
        return _clean(Journal.reopen(_journal(args.run, args.report_dir)), args.run)
    codes = []
    for path in sorted(args.report_dir.glob("*/journal.jsonl")):
        if path.parent.is_symlink():
            continue
        try:
            journal = Journal.reopen(path)
        except FtrunError as error:
            print(f"{path.parent.name}: left alone. {error.message}")
            continue
        codes.append(_clean(journal, path.parent.name, quiet=True))
    if not any(codes):
        print("Nothing is left of any run.")
    return max(codes, default=0)


def _in_cluster(made: Inventory, run: str | None) -> int:
    """Heal and remove what runs left in the namespaces of an inventory; whose journal is not needed."""
    import asyncio

    from runner.clusters.kubernetes.remains import clean
    from runner.clusters.kubernetes.settings import Settings

    if made.kind != "kubernetes":
        raise FtrunError(
            f"The cluster of {made.file} is {made.kind}: only journals know what runs left there.",
            help="Leave -i out.",
        )
    settings = Settings.model_validate(made.cluster)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        print(line)

    failed = asyncio.run(clean(settings, made.hosts, made.allow, run, say))
    if not said:
        print("Nothing is left of any run.")
    return 3 if failed else 0


def _journal(run: str, reports: Path) -> Path:
    for folder in (Path(run), reports / run):
        if (folder / "journal.jsonl").exists():
            return folder / "journal.jsonl"
    raise FtrunError(
        f"There is no run {run}: neither {run} nor {reports / run} holds a journal.jsonl.",
        help="Give the run's folder, or say where runs are written with --report-dir DIR.",
    )


def _clean(journal: Journal, run: str, *, quiet: bool = False) -> int:
    """Carry out what is pending in one run, the latest first; give the exit code."""
    import asyncio

    from runner.journal.events import RunStart
    from runner.journal.journal import pending

    try:
        left = pending(journal.events)
        start = journal.events[0]
        assert isinstance(start, RunStart)
        if not left:
            if not quiet:
                print(f"{run}: nothing is left of it.")
            return 0
        print(f"{run}: {len(left)} to undo")
        return asyncio.run(_undo(journal, str(start.inventory.get("kind"))))
    finally:
        journal.close()


async def _undo(journal: Journal, kind: str) -> int:
    import asyncio
    import json
    from importlib import import_module

    from runner.clusters.contract import Undo
    from runner.engine.undo import allowed
    from runner.journal.events import UndoDone
    from runner.journal.journal import pending
    from runner.journal.redaction import HIDDEN

    heal = import_module(f"runner.clusters.{kind}.cluster").heal
    code = 0
    for each in pending(journal.events):
        error = None
        try:
            if HIDDEN in json.dumps(each.arguments):
                raise FtrunError("it needs a secret, which the journal does not hold. Do it by hand")
            async with asyncio.timeout(limit := allowed(each.arguments, LIMIT)):
                await heal(Undo(each.act, each.arguments, each.says))
        except TimeoutError:
            error = f"it took longer than {limit:g} s"
        except FtrunError as failed:
            error = failed.message
        except Exception as failed:  # one that fails must not keep the others from being tried
            error = f"{type(failed).__name__}: {failed}"
        journal.append(UndoDone(undo=each.undo, error=error), durable=True)
        says = each.says or each.act
        if error is None:
            print(f"  done: {says}")
        else:
            code = 3
            sys.stderr.write(f"  could not {says}: {error}\n")
    return code
