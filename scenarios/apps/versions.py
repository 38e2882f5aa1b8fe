"""An application of which there are versions: each says which it is, and one cannot be constructed."""

import os
from typing import Any

import ray
from ray import serve


@serve.deployment(max_constructor_retry_count=3)
class Version:
    """A replica of some version."""

    def __init__(self, version: str) -> None:
        """Take the version; the one called broken is what a bad release looks like."""
        if version == "broken":
            raise RuntimeError("this version cannot be constructed")
        self.version = version

    def __call__(self) -> dict[str, Any]:
        """Answer with the version, and with this replica's process id and actor id."""
        actor = ray.get_runtime_context().get_actor_id()
        return {"version": self.version, "pid": os.getpid(), "actor": actor}


def build(args: dict[str, Any]) -> serve.Application:
    """Give the application of the version that the configuration names."""
    return Version.bind(args["version"])
