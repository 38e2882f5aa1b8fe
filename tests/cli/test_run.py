"""`ftrun run` through the command: each exit code, what is written, what is said."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from pathlib import Path

import pytest

from runner.cli.main import main
from runner.journal.events import UndoPushed
from runner.journal.journal import pending, read

INVENTORY = "cluster: {kind: fake, boot: 10ms, deploy_delay: 50ms, restart_delay: 300ms}\n"
APP = "{name: app, import_path: 'app:app', deployments: [{name: D, num_replicas: 2}]}\n"
SCENARIO = """\
name: {name}
app: app.yaml
probes: {{head: {{endpoint: head, recover_after: 200ms}}}}
steps:
  - deploy:
  - probe: {{start: head, steady: 500ms}}
  - kill: {{node: head}}
    register: fault
  - wait_for: {{recovered: fault, timeout: 20s}}
  - assert: [{{name: claim, probe: head, longest: {{max: {limit}}}}}]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "i.yaml").write_text(INVENTORY)
    (tmp_path / "app.yaml").write_text(APP)
    (tmp_path / "good.yaml").write_text(SCENARIO.format(name="good", limit="5s"))
    (tmp_path / "bad.yaml").write_text(SCENARIO.format(name="bad", limit="10ms"))
    (tmp_path / "idle.yaml").write_text("name: idle\nsteps: [{pause: 10ms}]\n")
    (tmp_path / "long.yaml").write_text("name: long\nsteps: [{pause: 1h}]\n")
    (tmp_path / "exec.yaml").write_text("name: exec\nsteps: [{exec: ls}]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return tmp_path


def test_a_claim_that_holds_is_exit_0_with_all_reports(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["good.yaml", "-i", "i.yaml"]) == 0
    run = folder / "reports" / "latest"
    assert run.is_symlink()
    assert run.resolve().name.endswith("-good")
    for name in ("journal.jsonl", "run.json", "junit.xml", "report.html", "run.log"):
        assert (run / name).stat().st_size
    assert json.loads((run / "run.json").read_text())["verdict"] == "pass"
    out = capsys.readouterr().out
    assert "RECAP" in out
    assert "PASSED (exit code 0)" in out
    assert "\x1b" not in out


def test_a_claim_that_is_false_is_exit_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "bad.yaml", "-i", "i.yaml", "--report-dir", "elsewhere"]) == 1
    assert (folder / "elsewhere" / "latest" / "report.html").exists()
    assert not (folder / "reports").exists()
    assert "FAILED (exit code 1)" in capsys.readouterr().out


def test_an_interrupted_run_heals_reports_and_is_exit_2(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        while (
            not any((folder / "reports").glob("*/journal.jsonl"))
            or "step_start" not in next((folder / "reports").glob("*/journal.jsonl")).read_text()
        ):
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert main(["long.yaml", "-i", "i.yaml"]) == 2
    thread.join()
    events = read(folder / "reports" / "latest" / "journal.jsonl")
    assert any(isinstance(event, UndoPushed) for event in events)
    assert not pending(events)
    assert "exit code 2" in capsys.readouterr().out


def test_nothing_judged_is_exit_3(folder: Path) -> None:
    assert main(["idle.yaml", "-i", "i.yaml"]) == 3


def test_a_wrong_file_is_exit_4_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "wrong.yaml").write_text("name: wrong\nsteps: [{kil: {node: head}}]\n")
    assert main(["wrong.yaml", "-i", "i.yaml"]) == 4
    assert "kil" in capsys.readouterr().err
    assert not (folder / "reports").exists()


def test_what_the_inventory_does_not_allow_is_exit_4_and_nothing_is_started(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["exec.yaml", "-i", "i.yaml"]) == 4
    assert "exec.yaml:2:" in capsys.readouterr().err
    assert not (folder / "reports").exists()


def test_a_report_folder_that_cannot_be_written_is_said_before_the_cluster_starts(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "file").write_text("in the way")
    assert main(["good.yaml", "-i", "i.yaml", "--report-dir", "file"]) == 3
    captured = capsys.readouterr()
    assert "cannot be written" in captured.err
    assert "--report-dir" in captured.err
    assert captured.out == ""


def test_check_changes_nothing_and_says_so_first_and_last(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["good.yaml", "-i", "i.yaml", "--check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "nothing will be changed" in lines[0]
    assert "nothing was changed" in lines[-1]
    assert not (folder / "reports").exists()


def test_list_steps_prints_them_and_runs_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["good.yaml", "-i", "i.yaml", "--list-steps"]) == 0
    assert capsys.readouterr().out.split() == [
        "good",
        "(good.yaml)",
        "deploy",
        "probe",
        "kill",
        "wait_for",
        "assert",
    ]
    assert not (folder / "reports").exists()


def test_list_steps_shows_repetitions_and_their_delays(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = []
    for _ in range(2):
        assert main(["good.yaml", "-i", "i.yaml", "--list-steps", "--repeat", "3", "--seed", "5"]) == 0
        shown.append(capsys.readouterr().out.splitlines()[1])
    assert shown[0] == shown[1]
    assert re.fullmatch(
        r"  3 times; with seed 5 its first fault is delayed by \d\.\d\d s, \d\.\d\d s, \d\.\d\d s", shown[0]
    )


@pytest.mark.parametrize("option", ["--repeat", "--retry-unknown"])
@pytest.mark.parametrize("number", ["0", "-1", "many", "1001"])
def test_how_often_is_a_number(
    option: str, number: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["good.yaml", "-i", "i.yaml", option, number]) == 4
    assert "is not a number from 1 to 1000" in capsys.readouterr().err


def test_two_runs_of_one_second_have_two_folders(folder: Path) -> None:
    from runner.cli.run import made

    names = {made(folder / "reports", "x").name for _ in range(3)}
    assert len(names) == 3


def test_verbose_shows_diagnostics_and_run_log_holds_json_lines(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["idle.yaml", "-i", "i.yaml", "-v"]) == 3
    assert "step_start" in capsys.readouterr().err
    lines = (folder / "reports" / "latest" / "run.log").read_text().splitlines()
    assert all("event" in json.loads(line) for line in lines)


def test_a_latest_of_the_users_own_is_left_alone(folder: Path) -> None:
    (folder / "reports" / "latest").mkdir(parents=True)
    assert main(["idle.yaml", "-i", "i.yaml"]) == 3
    assert not (folder / "reports" / "latest").is_symlink()


def test_in_a_job_of_github_the_summary_is_appended_to_the_job_s(folder: Path, monkeypatch) -> None:
    place = folder / "job.md"
    place.write_text("# before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place))
    assert main(["good.yaml", "-i", "i.yaml"]) == 0
    summary = (folder / "reports" / "latest" / "summary.md").read_text()
    assert place.read_text() == f"# before\n{summary}\n"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "nowhere" / "job.md"))
    assert main(["idle.yaml", "-i", "i.yaml"]) == 3
