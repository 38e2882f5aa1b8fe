"""Where the time of an upgrade went: one cluster is made, and serves in place of another. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from runner.timeline.cast import Who
from runner.timeline.causes import Bar, Happened, drawn

Json = Any

STAGE, WAIT = 15, 45
"""The rank of what others go on in, and of what nobody else is seen to do anything in."""


def taken_up(event: Happened, old: Collection[str]) -> bool:
    """Whether an event says that another cluster is made in place of the old ones."""
    data = event.data
    if event.event == "made" and data.get("kind") == "RayCluster":
        return data.get("name") not in old
    return event.event == "condition" and (data.get("type"), data.get("status")) == (
        "UpgradeInProgress",
        "True",
    )


def stages(asked: Happened, after: Sequence[Happened], old: Collection[str]) -> Iterator[Bar]:
    """Give the stages of an upgrade, as far as it came: another cluster is made, serves, the old one goes.

    `asked` is when it was asked for, `after` what happened since. What goes on inside of a stage, in pods and
    by Serve's own word, takes the time where it is known.
    """
    made = next((each for each in _of(after, "made", kind="RayCluster") if taken_up(each, old)), None)
    yield _bar("until a new RayCluster was made", "KubeRay", asked, made, WAIT)
    if made is None:
        return
    new = str(made.data.get("name"))
    switched = next(_of(after, "switched", cluster=new), None)
    told = [
        each for each in _of(after, "application", cluster=new) if switched is None or each.at <= switched.at
    ]
    running = next((each for each in reversed(told) if each.data.get("status") == "RUNNING"), None)
    served = running if switched is not None and running is not None else switched
    begun = next((each for each in told if served is None or each.at < served.at), None)
    yield _bar("new RayCluster starting", new, made, begun or served, STAGE)
    if begun is not None:
        yield _bar("applications starting on the new RayCluster", new, begun, served, STAGE)
    if switched is None:
        return
    if running is not None:
        yield _bar("until the services were switched", new, running, switched, WAIT)
    for name in sorted(old):
        deleting = next(_of(after, "deleting", kind="RayCluster", name=name), None)
        gone = next(_of(after, "gone", kind="RayCluster", name=name), None)
        pods = [each for each in _of(after, "gone") if each.slot.endswith(f" of {name}")]
        last = max((*pods, gone), key=lambda each: each.at) if gone is not None else None
        yield _bar("old RayCluster kept", name, switched, deleting or gone, STAGE)
        if deleting is not None:
            yield _bar("old RayCluster being removed", name, deleting, last, STAGE)


def _of(events: Sequence[Happened], event: str, **about: Json) -> Iterator[Happened]:
    return (
        each
        for each in events
        if each.event == event and all(each.data.get(key) == value for key, value in about.items())
    )


def _bar(cause: str, who: str, begun: Happened, ended: Happened | None, rank: int) -> Bar:
    return drawn(cause, Who("cluster", who, "", who), begun, ended, rank)
