"""Busy: a deployment that scales with its load. Each request occupies a replica for half a second."""

import asyncio
import os

from ray import serve


@serve.deployment
class Busy:
    """A replica that is busy for as long as a request takes, and uses next to no processor for it."""

    async def __call__(self) -> int:
        """Wait, then answer with the process id of this replica."""
        await asyncio.sleep(0.5)
        return os.getpid()


app = Busy.bind()
