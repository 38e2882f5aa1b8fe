"""The step kinds that a scenario may use, faults included."""

from __future__ import annotations

from runner.faults import kill
from runner.language.plan import Catalogue
from runner.steps import assertion, deploy, exec, log, pause, probe, wait_for  # noqa: A004 (a step kind's name)


def catalogue() -> Catalogue:
    """Give every kind by its name."""
    modules = (deploy, probe, kill, wait_for, assertion, pause, exec, log)
    return {module.KIND.name: module.KIND for module in modules}
