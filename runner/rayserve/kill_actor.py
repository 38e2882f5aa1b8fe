"""Ends one actor by Ray's own means: `python kill_actor.py ADDRESS NODE_IP NAME NAMESPACE NO_RESTART`.

Runs on a Ray node with the Python that has Ray, 3.9 or later, and stands alone. It connects, resolves the
actor, says `{"event": "armed"}`, and fires when a line comes on standard input. End of file there means: let
it be.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any


def say(**what: Any) -> None:
    """Write one event."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main(address: str, node_ip: str, name: str, namespace: str, no_restart: str) -> None:
    """Arm, wait for the word, fire."""
    ray = importlib.import_module("ray")  # there, on the node; the runner itself never imports it
    ray.init(
        address=address,
        _node_ip_address=node_ip,
        namespace=namespace,
        log_to_driver=False,
        logging_level="error",
    )
    handle = ray.get_actor(name, namespace=namespace)
    say(event="armed", actor_id=handle._actor_id.hex())  # noqa: SLF001 (Ray has no public way)
    if not sys.stdin.readline():
        return
    at = time.monotonic()
    ray.kill(handle, no_restart=no_restart == "true")
    say(event="killed", at=at, until=time.monotonic())


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:
        say(event="error", message=f"{type(error).__name__}: {error}")
        sys.exit(1)
