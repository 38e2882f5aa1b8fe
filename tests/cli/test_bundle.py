"""ftrun bundle: one file that holds a run, and no secret."""

from __future__ import annotations

import platform
import tarfile
from pathlib import Path

import pytest

from runner.cli.bundle import archive, cleaner
from runner.cli.main import main
from tests.cli.test_run import APP, INVENTORY, SCENARIO

SECRET = "ghp_0123456789abcdef"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run a scenario whose parts hold secrets; give the folder that it was called in."""
    home = tmp_path / "home" / "alice"
    work = home / "work"
    work.mkdir(parents=True)
    (work / "i.yaml").write_text(INVENTORY + "allow: [exec]\nvars: {db_password: hunter2hunter2}\n")
    (work / "app.yaml").write_text(APP)
    (work / "app.py").write_text("API_TOKEN = 'hunter3hunter3'\napp = None\n")
    (work / "mine.yaml").write_text(
        SCENARIO.format(name="mine", limit="5s")
        + f"  - log: 'the value is {SECRET}, kept in {home}/x'\n"
        + "  - log: 'redis --requirepass hunter4hunter4'\n"
    )
    monkeypatch.setattr(platform, "node", lambda: "build-box")
    monkeypatch.setenv("GITHUB_TOKEN", SECRET)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    assert main(["mine.yaml", "-i", "i.yaml", "--seed", "5"]) == 0
    logs = work / "reports" / "latest" / "logs" / "0"
    logs.mkdir(parents=True)
    (logs / "head.log").write_bytes(
        f"{platform.node()} {home}/x: --redis-password=hunter5hunter5\nBearer\xff\n".encode("latin-1")
    )
    return work


def unpacked(path: Path, into: Path) -> Path:
    with tarfile.open(path) as tar:
        tar.extractall(into, filter="data")
    [top] = into.iterdir()
    return top


def test_a_bundle_holds_the_run_and_its_reports_can_be_made_again(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "latest", "-o", "b.tar.gz"]) == 0
    assert "b.tar.gz: " in capsys.readouterr().out
    top = unpacked(folder / "b.tar.gz", tmp_path / "out")
    assert top.name == (folder / "reports" / "latest").resolve().name
    found = {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}
    assert found >= {
        "journal.jsonl", "run.json", "junit.xml", "report.html", "summary.md", "REPRODUCE.md", "versions.txt",
        "run.log", "samples/0/prober.jsonl", "logs/0/head.log",
        "sources/mine.yaml", "sources/i.yaml", "sources/app.yaml", "sources/app.py",
    }  # fmt: skip
    made = {path: path.read_bytes() for path in top.iterdir() if path.is_file()}
    for name in ("run.json", "junit.xml", "report.html", "summary.md"):
        (top / name).unlink()
    assert main(["report", str(top)]) == 0
    assert {path: path.read_bytes() for path in top.iterdir() if path.is_file()} == made


def test_no_secret_and_nothing_of_the_user_is_in_it(folder: Path, tmp_path: Path) -> None:
    assert main(["bundle", "latest", "-o", "b.tar.gz"]) == 0
    top = unpacked(folder / "b.tar.gz", tmp_path / "out")
    files = {path: path.read_bytes() for path in top.rglob("*") if path.is_file()}
    for word in (SECRET, "hunter", "alice"):
        assert [path for path, content in files.items() if word.encode() in content] == []
    log = (top / "logs/0/head.log").read_bytes()
    assert log == b"machine ~/x: --redis-password=(hidden)\nBearer\xff\n"
    assert "the value is (hidden), kept in ~/x" in (top / "journal.jsonl").read_text()
    # The run's own journal never held it.
    assert SECRET not in (folder / "reports" / "latest" / "journal.jsonl").read_text()


def test_two_bundles_are_the_same_bytes(folder: Path) -> None:
    for name in ("a.tar.gz", "b.tar.gz"):
        assert main(["bundle", "latest", "-o", name]) == 0
    assert (folder / "a.tar.gz").read_bytes() == (folder / "b.tar.gz").read_bytes()


def test_what_it_says_to_run_runs(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["bundle", "latest"]) == 0
    [path] = folder.glob("*.tar.gz")
    top = unpacked(path, tmp_path / "out")
    said = (top / "REPRODUCE.md").read_text()
    assert "\ncd sources\nftrun mine.yaml -i i.yaml --seed 5\n" in said
    monkeypatch.chdir(top / "sources")
    assert main(["mine.yaml", "-i", "i.yaml", "--seed", "5"]) == 0


def test_a_run_that_is_not_there_and_a_place_that_cannot_be_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "none"]) == 4
    assert main(["bundle", "latest", "-o", "no/where.tar.gz"]) == 3
    assert "no/where.tar.gz cannot be written: No such file or directory." in capsys.readouterr().err


def test_an_archive_is_of_nobody_and_sorted() -> None:
    import io

    packed = archive({"b": b"2", "a/c": b"1"}, "top", 1_795_000_000)
    assert packed[4:8] == bytes(4), "gzip would write down when it was packed"
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        entries = tar.getmembers()
    assert [entry.name for entry in entries] == ["top/a/c", "top/b"]
    assert {(entry.uid, entry.gid, entry.uname, entry.mode) for entry in entries} == {(0, 0, "", 0o644)}
    assert {entry.mtime for entry in entries} == {1_795_000_000}


def test_samples_are_left_as_they_are() -> None:
    content = bytes(range(256)) + b"token=abc"
    clean = cleaner({}, Path("/nowhere"))
    assert clean("samples/0/users.samples", content) == content
    assert clean("run.log", b"token=abc") == b"token=(hidden)"
