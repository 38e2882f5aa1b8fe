"""SlowPid: answers with its process id, after as many seconds as the request asks for (`/?seconds=1`)."""

import asyncio
import os

from ray import serve
from starlette.requests import Request


@serve.deployment
class SlowPid:
    """A replica that has requests in flight."""

    async def __call__(self, request: Request) -> int:
        """Answer with the process id of this replica, when it is time."""
        await asyncio.sleep(float(request.query_params.get("seconds", 0)))
        return os.getpid()


app = SlowPid.bind()
