"""One run at a time, what a run owns, and its undos where another machine finds them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from runner.clusters.contract import Undo
from runner.clusters.kubernetes import claim
from runner.clusters.kubernetes.api import Api, place
from runner.clusters.kubernetes.claim import TERM, Claim, alive, claims, short, undos
from runner.errors import CannotRun
from tests.clusters.kubernetes.memory import Memory

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

LEASE = place("leases", "ns", "ftrun-s")


def claimed(memory: Memory, run: str = "run") -> Claim:
    return Claim(cast("Api", memory), "ns", run, "s")


@pytest.fixture(autouse=True)
def loop_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the claim's clock be the loop's, which tests drive."""
    monkeypatch.setattr(claim.clock, "monotonic", lambda: asyncio.get_running_loop().time())


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ("20261124-120000-head_node", "20261124-120000-head-node"),
        ("A B", "a-b"),
        ("_", "run"),
        ("x" * 49 + "_y", "x" * 49),
    ],
)
async def test_a_runs_name_is_one_that_kubernetes_takes(run: str, name: str) -> None:
    assert short(run) == name


async def test_what_is_made_is_owned_and_goes_with_the_claim() -> None:
    memory = Memory()
    mine = claimed(memory)
    await mine.take()
    made = mine.owned({"kind": "Service", "metadata": {"name": "x", "labels": {"a": "b"}}}, "redis")
    assert made["metadata"]["labels"] == {
        "a": "b",
        "app.kubernetes.io/managed-by": "ftrun",
        "ftrun/run": "run",
        "ftrun/part": "redis",
    }
    memory.put(place("services", "ns", "x"), made)
    await mine.release()
    await mine.release()
    assert memory.objects == {}


async def test_what_an_earlier_scenario_could_not_put_back_is_kept() -> None:
    memory = Memory()
    before = claimed(memory)
    await before.take()
    assert (await before.note(Undo("x", {}, "mend x")), before.left) == ("undo-1", ())
    await before.leave()
    after = claimed(memory)
    await after.take()
    assert after.left == ("mend x",)
    assert await after.note(Undo("y", {}, "mend y")) == "undo-2"
    await after.leave()
    # Nor does a run that may not go on forget it.
    other = claimed(memory, "other")
    await other.take()
    with pytest.raises(CannotRun, match="The run other is using"):
        await claimed(memory).take()
    await other.release()
    [there] = await claims(cast("Api", memory), "ns")
    assert [each.says for each in undos(there).values()] == ["mend y", "mend x"]


async def test_a_second_run_is_refused_while_the_first_one_renews() -> None:
    memory = Memory()
    first, second = claimed(memory, "one"), claimed(memory, "two")
    await first.take()
    with pytest.raises(CannotRun, match="The run one is using the RayService s in namespace ns"):
        await second.take()
    assert list(memory.objects) == [place("configmaps", "ns", "ftrun-one"), LEASE]
    await first.release()
    await second.take()
    await second.release()


async def test_a_run_that_was_killed_holds_it_no_longer_than_its_lease() -> None:
    memory = Memory()
    first, second = claimed(memory, "one"), claimed(memory, "two")
    await first.take()
    assert first._renewing is not None
    first._renewing.cancel()
    began = asyncio.get_running_loop().time()
    await second.take()
    assert TERM <= asyncio.get_running_loop().time() - began < TERM + 3
    assert memory.objects[LEASE]["spec"]["holderIdentity"] == "two"
    await second.release()


async def test_who_loses_the_lease_knows_it() -> None:
    memory = Memory()
    mine = claimed(memory)
    await mine.take()
    memory.objects[LEASE]["spec"]["holderIdentity"] = "thief"
    await asyncio.sleep(10)
    assert mine.lost == "the run thief took the RayService over"
    await mine.release()
    # The other one's Lease stays.
    assert LEASE in memory.objects or memory.objects == {}


async def test_undos_are_found_the_latest_first_and_crossed_out() -> None:
    memory = Memory()
    mine = claimed(memory)
    await mine.take()
    names = [await mine.note(Undo("thaw", {"n": number}, f"thaw {number}")) for number in range(12)]
    await mine.strike(names[3])
    [there] = await claims(cast("Api", memory), "ns")
    assert [undo.arguments["n"] for undo in undos(there).values()] == [11, 10, 9, 8, 7, 6, 5, 4, 2, 1, 0]
    await mine.release()


async def test_a_run_is_alive_as_long_as_it_renews_its_lease_whatever_the_clocks_say() -> None:
    memory = Memory()
    mine = claimed(memory, "one")
    await mine.take()
    api = cast("Api", memory)
    memory.objects[LEASE]["spec"]["renewTime"] = "1999-01-01T00:00:00.0Z"
    assert await alive(api, LEASE, "one")
    assert not await alive(api, LEASE, "two")
    assert mine._renewing is not None
    mine._renewing.cancel()
    memory.objects[LEASE]["spec"]["renewTime"] = "2099-01-01T00:00:00.0Z"
    began = asyncio.get_running_loop().time()
    assert not await alive(api, LEASE, "one")
    assert TERM <= asyncio.get_running_loop().time() - began < TERM + 3
    assert not await alive(api, f"{LEASE}-none", "one")
    await mine.release()


async def test_an_undo_survives_its_journey() -> None:
    memory = Memory()
    mine = claimed(memory)
    await mine.take()
    undo = Undo("host_command", {"command": "x", "host": "h", "timeout": 1.0}, "run x")
    await mine.note(undo)
    [there] = await claims(cast("Api", memory), "ns")
    assert list(undos(there).values()) == [replace(undo)]
    await mine.release()
