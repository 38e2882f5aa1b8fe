"""log: say something to whoever watches."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from runner.language.plan import Kind
from runner.language.types import Model
from runner.steps.stage import Json, Stage


class Log(Model):
    """Say something; it stands in the journal and on the terminal."""

    text: str = Field(description='What to say; `log: "text"` is the short form.')
    level: Literal["info", "warning"] = "info"


KIND = Kind("log", Log, expand=lambda value: value if isinstance(value, dict) else {"text": value})


async def run(arguments: Log, stage: Stage) -> Json:
    """Say it."""
    from runner.journal.events import Said

    stage.journal.append(Said(scenario=stage.number, level=arguments.level, text=arguments.text))
    return {}
