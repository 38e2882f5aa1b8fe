"""`ftrun report RUN`: make the reports of a run again, from its journal and samples alone."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import CannotRun, InvalidInput, Problem

if TYPE_CHECKING:
    from runner.journal.events import Event
    from runner.language.plan import Plan

JOURNAL = "journal.jsonl"


def main(argv: list[str]) -> int:
    """Write run.json and the other reports, show the recap, and give the run's own exit code."""
    parser = ArgumentParser(
        prog="ftrun report",
        description="Make the reports of a run again, byte for byte, from its journal and samples alone. "
        "Also for a run that was killed. With --scenario it is judged again, by other assertions.",
        epilog="The exit code is that of the run: 0 passed, 1 failed, 2 interrupted, 3 unknown; "
        "it is 4 where there is no such run, or where FILE differs in more than assertions.",
    )
    parser.add_argument("run", metavar="RUN", help="a run's folder, its id, or `latest`")
    parser.add_argument(
        "--report-dir", default="reports", metavar="DIR", help="where runs are (default: reports)"
    )
    parser.add_argument(
        "--scenario", metavar="FILE", help="judge the run by the assertions of this scenario file instead"
    )
    parser.add_argument(
        "-i",
        "--inventory",
        metavar="FILE",
        help="with --scenario: where the run's inventory is now (default: where it was)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="where the reports go (default: the run's folder; with --scenario a new one beside it)",
    )
    args = parser.parse_args(argv)
    folder = find(args.run, Path(args.report_dir))

    from runner.journal.journal import read
    from runner.journal.samples import Recordings
    from runner.reports.terminal import Style, recap
    from runner.reports.write import write
    from runner.timeline.fold import fold

    journal: Sequence[Event] = read(folder / JOURNAL)
    if args.scenario is not None:
        journal = _rejudged(journal, args)
    output = _output(folder, args)
    run = replace(fold(journal, Recordings(folder)), judged_by=args.scenario)
    write(run, output)
    sys.stdout.write(recap(run, str(output / "report.html"), Style(sys.stdout.isatty())))
    return run.exit_code


def _rejudged(journal: Sequence[Event], args: Namespace) -> list[Event]:
    """Give the journal with the assertions of the file, compiled as the run's own was."""
    from runner.engine.rejudge import rejudged
    from runner.journal.events import RunStart
    from runner.steps.catalogue import catalogue

    start = journal[0]
    assert isinstance(start, RunStart)
    return rejudged(journal, _plan(args, start.options, start.seed).scenarios, catalogue())


def _plan(args: Namespace, options: Mapping[str, Any], seed: int) -> Plan:
    from runner.cli.options import Settings
    from runner.language.compiler import compile_files
    from runner.language.pack import Disk
    from runner.language.text import LIMIT
    from runner.steps.catalogue import catalogue

    return compile_files(
        [args.scenario],
        source=Disk(LIMIT),
        catalogue=catalogue(),
        clusters=Settings(),
        inventory=args.inventory or options.get("inventory", "local"),
        extra_vars=options.get("variables", {}),
        app=options.get("app"),
        path=options.get("path"),
        seed=seed,
        tags=options.get("tags", ()),
        skip_tags=options.get("skip_tags", ()),
        repeat=options.get("repeat"),
    )


def _output(folder: Path, args: Namespace) -> Path:
    """Give the folder for the reports, made where need be; a run judged again keeps its own reports."""
    if args.scenario is None and args.output is None:
        return folder
    output = args.output or _beside(folder.resolve(), Path(args.scenario).stem)
    assert isinstance(output, Path)
    if args.scenario is not None and output.exists() and (output / JOURNAL).exists():
        raise InvalidInput(
            [
                Problem(
                    "output",
                    f"{output} is the folder of a run, whose own reports would be overwritten.",
                    help="choose another folder with --output",
                )
            ]
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotRun(f"The folder {output} cannot be made: {error.strerror or error}.") from error
    return output


def _beside(folder: Path, scenario: str) -> Path:
    """Give a folder beside a run's that is not there yet."""
    stem = f"{folder.name}-judged-by-{scenario}"
    number = 1
    while (output := folder.parent / (stem if number == 1 else f"{stem}-{number}")).exists():
        number += 1
    return output


def find(run: str, reports: Path) -> Path:
    """Give the folder of a run, named by its folder, its id or `latest`; raises InvalidInput without one."""
    for folder in (Path(run), reports / run):
        if (folder / JOURNAL).is_file():
            return folder
    known = sorted(path.parent.name for path in reports.glob(f"*/{JOURNAL}") if not path.parent.is_symlink())
    raise InvalidInput(
        [
            Problem(
                "no-run",
                f"There is no run `{run}`: neither {run} nor {reports / run} holds a {JOURNAL}.",
                help=f"the runs of {reports} are {', '.join(known[-5:])}"
                if known
                else f"{reports} holds no runs; say where they are with --report-dir",
            )
        ]
    )
