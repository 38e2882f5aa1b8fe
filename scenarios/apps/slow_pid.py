"""SlowPid: answers who it is, after as many seconds as the request asks for (`/?seconds=1`)."""

import asyncio
import os
from typing import Any

import ray
from ray import serve
from starlette.requests import Request


@serve.deployment
class SlowPid:
    """A replica that has requests in flight."""

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Answer with this replica's process id and actor id, when it is time."""
        await asyncio.sleep(float(request.query_params.get("seconds", 0)))
        return {"pid": os.getpid(), "actor": ray.get_runtime_context().get_actor_id()}


app = SlowPid.bind()
