"""A RayService that does not come up: what stands in its way is said, word for word."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from runner.clusters.kubernetes import making
from runner.clusters.kubernetes.api import Api, place
from runner.clusters.kubernetes.claim import Claim
from runner.clusters.kubernetes.making import Maker
from runner.clusters.kubernetes.settings import Settings
from runner.clusters.kubernetes.slots import Slots
from runner.clusters.kubernetes.world import World
from runner.errors import CannotRun, Unreachable
from tests.clusters.kubernetes.documents import pod, rayservice
from tests.clusters.kubernetes.memory import Memory

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

Json = Any


@pytest.fixture(autouse=True)
def _simulated_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making.clock, "monotonic", lambda: asyncio.get_running_loop().time())


def waiting(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason, "message": message}}


def unscheduled(name: str, message: str) -> Json:
    found = pod(name, host="", state=None)
    found["spec"].pop("nodeName")
    found["status"] |= {
        "phase": "Pending",
        "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        ],
    }
    return found


def condition(kind: str, status: str, reason: str, message: str) -> Json:
    return {
        "metadata": {"name": "s-abc", "namespace": "ns"},
        "status": {"conditions": [{"type": kind, "status": status, "reason": reason, "message": message}]},
    }


async def refused(
    *pods: Json, service: Json | None = None, cluster: Json | None = None, redis: Any = ()
) -> str:
    """Give the sentence by which making a RayService of one worker ends, where this is what is heard."""
    memory, world = Memory(), World("s", Slots.of(1), dict(redis))
    memory.put(place("configmaps", "ns", "ftrun-r"), {"metadata": {"name": "ftrun-r"}, "data": {}})

    async def until(seen: Any, limit: float) -> bool:
        if not seen():
            await asyncio.sleep(limit)
            world.listed("rayservices", [service or rayservice()])
            world.listed("rayclusters", [cluster] if cluster else [])
            world.listed("pods", pods)
        return bool(seen())

    async def ask(*_: Any) -> Any:
        raise Unreachable("Nobody answers.")

    settings = Settings(namespaces=("ns",), name="s", workers=1, gcs_fault_tolerance="none")
    claim = Claim(cast("Api", memory), "ns", "r", "s")
    maker = Maker(cast("Api", memory), "ns", settings, claim, world, until)
    with pytest.raises(CannotRun) as caught:
        await maker.deploy((), None, "", options=True, ask=ask, password="p")
    assert caught.value.exit_code == 3
    assert place("rayservices", "ns", "s") in memory.objects
    return caught.value.message


async def test_what_somebody_else_made_is_neither_changed_nor_taken() -> None:
    memory = Memory()
    theirs = place("secrets", "ns", "s-redis")
    memory.put(theirs, {"metadata": {"name": "s-redis"}, "stringData": {"password": "theirs"}})
    claim = Claim(cast("Api", memory), "ns", "r", "s")
    await claim.take()
    settings = Settings(namespaces=("ns",), name="s")

    async def until(seen: Any, limit: float) -> bool:
        return bool(seen())

    async def ask(*_: Any) -> Any:
        raise AssertionError("nothing stands")

    maker = Maker(cast("Api", memory), "ns", settings, claim, World("s", Slots.of(1)), until)
    with pytest.raises(
        CannotRun, match="There is a Secret s-redis in namespace ns: this run did not make it"
    ):
        await maker.deploy((), None, "", options=True, ask=ask, password="p")
    assert memory.objects[theirs]["stringData"] == {"password": "theirs"}
    await claim.release()
    assert list(memory.objects) == [theirs]


async def test_what_an_earlier_run_owned_may_still_be_going() -> None:
    memory = Memory()
    going = place("secrets", "ns", "s-redis")
    memory.put(going, {"metadata": {"name": "s-redis"}})
    asyncio.get_running_loop().call_later(10, memory.objects.pop, going)
    claim = Claim(cast("Api", memory), "ns", "r", "s")
    await claim.take()
    maker = Maker(
        cast("Api", memory),
        "ns",
        Settings(namespaces=("ns",), name="s"),
        claim,
        World("s", Slots.of(1)),
        None,
    )
    await maker._make(None, "", "p", options=True)
    assert memory.objects[going]["metadata"]["labels"]["ftrun/run"] == "r"


async def test_an_image_that_cannot_be_pulled() -> None:
    said = await refused(
        pod("h", "head"), pod("w", state=waiting("ImagePullBackOff", 'Back-off pulling image "no/such:1"'))
    )
    assert said == (
        "The RayService s does not come up: the image of w cannot be pulled (ImagePullBackOff):"
        ' Back-off pulling image "no/such:1".'
    )


async def test_a_container_that_cannot_be_made_or_ends_again_and_again() -> None:
    said = await refused(
        pod("h", "head", state=waiting("CreateContainerConfigError", 'secret "x" not found'))
    )
    assert said == (
        "The RayService s does not come up: the container of h cannot be made (CreateContainerConfigError):"
        ' secret "x" not found.'
    )
    said = await refused(pod("h", "head", state=waiting("CrashLoopBackOff", "back-off 40s")))
    assert said == "The RayService s does not come up: the container of h ends again and again: back-off 40s."


async def test_a_pod_that_no_host_has_room_for_is_waited_for_to_the_end() -> None:
    said = await refused(
        pod("h", "head"), unscheduled("w", "0/2 nodes are available: 2 Insufficient memory.")
    )
    assert said == (
        "The RayService s did not come up within 300 s: no host has room for w:"
        " 0/2 nodes are available: 2 Insufficient memory."
    )


async def test_a_quota_that_has_no_room_for_a_pod() -> None:
    quota = 'pods "s-abc-worker-x" is forbidden: exceeded quota: small, requested: memory=1Gi'
    said = await refused(cluster=condition("ReplicaFailure", "True", "FailedCreateWorkerPod", quota))
    assert said == f"The RayService s does not come up: KubeRay says FailedCreateWorkerPod: {quota}."


async def test_a_rayservice_that_kuberay_takes_not() -> None:
    wrong = {
        "metadata": {"name": "s", "namespace": "ns"},
        "spec": {},
        "status": {
            "conditions": [
                {"type": "Ready", "status": "False", "reason": "ValidationFailed", "message": "no image"}
            ]
        },
    }
    assert await refused(service=wrong) == (
        "The RayService s does not come up: KubeRay says ValidationFailed: no image."
    )


async def test_an_operator_that_is_not_there() -> None:
    silent = {"metadata": {"name": "s", "namespace": "ns"}, "spec": {}}
    assert await refused(service=silent) == (
        "The RayService s does not come up: nobody has taken note of it; does KubeRay's operator run, and watch"
        " this namespace."
    )


async def test_pods_that_run_and_a_ray_that_nobody_hears_of() -> None:
    assert await refused(pod("h", "head"), pod("w")) == (
        "The RayService s did not come up within 300 s: Ray lists 0 of 2 nodes as alive."
    )
    assert await refused(pod("h", "head")) == (
        "The RayService s did not come up within 300 s: worker-1 has no pod."
    )
