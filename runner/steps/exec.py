"""exec: run a command, here or on a node. The inventory has to allow it (`allow: [exec]`)."""

from __future__ import annotations

from pydantic import Field

from runner.language.plan import Kind
from runner.language.types import Duration, Model


class Exec(Model):
    """Run a command; its exit code, stdout and stderr are what `register` holds."""

    command: str | tuple[str, ...] = Field(description="A line for the shell, or a list of words.")
    where: str = Field(
        default="here", description="`here`, next to ftrun, or a node's slot such as `worker-1`."
    )
    timeout: Duration = 60.0
    exit_codes: tuple[int, ...] = Field(default=(0,), description="Exit codes that are right.")


KIND = Kind("exec", Exec, expand=lambda value: value if isinstance(value, dict) else {"command": value})
