"""The command that plays a scenario of a run again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

Json = Any


def command(options: Mapping[str, Json], file: str, seed: int, *, repeat: int | None = None) -> str:
    """Give the command that runs a file as it was run: with what the run's options chose, and this seed."""
    words = ["ftrun", file]
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
