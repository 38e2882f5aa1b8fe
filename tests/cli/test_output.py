"""Where output goes: a pipe, a pipe that nobody reads any more, a narrow terminal, one without colours."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

import pytest

INVENTORY = "cluster: {kind: fake, boot: 10ms, deploy_delay: 50ms, restart_delay: 700ms}\n"
SCENARIO = """\
name: good
app: app.yaml
probes: {head: {endpoint: head, recover_after: 200ms}}
steps:
  - deploy:
  - probe: {start: head, steady: 500ms}
  - kill: {node: head}
    register: fault
  - {name: wait until it is all as it was before, wait_for: {recovered: fault, timeout: 20s}}
  - assert: [{name: claim, probe: head, longest: {max: 5s}}]
"""
COMMAND = [sys.executable, "-m", "runner.cli.main"]
ENV = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
ENV["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "i.yaml").write_text(INVENTORY)
    (tmp_path / "app.yaml").write_text("{name: app, import_path: 'app:app', deployments: [{name: D}]}\n")
    (tmp_path / "good.yaml").write_text(SCENARIO)
    return tmp_path


def on_terminal(folder: Path, columns: int, env: Mapping[str, str]) -> str:
    """Run the scenario on a terminal of so many columns; give all that was written to it."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [*COMMAND, "good.yaml", "-i", "i.yaml"]
    with subprocess.Popen(command, cwd=folder, env=env, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 65536):
                said += part
        except OSError:
            pass  # how Linux says that the terminal was closed on the other side
        finally:
            os.close(ours)
    assert running.returncode == 0, said
    return said.decode()


def test_a_run_goes_on_to_its_end_where_nobody_reads_what_it_says(folder: Path) -> None:
    running = subprocess.Popen(
        [*COMMAND, "good.yaml", "-i", "i.yaml"],
        cwd=folder,
        env=ENV,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stdout.readline().startswith(b"ftrun ")
    running.stdout.close()
    with running.stderr:
        assert running.stderr.read() == b""
    assert running.wait() == 0
    for name in ("run.json", "junit.xml", "report.html"):
        assert (folder / "reports" / "latest" / name).stat().st_size


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["check", "good.yaml"], ["schema"]])
def test_a_pipe_that_nobody_reads_gives_no_traceback(folder: Path, argv: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, *argv], cwd=folder, env=ENV, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode in (0, 3)


def test_in_a_pipe_there_are_no_control_codes(folder: Path) -> None:
    said = subprocess.check_output([*COMMAND, "good.yaml", "-i", "i.yaml"], cwd=folder, env=ENV)
    assert b"PASSED" in said
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", said)


def test_on_a_narrow_terminal_the_live_line_never_wraps(folder: Path) -> None:
    said = on_terminal(folder, 30, ENV)
    assert "\x1b[32m" in said
    # A live line is what the next thing written takes away; all else ends with a new line.
    shown = [re.sub(r"\x1b\[[0-9;]*m", "", part) for part in said.split("\r\x1b[K")]
    live = [part for part in shown if part and "\n" not in part]
    assert live
    assert all(len(part) < 30 for part in live)


def test_no_color_leaves_nothing_but_the_live_line(folder: Path) -> None:
    said = on_terminal(folder, 80, ENV | {"NO_COLOR": "1"})
    assert set(re.findall(r"\x1b\[[0-9;]*[A-Za-z]", said)) == {"\x1b[K"}
