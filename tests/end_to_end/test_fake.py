"""The built-in scenarios on the fake cluster: text to verdict, every part but Ray, in no time at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.cli.options import Settings
from runner.engine.run import perform, survey
from runner.journal.journal import read
from runner.journal.samples import Recordings
from runner.language.compiler import compile_files
from runner.language.pack import Disk, names
from runner.language.text import LIMIT
from runner.reports.write import write
from runner.steps.catalogue import catalogue
from runner.timeline.fold import fold
from runner.timeline.run import Run, Verdict

pytestmark = [pytest.mark.looptime]


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


BEYOND = {
    "autoscaling": "it scales nothing",
    "autoscaling_without_controller": "it scales nothing, and hands in again by itself",
    "broken_update": "it constructs nothing, so that no version is broken",
    "composed_ingress": "its answers do not say who is behind the ingress",
    "controller": "it has no State API",
    "controller_no_restart": "it has no State API, and hands in again by itself",
    "controller_resubmitted": "it has no State API",
    "head_node_down": "a dead replica of its comes back without a controller",
    "head_node_without_gcs_ft": "its workers are back with the head",
    "long_requests_proxy": "each of its answers takes no time",
    "long_requests_replica": "each of its answers takes no time",
    "operator_and_head": "it has no operator",
    "proxy": "it has no State API",
    "redis_and_head": "its head comes back without Redis",
    "redis_lost": "it has no pods",
    "replica_hangs": "it runs no health checks",
    "replica_health_check": "it runs no health checks",
    "replica_health_check_options": "it runs no health checks",
    "upgrade": "it is not exchanged",
    "upgrade_long_requests": "it is not exchanged",
    "worker_host": "it has no machines",
    "worker_host_drained": "it has no machines",
    "worker_node_gone": "its replicas stay where they are",
    "worker_node_hangs": "it misses no heartbeat",
}
"""What a simulated cluster cannot show, and why."""


@pytest.mark.parametrize("name", [name for name in names("scenarios") if name not in BEYOND])
async def test_its_claims_hold(name: str, tmp_path: Path) -> None:
    run = await performed(name, tmp_path)
    assert set(verdicts(run).values()) == {Verdict.PASS}
    assert (run.state, run.exit_code) == ("finished", 0)
    for fault in run.scenarios[0].faults:
        assert fault.confirmed
        assert fault.injected is not None


async def test_what_a_fault_broke_was_seen_to_recover(tmp_path: Path) -> None:
    run = await performed("controller_and_replica", tmp_path)
    assert all(fault.recovered is not None for fault in run.scenarios[0].faults)
    assert len(run.scenarios[0].faults) == 2


def test_what_is_beyond_it_is_in_the_pack() -> None:
    assert set(BEYOND) <= set(names("scenarios"))


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
