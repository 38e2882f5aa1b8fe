"""partition: cut a node's link, so that nobody reaches it and it reaches nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from runner.faults.target import Place, slots
from runner.language.plan import Kind
from runner.language.types import Duration, Model

if TYPE_CHECKING:
    import random

    from runner.faults.aim import Aim


class Partition(Model):
    """Cut a node off from the network; its processes live on."""

    node: Place
    for_: Duration | None = Field(
        default=None, alias="for", gt=0, description="How long; without it, until it is healed."
    )


def aim(arguments: Partition, workers: Sequence[str], draw: random.Random) -> Aim:
    """Resolve the target to actions; raises CannotRun where there is none."""
    from runner.clusters.contract import Action
    from runner.faults.aim import Aim

    places = slots(arguments.node, workers, draw)
    actions = tuple(Action("cut_link", {"slot": slot}) for slot in places)
    return Aim(
        f"node {', '.join(places)}", "cut off", actions, ends=False, lasts=True, heal_after=arguments.for_
    )


KIND = Kind("partition", Partition, is_fault=True, needs=lambda _arguments: ("partition",))
