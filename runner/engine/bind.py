"""Binds a scenario to what a survey found: capabilities, rights, targets. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runner.clusters.contract import Facts
from runner.errors import Problem
from runner.language.plan import Block, Inventory, Node, Plan, Position, Scenario, Step
from runner.steps.catalogue import catalogue
from runner.steps.exec import Way
from runner.steps.http import Http


def lacking(scenario: Scenario, facts: Facts) -> list[str]:
    """Give what the scenario requires and the cluster cannot do: then it is skipped."""
    return [each for each in scenario.requires if each not in facts.capabilities]


def bind(plan: Plan, surveys: Sequence[Facts]) -> list[Problem]:
    """Give what stands in the way of the scenarios that are not skipped, each with its cluster's facts."""
    problems = []
    for scenario, facts in zip(plan.scenarios, surveys, strict=True):
        if facts.cannot or lacking(scenario, facts):
            continue
        for step in steps(scenario.steps):
            problems += [
                _problem(code, message, step.position, hint)
                for code, message, hint in _step(step, plan.inventory, facts)
            ]
        problems += [
            _problem("endpoint", message, position, None) for message, position in _endpoints(scenario, facts)
        ]
    return problems


def steps(nodes: Sequence[Node]) -> Iterator[Step]:
    """Give every step, those in blocks included."""
    for node in nodes:
        if isinstance(node, Block):
            yield from steps((*node.block, *node.rescue, *node.always))
        else:
            yield node


def _step(step: Step, inventory: Inventory, facts: Facts) -> Iterator[tuple[str, str, str | None]]:
    if step.kind in ("exec", "script") and "exec" not in inventory.allow:
        message = f"The inventory {inventory.name} does not allow scenarios to run commands."
        yield "not-allowed", message, "Write `allow: [exec]` into it, if you trust the scenario."
        return
    needs = catalogue()[step.kind].needs
    # What an inventory gives an endpoint for is there, whatever the cluster is.
    given = isinstance(step.arguments, Http) and step.arguments.endpoint in inventory.endpoints
    needed = needs(step.arguments) if needs is not None and not given else ()
    if lacks := [need for need in needed if need not in facts.capabilities]:
        can = ", ".join(sorted(facts.capabilities)) or "nothing"
        message = f"This {inventory.kind} cluster has no {lacks[0]} for `{step.kind}`."
        hint = f"It can do: {can}. Choose another inventory with -i"
        hint += f", or write `requires: [{lacks[0]}]` to have the scenario skipped here."
        yield "cannot", message, hint
    if isinstance(step.arguments, Way) and step.arguments.where != "here" and facts.endpoints:
        slots = [endpoint.slot for endpoint in facts.endpoints]
        if step.arguments.where not in slots:
            message = f'There is no node "{step.arguments.where}".'
            yield "unknown-target", message, f"There are: {', '.join(slots)}."


def _endpoints(scenario: Scenario, facts: Facts) -> Iterator[tuple[str, Position]]:
    """Find probes without anything to ask; before a cluster was made its endpoints may not be known."""
    from runner.errors import CannotRun
    from runner.probes.session import selected

    if not facts.endpoints:
        return
    for probe in scenario.probes.values():
        try:
            selected(probe, facts.endpoints)
        except CannotRun as error:
            yield error.message, probe.position


def _problem(code: str, message: str, position: Position, hint: str | None) -> Problem:
    return Problem(code, message, file=position.file, line=position.line, column=position.column, help=hint)
