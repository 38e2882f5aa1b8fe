"""Files of a local cluster: the code its nodes import, and the logs they write."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from runner.errors import ClusterError
from runner.journal.redaction import Secrets


def node_folder(slot: str) -> str:
    """Give the name of a node's folder: short, since sockets far below it may have 107 characters."""
    return slot.replace("worker-", "w")


def link_code(code: Path, folders: Sequence[Path]) -> None:
    """Make what stands in the applications' folders importable from `code`, on every node's PYTHONPATH.

    Links, not copies: a folder may hold a model. A later deployment may bring another application with
    modules of the same names; two at once may not. Raises ClusterError for that.
    """
    wanted: dict[str, Path] = {}
    for folder in dict.fromkeys(folder.resolve() for folder in folders):
        for entry in folder.iterdir():
            if entry.name.startswith(".") or entry.name == "__pycache__":
                continue
            if entry.name in wanted and entry.suffix in ("", ".py"):
                other = wanted[entry.name].parent
                raise ClusterError(
                    f"Two applications both have a {entry.name}: in {other} and in {folder}.",
                    help="Rename one: all applications of a cluster share one import path.",
                )
            wanted[entry.name] = entry
    for name, entry in wanted.items():
        link = code / name
        if link.is_symlink() and os.readlink(link) == str(entry):
            continue
        fresh = code / f".{name}.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(entry)
        fresh.replace(link)  # at once: a replica may be importing


def tail(path: Path, lines: int = 12) -> str:
    """Give the last lines of a log; empty where there is none."""
    try:
        return "\n".join(_end(path, 16384).decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def explain(runtime: Path, slot: str) -> str:
    """Give the ends of the logs that say why a unit did not come up, each under its name."""
    inside = runtime / node_folder(slot) / "session_latest" / "logs"
    said = ""
    for path in (inside / "gcs_server.out", inside / "raylet.out", runtime / "logs" / f"{slot}.log"):
        if text := tail(path).strip():
            said += f"\n--- the end of {path.name}:\n{text}"
    return said


def copy_logs(
    runtime: Path,
    directory: Path,
    slots: Collection[str] | None = None,
    *,
    secrets: Secrets,
    most: int = 2_000_000,
) -> None:
    """Copy the logs of units, GCS, raylets, dashboard and Serve, the last `most` bytes of each.

    Where `slots` are named, only theirs. `secrets` are hidden.
    """
    wanted = {
        path: path.name
        for path in sorted((runtime / "logs").glob("*.log"))
        if slots is None or path.stem in slots
    }
    folders = None if slots is None else {node_folder(slot) for slot in slots}
    patterns = ("gcs_server*", "raylet*", "dashboard.*", "dashboard_agent.*", "serve/*.log")
    for session in sorted(runtime.glob("*/session_*")):
        if session.is_symlink() or (folders is not None and session.parent.name not in folders):
            continue
        # `session_<date>_<time>_<microseconds>_<pid>`: a node started again has another.
        name = "_".join(session.name.split("_")[1:3])
        for pattern in patterns:
            for path in sorted((session / "logs").glob(pattern)):
                wanted[path] = f"{session.parent.name}/{name}/{path.name}"
    for path, name in wanted.items():
        try:
            content = _end(path, most)
        except OSError:
            continue  # a socket, or a file that has just gone
        if content:
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(secrets.hide_bytes(content))


def _end(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most))
        return file.read()
