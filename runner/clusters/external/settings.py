"""What `cluster:` may say of an external cluster."""

from __future__ import annotations

from pydantic import Field

from runner.language.types import Duration, Model


class Settings(Model):
    """Nothing is made, so there is little to set."""

    command_timeout: Duration = Field(
        default=60.0, description="How long a command of the inventory may take before it is killed."
    )
    workers: int | None = Field(
        default=None, description="What a scenario is about; nobody can compare it here."
    )
    gcs_fault_tolerance: str | None = Field(default=None, description="Likewise.")
    exclude_head_from_service: bool | None = Field(default=None, description="Likewise.")
    resubmit: bool | None = Field(default=None, description="Likewise.")
    environment: dict[str, str] | None = Field(default=None, description="Likewise.")
