"""What a fault aims at: actions for a cluster, and words for people. The engine arms and injects them."""

from __future__ import annotations

from dataclasses import dataclass

from runner.clusters.contract import Action


@dataclass(frozen=True, slots=True)
class Aim:
    """A fault with its target resolved: `actions` are armed together and act together."""

    target: str
    """For people: `node head`, `actor replica of sleepy_pid`."""
    how: str
    actions: tuple[Action, ...]
