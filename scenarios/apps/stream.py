"""Stream: an answer that takes ten seconds, a piece each second, and ends with who gave it."""

import asyncio
from collections.abc import AsyncIterator

import ray
from ray import serve
from starlette.responses import StreamingResponse

SECONDS = 10


@serve.deployment
class Stream:
    """A replica whose requests are long."""

    async def _pieces(self) -> AsyncIterator[str]:
        for number in range(SECONDS):
            yield f"{number}\n"
            await asyncio.sleep(1)
        yield f"end {ray.get_runtime_context().get_actor_id()}\n"

    def __call__(self) -> StreamingResponse:
        """Answer piece by piece; only a whole answer has the last line."""
        return StreamingResponse(self._pieces(), media_type="text/plain")


app = Stream.bind()
