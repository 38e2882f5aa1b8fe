"""The files that a run was made of, kept in its folder as they were: what it takes to run it again."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from runner.journal.redaction import Secrets, hidden

FOLDER = "sources"
LARGEST = 1_000_000
"""Bytes of a file of code that is kept."""


def keep(
    files: Mapping[str, bytes], folder: Path, secrets: Secrets, *, here: Path, pack: Path
) -> dict[str, object]:
    """Write files below `sources/` of a run's folder, without secrets; raises OSError as the disk does.

    Gives `files`, the place of each below `sources/` by the path it was read at, and `here`: the place that
    stands for the folder in which ftrun was called.
    """
    places, there = placed(files, here=here, pack=pack)
    for path, place in places.items():
        target = folder / FOLDER / place
        target.parent.mkdir(parents=True, exist_ok=True)
        text = secrets.hide(files[path].decode("utf-8", "replace"))
        target.write_text(hidden(text, code=path.endswith((".py", ".sh"))), encoding="utf-8")
    return {"here": there, "files": places}


def placed(paths: Iterable[str], *, here: Path, pack: Path) -> tuple[dict[str, str], str]:
    """Give each path its place, so that files stand to each other as they did; and that of `here`.

    What came with ftrun stands in `pack/`, unless ftrun is called right there.
    """
    whole = {path: os.path.abspath(here / path) for path in paths}
    own = {path: full for path, full in whole.items() if not _within(full, pack) or _within(full, here)}
    inside = all(_within(full, here) for full in own.values())
    root = str(here) if inside else os.path.commonpath([os.path.dirname(full) for full in own.values()])
    places = {
        path: os.path.relpath(full, root)
        if path in own
        else os.path.join("pack", os.path.relpath(full, pack))
        for path, full in whole.items()
    }
    return places, os.path.relpath(here, root) if _within(str(here), Path(root)) else "."


def _within(path: str, folder: Path) -> bool:
    return Path(path).is_relative_to(folder)


def code(folder: Path, module: str) -> Iterator[str]:
    """Give the files of a module and of all that it imports from its folder, by the text of the modules."""
    waiting, seen = [module], set[str]()
    while waiting:
        name = waiting.pop()
        stem = folder.joinpath(*name.split("."))
        path = stem.with_suffix(".py") if stem.with_suffix(".py").is_file() else stem / "__init__.py"
        if name in seen or not path.is_file() or path.stat().st_size > LARGEST:
            continue
        seen.add(name)
        yield str(path)
        if "." in name:
            waiting.append(name.rpartition(".")[0])
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += [each for node in ast.walk(tree) for each in _imported(node, package)]


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    """Give the modules that a statement may import."""
    if isinstance(node, ast.Import):
        yield from (each.name for each in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        base = ".".join(filter(None, [*above, node.module or ""]))
        if base:
            yield base
        yield from (f"{base}.{each.name}" if base else each.name for each in node.names)
