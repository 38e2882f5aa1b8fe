"""The `ftrun` command as people run it: a process, its files, and what it leaves behind."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Finished:
    """A command that ended, the run folder it wrote, and the processes that outlived it."""

    exit_code: int
    output: str
    folder: Path | None
    left: list[str]

    @property
    def run(self) -> dict[str, Any]:
        assert self.folder is not None, self.output
        parsed: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        return parsed


def adopt() -> None:
    """Become the parent of whatever this process's descendants leave behind."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children() -> dict[int, str]:
    """Processes whose parent is this one: orphans come here, since this process is their reaper."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                if int(fields[1]) == os.getpid() and fields[0] != "Z":
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
            except (OSError, IndexError):
                continue
    return found


def ftrun(
    *arguments: str,
    cwd: Path,
    reports: Path,
    prefix: tuple[str, ...] = (),
    program: tuple[str, ...] = (sys.executable, "-m", "runner.cli.main"),
    env: dict[str, str] | None = None,
    timeout: float = 900,
) -> Finished:
    """Run `ftrun ARGUMENTS`; its reports are expected in `reports`."""
    adopt()
    before = children()
    ended = subprocess.run(
        [*prefix, *program, *arguments],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    left = [text for pid, text in children().items() if pid not in before]
    latest = reports / "latest"
    return Finished(ended.returncode, ended.stdout, latest.resolve() if latest.exists() else None, left)


def series(run: dict[str, Any], probe: str) -> list[dict[str, Any]]:
    """The series of a probe of the first scenario."""
    return next(each["series"] for each in run["scenarios"][0]["probes"] if each["name"] == probe)


def assertions(run: dict[str, Any]) -> dict[str, str]:
    """Verdict by name, of all scenarios."""
    return {each["name"]: each["verdict"] for scenario in run["scenarios"] for each in scenario["assertions"]}


def served_on(finished: Finished) -> None:
    """Hold head_node to its claim: no request through a worker failed, and nothing else was wrong."""
    assert sum(each["failed"] for each in series(finished.run, "workers")) == 0
    assert set(assertions(finished.run).values()) == {"pass"}
    assert finished.exit_code == 0
