"""Sample files, as docs/formats.md defines them: read here, written by the prober (which shares no code).

All instants are integer nanoseconds of the prober's CLOCK_MONOTONIC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
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

    def prober(self, scenario: int) -> ProberLog:
        """Give what the prober of a scenario logged."""
        return read_prober_log(self.folder / "samples" / str(scenario) / "prober.jsonl")
