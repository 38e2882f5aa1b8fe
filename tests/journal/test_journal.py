"""The journal: written line by line, durable where it must be, readable after any end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.errors import CannotRun, FtrunError
from runner.journal.events import Observation, RunStart, Said, UndoDone, UndoPushed
from runner.journal.journal import Journal, pending, read
from runner.journal.redaction import HIDDEN, Secrets


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def start() -> RunStart:
    return RunStart(run="r", ftrun="0", wall=0.0, monotonic=100.0)


def said(text: str) -> Said:
    return Said(scenario=0, level="info", text=text)


def undo(number: int) -> UndoPushed:
    return UndoPushed(undo=number, act=f"act{number}")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(path: Path, clock: Clock) -> Iterator[Journal]:
    made = Journal.create(path, 100.0, now=clock)
    yield made
    made.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_events_are_numbered_stamped_and_read_back(clock: Clock, journal: Journal, path: Path) -> None:
    journal.append(start())
    clock.now = 101.5
    told = journal.append(said("é"))
    assert (told.seq, told.t) == (1, 1.5)
    assert tuple(journal.events) == read(path)


def test_time_never_goes_back(clock: Clock, journal: Journal, path: Path) -> None:
    clock.now = 103.0
    journal.append(start())
    clock.now = 102.0
    assert journal.append(said("x")).t == 3.0


def test_every_line_is_with_the_kernel_when_append_returns(journal: Journal, path: Path) -> None:
    journal.append(start())
    assert len(path.read_bytes().splitlines()) == 1


def test_a_durable_line_is_synced_before_append_returns(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(len(path.read_bytes().splitlines())))
    journal.append(start())
    assert synced == []
    journal.append(undo(0), durable=True)
    assert synced == [2]


def test_a_partial_last_line_is_dropped(journal: Journal, path: Path) -> None:
    journal.append(start())
    whole = journal.append(said("whole"))
    journal.append(said("torn"))
    path.write_bytes(path.read_bytes()[:-7])
    assert read(path)[-1] == whole


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"hello\n", "no journal"),
        (b'{"kind": "said"}\n', "no run_start"),
        (b'{"kind": "run_start", "version": 99}\n', "version 99"),
        (b'{"kind": "run_start", "version": 1}\n', "lacks"),
    ],
)
def test_what_is_no_journal_is_refused_with_a_sentence(path: Path, content: bytes, why: str) -> None:
    path.write_bytes(content)
    with pytest.raises(FtrunError, match=why):
        read(path)


def test_a_missing_journal_is_a_sentence(path: Path) -> None:
    with pytest.raises(FtrunError, match="cannot be read"):
        read(path)


def test_unknown_kinds_and_fields_are_passed_over(journal: Journal, path: Path) -> None:
    journal.append(start())
    with path.open("a") as file:
        file.write('{"seq": 1, "t": 1.0, "kind": "of the future"}\n')
        file.write(
            '{"seq": 2, "t": 1, "kind": "said", "scenario": 0, "level": "info", "text": "x", "new": 1}\n'
        )
    assert [event.seq for event in read(path)] == [0, 2]


@pytest.mark.parametrize("secret", ["s3cret", 'with "quotes" and é'])
def test_a_secret_reaches_neither_the_file_nor_anybody_who_listens(path: Path, secret: str) -> None:
    heard: list[object] = []
    journal = Journal.create(path, 100.0, secrets=Secrets([secret]))
    journal.subscribe(heard.append)
    journal.append(start())
    told = journal.append(Observation(scenario=0, asked=0.0, document={"deep": [f"x{secret}y"]}))
    assert told.document == {"deep": [f"x{HIDDEN}y"]}
    assert heard[-1] == told
    assert json.loads(path.read_text().splitlines()[-1])["document"] == {"deep": [f"x{HIDDEN}y"]}
    journal.close()


def test_a_full_disk_is_said_once_and_then_nothing_durable_is_accepted(journal: Journal, path: Path) -> None:
    journal.append(start())
    journal._file.close()
    journal._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
    with pytest.raises(CannotRun, match="No space left"):
        journal.append(said("lost"))
    assert journal.broken
    journal.append(UndoDone(undo=0))
    with pytest.raises(CannotRun, match="nothing may be broken"):
        journal.append(undo(1), durable=True)


def test_pending_undos_are_those_not_done_the_latest_first(path: Path) -> None:
    events = [start(), undo(0), undo(1), undo(2), UndoDone(undo=1), UndoDone(undo=2, error="no")]
    assert [event.undo for event in pending(events)] == [2, 0]


def test_a_journal_goes_on_behind_its_last_whole_line(journal: Journal, path: Path) -> None:
    journal.append(start())
    journal.append(undo(0))
    journal.close()
    with path.open("a") as file:
        file.write('{"seq": 2, "torn')
    again = Journal.reopen(path)
    again.append(UndoDone(undo=0))
    again.close()
    assert [event.seq for event in read(path)] == [0, 1, 2]
    assert pending(read(path)) == []


def test_the_journal_of_a_living_run_is_not_reopened(path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from runner.journal.journal import Journal\n"
        "from runner.journal.events import RunStart\n"
        "journal = Journal.create(Path(sys.argv[1]), 0.0)\n"
        "journal.append(RunStart(run='r', ftrun='0', wall=0.0, monotonic=0.0))\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        with pytest.raises(FtrunError, match="still alive"):
            Journal.reopen(path)
        writer.kill()
        writer.wait()
        Journal.reopen(path).close()
