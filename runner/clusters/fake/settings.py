"""What `cluster:` may say of a fake cluster."""

from __future__ import annotations

from pydantic import Field

from runner.language.types import Duration, Model


class Settings(Model):
    """How large it is, and how long it takes over things."""

    workers: int = 2
    replicas: int = 2
    """Of each deployment that does not say how many it has."""
    gcs_fault_tolerance: str = "redis"
    """`none`: when the head dies, so do the workers."""
    exclude_head_from_service: bool = False
    resubmit: bool = True
    """Of no effect: a controller always comes back."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Of no effect."""
    boot: Duration = 1.0
    deploy_delay: Duration = 2.0
    """From a configuration, or a node that is up again, to replicas that run."""
    restart_delay: Duration = 5.0
    """From the death of a node, the controller or a proxy to its return."""
