"""What was built is whole or not there; what is missing is said before anything is begun."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.kubernetes import ground
from tests.kubernetes.ground import Trouble, built


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTRUN_TESTS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_was_built_is_kept_until_its_sources_change(tmp_path: Path) -> None:
    source = tmp_path / "recipe"
    source.write_text("one")
    calls = []

    def build(folder: Path) -> None:
        calls.append(folder)
        (folder / "cake").write_text(source.read_text())

    first = built("cakes", [source], build, disk=0)
    assert built("cakes", [source], build, disk=0) == first
    assert len(calls) == 1
    source.write_text("two")
    assert (built("cakes", [source], build, disk=0) / "cake").read_text() == "two"
    assert (first / "cake").read_text() == "one"


def test_a_build_that_failed_is_begun_anew(tmp_path: Path) -> None:
    source = tmp_path / "recipe"
    source.write_text("")

    def burn(folder: Path) -> None:
        (folder / "ashes").touch()
        raise Trouble("burnt")

    with pytest.raises(Trouble, match="burnt"):
        built("cakes", [source], burn, disk=0)
    assert os.listdir(built("cakes", [source], lambda folder: (folder / "cake").touch(), disk=0)) == ["cake"]


def test_who_is_not_root_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Trouble, match="run this as root"):
        ground.enter()


def test_all_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool in {"etcd", "ip"} else tool)
    with pytest.raises(Trouble, match="missing: etcd-server iproute2"):
        ground.require(memory=0)


def test_too_little_memory_is_said_first() -> None:
    with pytest.raises(Trouble, match=r"GiB of memory are available, and 1000000 GiB are needed"):
        ground.require(memory=1e6)


def test_nothing_is_built_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**30))
    with pytest.raises(Trouble, match=r"1\.0 GiB left on its disk, and 2 GiB are needed"):
        built("cakes", [], lambda _: pytest.fail("built"), disk=2)


def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(Trouble, match="no-such-command is missing"):
        ground.run("no-such-command")


def test_the_end_of_a_command_is_told_with_its_last_words() -> None:
    with pytest.raises(Trouble, match=r"`sh -c echo no room >&2; exit 3` ended with 3: no room"):
        ground.run("sh", "-c", "echo no room >&2; exit 3")
