"""The undo stack: what was announced durably before each act, carried out last in first out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from runner.clusters.contract import Undo
from runner.errors import FtrunError
from runner.journal.events import FaultHealed, UndoDone, UndoPushed
from runner.journal.journal import Journal
from runner.language.types import duration

LIMIT = 60.0
"""Seconds that one undo may take, whatever time the run had."""

Heal = Callable[[], Awaitable[None]]


class Undos:
    """A stack of undos. All of them run, whatever fails and whoever cancels; errors are collected."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._stack: list[tuple[int, str, Heal, int | None]] = []

    def push(self, undo: Undo, heal: Heal, *, fault: int | None = None) -> None:
        """Announce an undo, on the disk when this returns; `fault` is what it heals.

        Raises CannotRun where the journal cannot be written: then the act must not happen.
        """
        number = sum(isinstance(event, UndoPushed) for event in self._journal.events)
        self._stack.append((number, undo.says or undo.kind, heal, fault))
        try:
            self._journal.append(
                UndoPushed(undo=number, act=undo.kind, arguments=undo.arguments, says=undo.says), durable=True
            )
        except FtrunError:
            self._stack.pop()
            raise

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
        errors: list[str] = []
        while self._stack:
            number, says, heal, fault = self._stack.pop()
            error = await _carried_out(heal)
            if error is not None:
                errors.append(f"Could not {says}: {error}")
            try:
                self._journal.append(UndoDone(undo=number, error=error))
                if fault is not None and error is None and not self._healed(fault):
                    self._journal.append(FaultHealed(fault=fault, at=self._journal.now()))
            except FtrunError as full:
                errors.append(full.message)
        return errors

    def _healed(self, fault: int) -> bool:
        """Whether the fault was healed already, or never hit anything."""
        return any(isinstance(event, FaultHealed) and event.fault == fault for event in self._journal.events)


async def _carried_out(heal: Heal) -> str | None:
    """Run one undo within its limit; give what went wrong."""
    try:
        async with asyncio.timeout(LIMIT):
            await heal()
    except TimeoutError:
        return f"it took longer than {duration(LIMIT)}."
    except FtrunError as error:
        return error.message
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
