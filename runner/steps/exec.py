"""exec: run a command, here or on a node. The inventory has to allow it (`allow: [exec]`)."""

from __future__ import annotations

from pydantic import Field

from runner.errors import FtrunError
from runner.language.plan import Kind
from runner.language.types import Duration, Model
from runner.steps.stage import Json, Stage


class Way(Model):
    """Where something runs, for how long, and which exit codes are right."""

    where: str = Field(
        default="here", description="`here`, next to ftrun, or a node's slot such as `worker-1`."
    )
    timeout: Duration = 60.0
    exit_codes: tuple[int, ...] = Field(default=(0,), description="Exit codes that are right.")


class Exec(Way):
    """Run a command; its exit code, stdout and stderr are what `register` holds."""

    command: str | tuple[str, ...] = Field(description="A line for the shell, or a list of words.")


KIND = Kind(
    "exec",
    Exec,
    expand=lambda value: value if isinstance(value, dict) else {"command": value},
    needs=lambda _arguments: ("exec",),
)


async def run(arguments: Exec, stage: Stage) -> Json:
    """Run the command; raises FtrunError where its exit code is a wrong one."""
    return await execute(arguments.command, arguments, stage)


async def execute(command: tuple[str, ...] | str, way: Way, stage: Stage) -> Json:
    """Run a command as an exec or another step says; raises as `run` does."""
    if "exec" not in stage.inventory.allow:
        raise FtrunError(
            "The inventory does not allow scenarios to run commands.",
            help="Write `allow: [exec]` into the inventory, if you trust the scenario.",
        )
    completed = await stage.cluster.exec(command, where=way.where, timeout=way.timeout)
    if completed.exit_code not in way.exit_codes:
        said = (completed.stderr or completed.stdout).strip()[-2000:]
        raise FtrunError(
            f"The command ended with exit code {completed.exit_code}." + (f"\n{said}" if said else "")
        )
    return {"exit_code": completed.exit_code, "stdout": completed.stdout, "stderr": completed.stderr}
