"""A report folder that takes nothing, or nothing any more: said before anything is broken, or it is put back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.cli.test_bad_input import ordinary

FTRUN = (
    sys.executable,
    "-m",
    "runner.cli.main",
    "scenario.yaml",
    "-i",
    "inventory.yaml",
    "--report-dir",
    "out",
)


class Handler(BaseHTTPRequestHandler):
    """Answers whatever is asked."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a scenario whose fault fills the report folder, and leaves a trace."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    steps: list[dict[str, Any]] = [
        {"probe": {"start": "all", "steady": "200ms"}},
        {"kill": {"command": "fill"}, "register": "fault"},
        # More than any page has left: the journal needs room at once.
        {"log": "x" * 20_000},
        {"pause": "60s"},
    ]
    scenario = {"name": "full", "probes": {"users": {"endpoint": "service", "rate": 100}}, "steps": steps}
    inventory = {
        "cluster": {"kind": "external"},
        "endpoints": {"service": f"http://127.0.0.1:{server.server_address[1]}"},
        "commands": {
            "fill": {
                "act": "echo broken >> trace; head -c 20M /dev/zero > out/fill || true",
                "undo": "rm -f out/fill; echo healed >> trace",
            }
        },
    }
    (tmp_path / "scenario.yaml").write_text(json.dumps(scenario))
    (tmp_path / "inventory.yaml").write_text(json.dumps(inventory))
    (tmp_path / "out").mkdir()
    yield tmp_path
    server.shutdown()
    server.server_close()


def ftrun(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def on_a_disk_of(size: str, after: str = "true") -> tuple[str, ...]:
    """Give the command that runs ftrun with a small disk of its own mounted at `out`."""
    mounted = f'mount -t tmpfs -o size={size} none out && {{ "$@"; code=$?; {after}; exit $code; }}'
    return ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted, "sh", *FTRUN)


def refused(ended: subprocess.CompletedProcess[str], folder: Path) -> str:
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "Traceback" not in ended.stderr
    assert "The report folder out cannot be written: " in ended.stderr
    assert "Nothing was started." in ended.stderr
    assert not (folder / "trace").exists()
    return ended.stderr


def test_a_folder_that_may_not_be_written(folder: Path) -> None:
    (folder / "out").chmod(0o500)
    assert "Permission denied" in refused(ftrun(folder, *ordinary(*FTRUN)), folder)
    assert list((folder / "out").iterdir()) == []


def test_a_file_in_place_of_the_folder(folder: Path) -> None:
    (folder / "out").rmdir()
    (folder / "out").write_text("")
    refused(ftrun(folder, *FTRUN), folder)


def test_a_full_disk(folder: Path) -> None:
    ended = ftrun(folder, *on_a_disk_of("512k", "ls -A out > left"))
    assert "No space left" in refused(ended, folder)
    assert (folder / "left").read_text() == ""


def test_a_disk_that_fills_during_the_run(folder: Path) -> None:
    ended = ftrun(folder, *on_a_disk_of("2m"))
    assert ended.returncode == 3, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "The journal could not be written to its end" in ended.stderr
    assert (folder / "trace").read_text().split() == ["broken", "healed"]
