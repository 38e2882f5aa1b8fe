"""The first thing a new user does, as a user who is not root: install the wheel, run the built-in scenario."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.command import ROOT, ftrun, served_on

USER = "ftrun-test-user"
PASSED_ON = (
    "PIP_",
    "SSL_",
    "REQUESTS_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home folder of a user made for this test, and removed with it."""
    folder = Path("/home") / USER
    subprocess.run(["userdel", "--force", "--remove", USER], capture_output=True, check=False)
    subprocess.run(["useradd", "--create-home", "--home-dir", str(folder), USER], check=True)
    yield folder
    subprocess.run(["userdel", "--force", "--remove", USER], capture_output=True, check=False)


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    return kept | {
        "HOME": str(home),
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "LANG": "C.UTF-8",
    }


def as_user(home: Path, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["runuser", "-u", USER, "--", *command],
        cwd=cwd or home,
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
    )


def python_of(home: Path) -> str:
    """A Python 3.11 or later that the user may run and make environments with."""
    for candidate in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        resolved = os.path.realpath(candidate)
        test = as_user(home, resolved, "-c", "import ensurepip, sys; assert sys.version_info >= (3, 11)")
        if test.returncode == 0:
            return resolved
    pytest.fail("no Python 3.11 with the venv module that an ordinary user may run: install python3-venv")


@pytest.mark.ray
@pytest.mark.privileged
@pytest.mark.timeout(1800)
def test_an_ordinary_user_installs_the_wheel_and_runs_head_node(home: Path, tmp_path: Path) -> None:
    assert os.geteuid() == 0, "only root can make a user to run this test as"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            str(tmp_path),
            str(ROOT),
        ],
        check=True,
    )
    (built,) = tmp_path.glob("ftrun-*.whl")
    wheel = home / built.name
    shutil.copy(built, wheel)
    shutil.chown(wheel, USER)
    for command in (
        [python_of(home), "-m", "venv", "venv"],
        ["venv/bin/python", "-m", "pip", "install", "--quiet", "--upgrade", "pip"],
        ["venv/bin/python", "-m", "pip", "install", "--quiet", wheel.name],
        ["mkdir", "empty"],
    ):
        ended = as_user(home, *command)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    finished = ftrun(
        "head_node",
        cwd=home / "empty",
        reports=home / "empty" / "reports",
        prefix=("runuser", "-u", USER, "--"),
        program=(str(home / "venv" / "bin" / "ftrun"),),
        env=environment(home),
    )
    print(finished.output)
    served_on(finished)
    assert finished.left == []
    assert finished.folder is not None
    assert finished.folder.stat().st_uid == pwd.getpwnam(USER).pw_uid
    assert finished.run["scenarios"][0]["cluster"]["layout"] == "namespaces"
