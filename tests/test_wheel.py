"""What an installation from the wheel gets: the package, what it reads beside its code, the built-in pack."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from hatchling.build import build_wheel

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("pyproject.toml", "README.md", "LICENSE", "runner", "scenarios", "inventories")
"""What the wheel is made of."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of what it is made of; give its path."""
    source = tmp_path_factory.mktemp("source")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, source / part)
    target = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(source)
        return target / build_wheel(str(target))


def files(*folders: str) -> set[str]:
    """Give the files of the checkout below these folders."""
    return {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_it_holds_the_package_and_the_pack_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        held = {name for name in packed.namelist() if ".dist-info/" not in name}
    pack = {f"runner/pack/{name}" for name in files("scenarios", "inventories")}
    assert held == files("runner") | pack
    assert {
        "runner/py.typed",
        "runner/reports/report.html.j2",
        "runner/reports/report.css",
        "runner/reports/report.js",
        "runner/pack/scenarios/head_node.yaml",
        "runner/pack/scenarios/apps/sleepy_pid.py",
        "runner/pack/inventories/local.yaml",
    } <= held
    assert {PurePosixPath(name).suffix for name in held} == {".py", ".typed", ".yaml", ".j2", ".css", ".js"}


def test_what_is_installed_finds_its_built_in_scenarios(wheel: Path, tmp_path: Path) -> None:
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(installed)
    empty.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "runner.cli.main", "check", "head_node"],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    place = installed / "runner" / "pack" / "scenarios" / "head_node.yaml"
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{place}: head-node-failure: ok\n", "")
