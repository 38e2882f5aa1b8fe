"""Busy: a deployment that scales with its load. Each request occupies a replica for half a second."""

import asyncio
import os
from typing import Any

import ray
from ray import serve


@serve.deployment
class Busy:
    """A replica that is busy for as long as a request takes, and uses next to no processor for it."""

    async def __call__(self) -> dict[str, Any]:
        """Wait, then answer with this replica's process id and actor id."""
        await asyncio.sleep(0.5)
        return {"pid": os.getpid(), "actor": ray.get_runtime_context().get_actor_id()}


app = Busy.bind()
