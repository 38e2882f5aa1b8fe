"""Drains one node by Ray's own means: `python drain_node.py ADDRESS NODE_IP NODE_ID REASON MILLISECONDS`.

Runs on a Ray node with the Python that has Ray, 3.9 or later, and stands alone. It connects to the GCS, sees
that the node is there, says `{"event": "armed"}`, and asks when a line comes on standard input; the deadline
is MILLISECONDS from then on. Then it looks until Ray lists the node as draining, or no more. End of file
before the line means: let it be.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

PATIENCE = 15.0
"""Seconds that the node may take to be listed as draining."""

REASONS = {"idle": "DRAIN_NODE_REASON_IDLE_TERMINATION", "preemption": "DRAIN_NODE_REASON_PREEMPTION"}


def say(**what: Any) -> None:
    """Write one event."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main(address: str, _node_ip: str, node_id: str, reason: str, milliseconds: str) -> None:
    """Arm, wait for the word, ask, look."""
    raylet = importlib.import_module("ray._raylet")  # there, on the node; the runner itself never imports it
    messages = importlib.import_module("ray.core.generated.autoscaler_pb2")
    client = raylet.GcsClient(address=address)

    def status() -> str:
        reply = messages.GetClusterResourceStateReply()
        reply.ParseFromString(client.get_cluster_resource_state())
        for node in reply.cluster_resource_state.node_states:
            if node.node_id.hex() == node_id:
                return str(messages.NodeStatus.Name(node.status))
        return "not there"

    if status() in ("not there", "DEAD"):
        raise LookupError("the node is " + status())
    say(event="armed")
    if not sys.stdin.readline():
        return
    at = time.monotonic()
    deadline = time.time_ns() // 1_000_000 + int(milliseconds)
    accepted, why = client.drain_node(
        node_id, messages.DrainNodeReason.Value(REASONS[reason]), "a drain by ftrun", deadline
    )
    if not accepted:
        raise RuntimeError(str(why) or "no reason given")
    say(event="asked", at=at, until=time.monotonic())
    end = time.monotonic() + PATIENCE
    while (now := status()) not in ("DRAINING", "DEAD", "not there") and time.monotonic() < end:
        time.sleep(0.05)
    seen = now in ("DRAINING", "DEAD", "not there")
    say(event="seen" if seen else "not_seen", status=now)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:
        say(event="error", message=f"{type(error).__name__}: {error}")
        sys.exit(1)
