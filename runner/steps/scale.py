"""scale: another number of replicas for a deployment that runs; a deployment in place."""

from __future__ import annotations

from pydantic import Field

from runner.language.plan import Kind
from runner.language.types import Duration, Model
from runner.steps.deploy import Deploy, update
from runner.steps.stage import Json, Stage


class Scale(Model):
    """Give a deployment another number of replicas, and wait until they run."""

    deployment: str = Field(min_length=1)
    replicas: int = Field(ge=0)
    app: str | None = Field(default=None, description="The application it belongs to; else any that has it.")
    wait: Duration | None = Field(default=300.0, description="How long to wait; null: do not wait.")


KIND = Kind("scale", Scale, needs=lambda _arguments: ("deploy",))


async def run(arguments: Scale, stage: Stage) -> Json:
    """Deploy what runs with another number of replicas."""
    wanted = {arguments.deployment: {"num_replicas": arguments.replicas}}
    return await update(Deploy(set=wanted, wait=arguments.wait), stage, only=arguments.app)
