"""Whole runs on real Ray clusters: each layout, each kind of GCS fault tolerance, and what they must say."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from runner.journal.events import FaultConfirmed, FaultInjected
from runner.journal.journal import pending, read
from runner.journal.samples import read_samples
from tests.end_to_end.command import ROOT, Finished, adopt, assertions, children, ftrun, series, served_on

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


ONE_CLUSTER = ("head_node", "head_node_serving", "worker_node", "replica", "controller", "proxy")
KNOWN = {"head_node_serving", "proxy"}


@pytest.fixture(scope="module")
def one_cluster(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """What is most often asked of ftrun, in one run: bringing a cluster up takes longer than most of it."""
    files = [f"scenarios/{name}.yaml" for name in ONE_CLUSTER]
    return on_this_machine(tmp_path_factory.mktemp("one"), *files, layout="namespaces")


def test_scenarios_that_want_the_same_cluster_share_it(one_cluster: Finished) -> None:
    assert one_cluster.folder is not None
    journal = read(one_cluster.folder / "journal.jsonl")
    assert sum(event.kind == "undo_pushed" and event.act == "close_cluster" for event in journal) == 1


@pytest.mark.parametrize("name", ONE_CLUSTER)
def test_its_claims_hold_as_far_as_they_are_known_to(name: str, one_cluster: Finished) -> None:
    scenario = one_cluster.run["scenarios"][ONE_CLUSTER.index(name)]
    assert Path(scenario["file"]).stem == name
    verdicts = [each["verdict"] for each in scenario["assertions"]]
    assert set(verdicts) == ({"pass", "known"} if name in KNOWN else {"pass"})
    assert verdicts.count("known") == (name in KNOWN)
    assert one_cluster.exit_code == 0


def test_workers_keep_serving_while_the_head_is_down(one_cluster: Finished) -> None:
    run = one_cluster.run
    workers = series(run, "workers")
    assert [each["series"] for each in workers] == [
        "worker-1/new",
        "worker-1/reused",
        "worker-2/new",
        "worker-2/reused",
    ]
    assert sum(each["failed"] for each in workers) == 0
    (head,) = series(run, "head")
    assert len(head["windows"]) == 1
    window = head["windows"][0]
    fault = run["scenarios"][0]["faults"][0]
    assert one_cluster.folder is not None
    journal = read(one_cluster.folder / "journal.jsonl")
    injected = next(event for event in journal if isinstance(event, FaultInjected))
    # From the first signal to the last: on a busy machine that takes a while.
    killed = injected.evidence["acts"][0]["until"] - run["clock"]["monotonic"]
    assert window["start"]["earliest"] <= killed
    assert window["start"]["latest"] >= fault["injected"]
    assert window["end"]["latest"] <= fault["recovered"]
    assert 2.0 < window["shortest"] <= window["longest"] < 90
    explained(run["scenarios"][0])
    for file in ("junit.xml", "report.html", "journal.jsonl", "run.log"):
        assert (one_cluster.folder / file).stat().st_size > 0


def explained(scenario: dict[str, Any]) -> None:
    """Hold the recovery of a head to what its logs and its supervisor must have said."""
    (recovery,) = scenario["recoveries"]
    phases = {each["phase"]: each for each in recovery["phases"]}
    assert all(each["after"] is not None for each in phases.values()), phases
    assert phases["detection"]["source"] in ("raylet", "gcs")
    assert phases["detection"]["after"]["latest"] < phases["mitigation"]["after"]["earliest"]
    assert phases["mitigation"]["after"]["earliest"] <= phases["recovery"]["after"]["latest"]
    shares = {}
    for each in recovery["causes"]:
        shares[each["cause"]] = shares.get(each["cause"], 0.0) + each["share"]
    assert sum(shares.values()) + recovery["unexplained"] == pytest.approx(1.0)
    assert recovery["unexplained"] < 0.2
    start, end = recovery["explained"]
    assert shares["restart delay"] * (end - start) == pytest.approx(5.0, abs=1.0)
    for cause in ("head process starting", "controller actor starting", "proxy actor starting"):
        assert shares[cause] > 0.01, shares
    lanes = {each["name"]: {span["state"] for span in each["spans"]} for each in scenario["members"]}
    assert {"up", "dead", "starting"} <= lanes["head"]
    assert {"up", "unknown"} <= lanes["controller"]
    assert "dead" not in lanes["worker-1"]


def test_embedded_storage_on_loopback_addresses_keeps_the_workers_serving(tmp_path: Path) -> None:
    finished = on_this_machine(tmp_path, "scenarios/head_node.yaml", "-e", "gcs=rocksdb", layout="loopback")
    served_on(finished)


def test_without_gcs_fault_tolerance_the_claim_of_head_node_fails_and_the_report_says_why(
    tmp_path: Path,
) -> None:
    finished = on_this_machine(tmp_path, "scenarios/head_node.yaml", "-e", "gcs=none", layout="namespaces")
    assert finished.exit_code == 1
    assert finished.run["verdict"] == "fail"
    assert sum(each["failed"] for each in series(finished.run, "workers")) > 0
    verdicts = assertions(finished.run)
    assert verdicts["workers keep serving"] == "fail"
    assert verdicts["same replicas"] != "pass"
    assert "workers keep serving" in finished.output


def test_without_gcs_fault_tolerance_all_starts_anew(tmp_path: Path) -> None:
    finished = on_this_machine(tmp_path, "scenarios/head_node_without_gcs_ft.yaml", layout="namespaces")
    assert set(assertions(finished.run).values()) == {"pass"}
    assert sum(each["failed"] for each in series(finished.run, "workers")) > 0
    assert finished.exit_code == 0


def test_a_cluster_that_does_not_come_up_is_unknown_and_shows_the_end_of_its_log(tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text("cluster: {kind: local, environment: {PYTHONHOME: /nowhere}}\n")
    reports = tmp_path / "reports"
    finished = ftrun(
        "scenarios/replica.yaml",
        "-i",
        str(inventory),
        "--report-dir",
        str(reports),
        cwd=ROOT,
        reports=reports,
    )
    assert finished.exit_code == 3
    assert "No module named 'encodings'" in finished.output
    assert "Traceback" not in finished.output
    assert finished.left == []


LASTING = f"""
name: broken in every way that lasts
app: {ROOT / "scenarios/apps/sleepy_pid.yaml"}
requires: [partition, freeze, redis, power_off]
probes: {{nodes: {{endpoint: each-node}}}}
steps:
  - deploy:
  - probe: {{start: all, steady: 2s}}
  - partition: {{node: {{worker: 1}}}}
  - freeze: {{node: {{worker: 2}}}}
  - kill: {{service: redis, how: power_off}}
  - kill: {{node: head, how: power_off}}
  - pause: 10m
"""


def test_after_sigkill_in_mid_fault_nothing_runs_and_cleanup_removes_the_rest(tmp_path: Path) -> None:
    adopt()
    (tmp_path / "lasting.yaml").write_text(LASTING)
    before = set(children())
    command = [sys.executable, "-m", "runner.cli.main"]
    running = subprocess.Popen(
        [*command, str(tmp_path / "lasting.yaml"), "--report-dir", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    journal = tmp_path / "latest" / "journal.jsonl"
    while running.poll() is None and not (
        journal.exists() and journal.read_text().count('"kind":"fault_confirmed"') == 4
    ):
        time.sleep(0.5)
    assert running.poll() is None, "the run ended before its faults"
    assert all(event.confirmed for event in read(journal) if isinstance(event, FaultConfirmed))
    time.sleep(0.5)
    killed = time.monotonic_ns()
    running.kill()
    running.wait()
    until = time.monotonic() + 60
    while set(children()) - before and time.monotonic() < until:
        time.sleep(0.2)
    assert set(children()) - before == set()
    # One request a 50 ms, refused at once by the head that is off: the last that ended was sent just before,
    # as long as this busy machine lets the prober run.
    sent = [int(read_samples(file).sent.max()) for file in tmp_path.glob("latest/samples/0/*.samples")]
    assert max(sent) > killed - 2_000_000_000
    (folder,) = {
        Path(str(event.arguments["runtime"]))
        for event in read(journal)
        if event.kind == "undo_pushed" and event.act == "close_cluster"
    }
    assert folder.exists()
    # The latest first; all that it broke ends with the cluster.
    left = ["start_node", "start_service", "thaw", "link_up", "close_cluster"]
    assert [event.act for event in pending(read(journal))] == left
    cleaned = subprocess.run(
        [*command, "cleanup", "--report-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert cleaned.returncode == 0, cleaned.stdout + cleaned.stderr
    assert cleaned.stdout.count("  done: ") == len(left)
    assert pending(read(journal)) == []
    assert not folder.exists()
