"""What `cluster:` may say of an external cluster."""

from __future__ import annotations

from runner.language.types import Duration, Model


class Settings(Model):
    """Nothing is made, so there is little to set."""

    command_timeout: Duration = 60.0
    """How long a command of the inventory may take before it is killed."""
    workers: int | None = None
    """What a scenario is about. Nobody can compare it here; the report shows it as not compared."""
    gcs_fault_tolerance: str | None = None
    """Likewise."""
