"""`ftrun cleanup` through the command, on journals that killed runs left."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.cli.main import main
from runner.clusters.contract import Undo
from runner.clusters.fake import cluster as fake
from runner.errors import ClusterError
from runner.journal.events import RunStart, UndoDone, UndoPushed
from runner.journal.journal import Journal, pending, read


@pytest.fixture
def healed(monkeypatch: pytest.MonkeyPatch) -> list[Undo]:
    """What was healed; `stuck` cannot be."""
    done: list[Undo] = []

    async def heal(undo: Undo) -> None:
        if undo.kind == "stuck":
            raise ClusterError("It does not move.")
        if undo.kind == "forbidden":
            raise PermissionError(1, "Operation not permitted")
        done.append(undo)

    monkeypatch.setattr(fake, "heal", heal)
    return done


def left(folder: Path, *acts: str, done: tuple[int, ...] = ()) -> Journal:
    """Write the journal of a run that pushed these undos, and carried out those of these numbers."""
    folder.mkdir(parents=True)
    journal = Journal.create(folder / "journal.jsonl", 0.0)
    journal.append(RunStart(run="r", ftrun="0", wall=0.0, monotonic=0.0, inventory={"kind": "fake"}))
    for number, act in enumerate(acts):
        journal.append(UndoPushed(undo=number, act=act, arguments={"slot": act}, says=f"mend {act}"))
    for number in done:
        journal.append(UndoDone(undo=number))
    return journal


def test_what_is_pending_is_healed_the_latest_first_and_journalled(
    tmp_path: Path, healed: list[Undo], capsys: pytest.CaptureFixture[str]
) -> None:
    left(tmp_path / "run", "a", "b", "c", done=(1,)).close()
    assert main(["cleanup", str(tmp_path / "run")]) == 0
    assert healed == [Undo("c", {"slot": "c"}, "mend c"), Undo("a", {"slot": "a"}, "mend a")]
    assert pending(read(tmp_path / "run" / "journal.jsonl")) == []
    assert "done: mend c" in capsys.readouterr().out
    assert main(["cleanup", str(tmp_path / "run")]) == 0
    assert len(healed) == 2
    assert "nothing is left" in capsys.readouterr().out


def test_what_the_system_refuses_does_not_keep_the_rest_from_being_healed(
    tmp_path: Path, healed: list[Undo], capsys: pytest.CaptureFixture[str]
) -> None:
    left(tmp_path / "run", "a", "forbidden", "b").close()
    assert main(["cleanup", str(tmp_path / "run")]) == 3
    assert [undo.kind for undo in healed] == ["b", "a"]
    assert "could not mend forbidden" in capsys.readouterr().err


def test_what_cannot_be_healed_is_said_and_stays_pending(
    tmp_path: Path, healed: list[Undo], capsys: pytest.CaptureFixture[str]
) -> None:
    left(tmp_path / "run", "a", "stuck", "b").close()
    assert main(["cleanup", "run", "--report-dir", str(tmp_path)]) == 3
    assert [undo.kind for undo in healed] == ["b", "a"]
    assert "could not mend stuck: It does not move." in capsys.readouterr().err
    assert [event.act for event in pending(read(tmp_path / "run" / "journal.jsonl"))] == ["stuck"]


def test_what_needs_a_secret_that_the_journal_hides_is_not_tried_without_it(
    tmp_path: Path, healed: list[Undo], capsys: pytest.CaptureFixture[str]
) -> None:
    left(tmp_path / "run", "a", "mysql -p(hidden)").close()
    assert main(["cleanup", str(tmp_path / "run")]) == 3
    assert [undo.kind for undo in healed] == ["a"]
    assert "it needs a secret, which the journal does not hold" in capsys.readouterr().err


def test_without_a_name_every_run_is_cleaned_but_those_alive(
    tmp_path: Path, healed: list[Undo], capsys: pytest.CaptureFixture[str]
) -> None:
    left(tmp_path / "one", "a").close()
    left(tmp_path / "two", "b", done=(0,)).close()
    alive = left(tmp_path / "three", "c")
    left(tmp_path / "four", "d").close()
    (tmp_path / "latest").symlink_to("four")
    assert main(["cleanup", "--report-dir", str(tmp_path)]) == 0
    assert sorted(undo.kind for undo in healed) == ["a", "d"]
    assert "three: left alone" in capsys.readouterr().out
    alive.close()


def test_a_run_that_is_alive_is_refused(
    tmp_path: Path, healed: list[Undo], capsys: pytest.CaptureFixture[str]
) -> None:
    alive = left(tmp_path / "run", "a")
    assert main(["cleanup", str(tmp_path / "run")]) == 3
    assert "still alive" in capsys.readouterr().err
    assert healed == []
    alive.close()


def test_a_run_that_is_not_there_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cleanup", "nowhere", "--report-dir", str(tmp_path)]) == 3
    assert "There is no run nowhere" in capsys.readouterr().err


def test_nothing_left_anywhere_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cleanup", "--report-dir", str(tmp_path)]) == 0
    assert "Nothing is left" in capsys.readouterr().out


def test_variables_without_an_inventory_are_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cleanup", "-e", "context=c"]) == 4
    assert "there is none" in capsys.readouterr().err
