"""Members of a cluster, counted in a state document. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Json = Any


@dataclass(frozen=True, slots=True)
class Members:
    """How many there are of each role; None where nobody could say."""

    heads: int | None
    workers: int | None
    replicas: int | None
    proxies: int | None
    controllers: int | None


def count(document: Mapping[str, Json]) -> Members:
    """Count what lives: nodes ALIVE, replicas RUNNING, proxies HEALTHY, controllers ALIVE."""

    def of(name: str, counts: Callable[[Mapping[str, Json]], bool]) -> int | None:
        if name in document["unknown"]:
            return None
        return sum(1 for row in document[name] if counts(row))

    return Members(
        heads=of("nodes", lambda row: row["state"] == "ALIVE" and row["is_head"] is True),
        workers=of("nodes", lambda row: row["state"] == "ALIVE" and row["is_head"] is False),
        replicas=of("replicas", lambda row: row["state"] == "RUNNING"),
        proxies=of("proxies", lambda row: row["status"] == "HEALTHY"),
        controllers=of("actors", lambda row: row["role"] == "controller" and row["state"] == "ALIVE"),
    )
