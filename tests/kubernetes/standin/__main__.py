"""`python3 -m standin`, in a pod that may do what the operator does."""

from __future__ import annotations

import asyncio
import contextlib
import signal

from kubernetes.aio import client, config

from .api import Server
from .operator import Operator, log
from .serve import Serve, session


async def main() -> None:
    """Run until SIGTERM."""
    config.load_incluster_config()
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    log("info", "starting the stand-in of the KubeRay operator")
    async with client.ApiClient() as api, session() as http:
        await Operator(Server(api), Serve(http)).run()


with contextlib.suppress(asyncio.CancelledError):
    asyncio.run(main())
