"""How often each scenario runs: its repetitions, each with a seed, and a delay drawn from it. Pure."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

from runner.language.plan import Plan, Scenario

LONGEST = 10.0
"""Seconds; a delay is drawn from [0, LONGEST): the period of Serve's health checks."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A scenario that is to run once: by itself, or as one of its repetitions."""

    scenario: Scenario
    seed: int
    repetition: int | None = None
    """From 1; None where the scenario is not repeated."""
    delay: float | None = None
    """Seconds that its first fault is held back."""

    def draw(self) -> random.Random:
        """Give the source of whatever it draws: the same wherever the scenario stands in a run."""
        return random.Random(f"{self.seed}/{self.scenario.name}")  # noqa: S311 (it must be repeatable)


def turns(plan: Plan) -> list[Turn]:
    """Give every turn of a plan, in order."""
    return [turn for scenario in plan.scenarios for turn in of_scenario(scenario, plan.seed)]


def of_scenario(scenario: Scenario, seed: int) -> list[Turn]:
    """Give the turns of a scenario.

    The first repetition has the run's own seed. So each can be played again alone, by a run with its seed.
    """
    if scenario.repeat is None:
        return [Turn(scenario, seed)]
    return [_repetition(scenario, seed, number) for number in range(1, scenario.repeat + 1)]


def _repetition(scenario: Scenario, seed: int, number: int) -> Turn:
    if number > 1:
        seed = int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:4], "big")
    luck = random.Random(f"{seed}/{scenario.name}/delay")  # noqa: S311 (it must be repeatable)
    return Turn(scenario, seed, number, luck.random() * LONGEST)
