"""Whole runs on real Ray clusters: each layout, each kind of GCS fault tolerance, and what they must say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.command import ROOT, Finished, assertions, ftrun, series

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1200)]


def on_this_machine(tmp_path: Path, *arguments: str, layout: str) -> Finished:
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(f"cluster: {{kind: local, layout: {layout}}}\n")
    reports = tmp_path / "reports"
    finished = ftrun(
        *arguments, "-i", str(inventory), "--report-dir", str(reports), cwd=ROOT, reports=reports
    )
    print(finished.output)
    assert finished.left == []
    assert finished.run["scenarios"][0]["cluster"]["layout"] == layout
    return finished


def test_workers_keep_serving_while_the_head_is_down(tmp_path: Path) -> None:
    finished = on_this_machine(tmp_path, "scenarios/head_node.yaml", layout="namespaces")
    assert finished.exit_code == 0
    run = finished.run
    assert [(each["series"], each["failed"]) for each in series(run, "workers")] == [
        ("worker-1/new", 0),
        ("worker-1/reused", 0),
        ("worker-2/new", 0),
        ("worker-2/reused", 0),
    ]
    (head,) = series(run, "head")
    assert len(head["windows"]) == 1
    window = head["windows"][0]
    fault = run["scenarios"][0]["faults"][0]
    assert window["start"]["earliest"] <= fault["injected"] + 0.1
    assert window["start"]["latest"] >= fault["injected"]
    assert window["end"]["latest"] <= fault["recovered"]
    assert 2.0 < window["shortest"] <= window["longest"] < 90
    for file in ("junit.xml", "report.html", "journal.jsonl", "run.log"):
        assert (finished.folder / file).stat().st_size > 0


def test_embedded_storage_on_loopback_addresses_keeps_the_workers_serving(tmp_path: Path) -> None:
    finished = on_this_machine(tmp_path, "scenarios/head_node.yaml", "-e", "gcs=rocksdb", layout="loopback")
    assert finished.exit_code == 0
    assert sum(each["failed"] for each in series(finished.run, "workers")) == 0


def test_without_gcs_fault_tolerance_the_same_scenario_fails_and_says_why(tmp_path: Path) -> None:
    finished = on_this_machine(tmp_path, "scenarios/head_node.yaml", "-e", "gcs=none", layout="namespaces")
    assert finished.exit_code == 1
    run = finished.run
    assert run["verdict"] == "fail"
    assert sum(each["failed"] for each in series(run, "workers")) > 0
    verdicts = assertions(run)
    assert verdicts["workers keep serving"] == "fail"
    assert verdicts["same replicas"] != "pass"
    assert "workers keep serving" in finished.output


def test_replica_and_worker_node_scenarios_share_a_cluster_and_pass(tmp_path: Path) -> None:
    finished = on_this_machine(
        tmp_path, "scenarios/replica.yaml", "scenarios/worker_node.yaml", layout="namespaces"
    )
    assert finished.exit_code == 0
    assert [scenario["verdict"] for scenario in finished.run["scenarios"]] == ["pass", "pass"]
