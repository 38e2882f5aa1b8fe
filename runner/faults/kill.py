"""kill: end a node, an actor, or run a command that the inventory gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from runner.errors import CannotRun
from runner.language.plan import Kind
from runner.language.refusal import mistake
from runner.language.types import CommandName, Duration, Model

if TYPE_CHECKING:
    import random

    from runner.faults.aim import Aim


class Worker(Model):
    """Which worker: by number, any (drawn with the run's seed), or all of them."""

    worker: Annotated[int, Field(ge=1)] | Literal["any", "all"]


Place = Literal["head", "worker"] | Worker
"""A node by its role: `head`, `worker` (any), `{worker: 1}`, `{worker: any}`, `{worker: all}`."""


class Kill(Model):
    """Kill one kind of target, chosen by its role."""

    node: Place | None = Field(
        default=None, description="The node; together with `actor`, where that stands."
    )
    actor: Literal["replica", "controller", "proxy"] | None = None
    app: str | None = Field(default=None, description="Only replicas of this application.")
    deployment: str | None = Field(default=None, description="Only replicas of this deployment.")
    mode: Literal["one", "all"] = Field(default="one", description="How many of the actors that match.")
    command: CommandName | None = Field(
        default=None, description="The name of a command that the inventory gives."
    )
    how: Literal["crash", "delete", "ray_kill"] = Field(
        default="crash",
        description="crash: SIGKILL; delete: SIGTERM first (nodes); ray_kill: by Ray's own means (actors).",
    )
    no_restart: bool | None = Field(
        default=None, description="With `ray_kill`: Ray shall not restart the actor."
    )
    grace: Duration | None = Field(
        default=None, description="With `delete`: time between SIGTERM and SIGKILL."
    )

    @model_validator(mode="after")
    def _one_target(self) -> Kill:
        if self.command is not None and (self.node is not None or self.actor is not None):
            raise mistake("kill", "Kill has one target: `node`, `actor` (perhaps on a `node`), or `command`.")
        if self.command is None and self.node is None and self.actor is None:
            raise mistake("kill", "Kill needs a target: `node`, `actor` or `command`.")
        if self.actor is None and self.how == "ray_kill":
            raise mistake("kill", "`how: ray_kill` is for actors; a node takes `crash` or `delete`.")
        if self.actor is not None and self.how == "delete":
            raise mistake("kill", "`how: delete` is for nodes; an actor takes `crash` or `ray_kill`.")
        if self.actor != "replica" and (self.app is not None or self.deployment is not None):
            raise mistake("kill", "`app` and `deployment` choose among replicas; use `actor: replica`.")
        if self.no_restart is not None and self.how != "ray_kill":
            raise mistake("kill", "`no_restart` goes with `how: ray_kill`.")
        if self.grace is not None and self.how != "delete":
            raise mistake("kill", "`grace` goes with `how: delete`.")
        return self


def slots(place: Place, workers: Sequence[str], draw: random.Random) -> tuple[str, ...]:
    """Give the slots that a place means among `workers` (slots in order); raises CannotRun for none."""
    if place == "head":
        return ("head",)
    which = place.worker if isinstance(place, Worker) else "any"
    if not workers:
        raise CannotRun("There is no worker to kill.", help="Give the cluster workers, or aim at the head.")
    if which == "all":
        return tuple(workers)
    if which == "any":
        return (draw.choice(list(workers)),)
    if which > len(workers):
        raise CannotRun(f"There is no worker {which}: the cluster has {len(workers)} ({', '.join(workers)}).")
    return (workers[int(which) - 1],)


def _given(**arguments: Any) -> dict[str, Any]:
    """Leave out what was not said."""
    return {name: value for name, value in arguments.items() if value is not None}


def aim(arguments: Kill, workers: Sequence[str], draw: random.Random) -> Aim:
    """Resolve the target to actions; raises CannotRun where there is none."""
    from runner.clusters.contract import Action
    from runner.faults.aim import Aim

    if arguments.command is not None:
        return Aim(
            f"command {arguments.command}", "command", (Action("command", {"name": arguments.command}),)
        )
    places = slots(arguments.node, workers, draw) if arguments.node is not None else ()
    if arguments.actor is None:
        actions = [
            Action("node", _given(slot=slot, how=arguments.how, grace=arguments.grace)) for slot in places
        ]
        return Aim(f"node {', '.join(places)}", arguments.how, tuple(actions))
    actions = [
        Action(
            "actor",
            _given(
                role=arguments.actor,
                how=arguments.how,
                no_restart=arguments.no_restart,
                app=arguments.app,
                deployment=arguments.deployment,
                slot=slot,
                mode=arguments.mode,
            ),
        )
        for slot in places or (None,)
    ]
    of = f" of {arguments.deployment or arguments.app}" if arguments.deployment or arguments.app else ""
    on = f" on {', '.join(places)}" if places else ""
    every = "every " if arguments.mode == "all" else ""
    return Aim(f"{every}actor {arguments.actor}{of}{on}", arguments.how, tuple(actions))


KIND = Kind("kill", Kill, is_fault=True)
