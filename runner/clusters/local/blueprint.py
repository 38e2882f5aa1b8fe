"""What the supervisor is to run: its units. Plain data, so that it fits in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Place = tuple[str, int]
"""A host and a port."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A node or a service: one command, run in a session of its own and started again when it ends."""

    slot: str
    """`head`, `worker-1`, `redis`, `service`"""
    role: str
    """`node` (its network can be cut) or `service` (stands on the bus)."""
    address: str
    command: tuple[str, ...]
    log: str
    environment: Mapping[str, str] = field(default_factory=dict)
    restart_delay: float = 1.0
    after: tuple[Place, ...] = ()
    """Places that must accept connections before the unit is started."""
    ready: tuple[Place, ...] = ()
    """Places that accept connections once it is up."""
    forget: tuple[str, ...] = ()
    """Files that are deleted before each start."""
    vital: str = ""
    """Which of Ray's processes it is dead without, though its command goes on."""
    speaks: bool = False
    """Its standard output is JSON lines: happenings to pass on."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """All that a supervisor needs to know."""

    layout: str
    runtime: str
    """Its folder: socket, logs, the nodes' own folders. Short: Unix sockets stand far below it."""
    bus: str
    """Address of the bus, in `namespaces` that of the bridge."""
    units: tuple[Unit, ...]
    dashboard: Place | None = None
    """Where the Serve configuration is handed in."""
    resubmit: bool = False
    """Whether the configuration is handed in again where the controller is gone."""
    start_limit: float = 120.0
    """Seconds after which a unit that does not come up is killed and started again."""
    tries: int = 3
    """Starts a unit gets until it was up for the first time."""

    def dump(self) -> str:
        """Give the text that `load` reads."""
        return json.dumps(asdict(self))


def _places(value: Any) -> tuple[Place, ...]:
    return tuple((host, port) for host, port in value)


def load(text: str) -> Blueprint:
    """Read what `Blueprint.dump` wrote."""
    document = json.loads(text)
    units = tuple(
        Unit(
            **{
                **unit,
                "command": tuple(unit["command"]),
                "forget": tuple(unit["forget"]),
                "after": _places(unit["after"]),
                "ready": _places(unit["ready"]),
            }
        )
        for unit in document["units"]
    )
    dashboard = document["dashboard"]
    return Blueprint(
        **{**document, "units": units, "dashboard": tuple(dashboard) if dashboard is not None else None}
    )
