"""`ftrun report RUN`: make the reports of a run again, from its journal and samples alone."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path

from runner.errors import InvalidInput, Problem

JOURNAL = "journal.jsonl"


def main(argv: list[str]) -> int:
    """Write run.json, junit.xml and report.html, show the recap, and give the run's own exit code."""
    parser = ArgumentParser(
        prog="ftrun report",
        description="Make the reports of a run again, byte for byte, from its journal and samples alone. "
        "Also for a run that was killed.",
        epilog="The exit code is that of the run: 0 passed, 1 failed, 2 interrupted, 3 unknown; "
        "it is 4 where there is no such run.",
    )
    parser.add_argument("run", metavar="RUN", help="a run's folder, its id, or `latest`")
    parser.add_argument(
        "--report-dir", default="reports", metavar="DIR", help="where runs are (default: reports)"
    )
    args = parser.parse_args(argv)
    folder = find(args.run, Path(args.report_dir))

    from runner.journal.journal import read
    from runner.journal.samples import Recordings
    from runner.reports.terminal import Style, recap
    from runner.reports.write import write
    from runner.timeline.fold import fold

    run = fold(read(folder / JOURNAL), Recordings(folder))
    write(run, folder)
    sys.stdout.write(recap(run, str(folder / "report.html"), Style(sys.stdout.isatty())))
    return run.exit_code


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
