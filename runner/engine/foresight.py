"""What the plan tells of faults before they hit: which machines are not to be stood on."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from runner.engine.bind import steps
from runner.errors import CannotRun
from runner.language.plan import Scenario
from runner.steps.catalogue import aims, catalogue


class _Undrawn(random.Random):
    """Draws nothing: what a target will be drawn from is known, and not what it will be."""

    def choice(self, seq: Sequence[object]) -> object:  # type: ignore[override]  # noqa: ARG002 (as Random has it)
        raise CannotRun("Which one is drawn when it hits.")


def hosts_hit(scenario: Scenario, workers: Sequence[str]) -> frozenset[str]:
    """Give the slots whose machines a scenario's faults are known to power off, cut off or drain."""
    return frozenset(_hit(scenario, workers))


def _hit(scenario: Scenario, workers: Sequence[str]) -> Iterator[str]:
    for step in steps(scenario.steps):
        if not catalogue()[step.kind].is_fault or step.arguments is None:
            continue
        try:
            aimed = aims(step.kind)(step.arguments, workers, _Undrawn())
        except CannotRun:
            continue
        for action in aimed.actions:
            far = action.kind in ("host", "cut_link")
            if far or (action.kind == "node" and action.arguments.get("how") == "power_off"):
                yield str(action.arguments["slot"])
