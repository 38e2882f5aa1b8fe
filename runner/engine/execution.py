"""Runs the steps and blocks of one scenario, with everything that may modify them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from pydantic import BaseModel

from runner.engine.injection import Withheld, inject
from runner.engine.undo import Undos
from runner.errors import FtrunError, Unmet
from runner.journal.events import StepEnd, StepStart
from runner.journal.redaction import named
from runner.language.plan import Block, Catalogue, Node, Step
from runner.language.types import duration
from runner.steps.assertion import Refuted
from runner.steps.catalogue import runs
from runner.steps.stage import Stage

Json = Any
Variables = Mapping[str, Json]

ALWAYS = 60.0
"""Seconds that `always` may take once its block was cancelled."""


@dataclass(slots=True)
class Abreast:
    """Holds the faults of a `parallel` back until each of them is armed, or will not hit."""

    faults: set[str]
    """The plan's paths of those that are not armed yet."""
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    def leave(self, path: str) -> None:
        """Wait for this one no more."""
        self.faults.discard(path)
        if not self.faults:
            self.ready.set()

    async def meet(self, path: str) -> None:
        """Be armed; return once all are."""
        self.leave(path)
        await self.ready.wait()


@dataclass(frozen=True, slots=True)
class Scope:
    """What a block hands down: its variables, and where its instance stands in the plan."""

    values: Variables = field(default_factory=dict)
    planned: str = ""
    actual: str = ""
    abreast: Abreast | None = None
    """Of the `parallel` that the node stands in."""

    def path(self, node: Node) -> str:
        """Give the path of a node within this instance of its block."""
        return self.actual + node.path[len(self.planned) :]

    def having(self, **values: Json) -> Scope:
        """Give the same with more variables."""
        return replace(self, values={**self.values, **values})


class Execution:
    """The steps of one scenario as they run. `stage` is what all of them share.

    The first fault is held back for `delay` seconds, and those with it that come meanwhile.
    """

    def __init__(
        self,
        stage: Stage,
        kinds: Catalogue,
        undos: Undos,
        group: asyncio.TaskGroup,
        draw: random.Random,
        *,
        delay: float = 0.0,
    ) -> None:
        self._stage = stage
        self._kinds = kinds
        self._undos = undos
        self._group = group
        self._draw = draw
        self._delay = delay
        self._due: float | None = None
        """When the first fault may hit, once it was reached."""

    async def run(self, nodes: Sequence[Node], scope: Scope | None = None) -> None:
        """Run the nodes in order; raises what ended them early, once the asserts that follow are judged."""
        scope = scope or Scope()
        for index, node in enumerate(nodes):
            try:
                await self._node(node, scope)
            except FtrunError:
                await self._judge(nodes[index + 1 :], scope)
                raise

    async def _judge(self, nodes: Sequence[Node], scope: Scope) -> None:
        """Reach the asserts among nodes that will not run; before a fault nobody may judge any more."""
        if not self._stage.scene.faults:
            return
        for node in nodes:
            if isinstance(node, Block):
                await self._judge(node.block, replace(scope, planned=node.path, actual=scope.path(node)))
            elif node.kind == "assert":
                try:
                    await self._node(node, scope)
                except FtrunError:
                    continue  # its end is in the journal

    def _variables(self, scope: Scope) -> dict[str, Json]:
        return {**self._stage.scenario.vars, **self._stage.registered, **scope.values}

    async def _node(self, node: Node, scope: Scope) -> None:
        """Run a node as often as its loop says."""
        modifiers = node.modifiers
        path = scope.path(node)
        try:
            items = self._items(node, scope)
        except FtrunError as error:
            if not self._needless(node, scope):
                self._begin(node, path, scope)
                self._end(path, "error", error.message)
                raise
            items = None
        if modifiers.background:
            jobs, name = self._stage.jobs, modifiers.register or modifiers.name or node.path
            if name in jobs:
                # The name is the latest one's; the former one is still to be ended with the scenario.
                jobs[f"{name}#{len(jobs)}"] = jobs.pop(name)
            jobs[name] = self._group.create_task(self._job(node, scope, items))
        else:
            await self._instances(node, scope, items)

    def _items(self, node: Node, scope: Scope) -> list[Json] | None:
        """Give what the node is run for, one by one; None where it is no loop."""
        from runner.language.templates import render

        if node.modifiers.loop is None:
            return None
        items = render(node.modifiers.loop, self._variables(scope))
        if not isinstance(items, list):
            raise FtrunError(f"`loop` needs a list, not {items!r:.80}.")
        return items

    def _needless(self, node: Node, scope: Scope) -> bool:
        """Whether `when` already says no without an item: then the list may well be missing."""
        from runner.language.templates import evaluate

        try:
            return not all(evaluate(text, self._variables(scope)) for text in node.modifiers.when)
        except FtrunError:
            return False

    async def _job(self, node: Node, scope: Scope, items: list[Json] | None) -> FtrunError | None:
        """Run a node in the background; give what ended it early."""
        try:
            await self._instances(node, scope, items)
        except FtrunError as error:
            return error
        return None

    async def _instances(self, node: Node, scope: Scope, items: list[Json] | None) -> None:
        path = scope.path(node)
        if items is None:
            self._register(node, await self._wanted(node, scope, path))
            return
        results = []
        for number, item in enumerate(items, start=1):
            results.append(await self._wanted(node, scope.having(item=item), f"{path}#{number}"))
        self._register(
            node,
            {
                "results": results,
                "failed": any(each["failed"] for each in results),
                "skipped": bool(results) and all(each["skipped"] for each in results),
            },
        )

    async def _wanted(self, node: Node, scope: Scope, path: str) -> dict[str, Json]:
        """Run the node for one item if its `when` holds; `vars` and `when` may read the item."""
        from runner.language.templates import evaluate, render

        modifiers = node.modifiers
        try:
            if modifiers.vars:
                scope = scope.having(**render(dict(modifiers.vars), self._variables(scope)))
            wanted = all(evaluate(text, self._variables(scope)) for text in modifiers.when)
        except FtrunError as error:
            self._begin(node, path, scope)
            self._end(path, "error", error.message)
            raise
        if wanted:
            return await self._attempts(node, scope, path)
        self._begin(node, path, scope)
        self._end(path, "skipped", "`when` does not hold.")
        return {"skipped": True, "failed": False}

    async def _attempts(self, node: Node, scope: Scope, path: str) -> dict[str, Json]:
        """Run one instance, again as often as `retries` says; give the result of the last."""
        retry = node.modifiers.retry
        for number in range(1, (retry.retries if retry else 0) + 1):
            numbered = path if number == 1 else f"{path}#{number}"
            withheld = self._stage.scene.withheld
            result, again = await self._instance(node, scope, numbered, last=False)
            if not again:
                return result
            # Of attempts only the last counts.
            self._stage.scene.withheld = withheld
            assert retry is not None
            await asyncio.sleep(retry.delay)
        last = path if retry is None or not retry.retries else f"{path}#{retry.retries + 1}"
        result, _ = await self._instance(node, scope, last, last=True)
        return result

    async def _instance(
        self, node: Node, scope: Scope, path: str, *, last: bool
    ) -> tuple[dict[str, Json], bool]:
        """Run a node once, journalled; give its result, and whether it has to be tried again."""
        modifiers = node.modifiers
        forgiven = modifiers.ignore_errors or not last
        result: dict[str, Json] = {"failed": False, "skipped": False}
        self._begin(node, path, scope)
        try:
            try:
                if isinstance(node, Step) and node.is_fault:
                    await self._hold_back()
                result |= await self._within(node, scope, path, forgiven=forgiven)
            except Refuted as error:
                # A verdict, not control flow: the run goes on.
                result |= {"failed": True, "message": error.message, "verdicts": error.verdicts}
            if modifiers.retry is not None and not (last and result["failed"]):
                self._hold(modifiers.retry.until, modifiers.register, result, scope)
        except asyncio.CancelledError:
            self._end(path, "cancelled")
            raise
        except Withheld as error:
            self._end(path, "withheld" if last else "ignored", error.message)
            if last:
                raise
            return {"failed": True, "skipped": False, "message": error.message}, True
        except FtrunError as error:
            if forgiven and not self._stage.journal.broken:
                self._end(path, "ignored", error.message)
                return {"failed": True, "skipped": False, "message": error.message}, not last
            if isinstance(error, Unmet) and not self._stage.scene.faults:
                self._stage.scene.withheld = self._stage.scene.withheld or error.message
            self._end(path, "unmet" if isinstance(error, Unmet) else "error", error.message)
            raise
        except Exception as error:
            self._end(path, "error", f"This is a bug of ftrun: {type(error).__name__}: {error}")
            raise
        failed = result["failed"]
        message = result["message"] if failed else result.pop("message", "")
        shown = None if modifiers.no_log else result
        if modifiers.no_log:
            self._stage.journal.secrets.learn(named(result))
        end = self._end(
            path, "failed" if failed else "ok", "" if modifiers.no_log and not failed else message, shown
        )
        # Journal first, read back; what may not be logged is known to this run alone.
        return (result if modifiers.no_log else end.result), False

    async def _hold_back(self) -> None:
        """Wait until the first fault of a repetition may hit; one that is withheld waits for nothing."""
        scene = self._stage.scene
        if not self._delay or (scene.withheld and not scene.faults):
            return
        now = self._stage.journal.now()
        self._due = now + self._delay if self._due is None else self._due
        await asyncio.sleep(max(0.0, self._due - now))

    def _hold(self, until: str, name: str | None, result: Json, scope: Scope) -> None:
        from runner.language.templates import evaluate

        own = {} if name is None else {name: result}
        if not evaluate(until, {**self._variables(scope), **own}):
            raise Unmet(f"`{until}` does not hold.")

    async def _within(self, node: Node, scope: Scope, path: str, *, forgiven: bool) -> dict[str, Json]:
        """Run a node within its timeout."""
        limit = node.modifiers.timeout
        try:
            async with asyncio.timeout(limit) as timer:
                if isinstance(node, Block):
                    inside = replace(scope, planned=node.path, actual=path, abreast=None)
                    await (self._abreast if node.parallel else self._block)(node, inside)
                    return {}
                return await self._step(node, scope, path, forgiven=forgiven)
        except FtrunError as error:
            if node.modifiers.no_log:
                error.message, error.help = "It failed; what it said is hidden by no_log.", None
            raise
        except TimeoutError:
            if not timer.expired() or limit is None:
                raise
            waits = isinstance(node, Step) and node.kind == "wait_for"
            late = f"It took longer than its timeout of {duration(limit)}."
            raise (Unmet(late) if waits else FtrunError(late)) from None

    async def _step(self, step: Step, scope: Scope, path: str, *, forgiven: bool) -> dict[str, Json]:
        variables = self._variables(scope)
        stage = replace(self._stage, step=step, path=path, variables=variables, forgiven=forgiven)
        if step.is_fault and scope.abreast is not None:
            stage = replace(stage, abreast=partial(scope.abreast.meet, step.path))
        if step.is_fault and self._stage.scene.withheld and not self._stage.scene.faults:
            raise Withheld(f"The fault was withheld: {self._stage.scene.withheld}")
        arguments = self._arguments(step, variables)
        if step.is_fault:
            given = await inject(arguments, stage, self._undos, self._draw, self._group)
        else:
            given = await runs(step.kind)(arguments, stage)
        assert isinstance(given, dict)
        return given

    def _arguments(self, step: Step, variables: Variables) -> BaseModel:
        if step.arguments is not None:
            return step.arguments
        from runner.language.arguments import resolve

        return resolve(step, variables, self._kinds[step.kind])

    async def _block(self, block: Block, scope: Scope) -> None:
        """Run a block; `rescue` takes errors, not verdicts nor withheld faults; `always` runs in any case."""
        try:
            try:
                await self.run(block.block, scope)
            except Withheld:
                raise
            except FtrunError:
                if not block.rescue or self._stage.journal.broken:
                    raise
                await self.run(block.rescue, scope)
        except asyncio.CancelledError:
            # What fails in there is in the journal; it must not take the place of the cancellation.
            with suppress(FtrunError, TimeoutError):
                async with asyncio.timeout(ALWAYS):
                    await self.run(block.always, scope)
            raise
        except BaseException:
            await self.run(block.always, scope)
            raise
        await self.run(block.always, scope)

    async def _abreast(self, block: Block, scope: Scope) -> None:
        """Run the nodes side by side; all of them end before it does, and it ends as the gravest of them."""
        faults = {node.path for node in block.block if isinstance(node, Step) and node.is_fault}
        scope = replace(scope, abreast=Abreast(faults))
        ended = await asyncio.gather(
            *(self._one_abreast(node, scope) for node in block.block), return_exceptions=True
        )
        errors = [each for each in ended if isinstance(each, BaseException)]
        if errors:
            raise gravest(errors)

    async def _one_abreast(self, node: Node, scope: Scope) -> None:
        assert scope.abreast is not None
        try:
            await self._node(node, scope)
        finally:
            scope.abreast.leave(node.path)

    def _register(self, node: Node, result: Json) -> None:
        if node.modifiers.register is not None:
            self._stage.registered[node.modifiers.register] = result

    def _begin(self, node: Node, path: str, scope: Scope) -> None:
        self._stage.journal.append(
            StepStart(
                scenario=self._stage.number,
                path=path,
                name=self._named(node, scope),
                step=node.kind,
                file=node.position.file,
                line=node.position.line,
            )
        )

    def _named(self, node: Node, scope: Scope) -> str:
        """Give the name for people; one whose template fails is shown as written."""
        name = node.modifiers.name
        if name is None:
            return node.kind
        if "{{" not in name or node.modifiers.no_log:
            return name
        from runner.language.templates import render

        try:
            return str(render(name, self._variables(scope)))
        except FtrunError:
            return name

    def _end(self, path: str, state: str, message: str = "", result: Json = None) -> StepEnd:
        return self._stage.journal.append(
            StepEnd(scenario=self._stage.number, path=path, state=state, message=message, result=result)
        )


def gravest(errors: Sequence[BaseException]) -> BaseException:
    """Give one error for several: a bug before a withheld fault, before an error, before an unmet wait."""

    def weight(error: BaseException) -> int:
        if isinstance(error, Unmet):
            return 0
        return 3 if not isinstance(error, FtrunError) else 2 if isinstance(error, Withheld) else 1

    worst = max(errors, key=weight)
    if len(errors) == 1 or not isinstance(worst, FtrunError):
        return worst
    told = [each.message.rstrip(".") for each in errors if isinstance(each, FtrunError)]
    kind = next(each for each in (Unmet, Withheld, FtrunError) if isinstance(worst, each))
    return kind("; ".join(dict.fromkeys(told)) + ".", help=worst.help)
