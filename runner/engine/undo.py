"""The undo stack: what was announced durably before each act, carried out last in first out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from runner.clusters.contract import Undo
from runner.errors import FtrunError
from runner.journal.events import FaultHealed, UndoDone, UndoPushed
from runner.journal.journal import Journal
from runner.language.types import duration

LIMIT = 60.0
"""Seconds that one undo may take, whatever time the run had, unless it says that it may take longer."""

SPARE = 10.0
"""Seconds beside what an undo may take by its own word: it ends by itself, and says why."""

Heal = Callable[[], Awaitable[float | None]]
"""Carries out an undo; gives the instant at which it took effect, where that is known."""


@dataclass(slots=True, eq=False)
class _Pending:
    """An undo that is still to be carried out, for `fault` if it heals one."""

    number: int
    says: str
    heal: Heal
    fault: int | None
    limit: float
    under_way: asyncio.Task[str | None] | None = None
    """Shared by all who want it done: it is done once."""


class Undos:
    """A stack of undos. All of them run, whatever fails and whoever cancels; errors are collected."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._stack: list[_Pending] = []
        self._timers: list[asyncio.Task[None]] = []

    def push(self, undo: Undo, heal: Heal, *, fault: int | None = None) -> None:
        """Announce an undo, on the disk when this returns; `fault` is what it heals.

        Raises CannotRun where the journal cannot be written: then the act must not happen.
        """
        number = sum(isinstance(event, UndoPushed) for event in self._journal.events)
        self._stack.append(
            _Pending(number, undo.says or undo.kind, heal, fault, allowed(undo.arguments, LIMIT))
        )
        try:
            self._journal.append(
                UndoPushed(undo=number, act=undo.kind, arguments=undo.arguments, says=undo.says), durable=True
            )
        except FtrunError:
            self._stack.pop()
            raise

    async def heal(self, fault: int) -> list[str]:
        """Carry out now what heals a fault; give a sentence for each undo that failed.

        Those are tried again at the end. Who cancels this does not stop what has begun.
        """
        return await self._carry_out([each for each in reversed(self._stack) if each.fault == fault])

    def heal_after(self, fault: int, delay: float, group: asyncio.TaskGroup) -> None:
        """Heal a fault in so many seconds, unless the unwinding comes first."""

        async def later() -> None:
            await asyncio.sleep(delay)
            await self.heal(fault)

        self._timers.append(group.create_task(later()))

    async def unwind(self) -> list[str]:
        """Carry out all of them, the last first; give a sentence for each that failed.

        Shielded: who cancels it is told so once everything is done.
        """
        unwinding = asyncio.ensure_future(self._unwind())
        cancelled: asyncio.CancelledError | None = None
        while not unwinding.done():
            try:
                await asyncio.shield(unwinding)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
        return unwinding.result()

    async def _unwind(self) -> list[str]:
        for timer in self._timers:
            timer.cancel()
        errors = await self._carry_out(reversed(self._stack))
        self._stack.clear()
        return errors

    async def _carry_out(self, pending: Iterable[_Pending]) -> list[str]:
        """Carry them out one by one; what another began already is waited for."""
        errors = []
        for each in list(pending):
            if each.under_way is None:
                each.under_way = asyncio.create_task(self._do(each))
            if (error := await asyncio.shield(each.under_way)) is not None:
                errors.append(error)
        return errors

    async def _do(self, pending: _Pending) -> str | None:
        """Carry out one, and note it; give a sentence where it failed. It stays on the stack then."""
        at, error = await _carried_out(pending.heal, pending.limit)
        try:
            self._journal.append(UndoDone(undo=pending.number, error=error))
            if error is not None:
                pending.under_way = None
                return f"Could not {pending.says}: {error}"
            self._stack.remove(pending)
            fault = pending.fault
            whole = not any(each.fault == fault for each in self._stack)
            if fault is not None and whole and not self._healed(fault):
                since = self._journal.now() if at is None else at - self._journal.zero
                self._journal.append(FaultHealed(fault=fault, at=since))
        except FtrunError as full:
            return full.message
        return None

    def _healed(self, fault: int) -> bool:
        """Whether the fault was healed already."""
        return any(isinstance(event, FaultHealed) and event.fault == fault for event in self._journal.events)


def allowed(arguments: Mapping[str, Any], least: float) -> float:
    """Give the seconds that an undo may take: `least`, or what its own `timeout` says and a little more."""
    return max(least, float(arguments.get("timeout") or 0.0) + SPARE)


async def _carried_out(heal: Heal, limit: float) -> tuple[float | None, str | None]:
    """Run one undo within its limit; give its instant, if it says it, and what went wrong."""
    try:
        async with asyncio.timeout(limit):
            return await heal(), None
    except TimeoutError:
        return None, f"it took longer than {duration(limit)}."
    except FtrunError as error:
        return None, error.message
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"
