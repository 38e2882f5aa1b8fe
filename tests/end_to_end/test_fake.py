"""The built-in scenarios on the fake cluster: text to verdict, every part but Ray, in no time at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.cli.options import Settings
from runner.engine.run import perform, survey
from runner.journal.journal import read
from runner.journal.samples import Recordings
from runner.language.compiler import compile_files
from runner.language.pack import Disk
from runner.language.text import LIMIT
from runner.reports.write import write
from runner.steps.catalogue import catalogue
from runner.timeline.fold import fold
from runner.timeline.run import Run, Verdict

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def performed(name: str, folder: Path, *variables: str) -> Run:
    """Run a built-in scenario on a fake cluster; give what its folder says."""
    inventory = folder / "fake.yaml"
    inventory.write_text("cluster: {kind: fake}\n")
    plan = compile_files(
        [name],
        source=Disk(LIMIT),
        catalogue=catalogue(),
        clusters=Settings(),
        inventory=str(inventory),
        extra_vars=variables,
        seed=1,
    )
    await survey(plan, folder)
    run_folder = folder / "run"
    run_folder.mkdir()
    await perform(plan, run_folder)
    run = fold(read(run_folder / "journal.jsonl"), Recordings(run_folder))
    write(run, run_folder)
    return run


def verdicts(run: Run) -> dict[str, Verdict]:
    return {each.name: each.verdict for scenario in run.scenarios for each in scenario.assertions}


@pytest.mark.parametrize("name", ["head_node", "worker_node", "replica"])
async def test_its_claims_hold(name: str, tmp_path: Path) -> None:
    run = await performed(name, tmp_path)
    assert set(verdicts(run).values()) == {Verdict.PASS}
    assert (run.state, run.exit_code) == ("finished", 0)
    [fault] = run.scenarios[0].faults
    assert fault.confirmed
    assert fault.injected is not None
    assert fault.recovered is not None


async def test_the_heads_window_is_the_time_it_was_down(tmp_path: Path) -> None:
    run = await performed("head_node", tmp_path)
    [fault] = run.scenarios[0].faults
    [head] = [probe for probe in run.scenarios[0].probes if probe.name == "head"]
    [series] = head.series
    [window] = series.windows
    assert fault.injected is not None
    assert window.end is not None
    assert window.start.earliest <= fault.injected <= window.start.latest
    assert window.end.earliest <= fault.injected + 5 <= window.end.latest
    assert window.shortest <= 5 <= window.longest
    assert series.blind == ()


async def test_without_fault_tolerance_the_same_scenario_fails(tmp_path: Path) -> None:
    run = await performed("head_node", tmp_path, "gcs=none")
    assert run.exit_code == 1
    assert verdicts(run)["workers keep serving"] == Verdict.FAIL
    assert verdicts(run)["updates work again"] == Verdict.PASS
