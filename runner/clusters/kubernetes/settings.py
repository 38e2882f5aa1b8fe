"""What `cluster:` may say of a Kubernetes cluster, in an inventory or a scenario."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from runner.language.refusal import mistake
from runner.language.types import Duration, Model

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=47)]
"""A name of Kubernetes; KubeRay takes RayServices of 47 characters."""


class Resources(Model):
    """What a pod asks for, and what it may have, as Kubernetes writes it."""

    requests: dict[str, str] = Field(default_factory=dict)
    limits: dict[str, str] = Field(default_factory=dict)


class Share(Model):
    """What the pods of head and workers ask for, and the prober's."""

    head: Resources = Resources.model_construct(
        requests={"cpu": "200m", "memory": "1Gi"}, limits={"memory": "3Gi"}
    )
    worker: Resources = Resources.model_construct(
        requests={"cpu": "200m", "memory": "1Gi"}, limits={"memory": "3Gi"}
    )
    # A share of a busy host that lets it keep its times: it is blind where it has to wait for a processor.
    prober: Resources = Resources.model_construct(
        requests={"cpu": "500m", "memory": "64Mi"}, limits={"cpu": "1", "memory": "256Mi"}
    )


class Secret(Model):
    """A key of a Secret that is there already."""

    name: str
    key: str = "password"


class Redis(Model):
    """The Redis that GCS fault tolerance needs: one that ftrun makes, or one that is there."""

    image: str = "redis:7.0"
    address: str | None = Field(
        default=None,
        description="host:port of a Redis that is there; others may use it, so `allow: [shared-redis]`"
        " lets scenarios hit its pods.",
    )
    password: Secret | None = Field(default=None, description="The Secret that holds its password.")
    labels: dict[str, str] = Field(
        default_factory=dict, description="Labels of its pods, if scenarios are to hit them."
    )


class Operator(Model):
    """Where KubeRay's operator runs."""

    namespace: str = "kuberay-operator"
    deployment: str = "kuberay-operator"
    rocksdb: bool = Field(
        default=False, description="Its feature gate GCSFaultToleranceEmbeddedStorage is on."
    )


class Settings(Model):
    """A RayService: made by ftrun, or one that is there."""

    kubeconfig: str | None = Field(
        default=None, description="A kubeconfig's file; without it KUBECONFIG, or ~/.kube/config."
    )
    context: str | None = Field(
        default=None, description="A context of it; without one ftrun must run in a pod of the cluster."
    )
    namespaces: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="Where ftrun may reach; what it makes stands in the first."
    )
    rayservice: Name | None = Field(
        default=None, description="A RayService that is there: it is attached to, and not changed."
    )
    manifest: str | None = Field(
        default=None,
        description="A file with your RayService, from the inventory's folder: made in place of ftrun's own.",
    )
    name: Name = Field(default="ftrun", description="How the RayService that is made is called.")
    image: str = "rayproject/ray:2.60.0"
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    service_account: str | None = None
    ray_version: str | None = Field(
        default=None, description="The image's Ray; without it, the number in the image's tag."
    )
    workers: Annotated[int, Field(ge=0, le=64)] = 2
    head_cpus: Annotated[int, Field(ge=0, le=64)] = Field(
        default=0, description="CPUs the head offers to Ray; 0 keeps replicas off it."
    )
    worker_cpus: Annotated[int, Field(ge=1, le=64)] = Field(
        default=3, description="CPUs a worker offers to Ray, whatever its pod asks for."
    )
    resources: Share = Share.model_construct()
    object_store: str | None = Field(
        default="80000000", description="Bytes of a node's object store; null leaves them to Ray."
    )
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[dict[str, str | int], ...] = ()
    spread: bool = Field(
        default=True, description="Prefer another host for each worker, and none with the head or its Redis."
    )
    gcs_fault_tolerance: Literal["redis", "rocksdb", "none"] = "redis"
    fault_tolerance_by: Literal["auto", "options", "annotations"] = Field(
        default="auto",
        description="`gcsFaultToleranceOptions`, or annotations as before KubeRay 1.3; auto: as the CRD is.",
    )
    storage_namespace: str | None = Field(
        default=None,
        description="The external storage namespace; without it the cluster's UID.",
    )
    storage_claim: str | None = Field(
        default=None, description="The PersistentVolumeClaim for RocksDB's files."
    )
    redis: Redis = Redis.model_construct()
    operator: Operator = Operator.model_construct()
    exclude_head_from_service: bool = Field(
        default=False, description="`excludeHeadPodFromServeSvc` of the RayService."
    )
    resubmit: bool = Field(
        default=True, description="KubeRay always hands Serve its configuration again; false cannot be had."
    )
    gateway_class: str | None = Field(
        default=None,
        description="The GatewayClass by which KubeRay moves requests in an incremental upgrade.",
    )
    environment: dict[str, str] = Field(
        default_factory=dict, description="Environment variables of every node, such as RAY_SERVE_... ones."
    )
    prober: Literal["cluster", "here"] = Field(
        default="cluster", description="Where requests come from: a pod of its own, or beside ftrun."
    )
    boot: Duration = Field(default=300.0, description="How long pods may take until Ray runs in them.")

    @model_validator(mode="after")
    def _one_origin(self) -> Settings:
        if self.rayservice is not None and self.manifest is not None:
            raise mistake(
                "settings",
                "`rayservice` attaches to one that is there, and `manifest` makes another.",
                "Give one of them.",
            )
        return self
