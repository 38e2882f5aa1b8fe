"""Ground truth through the command itself: `ftrun` probes and breaks a server that writes down when it was down."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from runner.journal.events import FaultConfirmed, Interrupt, UndoDone, UndoPushed
from runner.journal.journal import read
from runner.journal.samples import Outcome, read_samples
from tests.clusters.contract import children

ROOT = Path(__file__).parents[2]
KINDS = ("refused", "http_503", "reset", "stalled", "blackholed")
LASTS = 1.2
"""Seconds: at the defaults an outage that only delays answers counts from 0.6 s on."""
BETWEEN = 2.5
RECOVER_AFTER = 1.0
"""Seconds: ftrun's default."""
PR_SET_CHILD_SUBREAPER = 36
FTRUN = (sys.executable, "-m", "runner.cli.main")


@dataclass
class Truth:
    """The server, the FIFO that tells it when to break, and the lines in which it says when it was down."""

    port: int
    fifo: Path
    file: Path

    @property
    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()[1:]]

    def tell(self, **outage: object) -> str:
        """Give the shell command that tells the server."""
        return f"echo '{json.dumps(outage)}' > {self.fifo}"


@pytest.fixture
def truth(tmp_path: Path) -> Iterator[Truth]:
    # Orphans come to this process, so that what outlives ftrun is seen.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    fifo, file = tmp_path / "fifo", tmp_path / "truth.jsonl"
    os.mkfifo(fifo)
    # Open for both, so that the server's input does not end when a command has written its line.
    held = os.open(fifo, os.O_RDWR)
    with (
        file.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-m", "tests.truth.on_command", "0"], cwd=ROOT, stdin=held, stdout=output
        ) as server,
    ):
        try:
            eventually(lambda: file.read_text().endswith("\n"))
            yield Truth(json.loads(file.read_text())["ready"], fifo, file)
        finally:
            server.kill()
            os.close(held)


def eventually(true: Callable[[], object], seconds: float = 90) -> None:
    """Wait until it is true."""
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "not within the time"
        time.sleep(0.02)


@dataclass
class Files:
    """A scenario and an inventory, written where a run finds them."""

    folder: Path
    truth: Truth
    steps: list[Any]
    commands: dict[str, dict[str, str]]
    probe: dict[str, Any] = field(default_factory=dict)

    def arguments(self) -> list[str]:
        probes = {"users": {"endpoint": "service", "connection": ["new", "reused"], **self.probe}}
        scenario = {"name": "outages", "probes": probes, "steps": self.steps}
        inventory = {
            "cluster": {"kind": "external"},
            "endpoints": {"service": f"http://127.0.0.1:{self.truth.port}"},
            "commands": self.commands,
        }
        # JSON is YAML.
        (self.folder / "scenario.yaml").write_text(json.dumps(scenario, indent=1))
        (self.folder / "inventory.yaml").write_text(json.dumps(inventory, indent=1))
        return ["scenario.yaml", "-i", "inventory.yaml", "--report-dir", "out"]


def ftrun(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*FTRUN, *arguments], cwd=folder, capture_output=True, text=True, timeout=110, check=False
    )


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command; it is killed at the end of the block."""
    with subprocess.Popen(
        [*FTRUN, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run_of(folder: Path) -> Path:
    """Give the only run's folder."""
    [run] = [each for each in (folder / "out").iterdir() if each.name != "latest"]
    return run


def reached(folder: Path, kind: type) -> bool:
    """Tell whether the only run's journal holds an event of the kind."""
    journals = list((folder / "out").glob("*/journal.jsonl")) if (folder / "out").exists() else []
    return any(f'"kind":"{kind.kind}"' in journal.read_text() for journal in journals)  # type: ignore[attr-defined]


def broken_for_users(folder: Path) -> bool:
    """Tell whether each series of the only run has a sample of what broke."""
    files = list(run_of(folder).glob("samples/*/*.samples"))
    return len(files) == 2 and all(Outcome.HTTP_5XX in read_samples(file).outcome for file in files)


def judged_by_truth(run: dict[str, Any], truth: Truth, slow_after: float) -> int:
    """Hold every window to the truth; give how many outages could be judged (the machine was not too busy)."""
    zero = run["clock"]["monotonic"]
    told = [(each["kind"], each["down"] / 1e9 - zero, each["up"] / 1e9 - zero) for each in truth.said]
    outages = [each for each in told if each[0] != "hiccup" and each[1] > 0]
    hiccups = [each for each in told if each[0] == "hiccup"]
    assert [kind for kind, _, _ in outages] == list(KINDS)
    [probe] = run["scenarios"][0]["probes"]
    judged = 0
    for series in probe["series"]:
        blind = [(each["start"], each["end"]) for each in series["blind"]]
        unclaimed = list(series["windows"])
        for kind, down, up in outages:
            # A short pause makes no answer slow; a longer one that is close is one window with the outage.
            near = slow_after + RECOVER_AFTER
            muddled = [
                (start, end) for start, end in blind if start < up + slow_after and down - slow_after < end
            ]
            muddled += [
                (start, end)
                for _, start, end in hiccups
                if end - start > slow_after / 2 and start < up + near and down - near < end
            ]
            windows = [
                window
                for window in series["windows"]
                if window["start"]["earliest"] <= up and (window["open"] or down <= window["end"]["latest"])
            ]
            unclaimed = [window for window in unclaimed if window not in windows]
            if muddled:
                continue
            judged += 1
            assert len(windows) == 1, (kind, series["series"], windows)
            [window] = windows
            assert window["start"]["earliest"] <= down <= window["start"]["latest"], (kind, down, window)
            assert window["end"]["earliest"] <= up <= window["end"]["latest"], (kind, up, window)
            assert window["shortest"] <= up - down <= window["longest"], (kind, window)
        for window in unclaimed:
            assert any(
                window["start"]["earliest"] <= end and (window["open"] or start <= window["end"]["latest"])
                for _, start, end in hiccups
            ), ("a window that was no outage", window)
    return judged


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("probe", "slow_after"),
    [({"rate": 100, "slow": "100ms", "blind_after": "100ms"}, 0.1), ({}, 0.5)],
    ids=["100 a second", "defaults"],
)
def test_every_outage_lies_in_its_bracket(
    probe: dict[str, Any], slow_after: float, truth: Truth, tmp_path: Path
) -> None:
    commands = {kind: {"act": truth.tell(kind=kind, lasts=LASTS)} for kind in KINDS}
    steps: list[Any] = [{"probe": {"start": "all", "steady": "1s"}}]
    for kind in KINDS:
        steps += [
            {"kill": {"command": kind}, "register": kind},
            # The fault is over when the server says so; what users saw of it is the probe's to tell.
            {"pause": f"{LASTS + BETWEEN:g}s"},
        ]
    steps += [
        {"wait_for": {"recovered": KINDS[-1], "timeout": "30s"}},
        {
            "assert": [
                {"name": "users notice", "probe": "users", "failed": {"min": 1}},
                {"name": "each outage is one", "probe": "users", "count": {"min": 1}},
            ]
        },
    ]
    judged = []
    # Nothing may be wrong, ever; but a machine that is too busy may have to be asked again.
    while max(judged, default=0) < 4:
        assert len(judged) < 3, judged
        place = tmp_path / str(len(judged))
        place.mkdir()
        before = children()
        ended = ftrun(place, *Files(place, truth, steps, commands, probe).arguments())
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert children() == before
        folder = run_of(place)
        assert (place / "out" / "latest").resolve() == folder
        run = json.loads((folder / "run.json").read_text())
        assert (run["verdict"], run["exit_code"]) == ("pass", 0)
        judged.append(judged_by_truth(run, truth, slow_after))

    reports = {name: (folder / name).read_bytes() for name in ("run.json", "junit.xml", "report.html")}
    assert all(reports.values())
    for name in reports:
        (folder / name).unlink()
    again = ftrun(tmp_path, "report", str(folder))
    assert again.returncode == 0, again.stdout + again.stderr
    assert {name: (folder / name).read_bytes() for name in reports} == reports


def broken(truth: Truth, tmp_path: Path) -> list[str]:
    """Give the arguments of a run that breaks the server for good and then waits for a long time."""
    commands = {"break": {"act": truth.tell(kind="http_503", lasts=600), "undo": truth.tell()}}
    steps = [
        {"probe": {"start": "all", "steady": "500ms"}},
        {"kill": {"command": "break"}, "register": "fault"},
        {"wait_for": {"recovered": "fault", "timeout": "300s"}},
        {"assert": [{"name": "never reached", "probe": "users", "failed": {"max": 0}}]},
    ]
    return Files(tmp_path, truth, steps, commands, {"rate": 100}).arguments()


def test_sigint_heals_and_reports(truth: Truth, tmp_path: Path) -> None:
    before = children()
    with running(tmp_path, *broken(truth, tmp_path)) as process:
        eventually(lambda: reached(tmp_path, FaultConfirmed) and broken_for_users(tmp_path))
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    assert "Traceback" not in output
    eventually(lambda: [each["kind"] for each in truth.said if each["kind"] != "hiccup"] == ["http_503"])
    assert children() == before
    events = read(run_of(tmp_path) / "journal.jsonl")
    assert [each.signal for each in events if isinstance(each, Interrupt)] == ["SIGINT"]
    pushed = [each.undo for each in events if isinstance(each, UndoPushed) and each.act == "command"]
    assert pushed == [each.undo for each in events if isinstance(each, UndoDone) and each.error is None]
    run = json.loads((run_of(tmp_path) / "run.json").read_text())
    assert run["exit_code"] == 2
    [assertion] = run["scenarios"][0]["assertions"]
    assert assertion["verdict"] == "unknown"


def test_after_sigkill_the_samples_are_there_and_cleanup_heals(truth: Truth, tmp_path: Path) -> None:
    before = children()
    with running(tmp_path, *broken(truth, tmp_path)) as process:
        eventually(lambda: reached(tmp_path, FaultConfirmed) and broken_for_users(tmp_path))
        killed = time.monotonic_ns()
        process.kill()
        process.wait(30)
    assert truth.said == [] or all(each["kind"] == "hiccup" for each in truth.said)
    folder = run_of(tmp_path)
    files = list((folder / "samples").glob("*/*.samples"))
    assert len(files) == 2
    eventually(lambda: children() == before)
    # The prober ended by itself when it heard no more, unless this machine did not let it run just then.
    for file in files:
        samples = read_samples(file)
        assert samples.sent.max() > killed - 1_000_000_000

    healed = ftrun(tmp_path, "cleanup", str(folder))
    assert healed.returncode == 0, healed.stdout + healed.stderr
    eventually(lambda: [each["kind"] for each in truth.said if each["kind"] != "hiccup"] == ["http_503"])
    again = ftrun(tmp_path, "cleanup", str(folder))
    assert again.returncode == 0, again.stdout + again.stderr
    assert len([each for each in truth.said if each["kind"] != "hiccup"]) == 1

    reported = ftrun(tmp_path, "report", str(folder))
    run = json.loads((folder / "run.json").read_text())
    assert reported.returncode in (0, run["exit_code"]), reported.stderr
    assert run["exit_code"] == 3
    assert run["scenarios"][0]["probes"][0]["series"][0]["windows"]
    assert run["scenarios"][0]["assertions"][0]["verdict"] == "unknown"


def test_a_false_claim_fails(truth: Truth, tmp_path: Path) -> None:
    commands = {"break": {"act": truth.tell(kind="http_503", lasts=0.5)}}
    steps = [
        {"probe": {"start": "all", "steady": "500ms"}},
        {"kill": {"command": "break"}, "register": "fault"},
        {"wait_for": {"recovered": "fault", "timeout": "30s"}},
        {"assert": [{"name": "nobody notices", "probe": "users", "failed": {"max": 0}}]},
    ]
    ended = ftrun(tmp_path, *Files(tmp_path, truth, steps, commands, {"rate": 100}).arguments())
    assert ended.returncode == 1, ended.stdout + ended.stderr
    folder = run_of(tmp_path)
    [assertion] = json.loads((folder / "run.json").read_text())["scenarios"][0]["assertions"]
    assert (assertion["name"], assertion["verdict"]) == ("nobody notices", "fail")
    cases = ET.parse(folder / "junit.xml").getroot().iter("testcase")
    children_of = {case.get("name"): [child.tag for child in case] for case in cases}
    assert children_of["nobody notices"] == ["failure"]


def test_a_sick_service_withholds_the_fault_and_nothing_is_known(truth: Truth, tmp_path: Path) -> None:
    truth.fifo.write_text(json.dumps({"kind": "http_503", "lasts": 600}) + "\n")
    commands = {"break": {"act": f"touch {tmp_path / 'broken'}"}}
    steps = [
        {"probe": {"start": "all", "steady": "500ms", "timeout": "2s"}},
        {"kill": {"command": "break"}, "register": "fault"},
        {"assert": [{"name": "nobody notices", "probe": "users", "failed": {"max": 0}}]},
    ]
    ended = ftrun(tmp_path, *Files(tmp_path, truth, steps, commands).arguments())
    assert ended.returncode == 3, ended.stdout + ended.stderr
    assert not (tmp_path / "broken").exists()
    run = json.loads((run_of(tmp_path) / "run.json").read_text())
    assert run["verdict"] == "unknown"
    assert run["scenarios"][0]["faults"] == []


def test_a_command_that_fails_leaves_its_fault_unconfirmed(truth: Truth, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    commands = {"break": {"act": "echo it did not work; exit 7", "undo": f"echo healed >> {trace}"}}
    steps = [
        {"probe": {"start": "all", "steady": "500ms"}},
        {"kill": {"command": "break"}, "register": "fault"},
        {"assert": [{"name": "nobody notices", "probe": "users", "failed": {"max": 0}}]},
    ]
    ended = ftrun(tmp_path, *Files(tmp_path, truth, steps, commands).arguments())
    assert ended.returncode == 3, ended.stdout + ended.stderr
    assert "exit code 7" in ended.stdout
    assert "it did not work" in ended.stdout
    assert trace.read_text() == "healed\n"
