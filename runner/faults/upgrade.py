"""upgrade: let the cluster be exchanged for another one under load, as a new image or environment does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from runner.faults.target import given
from runner.language.plan import Kind
from runner.language.refusal import mistake
from runner.language.types import Duration, Model

if TYPE_CHECKING:
    import random

    from runner.faults.aim import Aim


class Upgrade(Model):
    """Ask for nodes with another environment: another cluster is made, and serves in place of this one."""

    how: Literal["new_cluster", "incremental"] = Field(
        default="new_cluster",
        description="new_cluster: requests go to the new one once all runs there; incremental: step by step.",
    )
    environment: dict[Annotated[str, Field(min_length=1)], str] = Field(
        default_factory=dict,
        description="Environment variables that the new nodes have beside the old ones'.",
    )
    step: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None, description="With `incremental`: so many of a hundred requests move at once; 20."
    )
    interval: Duration | None = Field(
        default=None,
        ge=1,
        description="With `incremental`: the time between two steps, in whole seconds; 10s.",
    )

    @model_validator(mode="after")
    def _steps(self) -> Upgrade:
        if self.how != "incremental" and (self.step is not None or self.interval is not None):
            raise mistake("upgrade", "`step` and `interval` go with `how: incremental`.")
        if self.interval is not None and self.interval % 1:
            raise mistake("upgrade", "`interval` is in whole seconds.")
        return self


def aim(arguments: Upgrade, workers: Sequence[str], draw: random.Random) -> Aim:  # noqa: ARG001 (as aims are)
    """Give the one action; the cluster resolves what stands now."""
    from runner.clusters.contract import Action
    from runner.faults.aim import Aim

    said = given(how=arguments.how, environment=arguments.environment)
    if arguments.how == "incremental":
        said |= {"step": arguments.step or 20, "interval": arguments.interval or 10.0}
    return Aim("the cluster that serves", arguments.how, (Action("upgrade", said),))


def _needs(arguments: Upgrade | None) -> Sequence[str]:
    """Give what a cluster must be able to do."""
    return (
        ("incremental_upgrade",) if arguments is not None and arguments.how == "incremental" else ("upgrade",)
    )


KIND = Kind(
    "upgrade",
    Upgrade,
    is_fault=True,
    expand=lambda value: {} if value is None else value,
    needs=_needs,
)
