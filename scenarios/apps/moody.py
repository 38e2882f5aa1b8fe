"""Moody: each replica's health check passes until a request asks that replica to fail or to hang."""

import asyncio
import os
from typing import Any

import ray
from ray import serve
from starlette.requests import Request


@serve.deployment
class Moody:
    """A replica whose health is decided by those who ask it."""

    def __init__(self) -> None:
        """Begin healthy."""
        self.mood = "well"

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Answer with this replica's process id and actor id; `/raise` and `/hang` change its mood."""
        if request.url.path in ("/raise", "/hang"):
            self.mood = request.url.path[1:]
        return {"pid": os.getpid(), "actor": ray.get_runtime_context().get_actor_id()}

    async def check_health(self) -> None:
        """Do as the mood is. Any exception means that the replica is not healthy; so does no answer."""
        if self.mood == "raise":
            raise ArithmeticError("the moody replica does not feel well")
        if self.mood == "hang":
            await asyncio.sleep(3600)


app = Moody.bind()
