"""drain: let a node go gracefully: Ray is asked, as an autoscaler does; or its machine, as kubectl does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from runner.faults.target import Place, slots
from runner.language.plan import Kind
from runner.language.refusal import mistake
from runner.language.types import Duration, Model

if TYPE_CHECKING:
    import random

    from runner.faults.aim import Aim


class Drain(Model):
    """Drain a node by Ray's own means; its raylet ends once nothing runs there any more. Or a host."""

    node: Place | None = None
    host: Place | None = Field(
        default=None,
        description="In place of `node`: the machine that such a node stands on takes no pods any more, and "
        "its own are evicted, until it is healed.",
    )
    deadline: Duration = Field(default=30.0, gt=0, description="How long the node still has, as Ray is told.")
    reason: Literal["preemption", "idle"] = Field(
        default="preemption",
        description="What Ray is told. It refuses `idle` for a node where something runs.",
    )

    @model_validator(mode="after")
    def _one_target(self) -> Drain:
        if (self.node is None) == (self.host is None):
            raise mistake("drain", "Drain has one target: `node` or `host`.")
        if self.host is not None and self.model_fields_set & {"deadline", "reason"}:
            raise mistake("drain", "`deadline` and `reason` are told to Ray; they go with `node`.")
        return self


def aim(arguments: Drain, workers: Sequence[str], draw: random.Random) -> Aim:
    """Resolve the target to actions; raises CannotRun where there is none."""
    from runner.clusters.contract import Action
    from runner.faults.aim import Aim

    if arguments.host is not None:
        places = slots(arguments.host, workers, draw)
        actions = tuple(Action("host", {"slot": slot, "how": "drain"}) for slot in places)
        return Aim(f"host of {', '.join(places)}", "drained", actions, lasts=True)
    assert arguments.node is not None
    places = slots(arguments.node, workers, draw)
    said = {"deadline": arguments.deadline, "reason": arguments.reason}
    actions = tuple(Action("drain", {"slot": slot, **said}) for slot in places)
    return Aim(f"node {', '.join(places)}", arguments.reason, actions)


def _needs(arguments: Drain | None) -> Sequence[str]:
    """Give what a cluster must be able to do."""
    return ("host",) if arguments is not None and arguments.host is not None else ("drain",)


KIND = Kind("drain", Drain, is_fault=True, needs=_needs)
