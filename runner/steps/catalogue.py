"""The step kinds that a scenario may use, faults included."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from runner.faults import kill
from runner.language.plan import Catalogue, Json
from runner.steps import assertion, deploy, exec, log, pause, probe, wait_for  # noqa: A004 (a step kind's name)
from runner.steps.stage import Stage

Run = Callable[[Any, Stage], Awaitable[Json]]
"""Takes a step's validated arguments and its stage; gives what `register` holds."""

MODULES = (deploy, probe, wait_for, assertion, pause, exec, log)

RUNS: Mapping[str, Run] = {module.KIND.name: module.run for module in MODULES}
"""What runs each kind of step; faults are injected by the engine, all in the same way."""


def catalogue() -> Catalogue:
    """Give every kind by its name."""
    return {module.KIND.name: module.KIND for module in (*MODULES, kill)}
