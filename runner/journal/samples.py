"""Sample files, as docs/formats.md defines them: read here, written by the prober (which shares no code).

All instants are integer nanoseconds of the prober's CLOCK_MONOTONIC.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.errors import FtrunError

MAGIC = b"FTSAMP\x01\n"
HEADER_BYTES = 4096
RECORD = np.dtype(
    [
        ("n", "<u4"),
        ("late", "<u4"),
        ("took", "<u4"),
        ("status", "<u2"),
        ("who", "<u2"),
        ("detail", "<u2"),
        ("outcome", "u1"),
        ("flags", "u1"),
    ]
)

WRITTEN = 150_000_000
"""Nanoseconds after which what has ended can be read; it is written every 50 ms."""

SHORT = 8192
"""Bytes of a growing file that are read first; four times as many as long as they do not reach back."""


class Outcome(IntEnum):
    """How a request ended; the codes of the file. 0 is a record that was never written."""

    NEVER = 0
    OK = 1
    """The expected status and body, however late: whether that is good or slow is decided later."""
    HTTP_5XX = 2
    HTTP_4XX = 3
    WRONG_BODY = 4
    """Right status, wrong body; or a status below 400 that was not expected."""
    REFUSED = 5
    RESET = 6
    EOF = 7
    UNREACHABLE = 8
    TIMEOUT = 9
    DNS = 10
    TLS = 11
    VOID = 12
    """Local causes or our own cancellation: no evidence of anything."""


@dataclass(frozen=True, slots=True)
class Samples:
    """One series, sorted by (sent, n): parallel arrays, and the header as it was written."""

    header: Mapping[str, Any]
    n: npt.NDArray[np.int64]
    due: npt.NDArray[np.int64]
    sent: npt.NDArray[np.int64]
    done: npt.NDArray[np.int64]
    status: npt.NDArray[np.uint16]
    who: npt.NDArray[np.uint16]
    detail: npt.NDArray[np.uint16]
    outcome: npt.NDArray[np.uint8]
    flags: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ProberLog:
    """What prober.jsonl says. Stalls are (start, end) in nanoseconds; tables map an index to its text."""

    stalls: tuple[tuple[int, int], ...]
    who: Mapping[int, str]
    detail: Mapping[int, str]
    stops: Mapping[str, int]
    """By probe: the instant its sending ended."""
    others: tuple[Mapping[str, Any], ...]
    """Every other line: ping, capped, suspend, dropped, ready, bye."""


def header(raw: bytes, name: str) -> dict[str, Any]:
    """Give the JSON of a sample file's first 4096 bytes."""
    if len(raw) < HEADER_BYTES or not raw.startswith(MAGIC):
        raise FtrunError(f"{name} is not a sample file of this version.")
    parsed: dict[str, Any] = json.loads(raw[len(MAGIC) : HEADER_BYTES])
    return parsed


def samples_of(head: Mapping[str, Any], raw: bytes) -> Samples:
    """Give the samples of the bytes after the header; a partial tail is dropped."""
    whole = len(raw) - len(raw) % RECORD.itemsize
    records = np.frombuffer(raw[:whole], dtype=RECORD)
    records = records[records["outcome"] != Outcome.NEVER]
    n = records["n"].astype(np.int64)
    numerator, denominator = (int(part) for part in head["period_ns"])
    due = int(head["t0_ns"]) + n * numerator // denominator
    sent = due + records["late"].astype(np.int64) * 1000
    done = sent + records["took"].astype(np.int64) * 1000
    order = np.lexsort((n, sent))
    return Samples(
        header=head,
        n=n[order],
        due=due[order],
        sent=sent[order],
        done=done[order],
        status=records["status"][order],
        who=records["who"][order],
        detail=records["detail"][order],
        outcome=records["outcome"][order],
        flags=records["flags"][order],
    )


def read_samples(path: Path) -> Samples:
    """Read a sample file, also one whose writer was killed."""
    raw = path.read_bytes()
    return samples_of(header(raw, path.name), raw[HEADER_BYTES:])


def read_since(path: Path, at: int) -> Samples:
    """Give the samples that were sent from `at` on; of a long file only its end is read."""
    with path.open("rb") as file:
        head = header(file.read(HEADER_BYTES), path.name)
    for raw in _ends(path, HEADER_BYTES, RECORD.itemsize):
        eldest = samples_of(head, raw[: RECORD.itemsize])
        # Records are written as requests end: those before this one were sent before it was written.
        if len(eldest.n) and eldest.done[0] + WRITTEN < at:
            break
    samples = samples_of(head, raw)
    first = int(np.searchsorted(samples.sent, at))
    columns = {each.name: getattr(samples, each.name) for each in fields(samples)[1:]}
    return Samples(head, **{name: column[first:] for name, column in columns.items()})


def read_stalls(path: Path, at: int) -> tuple[tuple[int, int], ...]:
    """Give the stalls (start, end) that end after `at`; of a long prober.jsonl only its end is read."""
    found: list[tuple[int, int]] = []
    for raw in _ends(path, 0) if path.exists() else ():
        found = []
        for line in reversed(raw.split(b"\n")[1 if len(raw) < path.stat().st_size else 0 : -1]):
            entry = json.loads(line)
            if entry["kind"] == "stall" and entry["end_ns"] > at:
                found.append((int(entry["start_ns"]), int(entry["end_ns"])))
            elif entry["kind"] in ("stall", "ping") and entry.get("end_ns", entry.get("p_ns")) < at:
                return tuple(reversed(found))
    return tuple(reversed(found))


def _ends(path: Path, begin: int, unit: int = 1) -> Iterator[bytes]:
    """Give ever longer ends of what follows `begin` bytes, in whole units; the last is all of it."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        size -= max(0, size - begin) % unit
        length = SHORT - SHORT % unit
        start = size
        while start > begin:
            start = max(begin, size - length)
            file.seek(start)
            yield file.read(size - start)
            length *= 4
        if size <= begin:
            yield b""


def read_prober_log(path: Path) -> ProberLog:
    """Read prober.jsonl; a partial last line is dropped, a missing file is an empty log."""
    stalls: list[tuple[int, int]] = []
    who: dict[int, str] = {0: ""}
    detail: dict[int, str] = {0: ""}
    stops: dict[str, int] = {}
    others: list[Mapping[str, Any]] = []
    raw = path.read_bytes() if path.exists() else b""
    for line in raw.split(b"\n")[:-1]:
        entry = json.loads(line)
        match entry["kind"]:
            case "stall":
                stalls.append((int(entry["start_ns"]), int(entry["end_ns"])))
            case "who":
                who[int(entry["index"])] = entry["text"]
            case "detail":
                detail[int(entry["index"])] = entry["text"]
            case "stop":
                stops[entry["probe"]] = int(entry["at_ns"])
            case _:
                others.append(entry)
    return ProberLog(tuple(stalls), who, detail, stops, tuple(others))


@dataclass(frozen=True, slots=True)
class Recordings:
    """The samples of a run folder, by the names the journal gives."""

    folder: Path

    def series(self, file: str) -> Samples | None:
        """Give the samples of a series (`ProbeStart.series[].file`), None where there is no whole header."""
        path = self.folder / file
        if not path.exists() or path.stat().st_size < HEADER_BYTES:
            return None
        return read_samples(path)

    def since(self, file: str, at: int) -> Samples | None:
        """Give the samples that a series sent from `at` (nanoseconds) on, as `series` does."""
        path = self.folder / file
        if not path.exists() or path.stat().st_size < HEADER_BYTES:
            return None
        return read_since(path, at)

    def stalls(self, scenario: int, at: int, origin: str = "cluster") -> tuple[tuple[int, int], ...]:
        """Give the stalls of a scenario's prober that end after `at` (nanoseconds)."""
        return read_stalls(place(self.folder, scenario, origin) / "prober.jsonl", at)

    def prober(self, scenario: int, origin: str = "cluster") -> ProberLog:
        """Give what the prober of a scenario logged; beside that in the cluster there may be one here."""
        return read_prober_log(place(self.folder, scenario, origin) / "prober.jsonl")


def place(folder: Path, scenario: int, origin: str) -> Path:
    """Give where the prober of a scenario has its files, in the folder of a run."""
    samples = folder / "samples" / str(scenario)
    return samples if origin == "cluster" else samples / origin
