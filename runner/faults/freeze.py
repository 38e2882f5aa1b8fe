"""freeze: stop processes where they stand (SIGSTOP), and let them go on later (SIGCONT)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from runner.faults.target import Target, given
from runner.language.plan import Kind
from runner.language.refusal import mistake
from runner.language.types import Duration

if TYPE_CHECKING:
    import random

    from runner.faults.aim import Aim


class Freeze(Target):
    """Freeze a node, one of its processes, or actors: they live on and do nothing."""

    for_: Duration | None = Field(
        default=None, alias="for", gt=0, description="How long; without it, until it is healed."
    )

    @model_validator(mode="after")
    def _one_target(self) -> Freeze:
        if self.node is None and self.process is None and self.actor is None:
            raise mistake("freeze", "Freeze needs a target: `node`, `process` or `actor`.")
        self.check_target("freeze")
        return self


def aim(arguments: Freeze, workers: Sequence[str], draw: random.Random) -> Aim:
    """Resolve the target to actions; raises CannotRun where there is none."""
    from runner.clusters.contract import Action
    from runner.faults.aim import Aim

    places = arguments.places(workers, draw)
    said = arguments.chosen() if arguments.actor is not None else given(process=arguments.process)
    actions = tuple(Action("freeze", {**said, **given(slot=slot)}) for slot in places or (None,))
    return Aim(arguments.words(places), "frozen", actions, ends=False, lasts=True, heal_after=arguments.for_)


KIND = Kind("freeze", Freeze, is_fault=True, needs=lambda _arguments: ("freeze",))
