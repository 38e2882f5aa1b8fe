"""Mistakes that no single step shows: they lie in the order of steps."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from runner.language.plan import Block, Json, Node, Position, Step
from runner.language.templates import is_template


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake that a rule found."""

    code: str
    message: str
    position: Position


@dataclass(slots=True)
class Probing:
    """Which probes run, as far as that is sure at one point of the scenario."""

    declared: Collection[str]
    running: set[str] = field(default_factory=set)
    """Surely running, if all went well so far."""
    touched: set[str] = field(default_factory=set)
    """Started somewhere before, perhaps only on some path."""


def check_probes(steps: Sequence[Node], declared: Collection[str]) -> Iterator[Finding]:
    """Find probes that are started twice, stopped or asserted without ever being started.

    Only what is wrong on every path counts: what happens under `when`, in a loop, in tries or beside a
    `rescue` is decided by the run.
    """
    yield from _walk(steps, Probing(declared), sure=True)


def _walk(nodes: Sequence[Node], probing: Probing, *, sure: bool) -> Iterator[Finding]:
    for node in nodes:
        modifiers = node.modifiers
        here = sure and not modifiers.when and modifiers.loop is None and modifiers.retry is None
        if isinstance(node, Block):
            yield from _walk(node.block, probing, sure=here and not node.rescue)
            yield from _walk(node.rescue, probing, sure=False)
            yield from _walk(node.always, probing, sure=here)
        elif node.kind == "probe":
            yield from _probe(node, probing, sure=here)
        elif node.kind == "assert":
            yield from _asserted(node, probing)


def _probe(step: Step, probing: Probing, *, sure: bool) -> Iterator[Finding]:
    for name in _names(step.raw.get("start"), probing.declared):
        if sure and name in probing.running:
            yield Finding("probe-started-twice", f"The probe `{name}` runs already.", _at(step, "start"))
        probing.touched.add(name)
        if sure:
            probing.running.add(name)
    if _has_template(step.raw.get("start")):
        probing.touched.update(probing.declared)
    for name in _names(step.raw.get("stop"), probing.declared):
        if sure and name not in probing.touched:
            message = f"The probe `{name}` was never started, so it cannot be stopped."
            yield Finding("probe-not-started", message, _at(step, "stop"))
        probing.running.discard(name)
    if _has_template(step.raw.get("stop")):
        probing.running.clear()


def _asserted(step: Step, probing: Probing) -> Iterator[Finding]:
    cases = step.raw.get("cases")
    for index, case in enumerate(cases if isinstance(cases, list) else []):
        name = case.get("probe") if isinstance(case, dict) else None
        if isinstance(name, str) and name in probing.declared and name not in probing.touched:
            message = f"The probe `{name}` was never started: there is nothing to judge."
            yield Finding("probe-not-started", message, _at(step, "cases", index, "probe"))


def _names(said: Json, declared: Collection[str]) -> list[str]:
    """Give the declared probes that `start` or `stop` surely means."""
    if said == "all":
        return sorted(declared)
    names = said if isinstance(said, list) else [said]
    return [name for name in names if isinstance(name, str) and name in declared]


def _has_template(said: Json) -> bool:
    """Say whether the run may find any probe here."""
    return any(is_template(name) for name in (said if isinstance(said, list) else [said]))


def _at(step: Step, *path: str | int) -> Position:
    return step.positions.get(path, step.position)
