"""The built-in pack: scenarios and inventories that travel with ftrun, and how FILE is found."""

from __future__ import annotations

import os
from pathlib import Path

from runner.language.refusal import nearest

SUFFIXES = (".yaml", ".yml")


class Disk:
    """The Source that reads this machine's files, never more of one than `limit` bytes and one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def read(self, path: str) -> bytes:
        """Give the file's beginning; raises OSError as `open` does."""
        with open(path, "rb") as file:
            return file.read(self._limit + 1)


def folder(name: str) -> Path:
    """Give the pack's folder `scenarios` or `inventories`: inside the wheel, or at the top of a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "pack" / name
    return inside if inside.is_dir() else package.parent / name


def names(name: str) -> list[str]:
    """Give the names that the pack's folder offers, sorted, without suffix."""
    place = folder(name)
    return sorted(path.stem for path in place.iterdir() if path.suffix in SUFFIXES) if place.is_dir() else []


def find(text: str, name: str) -> str:
    """Give the path that `text` means: itself where something stands there, else a file of the pack.

    A name with a suffix or a folder in it is never looked up in the pack. Nothing found gives `text` back:
    reading it then says what is wrong.
    """
    if not os.path.lexists(text) and os.path.basename(text) == text and not text.endswith(SUFFIXES):
        for suffix in SUFFIXES:
            built_in = folder(name) / f"{text}{suffix}"
            if built_in.is_file():
                return os.path.relpath(built_in) if built_in.is_relative_to(Path.cwd()) else str(built_in)
    return text


def contents(path: str) -> list[str]:
    """Give the YAML files that stand directly in the folder, sorted."""
    return sorted(
        os.path.join(path, entry)
        for entry in os.listdir(path)
        if entry.endswith(SUFFIXES) and os.path.isfile(os.path.join(path, entry))
    )


def suggestion(text: str, name: str) -> str:
    """Say what the pack has that looks like `text`."""
    there = names(name)
    return nearest(text, there) or f"Built-in {name}: {', '.join(there)}."
