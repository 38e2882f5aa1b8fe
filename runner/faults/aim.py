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
    ends: bool = True
    """What it hits is gone for good; something else may take its place."""
    lasts: bool = False
    """It lasts until its undo is carried out."""
    heal_after: float | None = None
    """Seconds from the act to its undo; None: when somebody heals it, or the scenario ends."""
