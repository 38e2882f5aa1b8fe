"""`ftrun [run] FILE ...`: runs scenarios, shows how it goes, writes the reports."""

from __future__ import annotations

import os
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from runner.cli.options import add_selection, chosen, plan_of, positive
from runner.errors import CannotRun

if TYPE_CHECKING:
    from runner.journal.redaction import Secrets
    from runner.language.plan import Node, Plan

ROOM = 1024 * 1024
"""Bytes that must fit into the report folder before a cluster is started."""


def main(argv: list[str]) -> int:
    """Run what the options select; give the run's exit code."""
    parser = ArgumentParser(prog="ftrun run", description="Run scenarios against a cluster.")
    add_selection(parser)
    parser.add_argument(
        "--report-dir", type=Path, default=Path("reports"), metavar="DIR", help="where runs are written"
    )
    parser.add_argument(
        "--retry-unknown",
        type=positive,
        default=0,
        metavar="N",
        help="run again what came out unknown, N times at most; never what failed",
    )
    parser.add_argument("--check", action="store_true", help="look at the cluster too, but change nothing")
    parser.add_argument("--list-steps", action="store_true", help="print the steps and stop")
    parser.add_argument("-v", "--verbose", action="store_true", help="show ftrun's own diagnostics")
    args = parser.parse_args(argv)
    plan = plan_of(args)
    if args.list_steps:
        _list(plan)
        return 0
    if args.check:
        return _check(plan, args.report_dir)
    return _run(plan, args, argv)


def _list(plan: Plan) -> None:
    from runner.engine.repetition import of_scenario

    for scenario in plan.scenarios:
        print(f"{scenario.name} ({scenario.file})")
        if scenario.repeat is not None:
            delays = ", ".join(f"{turn.delay:.2f} s" for turn in of_scenario(scenario, plan.seed))
            times = "once" if scenario.repeat == 1 else f"{scenario.repeat} times"
            print(f"  {times}; with seed {plan.seed} its first fault is delayed by {delays}")
        _list_nodes(scenario.steps, "  ")


def _list_nodes(nodes: Sequence[Node], indent: str) -> None:
    from runner.language.plan import Block

    for node in nodes:
        name = node.modifiers.name
        if isinstance(node, Block):
            print(f"{indent}block{f': {name}' if name else ''}")
            for word, inner in (("", node.block), ("rescue", node.rescue), ("always", node.always)):
                if word and inner:
                    print(f"{indent}{word}")
                _list_nodes(inner, indent + "  ")
        else:
            print(f"{indent}{node.kind}{f': {name}' if name else ''}")


def _check(plan: Plan, reports: Path) -> int:
    import asyncio

    from runner.engine.run import survey

    print("Only checking: nothing will be changed.")
    for scenario, facts in zip(plan.scenarios, asyncio.run(survey(plan, reports)), strict=True):
        can = ", ".join(sorted(facts.capabilities))
        print(f"  {scenario.name}: can run here ({plan.inventory.kind}: {can})")
        if missing := [each for each in scenario.requires if each not in facts.capabilities]:
            print(f"    will be skipped: it requires {', '.join(missing)}")
        for each in facts.cannot:
            print(f"    will be skipped: {each}")
    print("Only checked: nothing was changed.")
    return 0


def _run(plan: Plan, args: Namespace, argv: list[str]) -> int:
    import asyncio

    from runner.engine.run import known, perform, survey
    from runner.journal.journal import read
    from runner.journal.samples import Recordings
    from runner.reports.write import write
    from runner.timeline.fold import fold

    async def work() -> Path:
        await survey(plan, args.report_dir)
        folder = made(args.report_dir, Path(plan.scenarios[0].file).stem)
        latest(folder)
        secrets = known(plan)
        sources = kept(plan, folder, secrets)
        from runner.cli.progress import Progress, diagnostics

        progress = Progress(folder, sys.stdout)

        def leave() -> NoReturn:
            progress.end()
            sys.stderr.write(f"ftrun: leaving at once. To put back what was broken: ftrun cleanup {folder}\n")
            sys.stderr.flush()
            os._exit(2)

        with diagnostics(folder / "run.log", secrets, verbose=args.verbose) as log:
            ticking = asyncio.create_task(progress.tick())
            try:
                await perform(
                    plan,
                    folder,
                    argv=argv,
                    options={**chosen(args), "variables": dict(plan.variables)},
                    sources=sources,
                    retry_unknown=args.retry_unknown,
                    secrets=secrets,
                    hear=(log, progress.hear),
                    leave=leave,
                )
            finally:
                ticking.cancel()
                progress.end()
        return folder

    folder = asyncio.run(work())
    # Judged by what stands in the folder, so that `ftrun report` gives the same again.
    run = fold(read(folder / "journal.jsonl"), Recordings(folder))
    write(run, folder)
    from runner.cli.progress import style
    from runner.reports.terminal import recap

    _add_to_summary_of_job(folder)

    sys.stdout.write(recap(run, str(folder / "report.html"), style(sys.stdout)))
    return run.exit_code


def _add_to_summary_of_job(folder: Path) -> None:
    """Append the summary to that of a job on GitHub, where ftrun runs in one; a run does not fail for it."""
    place = os.environ.get("GITHUB_STEP_SUMMARY")
    if place:
        try:
            with open(place, "ab") as file:
                file.write((folder / "summary.md").read_bytes() + b"\n")
        except OSError as error:
            sys.stderr.write(f"ftrun: GITHUB_STEP_SUMMARY was not written: {error}\n")


def made(reports: Path, name: str) -> Path:
    """Make the folder of a new run, named by the time and what it runs; raises CannotRun where it cannot."""
    import time

    from runner import clock

    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(clock.wall()))
    stem = f"{stamp}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}"
    try:
        reports.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            folder = reports / (stem if number == 1 else f"{stem}-{number}")
            try:
                folder.mkdir()
                break
            except FileExistsError:
                number += 1
        trial = folder / ".trial"
        try:
            with trial.open("wb") as file:
                file.write(bytes(ROOM))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            trial.unlink(missing_ok=True)
            folder.rmdir()
            raise
        trial.unlink()
    except OSError as error:
        raise CannotRun(
            f"The report folder {reports} cannot be written: {error.strerror or error}. Nothing was started.",
            help="Choose another place with --report-dir DIR.",
        ) from error
    return folder


def kept(plan: Plan, folder: Path, secrets: Secrets) -> dict[str, object]:
    """Keep what the run is made of in its folder: files, applications, what is installed; give the places."""
    from importlib.metadata import distributions

    from runner.journal import sources
    from runner.language import pack

    files = dict(plan.sources)
    for scenario in plan.scenarios:
        for app in (scenario.app, *scenario.apps.values()):
            if app is not None and app.folder is not None:
                module = re.split(r"[:.](?=\w+$)", str(app.config["import_path"]))[0]
                for path in sources.code(app.folder, module):
                    files[path] = Path(path).read_bytes()
    there = {f"{each.name}=={each.version}" for each in distributions()}
    (folder / "versions.txt").write_text("".join(f"{each}\n" for each in sorted(there, key=str.lower)))
    return sources.keep(files, folder, secrets, here=Path.cwd(), pack=pack.folder("scenarios").parent)


def latest(folder: Path) -> None:
    """Let `latest` beside the run's folder point to it, unless that is something of the user's own."""
    link = folder.parent / "latest"
    if link.exists() and not link.is_symlink():
        return
    draft = folder.parent / f".latest-{os.getpid()}"
    draft.symlink_to(folder.name)
    os.replace(draft, link)
