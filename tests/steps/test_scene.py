"""What the journal says so far of a scenario."""

from __future__ import annotations

import asyncio

import pytest

from runner.journal.events import (
    FaultInjected,
    FaultIntent,
    FaultRecovered,
    Observation,
    ProbeStart,
    ProbeStop,
)
from runner.steps.scene import Scene


def observed(
    seq: int, asked: float, document: dict[str, object] | None, same_as: int | None = None
) -> Observation:
    return Observation(seq=seq, scenario=0, asked=asked, document=document, same_as=same_as)


def intent(name: str, number: int = 0, t: float = 1.5) -> FaultIntent:
    return FaultIntent(
        t=t,
        scenario=0,
        fault=number,
        name=name,
        path="steps[0]",
        fault_kind="kill",
        how="crash",
        target="node head",
    )


def test_what_was_asked_before_the_last_fault_is_not_fresh() -> None:
    scene = Scene()
    assert scene.fresh is None
    scene.hear(observed(1, 1.0, {"a": 1}))
    assert scene.fresh == {"a": 1}
    scene.hear(intent("f"))
    scene.hear(FaultInjected(fault=0, at=2.0))
    assert scene.fresh is None
    scene.hear(observed(2, 1.9, {"a": 2}))
    assert scene.fresh is None
    scene.hear(observed(3, 2.1, None, same_as=2))
    assert scene.fresh == {"a": 2}


def test_a_fault_remembers_what_held_before_it() -> None:
    scene = Scene()
    scene.hear(observed(1, 1.0, {"a": 1}))
    scene.hear(intent("f"))
    scene.hear(observed(2, 3.0, {"a": 2}))
    fault = scene.fault("f")
    assert fault is not None
    assert fault.before == {"a": 1}


def test_what_has_to_come_back_is_from_before_the_first_fault_that_lasts() -> None:
    scene = Scene()
    scene.hear(observed(1, 1.0, {"a": 1}))
    scene.hear(intent("f", 0))
    scene.hear(observed(2, 3.0, {"a": 2}))
    scene.hear(intent("g", 1))
    second = scene.fault("g")
    assert second is not None
    assert (second.well, second.before) == ({"a": 1}, {"a": 2})
    scene.hear(FaultRecovered(fault=1, at=4.0))
    scene.hear(observed(3, 5.0, {"a": 3}))
    scene.hear(intent("h", 2))
    third = scene.fault("h")
    assert third is not None
    assert third.well == {"a": 3}


def test_of_faults_of_one_name_the_last_is_meant() -> None:
    scene = Scene()
    scene.hear(intent("f", 0))
    scene.hear(intent("f", 1))
    fault = scene.fault("f")
    assert fault is not None
    assert fault.number == 1
    assert scene.fault("g") is None


def test_probes_run_from_start_to_stop() -> None:
    scene = Scene()
    scene.hear(ProbeStart(scenario=0, probe="p", series=()))
    assert list(scene.probes) == ["p"]
    scene.hear(ProbeStop(scenario=0, probe="p", at=1.0))
    assert not scene.probes


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_an_event_wakes_who_waits_and_time_does_too() -> None:
    scene, loop = Scene(), asyncio.get_running_loop()
    waiting = asyncio.create_task(scene.changed(100.0))
    await asyncio.sleep(5)
    scene.hear(observed(1, 1.0, {}))
    await waiting
    assert loop.time() == pytest.approx(5.0)
    await scene.changed(3.0)
    assert loop.time() == pytest.approx(8.0)
