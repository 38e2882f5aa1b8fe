"""heal: put back now what a fault broke, rather than at the scenario's end."""

from __future__ import annotations

from pydantic import Field

from runner.errors import ClusterError, FtrunError
from runner.language.plan import Kind
from runner.language.types import FaultName, Model
from runner.steps.stage import Json, Stage


class Heal(Model):
    """Heal a fault; what was healed already is left as it is."""

    fault: FaultName = Field(description="The fault; `heal: FAULT` is the short form.")


KIND = Kind("heal", Heal, expand=lambda value: value if isinstance(value, dict) else {"fault": value})


async def run(arguments: Heal, stage: Stage) -> Json:
    """Carry out the undo of every fault of that name, the last first; raises ClusterError where one fails."""
    faults = [fault for fault in reversed(stage.scene.faults) if fault.name == arguments.fault]
    if not faults:
        raise FtrunError(f'No fault "{arguments.fault}" was injected, so there is nothing to heal.')
    errors = [error for fault in faults for error in await stage.heal(fault.number)]
    if errors:
        raise ClusterError(" ".join(errors))
    return {"fault": faults[0].number, "healed": faults[0].healed}
