"""The code that nodes import, and the logs that are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.clusters.local import files
from runner.errors import ClusterError
from runner.journal.redaction import HIDDEN, Secrets


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    return folder


def application(folder: Path, **modules: str) -> Path:
    folder.mkdir(parents=True)
    for name, content in modules.items():
        (folder / f"{name}.py").write_text(content)
    return folder


def test_an_application_is_importable_and_nothing_hidden_is(tmp_path: Path, code: Path) -> None:
    folder = application(tmp_path / "one", main="A = 1")
    (folder / ".git").mkdir()
    (folder / "__pycache__").mkdir()
    (folder / "models").mkdir()
    files.link_code(code, [folder])
    assert sorted(path.name for path in code.iterdir()) == ["main.py", "models"]
    assert (code / "main.py").read_text() == "A = 1"


def test_a_later_application_takes_the_place_of_an_earlier_one(tmp_path: Path, code: Path) -> None:
    files.link_code(code, [application(tmp_path / "one", main="A = 1", other="")])
    files.link_code(code, [application(tmp_path / "two", main="A = 2")])
    assert (code / "main.py").read_text() == "A = 2"
    assert (code / "other.py").exists()


def test_two_applications_at_once_may_share_a_folder_but_no_module(tmp_path: Path, code: Path) -> None:
    one, two = application(tmp_path / "one", main=""), application(tmp_path / "two", main="")
    files.link_code(code, [one, one])
    with pytest.raises(ClusterError, match=r"both have a main\.py"):
        files.link_code(code, [one, two])
    for folder in (one, two):
        (folder / "README.md").write_text("")
    (two / "main.py").unlink()
    files.link_code(code, [one, two])


def test_the_end_of_the_right_logs_explains_a_node_that_did_not_come_up(tmp_path: Path) -> None:
    inside = tmp_path / "w1" / "session_latest" / "logs"
    inside.mkdir(parents=True)
    (tmp_path / "logs").mkdir()
    (inside / "raylet.out").write_text("\n".join(f"line {number}" for number in range(100)))
    (tmp_path / "logs" / "worker-1.log").write_text("ray start failed\n")
    said = files.explain(tmp_path, "worker-1")
    assert "--- the end of raylet.out:\nline 88\n" in said
    assert said.endswith("--- the end of worker-1.log:\nray start failed")
    assert files.explain(tmp_path, "head") == ""


def test_logs_are_kept_by_session_and_only_their_ends(tmp_path: Path) -> None:
    runtime, kept = tmp_path / "runtime", tmp_path / "kept"
    (runtime / "logs").mkdir(parents=True)
    (runtime / "logs" / "head.log").write_text("x" * 10 + "end")
    for second in ("20", "59"):
        logs = runtime / "head" / f"session_2026-11-22_13-32-{second}_123456_99" / "logs"
        (logs / "serve").mkdir(parents=True)
        (logs / "gcs_server.out").write_text(second)
        (logs / "gcs_server.err").write_text("")
        (logs / "serve" / "controller_1.log").write_text(second)
        (logs / "worker-big.out").write_text("not kept")
    (runtime / "head" / "session_latest").symlink_to(logs.parent)
    files.copy_logs(runtime, kept, secrets=Secrets(), most=5)
    found = {str(path.relative_to(kept)): path.read_text() for path in kept.rglob("*") if path.is_file()}
    assert found == {
        "head.log": "xxend",
        "head/2026-11-22_13-32-20/gcs_server.out": "20",
        "head/2026-11-22_13-32-20/controller_1.log": "20",
        "head/2026-11-22_13-32-59/gcs_server.out": "59",
        "head/2026-11-22_13-32-59/controller_1.log": "59",
    }


def test_the_logs_of_some_slots_alone(tmp_path: Path) -> None:
    runtime, kept = tmp_path / "run", tmp_path / "kept"
    for name in (
        "logs/head.log", "logs/worker-1.log", "logs/redis.log",
        "head/session_2026-01-01_10-00-00_1_2/logs/gcs_server.out",
        "w1/session_2026-01-01_10-00-00_1_2/logs/raylet.out",
        "w2/session_2026-01-01_10-00-00_1_2/logs/raylet.out",
    ):  # fmt: skip
        (runtime / name).parent.mkdir(parents=True, exist_ok=True)
        (runtime / name).write_text(name)
    files.copy_logs(runtime, kept, ["worker-1", "head"], secrets=Secrets())
    found = sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file())
    assert found == [
        "head.log",
        "head/2026-01-01_10-00-00/gcs_server.out",
        "w1/2026-01-01_10-00-00/raylet.out",
        "worker-1.log",
    ]


def test_logs_are_kept_without_secrets(tmp_path: Path) -> None:
    runtime, kept = tmp_path / "run", tmp_path / "kept"
    (runtime / "logs").mkdir(parents=True)
    (runtime / "logs" / "head.log").write_bytes(b"the token is hunter2hunter2\n\xff\n")
    files.copy_logs(runtime, kept, secrets=Secrets(["hunter2hunter2"]))
    assert (kept / "head.log").read_bytes() == f"the token is {HIDDEN}\n".encode() + b"\xff\n"
