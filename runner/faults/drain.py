"""drain: ask Ray to let a node go, gracefully, as an autoscaler does before it takes a machine away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from runner.faults.target import Place, slots
from runner.language.plan import Kind
from runner.language.types import Duration, Model

if TYPE_CHECKING:
    import random

    from runner.faults.aim import Aim


class Drain(Model):
    """Drain a node by Ray's own means; its raylet ends once nothing runs there any more."""

    node: Place
    deadline: Duration = Field(default=30.0, gt=0, description="How long the node still has, as Ray is told.")
    reason: Literal["preemption", "idle"] = Field(
        default="preemption",
        description="What Ray is told. It refuses `idle` for a node where something runs.",
    )


def aim(arguments: Drain, workers: Sequence[str], draw: random.Random) -> Aim:
    """Resolve the target to actions; raises CannotRun where there is none."""
    from runner.clusters.contract import Action
    from runner.faults.aim import Aim

    places = slots(arguments.node, workers, draw)
    said = {"deadline": arguments.deadline, "reason": arguments.reason}
    actions = tuple(Action("drain", {"slot": slot, **said}) for slot in places)
    return Aim(f"node {', '.join(places)}", arguments.reason, actions)


KIND = Kind("drain", Drain, is_fault=True, needs=lambda _arguments: ("drain",))
