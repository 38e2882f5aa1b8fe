"""What Ray's own State API says of one resource, through the head's dashboard."""

from __future__ import annotations

from typing import Any

from runner.clusters.contract import Cluster
from runner.errors import Unreachable

LIMIT = 10_000
"""Rows asked for, the most that Ray gives."""


async def ask(cluster: Cluster, resource: str) -> dict[str, Any]:
    """Give Ray's answer for `actors`, `nodes`, ...: {total, result: [rows], ...}; raises Unreachable."""
    import json

    answer = await cluster.http(
        "dashboard", "GET", f"/api/v0/{resource}?detail=true&limit={LIMIT}", timeout=10.0
    )
    if answer.status != 200:
        raise Unreachable(f"The dashboard answers {answer.status} when asked for {resource}.")
    try:
        said: dict[str, Any] = json.loads(answer.body)["data"]["result"]
        said["result"]
    except (ValueError, KeyError, TypeError) as error:
        raise Unreachable(f"What the dashboard answers when asked for {resource} holds no rows.") from error
    return said
