"""scale: another number of replicas for a deployment that runs; a deployment in place."""

from __future__ import annotations

from pydantic import Field

from runner.errors import FtrunError
from runner.language.plan import Kind
from runner.language.types import Duration, Model
from runner.steps.deploy import deployments, hand_in, merged
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
    running = stage.scene.applications
    if not running:
        raise FtrunError(
            "Nothing is deployed whose replicas could be scaled.", help="Write `deploy:` before."
        )
    wanted = {arguments.deployment: {"num_replicas": arguments.replicas}}
    applications = merged(running, wanted, await deployments(stage), only=arguments.app)
    return await hand_in(applications, stage, wanted, wait=arguments.wait, only=arguments.app)
