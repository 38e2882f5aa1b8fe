"""SleepyPid: takes ten seconds to construct and answers who it is, with its process id and actor id."""

import os
import time
from typing import Any

import ray
from ray import serve


@serve.deployment
class SleepyPid:
    """A replica that is slow to come back."""

    def __init__(self) -> None:
        """Take the time that loading a model would take."""
        time.sleep(10)

    def __call__(self) -> dict[str, Any]:
        """Answer with this replica's process id and actor id."""
        return {"pid": os.getpid(), "actor": ray.get_runtime_context().get_actor_id()}


app = SleepyPid.bind()
