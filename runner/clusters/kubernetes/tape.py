"""What a prober in a pod writes as one stream (docs/prober.md), taken apart into the files it stands for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO

from runner.errors import ClusterError

Json = Any

FRAME = Struct("<HI")
"""Before each piece: which file it belongs to, and its length."""
SAID = 0
"""The file that holds the events."""


class Tape:
    """Writes the files of a tape into a directory, as far as it has come. To be closed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[int, BinaryIO] = {}
        self._rest = bytearray()
        self.taken = 0
        """How many of its bytes were taken: what is read next goes on from here."""

    def take(self, chunk: bytes) -> Iterator[Mapping[str, Json]]:
        """Take what comes next; give the events in it. A piece is written once it is whole, in one go."""
        self.taken += len(chunk)
        self._rest += chunk
        at = 0
        while len(self._rest) - at >= FRAME.size:
            number, length = FRAME.unpack_from(self._rest, at)
            end = at + FRAME.size + length
            if len(self._rest) < end:
                break
            piece = bytes(self._rest[at + FRAME.size : end])
            at = end
            if number != SAID:
                self._file(number).write(piece)
                continue
            event = json.loads(piece)
            if event["event"] == "file":
                self._begin(int(event["number"]), str(event["name"]))
            else:
                yield event
        del self._rest[:at]

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _begin(self, number: int, name: str) -> None:
        if Path(name).name != name:
            raise ClusterError(f"The prober wants to write a file {name!r}: it is not ours.")
        self._files[number] = (self._directory / name).open("xb", buffering=0)

    def _file(self, number: int) -> BinaryIO:
        if number not in self._files:
            raise ClusterError("What came from the prober's pod is not what a prober writes.")
        return self._files[number]
