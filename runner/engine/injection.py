"""Injects a fault: arm, journal the intent and the undo, act, confirm. The same for every kind of fault."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Any

from pydantic import BaseModel

from runner.clusters.contract import Acted, Action, Armed, Confirmation
from runner.engine.undo import Undos
from runner.errors import ClusterError, FtrunError, Unreachable
from runner.journal.events import FaultConfirmed, FaultInjected, FaultIntent
from runner.steps.catalogue import aims
from runner.steps.stage import Stage

Json = Any

PATIENCE, AGAIN = 10.0, 0.3
"""Seconds for which who does not answer is asked again before a fault, and between two such questions."""


async def inject(
    arguments: BaseModel, stage: Stage, undos: Undos, draw: random.Random, group: asyncio.TaskGroup
) -> Json:
    """Break what the arguments aim at; give what `register` holds. A task of `group` heals it in time.

    Raises CannotRun where there is no target, ClusterError where the act fails. A fault that could not be
    confirmed is no error: what depends on it is unknown.
    """
    assert stage.step is not None
    workers = [endpoint.slot for endpoint in stage.facts.endpoints if endpoint.role == "worker"]
    aimed = aims(stage.step.kind)(arguments, workers, draw)
    journal = stage.journal
    name = stage.step.modifiers.register or f"{stage.step.kind} {aimed.target}"
    armed: list[Armed] = []
    try:
        for action in aimed.actions:
            armed.append(await _armed(stage, action))  # noqa: PERF401 (each is to be disarmed if the next fails)
        if stage.abreast is not None:
            await stage.abreast()
        hits = tuple(
            {"slot": hit.slot, "role": hit.role, "says": hit.says, **hit.ids}
            for each in armed
            for hit in each.hits
        )
        # Nothing is awaited from here to the intent: faults in the background must not share a number.
        number = sum(isinstance(event, FaultIntent) for event in journal.events)
        for each in armed:
            if each.undo is not None:
                undos.push(each.undo, partial(stage.cluster.undo, each.undo), fault=number)
        journal.append(
            FaultIntent(
                scenario=stage.number,
                fault=number,
                name=name,
                path=stage.path,
                fault_kind=stage.step.kind,
                how=aimed.how,
                target=aimed.target,
                hits=hits,
                intended=journal.now(),
                ends=aimed.ends,
                lasts=aimed.lasts,
            ),
            durable=True,
        )
        acted = await _together(armed)
    finally:
        for each in armed:
            await each.disarm()
    # Together they are one fault: it begins with the first act.
    at = min(each.at for each in acted) - journal.zero
    evidence = {"acts": [dict(each.evidence) for each in acted]}
    journal.append(FaultInjected(fault=number, at=at, evidence=evidence))
    if aimed.heal_after is not None:
        undos.heal_after(number, max(0.0, at + aimed.heal_after - journal.now()), group)
    confirmed = [await _confirmed(each) for each in armed]
    sure = all(each.confirmed for each in confirmed)
    why = "; ".join(dict.fromkeys(each.why for each in confirmed if each.why and each.confirmed is sure))
    journal.append(
        FaultConfirmed(
            fault=number,
            confirmed=sure,
            why=why,
            evidence={"confirmations": [dict(each.evidence) for each in confirmed]},
        )
    )
    return {
        "fault": number,
        "name": name,
        "target": aimed.target,
        "hits": list(hits),
        "injected": at,
        "confirmed": sure,
    }


async def _armed(stage: Stage, action: Action) -> Armed:
    """Arm; who gives no answer is asked again for `PATIENCE`: a head may be busy. Raises ClusterError."""
    until = stage.journal.now() + PATIENCE
    while True:
        try:
            return await stage.cluster.arm(action)
        except Unreachable:
            if stage.journal.now() > until:
                raise
        await asyncio.sleep(AGAIN)


async def _together(armed: list[Armed]) -> list[Acted]:
    """Let all of them act at once, and wait for each; raises the first error once all have ended."""
    done = await asyncio.gather(*(each.act() for each in armed), return_exceptions=True)
    for each in done:
        if isinstance(each, BaseException):
            raise each
    return [each for each in done if isinstance(each, Acted)]


async def _confirmed(armed: Armed) -> Confirmation:
    try:
        return await armed.confirm()
    except ClusterError as error:
        return Confirmation(False, error.message)


class Withheld(FtrunError):
    """A fault that may not be injected, since something was wrong before it."""
