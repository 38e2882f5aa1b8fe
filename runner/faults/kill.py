"""kill: end a node, a process, an actor, a service, or run a command that the inventory gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from runner.faults.target import Place, Target, given, slots
from runner.language.plan import Kind
from runner.language.refusal import mistake
from runner.language.types import CommandName, Duration

if TYPE_CHECKING:
    import random

    from runner.faults.aim import Aim

TARGETS = "`node`, `process`, `actor` (either perhaps on a `node`), `host`, `service` or `command`"


class Kill(Target):
    """Kill one kind of target, chosen by its role."""

    service: Literal["redis", "operator"] | None = Field(
        default=None,
        description="What stands beside the nodes: the Redis of GCS fault tolerance, KubeRay's operator.",
    )
    host: Place | None = Field(
        default=None, description="The machine that a node stands on: a node of Kubernetes."
    )
    command: CommandName | None = Field(
        default=None, description="The name of a command that the inventory gives."
    )
    how: Literal["crash", "delete", "evict", "power_off", "ray_kill"] = Field(
        default="crash",
        description="crash: SIGKILL; delete: SIGTERM first (nodes), or as `kubectl delete` does; evict: as a "
        "drain does (nodes); power_off: SIGKILL, and it stays away; ray_kill: by Ray's own means (actors).",
    )
    no_restart: bool | None = Field(
        default=None, description="With `ray_kill`: Ray shall not restart the actor."
    )
    grace: Duration | None = Field(
        default=None, description="With `delete`: time between SIGTERM and SIGKILL."
    )

    @model_validator(mode="after")
    def _one_target(self) -> Kill:
        inside = self.node is not None or self.process is not None or self.actor is not None
        others = (self.service, self.command, self.host)
        if inside + sum(each is not None for each in others) != 1:
            needs = "one target" if inside or any(others) else "a target"
            raise mistake("kill", f"Kill has {needs}: {TARGETS}.")
        self.check_target("kill")
        what = self.actor or self.process or self.service or self.command or ("host" if self.host else "node")
        takes = (
            ("crash", "ray_kill") if self.actor
            else ("crash",) if self.process or self.command
            else ("crash", "delete", "power_off") if self.service
            else ("power_off", "delete") if self.host
            else ("crash", "delete", "evict", "power_off")
        )  # fmt: skip
        if self.how not in takes:
            said = " or ".join(f"`{how}`" for how in takes)
            raise mistake("kill", f"`how: {self.how}` is not for a {what}, which takes {said}.")
        if self.no_restart is not None and self.how != "ray_kill":
            raise mistake("kill", "`no_restart` goes with `how: ray_kill`.")
        if self.grace is not None and self.how != "delete":
            raise mistake("kill", "`grace` goes with `how: delete`.")
        return self


def aim(arguments: Kill, workers: Sequence[str], draw: random.Random) -> Aim:
    """Resolve the target to actions; raises CannotRun where there is none."""
    from runner.clusters.contract import Action
    from runner.faults.aim import Aim

    how = arguments.how
    lasts = how == "power_off"
    if arguments.command is not None:
        action = Action("command", {"name": arguments.command})
        return Aim(f"command {arguments.command}", "command", (action,))
    if arguments.service is not None:
        action = Action("service", {"service": arguments.service, "how": how})
        return Aim(f"service {arguments.service}", how, (action,), lasts=lasts)
    if arguments.host is not None:
        places = slots(arguments.host, workers, draw)
        actions = tuple(Action("host", {"slot": slot, "how": how}) for slot in places)
        return Aim(f"host of {', '.join(places)}", how, actions, lasts=True)
    places = arguments.places(workers, draw)
    if arguments.actor is not None:
        kind, said = "actor", {**arguments.chosen(), **given(how=how, no_restart=arguments.no_restart)}
    elif arguments.process is not None:
        kind, said = "process", {"process": arguments.process}
    else:
        kind, said = "node", given(how=how, grace=arguments.grace)
    actions = tuple(Action(kind, {**said, **given(slot=slot)}) for slot in places or (None,))
    return Aim(arguments.words(places), how, actions, lasts=lasts)


def needs(arguments: Kill | None) -> Sequence[str]:
    """Give what a cluster must be able to do."""
    if arguments is None:
        return ()
    if arguments.command is not None:
        return ("command",)
    kinds = {"actor": arguments.actor, "process": arguments.process, "host": arguments.host}
    if arguments.service is not None:
        return (arguments.service,)
    what = next((kind for kind, target in kinds.items() if target), "node")
    return (what, arguments.how) if arguments.how in ("power_off", "evict") else (what,)


KIND = Kind("kill", Kill, is_fault=True, needs=needs)
