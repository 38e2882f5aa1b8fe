from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from runner.cli.main import main
from runner.journal import events
from runner.journal.journal import Journal
from runner.journal.samples import HEADER_BYTES, MAGIC, RECORD, Outcome

ZERO = 1000.0
PERIOD = 50_000_000
REPORTS = ("run.json", "junit.xml", "report.html")
SERIES = {
    "series": "service/new",
    "endpoint": "service",
    "role": "service",
    "connection": "new",
    "simulated": False,
    "url": "http://127.0.0.1:8000/",
    "rate": 20.0,
    "file": "samples/0/users.service.new.samples",
    "t0": 1.0,
    "period": 0.05,
    "timeout": 2.0,
    "slow_after": 0.5,
    "blind_after": 0.1,
    "recover_after": 1.0,
    "identity": None,
}


def record_samples(folder: Path) -> None:
    """Twenty seconds of a service that refuses from 9 s to 11 s of the run."""
    header = {
        "run": folder.name, "probe": "users", "series": "service/new", "endpoint": "service", "connection": "new",
        "t0_ns": round((ZERO + 1) * 1e9), "period_ns": [PERIOD, 1], "timeout_ns": 2 * 10**9,
        "slow_after_ns": 5 * 10**8, "blind_after_ns": 10**8, "recover_after_ns": 10**9,
        "expect": {"status": [[200, 299]], "body": None}, "boot_id": "", "time_namespace": "", "prober_sha256": "",
        "record": [],
    }  # fmt: skip
    records = np.zeros(400, RECORD)
    records["n"] = np.arange(400)
    records["late"] = 90
    records["took"] = 4000
    records["status"] = 200
    records["outcome"] = Outcome.OK
    down = slice(160, 200)
    records["outcome"][down] = Outcome.REFUSED
    records["status"][down] = 0
    file = folder / SERIES["file"]
    file.parent.mkdir(parents=True)
    head = (MAGIC + json.dumps(header).encode()).ljust(HEADER_BYTES - 1) + b"\n"
    file.write_bytes(head + records.tobytes())
    stop = {"kind": "stop", "probe": "users", "at_ns": round((ZERO + 21) * 1e9)}
    (file.parent / "prober.jsonl").write_text(json.dumps(stop) + "\n", encoding="utf-8")


def record(folder: Path, limit: float = 10.0) -> Path:
    """Write a run as the engine does: its journal and its samples, and nothing else."""
    folder.mkdir(parents=True)
    record_samples(folder)
    instant = iter(range(100))
    journal = Journal.create(folder / "journal.jsonl", ZERO, now=lambda: ZERO + next(instant))
    case = {
        "name": "users barely notice",
        "file": "a.yaml",
        "line": 9,
        "probe": "users",
        "longest": {"max": limit},
    }
    step = {
        "path": "steps[0]",
        "name": "Users",
        "kind": "assert",
        "file": "a.yaml",
        "line": 8,
        "cases": [case],
    }
    for event in (
        events.RunStart(run=folder.name, ftrun="0.1.0", wall=1795355107.0, monotonic=ZERO, argv=("a.yaml",)),
        events.ScenarioStart(scenario=0, name="outage", file="a.yaml", steps=(step,)),
        events.ProbeStart(scenario=0, probe="users", series=(SERIES,)),
        events.ProbeSteady(scenario=0, probe="users", at=3.0),
        *(events.Said(scenario=0, level="info", text="waiting") for _ in range(20)),
        events.StepStart(scenario=0, path="steps[0]", name="Users", step="assert", file="a.yaml", line=8),
        events.AssertMark(scenario=0, path="steps[0]", cases=(case,), after_fault=False),
        events.StepEnd(scenario=0, path="steps[0]", state="ok"),
        events.ProbeStop(scenario=0, probe="users", at=21.0),
        events.ScenarioEnd(scenario=0, state="finished"),
        events.RunEnd(state="finished"),
    ):
        journal.append(event)
    journal.close()
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return record(tmp_path / "reports" / "2026-11-22T13-45-07")


def made(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in REPORTS}


def remove(folder: Path) -> None:
    for name in REPORTS:
        (folder / name).unlink(missing_ok=True)


def test_it_makes_the_same_reports_again_byte_for_byte(run, capsys):
    assert main(["report", str(run)]) == 0
    first, shown = made(run), capsys.readouterr().out
    remove(run)
    assert main(["report", str(run)]) == 0
    assert made(run) == first
    assert capsys.readouterr().out == shown


def test_they_do_not_depend_on_where_the_run_lies(run, tmp_path):
    main(["report", str(run)])
    first = made(run)
    other = tmp_path / "elsewhere" / run.name
    shutil.copytree(run, other)
    remove(other)
    assert main(["report", str(other)]) == 0
    assert made(other) == first


def test_they_say_what_the_samples_say(run, capsys):
    main(["report", str(run)])
    shown = capsys.readouterr().out
    found = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (window,) = found["scenarios"][0]["probes"][0]["series"][0]["windows"]
    assert window["start"]["earliest"] <= 9.0 <= window["start"]["latest"]
    assert window["end"]["earliest"] <= 11.0 <= window["end"]["latest"]
    assert "downtime 2.0" in shown
    assert f"report: {run / 'report.html'}" in shown


@pytest.mark.parametrize("name", ["2026-11-22T13-45-07", "latest"])
def test_a_run_is_named_by_its_id_or_as_the_latest(run, name):
    (run.parent / "latest").symlink_to(run.name)
    assert main(["report", name]) == 0
    assert set(made(run)) == set(REPORTS)


def test_report_dir_says_where_runs_are(tmp_path, capsys):
    folder = record(tmp_path / "mine" / "a-run")
    assert main(["report", "a-run", "--report-dir", str(tmp_path / "mine")]) == 0
    assert made(folder)


def test_output_says_where_the_reports_go(run, tmp_path, capsys):
    assert main(["report", str(run), "--output", str(tmp_path / "a" / "b")]) == 0
    assert set(made(tmp_path / "a" / "b")) == set(REPORTS)
    assert not (run / "run.json").exists()


SCENARIO = """\
name: claims
vars: {most: 1}
steps:
  - assert: [{name: claim, that: "most > 1"}]
"""


@pytest.fixture
def stored(tmp_path, monkeypatch) -> Path:
    """A real run whose one claim fails, with a variable of the command line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "claims.yaml").write_text(SCENARIO)
    (tmp_path / "fake.yaml").write_text("cluster: {kind: fake}\n")
    assert main(["claims.yaml", "-i", "fake.yaml", "-e", "most=0"]) == 1
    return (tmp_path / "reports" / "latest").resolve()


def test_a_run_is_judged_again_by_other_assertions_beside_its_own_reports(stored, tmp_path, capsys):
    first = made(stored)
    (tmp_path / "other.yaml").write_text(SCENARIO.replace("most > 1", "most == 0"))
    # The variable of the command line is taken from the journal.
    assert main(["report", "latest", "--scenario", "other.yaml"]) == 0
    other = stored.parent / f"{stored.name}-judged-by-other"
    found = json.loads((other / "run.json").read_text(encoding="utf-8"))
    assert (found["verdict"], found["judged_by"]) == ("pass", "other.yaml")
    assert "judged again by other.yaml" in capsys.readouterr().out
    again = made(other)
    assert main(["report", "latest", "--scenario", "other.yaml"]) == 0
    assert made(stored.parent / f"{stored.name}-judged-by-other-2") == again
    assert made(stored) == first


def test_it_goes_where_output_says_but_never_into_the_folder_of_a_run(stored, tmp_path, capsys):
    assert main(["report", "latest", "--scenario", "claims.yaml", "--output", "here"]) == 1
    assert set(made(tmp_path / "here")) == set(REPORTS)
    assert main(["report", "latest", "--scenario", "claims.yaml", "--output", str(stored)]) == 4
    assert "whose own reports would be overwritten" in capsys.readouterr().err


def test_a_file_that_differs_in_more_is_refused_and_nothing_is_written(stored, tmp_path, capsys):
    (tmp_path / "other.yaml").write_text(SCENARIO.replace("steps:", "steps:\n  - pause: 1s"))
    assert main(["report", "latest", "--scenario", "other.yaml"]) == 4
    told = capsys.readouterr().err
    assert "other.yaml:4:5: error[differs]: Where this `pause` stands, the run had nothing more." in told
    assert main(["report", "latest", "--scenario", "missing.yaml"]) == 4
    assert not list(stored.parent.glob("*-judged-by-*"))


def test_an_inventory_that_has_moved_is_named(stored, tmp_path, capsys):
    (tmp_path / "fake.yaml").rename(tmp_path / "moved.yaml")
    assert main(["report", "latest", "--scenario", "claims.yaml"]) == 4
    assert main(["report", "latest", "--scenario", "claims.yaml", "-i", "moved.yaml"]) == 1


def test_the_exit_code_is_that_of_the_run(tmp_path):
    folder = record(tmp_path / "failed", limit=0.5)
    assert main(["report", str(folder)]) == 1
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["exit_code"] == 1


@pytest.mark.parametrize("lines", [2, 4, 12, 27])
def test_a_run_that_was_killed_has_reports_too(run, lines, capsys):
    journal = run / "journal.jsonl"
    kept = journal.read_bytes().split(b"\n")
    # The last line is torn, and so is the last sample.
    journal.write_bytes(b"\n".join(kept[:lines]) + b"\n" + kept[lines][:20])
    samples = run / SERIES["file"]
    samples.write_bytes(samples.read_bytes()[: HEADER_BYTES + 20 * 300 + 7])
    (run / "samples" / "0" / "prober.jsonl").unlink()
    assert main(["report", str(run)]) == 3
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["state"] == "killed"
    assert "killed" in capsys.readouterr().out.lower()
    first = made(run)
    remove(run)
    main(["report", str(run)])
    assert made(run) == first


def test_a_run_that_is_not_there_is_invalid_input_and_the_others_are_named(run, capsys):
    assert main(["report", "2026-11-22T13-45-08"]) == 4
    told = capsys.readouterr().err
    assert "There is no run `2026-11-22T13-45-08`" in told
    assert run.name in told


def test_a_folder_without_runs_says_where_to_look(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", "latest"]) == 4
    assert "--report-dir" in capsys.readouterr().err


def test_a_journal_that_is_none_is_said_in_a_sentence(run, capsys):
    (run / "journal.jsonl").write_text("not a journal\n", encoding="utf-8")
    assert main(["report", str(run)]) == 3
    assert "no journal" in capsys.readouterr().err
