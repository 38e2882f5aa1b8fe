"""The command that plays a scenario of a run again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

Json = Any


def command(
    options: Mapping[str, Json], files: str | Sequence[str], seed: int, *, repeat: int | None = None
) -> str:
    """Give the command that runs files as they were run: with what the run's options chose, and this seed."""
    words = ["ftrun", *([files] if isinstance(files, str) else files)]
    if options.get("inventory", "local") != "local":
        words += ["-i", str(options["inventory"])]
    for given in options.get("given", ()):
        words += ["-e", str(given)]
    for name in ("app", "path"):
        if options.get(name):
            words += [f"--{name}", str(options[name])]
    for name in ("tags", "skip_tags"):
        if options.get(name):
            words += [f"--{name.replace('_', '-')}", ",".join(options[name])]
    words += ["--seed", str(seed)]
    if repeat is not None:
        words += ["--repeat", str(repeat)]
    return shlex.join(words)
