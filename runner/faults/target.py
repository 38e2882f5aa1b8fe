"""Targets of several kinds of faults, chosen by role: nodes, Ray's own processes there, Serve's actors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from runner.errors import CannotRun
from runner.language.refusal import mistake
from runner.language.types import Model

if TYPE_CHECKING:
    import random


class Worker(Model):
    """Which worker: by number, any (drawn with the run's seed), or all of them."""

    worker: Annotated[int, Field(ge=1)] | Literal["any", "all"]


Place = Literal["head", "worker"] | Worker
"""A node by its role: `head`, `worker` (any), `{worker: 1}`, `{worker: any}`, `{worker: all}`."""

Process = Literal["gcs_server", "raylet", "dashboard", "dashboard_agent"]
"""One of Ray's own processes on a node."""

ON_HEAD = ("gcs_server", "dashboard")
"""Those that stand on the head alone."""


class Fixed(Model):
    """So many of those that match."""

    fixed: Annotated[int, Field(ge=1)]


class Percent(Model):
    """A share of those that match, rounded up."""

    percent: Annotated[float, Field(gt=0, le=100)]


Mode = Literal["one", "all"] | Fixed | Percent
"""How many of the actors that match; which, is drawn with the run's seed."""


class Target(Model):
    """A target on the nodes: some of Serve's actors, or one of Ray's processes."""

    node: Place | None = Field(
        default=None, description="The node; together with `actor` or `process`, where that stands."
    )
    process: Process | None = Field(
        default=None, description="One of Ray's own processes; on the head unless `node` says otherwise."
    )
    actor: Literal["replica", "controller", "proxy"] | None = None
    app: str | None = Field(default=None, description="Only replicas of this application.")
    deployment: str | None = Field(default=None, description="Only replicas of this deployment.")
    mode: Mode = Field(default="one", description="How many of the actors that match.")

    def check_target(self, verb: str) -> None:
        """Refuse what does not belong together; to be called by a model's validator."""
        if self.process is not None and self.actor is not None:
            raise mistake(verb, "`actor` and `process` are two targets.", "Write two steps.")
        if self.process in ON_HEAD and self.node not in (None, "head"):
            raise mistake(verb, f"The {self.process} stands on the head alone.", "Leave `node` out.")
        if self.actor != "replica" and (self.app is not None or self.deployment is not None):
            raise mistake(verb, "`app` and `deployment` choose among replicas; use `actor: replica`.")
        if self.actor is None and self.mode != "one":
            raise mistake(verb, "`mode` says how many actors; use it with `actor`.")

    def places(self, workers: Sequence[str], draw: random.Random) -> tuple[str, ...]:
        """Give the slots it stands on; none where any will do."""
        if self.node is not None:
            return slots(self.node, workers, draw)
        return ("head",) if self.process is not None else ()

    def chosen(self) -> dict[str, Any]:
        """Give how the actors are chosen, as an action says it."""
        mode = self.mode if isinstance(self.mode, str) else self.mode.model_dump()
        return given(role=self.actor, app=self.app, deployment=self.deployment, mode=mode)

    def words(self, places: Sequence[str]) -> str:
        """Say for people what is aimed at."""
        on = ", ".join(places)
        if self.process is not None:
            return f"process {self.process} on {on}"
        if self.actor is None:
            return f"node {on}"
        of = f" of {self.deployment or self.app}" if self.deployment or self.app else ""
        return f"{_many(self.mode)}actor {self.actor}{of}" + (f" on {on}" if places else "")


def _many(mode: str | Fixed | Percent) -> str:
    match mode:
        case Fixed(fixed=number):
            return f"{number} of "
        case Percent(percent=share):
            return f"{share:g} % of "
        case "all":
            return "every "
        case _:
            return ""


def slots(place: Place, workers: Sequence[str], draw: random.Random) -> tuple[str, ...]:
    """Give the slots that a place means among `workers` (slots in order); raises CannotRun for none."""
    if place == "head":
        return ("head",)
    which = place.worker if isinstance(place, Worker) else "any"
    if not workers:
        raise CannotRun("There is no worker to hit.", help="Give the cluster workers, or aim at the head.")
    if which == "all":
        return tuple(workers)
    if which == "any":
        return (draw.choice(list(workers)),)
    if which > len(workers):
        raise CannotRun(f"There is no worker {which}: the cluster has {len(workers)} ({', '.join(workers)}).")
    return (workers[int(which) - 1],)


def given(**arguments: Any) -> dict[str, Any]:
    """Leave out what was not said."""
    return {name: value for name, value in arguments.items() if value is not None}
