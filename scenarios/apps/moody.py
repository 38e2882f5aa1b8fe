"""Moody: each replica's health check passes until a request asks that replica to fail or to hang."""

import asyncio
import os

from ray import serve
from starlette.requests import Request


@serve.deployment
class Moody:
    """A replica whose health is decided by those who ask it."""

    def __init__(self) -> None:
        """Begin healthy."""
        self.mood = "well"

    async def __call__(self, request: Request) -> int:
        """Answer with the process id of this replica; `/raise` and `/hang` change its mood."""
        if request.url.path in ("/raise", "/hang"):
            self.mood = request.url.path[1:]
        return os.getpid()

    async def check_health(self) -> None:
        """Do as the mood is. Any exception means that the replica is not healthy; so does no answer."""
        if self.mood == "raise":
            raise ArithmeticError("the moody replica does not feel well")
        if self.mood == "hang":
            await asyncio.sleep(3600)


app = Moody.bind()
