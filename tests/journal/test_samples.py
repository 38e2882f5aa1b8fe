"""Sample files as they are read: whole, cut short, or not what they should be."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from runner.errors import FtrunError
from runner.journal.samples import (
    HEADER_BYTES,
    MAGIC,
    RECORD,
    Outcome,
    Recordings,
    read_prober_log,
    read_samples,
)

HEAD = {"t0_ns": 1_000_000, "period_ns": [1_000_000_000, 3]}


def write(path: Path, *records: tuple[int, ...], tail: bytes = b"") -> Path:
    """Write a sample file by hand: n, late, took, status, who, detail, outcome, flags."""
    head = MAGIC + json.dumps(HEAD).encode().ljust(HEADER_BYTES - len(MAGIC) - 1) + b"\n"
    path.write_bytes(head + b"".join(struct.pack("<IIIHHHBB", *each) for each in records) + tail)
    return path


def test_a_record_has_20_bytes_as_documented() -> None:
    assert RECORD.itemsize == 20


def test_instants_come_from_the_schedule(tmp_path: Path) -> None:
    samples = read_samples(write(tmp_path / "x", (2, 7, 9, 200, 1, 0, Outcome.OK, 13)))
    assert samples.due[0] == 1_000_000 + 666_666_666
    assert samples.sent[0] == samples.due[0] + 7_000
    assert samples.done[0] == samples.sent[0] + 9_000
    assert (samples.status[0], samples.who[0], samples.outcome[0], samples.flags[0]) == (
        200,
        1,
        Outcome.OK,
        13,
    )


def test_large_numbers_do_not_wrap(tmp_path: Path) -> None:
    largest = 0xFFFFFFFF
    samples = read_samples(write(tmp_path / "x", (largest, largest, largest, 0, 0, 0, Outcome.TIMEOUT, 0)))
    assert samples.due[0] == 1_000_000 + largest * 1_000_000_000 // 3
    assert samples.done[0] - samples.due[0] == 2 * largest * 1000


def test_samples_are_sorted_by_sent_then_n(tmp_path: Path) -> None:
    period_us = 333_333
    samples = read_samples(
        write(
            tmp_path / "x",
            (3, 0, 1, 0, 0, 0, 1, 0),
            (0, 2 * period_us + 500_000, 1, 0, 0, 0, 1, 0),
            (1, 5, 1, 0, 0, 0, 1, 0),
        )
    )
    assert samples.n.tolist() == [1, 3, 0]


@pytest.mark.parametrize("tail", [b"\x01", b"\x01" * 19])
def test_a_partial_tail_is_dropped(tmp_path: Path, tail: bytes) -> None:
    samples = read_samples(write(tmp_path / "x", (0, 0, 1, 0, 0, 0, 1, 0), tail=tail))
    assert samples.n.tolist() == [0]


def test_what_was_never_written_is_no_sample(tmp_path: Path) -> None:
    assert read_samples(write(tmp_path / "x", (0, 0, 0, 0, 0, 0, Outcome.NEVER, 0))).n.tolist() == []


def test_another_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"FTSAMP\x02\n" + b" " * HEADER_BYTES)
    with pytest.raises(FtrunError, match="x is not a sample file of this version"):
        read_samples(tmp_path / "x")


def test_recordings_know_nothing_of_a_file_without_a_whole_header(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(MAGIC)
    assert Recordings(tmp_path).series("x") is None
    assert Recordings(tmp_path).series("y") is None


def test_the_log_by_kind_without_its_partial_last_line(tmp_path: Path) -> None:
    log = tmp_path / "prober.jsonl"
    log.write_text(
        '{"kind":"ready","at_ns":1}\n{"kind":"who","index":1,"text":"me"}\n'
        '{"kind":"detail","index":1,"text":"503"}\n{"kind":"stall","start_ns":2,"end_ns":3}\n'
        '{"kind":"stop","probe":"users","at_ns":4}\n{"kind":"by'
    )
    read = read_prober_log(log)
    assert read.who == {0: "", 1: "me"}
    assert read.detail == {0: "", 1: "503"}
    assert read.stalls == ((2, 3),)
    assert read.stops == {"users": 4}
    assert [each["kind"] for each in read.others] == ["ready"]


def test_no_log_is_an_empty_log(tmp_path: Path) -> None:
    assert read_prober_log(tmp_path / "prober.jsonl").others == ()
