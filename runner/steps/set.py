"""set: give variables to the steps that follow."""

from __future__ import annotations

from pydantic import ConfigDict, model_validator

from runner.language.models import identifier
from runner.language.plan import Kind
from runner.language.refusal import mistake
from runner.language.types import Model
from runner.steps.stage import Json, Stage


class Set(Model):
    """Variables for the steps that follow: any names, with their values."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="after")
    def _named(self) -> Set:
        if not self.model_extra:
            raise mistake("set", "`set` names no variable, such as `set: {limit: 10s}`.")
        for name in self.model_extra:
            identifier(name)
        return self


KIND = Kind("set", Set, defines=True)


async def run(arguments: Set, stage: Stage) -> Json:
    """Set them."""
    values = dict(arguments.model_extra or {})
    stage.registered.update(values)
    return {"values": values}
