"""Puts the assertions of another file into the journal of a run, to judge it again by them. Pure.

Everything else has to be as it was. A place in the plan is told by the steps that are no assertions: an
`assert` stands in a gap between them. What stands in a gap is judged at the mark that the run made there;
where the run made none, nothing was recorded, and it stays unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runner.engine.scenario import planned
from runner.errors import FtrunError, InvalidInput, Problem
from runner.journal import events
from runner.journal.events import Event
from runner.language.arguments import resolve
from runner.language.digests import of_node, of_scenario, of_variables, reads
from runner.language.plan import Block, Catalogue, Node, Position, Scenario, Step
from runner.language.templates import render
from runner.steps.assertion import resolved_cases
from runner.timeline.fold import base

Json = Any
OWN_MARK = "+"
"""Stands behind the path of an assert that the run did not have."""


def rejudged(journal: Sequence[Event], scenarios: Sequence[Scenario], catalogue: Catalogue) -> list[Event]:
    """Give the journal with the assertions of these scenarios; others of the run stay as they are.

    Raises InvalidInput with all that differs in more than assertions.
    """
    told = list(journal)
    problems: list[Problem] = []
    for scenario in scenarios:
        own = [
            event
            for event in journal
            if isinstance(event, events.ScenarioStart) and event.name == scenario.name
        ]
        if not own:
            names = dict.fromkeys(event.name for event in journal if isinstance(event, events.ScenarioStart))
            problems.append(
                _problem(
                    f"The run has no scenario `{scenario.name}`.",
                    scenario.position,
                    f"It has: {', '.join(names) or 'none'}.",
                )
            )
            continue
        found = list(_differences(own[0], scenario))
        problems += found
        if not found:
            for began in own:
                told = _Again(told, began, scenario, catalogue).told()
    if problems:
        raise InvalidInput(problems)
    return told


def _problem(message: str, position: Position, hint: str | None = None) -> Problem:
    return Problem(
        "differs", message, file=position.file, line=position.line, column=position.column, help=hint
    )


# Places in the plan


def _walk(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        if isinstance(node, Block):
            yield from _walk((*node.block, *node.rescue, *node.always))


def places(nodes: Sequence[Mapping[str, Json]]) -> dict[str, str]:
    """Give for each path of a plan its place: the same path, numbered without the asserts.

    That of an assert is the gap that it stands in, such as `steps<3>`: before the fourth of the others.
    """
    others: dict[str, list[int]] = {}
    for node in nodes:
        holder, index = _split(node["path"])
        if node["kind"] != "assert":
            others.setdefault(holder, []).append(index)
    found: dict[str, str] = {}
    for node in nodes:
        holder, index = _split(node["path"])
        above, dot, word = holder.rpartition(".")
        number = sum(other < index for other in others.get(holder, ()))
        mark = f"<{number}>" if node["kind"] == "assert" else f"[{number}]"
        found[node["path"]] = f"{found[above] if dot else ''}{dot}{word}{mark}"
    return found


def _split(path: str) -> tuple[str, int]:
    """Give what holds a node, such as `steps[4].block`, and its number there."""
    holder, _, index = path.rpartition("[")
    return holder, int(index.removesuffix("]"))


# What differs


def _differences(began: events.ScenarioStart, scenario: Scenario) -> Iterator[Problem]:
    """Find where a scenario would not have run as the run did."""
    if not began.digests:
        yield _problem(
            f"The run did not note what `{began.name}` did, so nobody can tell whether this is the same.",
            scenario.position,
            "It was recorded by an older ftrun; run it again.",
        )
        return
    now = of_scenario(scenario)
    for name in sorted(began.digests.keys() | now.keys()):
        if began.digests.get(name) != now.get(name):
            yield _problem(
                f"{name[0].upper()}{name[1:]} differs from that of the run.", scenario.position, HINT
            )
    yield from _variables(began, scenario)
    yield from _nodes(began, scenario)


HINT = "To judge a run again, a file may differ from what ran in assertions only."


def _variables(began: events.ScenarioStart, scenario: Scenario) -> Iterator[Problem]:
    now = of_variables(scenario)
    for name in sorted(began.variables.keys() | now.keys()):
        if began.variables.get(name) == now.get(name):
            continue
        for node in reads(scenario.steps, name):
            yield _problem(
                f"The variable `{name}`, which this step reads, differs from that of the run.",
                node.position,
                HINT,
            )
            break


def _nodes(began: events.ScenarioStart, scenario: Scenario) -> Iterator[Problem]:
    before, now = places(began.steps), places(list(planned(scenario.steps)))
    old = {before[node["path"]]: node for node in began.steps if node["kind"] != "assert"}
    gaps: dict[str, set[str]] = {}
    for node in began.steps:
        if node["kind"] == "assert":
            gaps.setdefault(before[node["path"]], set()).add(node["digest"])
    seen = set()
    for each in _walk(scenario.steps):
        place = now[each.path]
        seen.add(place)
        if each.kind == "assert":
            if place in gaps and of_node(each) not in gaps[place]:
                yield _problem(
                    "`when`, `loop` or another modifier of this `assert` differs from what ran here.",
                    each.position,
                    HINT,
                )
            continue
        known = old.get(place)
        if known is None or known["kind"] != each.kind:
            there = f"a `{known['kind']}`" if known else "nothing more"
            yield _problem(f"Where this `{each.kind}` stands, the run had {there}.", each.position, HINT)
            return  # what follows stands elsewhere
        if known["digest"] != of_node(each):
            yield _problem(f"This `{each.kind}` differs from that of the run.", each.position, HINT)
    for place, node in old.items():
        if place not in seen:
            where = f"{node['file']}:{node['line']}"
            yield _problem(
                f"The run had a `{node['kind']}` more ({where}), which is missing here.",
                scenario.position,
                HINT,
            )
            return


# The journal with other assertions


@dataclass(slots=True)
class _Target:
    """The asserts that are judged at the marks of one assert of the run."""

    path: str
    steps: list[Step]


class _Again:
    """One scenario of a journal, and the plan whose assertions it is to have."""

    def __init__(
        self, journal: Sequence[Event], began: events.ScenarioStart, scenario: Scenario, catalogue: Catalogue
    ) -> None:
        self.journal = journal
        self.began = began
        self.scenario = scenario
        self.catalogue = catalogue
        before, now = places(began.steps), places(list(planned(scenario.steps)))
        back = {place: path for path, place in before.items() if not place.endswith(">")}
        nodes = list(_walk(scenario.steps))
        self.nodes = {back[now[node.path]]: node for node in nodes if node.kind != "assert"}
        """The plan's nodes by the paths of the run; asserts by the targets'."""
        self.targets = _targets(began, before, now, nodes)
        self.nodes |= {each.path: each.steps[0] for each in self.targets}

    def told(self) -> list[Event]:
        """Give the journal."""
        gone = {node["path"] for node in self.began.steps if node["kind"] == "assert"}
        gone -= {each.path for each in self.targets}
        return [
            self._event(event)
            for event in self.journal
            if getattr(event, "scenario", None) != self.began.scenario
            or base(getattr(event, "path", "")) not in gone
        ]

    def _event(self, event: Event) -> Event:
        if getattr(event, "scenario", None) != self.began.scenario:
            return event
        match event:
            case events.ScenarioStart():
                kept = [node for node in event.steps if node["kind"] != "assert"]
                described = {node["path"]: node for node in planned(self.scenario.steps)}
                asserts = [
                    {
                        **described[each.steps[0].path],
                        "path": each.path,
                        "cases": [case for step in each.steps for case in described[step.path]["cases"]],
                    }
                    for each in self.targets
                ]
                return replace(event, steps=(*kept, *asserts))
            case events.AssertMark():
                return replace(event, cases=tuple(self._cases(event)))
            case events.WaitEnd():
                return replace(event, known=self._known(base(event.path)))
            case _:
                return event

    def _known(self, path: str) -> Mapping[str, Json] | None:
        node = self.nodes.get(path)
        if not isinstance(node, Step) or node.kind != "wait_for":
            return None
        if node.arguments is None:
            said: Mapping[str, Json] | None = node.raw.get("known")
            return said
        known = getattr(node.arguments, "known", None)
        return None if known is None else dict(known.model_dump(mode="json"))

    def _cases(self, mark: events.AssertMark) -> Iterator[Mapping[str, Json]]:
        def fault(name: str) -> int | None:
            numbers = [
                event.fault
                for event in self.journal
                if isinstance(event, events.FaultIntent)
                and event.scenario == mark.scenario
                and event.name == name
                and event.seq < mark.seq
            ]
            return numbers[-1] if numbers else None

        target = next(each for each in self.targets if each.path == base(mark.path))
        for step in target.steps:
            try:
                variables = self._variables(mark, step)
                arguments: Any = resolve(step, variables, self.catalogue["assert"])
            except FtrunError as error:
                for case in next(planned([step]))["cases"]:
                    yield {**case, "that": {"text": case["says"], "value": None, "why": error.message}}
                continue
            yield from resolved_cases(arguments, step, fault, variables)

    def _variables(self, mark: events.AssertMark, step: Step) -> Mapping[str, Json]:
        """Give the variables as they were at a mark, as far as the journal knows."""
        values = {**self.scenario.vars, **self._registered(mark)}
        for path, node in self._around(mark.path, step):
            number = re.match(r"#(\d+)", path[1])
            if node.modifiers.loop is not None and number is not None:
                items = render(node.modifiers.loop, values)
                values |= {"item": items[int(number[1]) - 1]}
            values |= render(dict(node.modifiers.vars), values)
        return values

    def _around(self, path: str, step: Step) -> Iterator[tuple[tuple[str, str], Node]]:
        """Give the blocks that an instance of a step stands in and the step, each with its `#` numbers."""
        for match in re.finditer(r"\]((?:#\d+)*)(?=\.|$)", path):
            whole = base(path[: match.end()])
            node = step if match.end() == len(path) else self.nodes.get(whole)
            if node is not None:
                yield (whole, match[1]), node

    def _registered(self, mark: events.AssertMark) -> dict[str, Json]:
        """Give what steps had registered before a mark."""
        found: dict[str, Json] = {}
        rounds: dict[str, dict[str, Json]] = {}
        for event in self.journal:
            if not isinstance(event, events.StepEnd) or event.scenario != mark.scenario:
                continue
            node = self.nodes.get(base(event.path))
            if event.seq >= mark.seq or node is None:
                continue
            result = event.result
            if not isinstance(result, Mapping):
                bad = event.state not in ("ok", "skipped")
                result = {"failed": bad, "skipped": event.state == "skipped", "message": event.message}
            if node.kind == "set":
                found |= result.get("values", {})
            name = node.modifiers.register
            if name is None:
                continue
            if node.modifiers.loop is None:
                found[name] = result
                continue
            every = rounds.setdefault(name, {})
            every[re.sub(r"(#\d+)(#\d+)+$", r"\1", event.path)] = result
            results = list(every.values())
            found[name] = {
                "results": results,
                "failed": any(each["failed"] for each in results),
                "skipped": all(each["skipped"] for each in results),
            }
        return found


def _targets(
    began: events.ScenarioStart, before: Mapping[str, str], now: Mapping[str, str], nodes: Sequence[Node]
) -> list[_Target]:
    """Give each assert of the plan an assert of the run that stood in its gap: the first the first, ..."""
    old: dict[str, list[str]] = {}
    for each in began.steps:
        if each["kind"] == "assert":
            old.setdefault(before[each["path"]], []).append(each["path"])
    found: dict[str, _Target] = {}
    taken: dict[str, int] = {}
    for node in nodes:
        if not isinstance(node, Step) or node.kind != "assert":
            continue
        place = now[node.path]
        there = old.get(place, [])
        nth = taken.get(place, 0)
        taken[place] = nth + 1
        path = there[min(nth, len(there) - 1)] if there else node.path + OWN_MARK
        found.setdefault(path, _Target(path, [])).steps.append(node)
    return list(found.values())
