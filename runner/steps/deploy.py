"""deploy: hand Serve an application, or change the one that runs in place."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from runner.language.plan import Kind
from runner.language.types import Duration, Model


class Deploy(Model):
    """Deploy the scenario's application, another one, or new options for the deployments that run."""

    app: str | None = Field(default=None, description="Another application than the scenario's, by its file.")
    set: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description='Options to merge into deployments, by deployment name; "*" means every one of them.',
    )
    wait: Duration | None = Field(
        default=300.0,
        description="How long to wait until all of it runs and its proxies are healthy; null: do not wait.",
    )


KIND = Kind("deploy", Deploy, expand=lambda value: {} if value is None else value)
