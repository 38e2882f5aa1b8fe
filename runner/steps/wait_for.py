"""wait_for: wait until the cluster and the probes are seen to be as they shall be."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from runner.language.plan import Kind
from runner.language.types import Duration, EndpointName, FaultName, Model, ProbeName, mistake
from runner.steps.matching import Matching


class Members(Model):
    """How many members of each role there shall be."""

    heads: int | None = Field(default=None, ge=0)
    workers: int | None = Field(default=None, ge=0)
    replicas: int | None = Field(default=None, ge=0)
    proxies: int | None = Field(default=None, ge=0)
    controllers: int | None = Field(default=None, ge=0)


class Good(Model):
    """A probe that is wholly good for a while."""

    name: ProbeName
    good_for: Duration = 5.0


class Answering(Model):
    """An endpoint that answers with a status."""

    name: EndpointName = Field(description="The endpoint's slot, such as `head` or `service`.")
    status: int = 200
    path: str = "/"


class Log(Model):
    """A line that somebody logs."""

    of: str = Field(description="Who says it: `controller`, `gcs`, `raylet`, `supervisor`.")
    matches: str = Field(description="A regular expression that some part of the line matches.")


class WaitFor(Matching):
    """Wait until all of these hold, in observations made after the last fault."""

    app: str | None = Field(default=None, description="Status of every application, such as RUNNING.")
    members: Members | None = None
    recovered: FaultName | None = Field(
        default=None, description="A fault: application, members and probes are as they were before it."
    )
    probe: Good | None = None
    endpoint: Answering | None = None
    log: Log | None = None
    job: str | None = Field(default=None, description="The registered name of a background step that ends.")
    timeout: Duration = 120.0

    @model_validator(mode="after")
    def _something(self) -> WaitFor:
        if self.model_fields_set <= {"timeout"}:
            raise mistake("wait", "wait_for names nothing to wait for, such as `app: RUNNING`.")
        if self.path is None and self.matchers:
            raise mistake("wait", f"`{self.matchers[0]}` goes with `state` or `ray_state`.")
        return self


def _expand(value: Any) -> Any:
    """Read `wait_for: RUNNING` as the status of the application."""
    return {"app": value} if isinstance(value, str) else value


KIND = Kind("wait_for", WaitFor, expand=_expand)
