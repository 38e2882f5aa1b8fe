"""What `cluster:` may say of a local cluster, in an inventory or a scenario."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from runner.language.types import Duration, Model


class RestartDelay(Model):
    """How long a dead node, or Redis, stays away before the supervisor starts it again."""

    head: Duration = 5.0
    worker: Duration = 5.0
    redis: Duration = 1.0


class Ray(Model):
    """The Ray under test."""

    python: str | None = Field(
        default=None, description="A Python that has ray[serve]; without it, the one ftrun runs on."
    )


class Settings(Model):
    """A Ray cluster made of processes on this machine."""

    workers: Annotated[int, Field(ge=0, le=16)] = 2
    head_cpus: Annotated[int, Field(ge=0, le=64)] = Field(
        default=0, description="CPUs the head offers; 0 keeps replicas off it, as KubeRay's users do."
    )
    worker_cpus: Annotated[int, Field(ge=1, le=64)] = Field(
        default=3, description="CPUs a worker offers; replicas must need all workers for each to get a proxy."
    )
    gcs_fault_tolerance: Literal["redis", "rocksdb", "none"] = "redis"
    # Defaults are not validated: that would build their models now.
    restart_delay: RestartDelay = RestartDelay.model_construct()
    exclude_head_from_service: bool = Field(
        default=False,
        description="Keep the head out of `service`, as `excludeHeadPodFromServeSvc` of a RayService does.",
    )
    resubmit: bool = Field(
        default=True,
        description="Hand Serve its configuration again where the controller is gone, as KubeRay does.",
    )
    ray: Ray = Ray.model_construct()
    environment: dict[str, str] = Field(
        default_factory=dict, description="Environment variables of every node, such as RAY_SERVE_... ones."
    )
    layout: Literal["auto", "namespaces", "loopback"] = Field(
        default="auto",
        description="namespaces: every node has a network of its own; loopback: addresses 127.x.y.z.",
    )
