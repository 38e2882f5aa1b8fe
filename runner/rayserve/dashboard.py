"""Ray's REST API on the head, over whatever carries a request there."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from runner.errors import ClusterError, Unreachable

Json = Any

APPLICATIONS = "/api/serve/applications/"
LIMIT = 10_000
"""Most rows asked of the State API: its own highest limit."""


class Answer(Protocol):
    """What a transport gives back."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def body(self) -> bytes:
        """The whole body."""
        ...


Ask = Callable[[str, str, bytes | None], Awaitable[Answer]]
"""Carries method, path and body to the dashboard; raises Unreachable where nobody answers."""


def _parse(answer: Answer, path: str) -> Json:
    if answer.status != 200:
        # A 5xx here means that the GCS or the controller does not answer the dashboard: nothing is known.
        said = answer.body[:300].decode(errors="replace")
        raise Unreachable(f"Ray's dashboard answered {path} with {answer.status}: {said}")
    try:
        return json.loads(answer.body)
    except ValueError as error:
        raise Unreachable(f"Ray's dashboard answered {path} with something that is not JSON.") from error


async def rows(ask: Ask, resource: str) -> list[Mapping[str, Json]]:
    """Give the rows of `nodes`, `actors`, ... of the State API."""
    path = f"/api/v0/{resource}?detail=true&limit={LIMIT}"
    document = _parse(await ask("GET", path, None), path)
    if not document.get("result"):
        raise Unreachable(
            f"Ray's State API could not list {resource}: {document.get('msg', 'it does not say why')}"
        )
    found: list[Mapping[str, Json]] = document["data"]["result"]["result"]
    return found


async def applications(ask: Ask) -> Mapping[str, Json]:
    """Give what Serve says of its applications and proxies."""
    document: Mapping[str, Json] = _parse(await ask("GET", APPLICATIONS, None), APPLICATIONS)
    return document


def configuration(entries: Sequence[Mapping[str, Json]], *, host: str, port: int) -> bytes:
    """Give the body that hands Serve all the applications it shall have, with a proxy on every node."""
    return json.dumps(
        {
            "proxy_location": "EveryNode",
            "http_options": {"host": host, "port": port},
            "applications": list(entries),
        }
    ).encode()


def accepted(status: int, body: str) -> None:
    """Raise ClusterError with Ray's reason where a configuration was not accepted."""
    if status != 200:
        lines = [line.strip() for line in body.splitlines() if line.strip()]
        told = [line for line in lines if not line.startswith("For further information")]
        # Serve's own checks list one problem in several lines under a heading; all else ends with its reason.
        heads = [number for number, line in enumerate(told) if "validation error" in line]
        reason = ": ".join(told[heads[0] if heads else -1 :]) or "it does not say why"
        raise ClusterError(f"Serve refused the configuration (status {status}): {reason[:500].rstrip('.')}.")
