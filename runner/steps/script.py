"""script: run a script that stands beside the scenario, here or on a node. The inventory has to allow it."""

from __future__ import annotations

from pydantic import Field

from runner.language.plan import Kind
from runner.steps.exec import Way, execute
from runner.steps.stage import Json, Stage


class Script(Way):
    """Run a script; its exit code, stdout and stderr are what `register` holds."""

    file: str = Field(pattern=r"\.(py|sh)$", description="A .py or .sh file, beside the scenario.")
    args: tuple[str | int | float, ...] = Field(default=(), description="What it is given.")


KIND = Kind(
    "script",
    Script,
    expand=lambda value: value if isinstance(value, dict) else {"file": value},
    needs=lambda _arguments: ("exec",),
)


async def run(arguments: Script, stage: Stage) -> Json:
    """Hand its text to an interpreter, so that it needs no file where it runs."""
    text = stage.scenario.scripts[arguments.file]
    words = (text, *map(str, arguments.args))
    if arguments.file.endswith(".sh"):
        command = ("/bin/sh", "-c", words[0], arguments.file, *words[1:])
    else:
        command = (_python(arguments.where), "-c", *words)
    return await execute(command, arguments, stage)


def _python(where: str) -> str:
    """Give the Python to use: here ftrun's own, on a node whatever is called so there."""
    import sys

    return sys.executable if where == "here" else "python"
