"""The step kinds that a scenario may use, faults included."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from runner.language.plan import Catalogue, Json, Kind
from runner.steps.stage import Stage

if TYPE_CHECKING:
    import random

    from runner.faults.aim import Aim

Run = Callable[[Any, Stage], Awaitable[Json]]
"""Takes a step's validated arguments and its stage; gives what `register` holds."""

Aiming = Callable[[Any, Sequence[str], "random.Random"], "Aim"]
"""Takes a fault's validated arguments, the workers' slots and what draws; gives what it aims at."""

MODULES: Mapping[str, str] = {
    "deploy": "runner.steps.deploy",
    "probe": "runner.steps.probe",
    "wait_for": "runner.steps.wait_for",
    "assert": "runner.steps.assertion",
    "pause": "runner.steps.pause",
    "exec": "runner.steps.exec",
    "log": "runner.steps.log",
    "http": "runner.steps.http",
    "set": "runner.steps.set",
    "scale": "runner.steps.scale",
    "collect": "runner.steps.collect",
    "script": "runner.steps.script",
    "heal": "runner.steps.heal",
    "kill": "runner.faults.kill",
    "partition": "runner.faults.partition",
    "freeze": "runner.faults.freeze",
    "drain": "runner.faults.drain",
    "upgrade": "runner.faults.upgrade",
}
"""Where each kind stands; it is imported when a file names it."""


class _Kinds(Mapping[str, Kind]):
    def __getitem__(self, name: str) -> Kind:
        kind: Kind = import_module(MODULES[name]).KIND
        return kind

    def __contains__(self, name: object) -> bool:
        return name in MODULES

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


def catalogue() -> Catalogue:
    """Give every kind by its name."""
    return _Kinds()


def runs(kind: str) -> Run:
    """Give what runs a kind of step; faults are injected by the engine, all in the same way."""
    run: Run = import_module(MODULES[kind]).run
    return run


def aims(kind: str) -> Aiming:
    """Give what resolves the target of a kind of fault."""
    aim: Aiming = import_module(MODULES[kind]).aim
    return aim
