"""Pid: quick to construct, answers who it is, with its process id and actor id."""

import os
from typing import Any

import ray
from ray import serve


@serve.deployment
class Pid:
    """A replica that is back as soon as its process is."""

    def __call__(self) -> dict[str, Any]:
        """Answer with this replica's process id and actor id."""
        return {"pid": os.getpid(), "actor": ray.get_runtime_context().get_actor_id()}


app = Pid.bind()
