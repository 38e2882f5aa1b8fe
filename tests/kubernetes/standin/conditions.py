"""Conditions in a status. Pure."""

from __future__ import annotations

from typing import Any

Json = Any


def find(status: Json, kind: str) -> Json:
    """Give the condition of this type, or an empty one."""
    return next((item for item in status.get("conditions", ()) if item["type"] == kind), {})


def holds(status: Json, kind: str) -> bool:
    """Whether the condition is True."""
    return bool(find(status, kind).get("status") == "True")


def put(status: Json, kind: str, *, now: str, is_: bool | None, reason: str, message: str = "") -> None:
    """Set a condition; its time of transition stays while its status does. None is Unknown."""
    text = "Unknown" if is_ is None else str(is_)
    before = find(status, kind)
    since = before["lastTransitionTime"] if before.get("status") == text else now
    after = {
        "type": kind,
        "status": text,
        "reason": reason,
        "message": message,
        "observedGeneration": status.get("observedGeneration", 0),
        "lastTransitionTime": since,
    }
    if before:
        before.clear()
        before.update(after)
    else:
        status.setdefault("conditions", []).append(after)
