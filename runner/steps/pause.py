"""pause: let time pass, where time itself is the point (a wait belongs into wait_for)."""

from __future__ import annotations

from pydantic import Field

from runner.language.plan import Kind
from runner.language.types import Duration, Model
from runner.steps.stage import Json, Stage


class Pause(Model):
    """Let time pass."""

    duration: Duration = Field(description="How long; `pause: 5s` is the short form.")


KIND = Kind("pause", Pause, expand=lambda value: value if isinstance(value, dict) else {"duration": value})


async def run(arguments: Pause, _stage: Stage) -> Json:
    """Let the time pass."""
    import asyncio

    await asyncio.sleep(arguments.duration)
    return {}
