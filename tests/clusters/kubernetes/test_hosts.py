"""Machines are hit only where that is allowed, and where nobody else stands; and they are put back."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, cast

import pytest

from runner.clusters.contract import Context, Undo
from runner.clusters.kubernetes import arms, hosts, remains
from runner.clusters.kubernetes.api import Access, Api, place
from runner.clusters.kubernetes.arms import Site
from runner.clusters.kubernetes.claim import RUN
from runner.clusters.kubernetes.slots import Slots
from runner.clusters.kubernetes.world import World
from runner.errors import ClusterError
from tests.clusters.kubernetes.documents import pod, rayservice
from tests.clusters.kubernetes.memory import Memory

COMMANDS = {"power": {"off": "echo off $HOST >>{log}", "on": "echo on $HOST >>{log}"}, "timeout": 5.0}


def site(memory: Memory, *documents: Any) -> Site:
    world = World("s", Slots.of(1))
    world.listed("rayservices", [rayservice()])
    world.listed("pods", documents or [pod("h", "head"), pod("a", host="node2", address="10.0.0.2")])

    async def until(seen: Any, _limit: float) -> bool:
        return bool(seen())

    async def ask(*_: Any) -> Any:
        raise AssertionError("asked the dashboard")

    return Site(cast("Api", memory), "ns", world, until, ask)


def node(name: str, *, ready: bool = True, cordoned: bool = False) -> Any:
    status = {"conditions": [{"type": "Ready", "status": str(ready)}]}
    return {
        "metadata": {"name": name, "uid": f"u-{name}"},
        "spec": {"unschedulable": cordoned},
        "status": status,
    }


def context(tmp_path: Path, *allow: str, **more: Any) -> Context:
    commands = {
        key: {name: text.format(log=tmp_path / "log") for name, text in value.items()}
        if isinstance(value, dict)
        else value
        for key, value in (more or COMMANDS).items()
    }
    return Context("run", tmp_path, 1, allow=frozenset(allow), hosts=commands)


async def power(there: Site, about: Context, slot: str = "worker-1") -> Any:
    return await hosts.arm_command(there, slot, about, {"ns"}, commands=("off", "on"), key="power")


async def test_a_host_is_switched_off_and_on_by_the_inventorys_commands(tmp_path: Path) -> None:
    memory = Memory()
    there = site(memory)
    armed = await power(there, context(tmp_path, "node-faults"))
    assert "node2" in armed.hits[0].says
    # What scenarios compare with afterwards.
    assert (armed.hits[0].ids["starts"], armed.hits[0].ids["cluster"]) == (1, "s-abc")
    assert not (tmp_path / "log").exists()
    await armed.act()
    # The command's exit code proves nothing.
    assert "nobody may look whether node2 is away" in (await armed.confirm()).why
    there.world.listed("nodes", [node("node2")])
    assert not (await armed.confirm()).confirmed
    there.world.listed("nodes", [node("node2", ready=False)])
    assert (await armed.confirm()).confirmed
    assert (tmp_path / "log").read_text() == "off node2\n"
    for _ in range(2):
        await remains.put_back(cast("Api", memory), armed.undo)
    assert (tmp_path / "log").read_text() == "off node2\non node2\non node2\n"


async def test_what_was_armed_and_let_go_runs_no_command(tmp_path: Path) -> None:
    armed = await power(site(Memory()), context(tmp_path, "node-faults"))
    await armed.disarm()
    await armed.disarm()
    assert not (tmp_path / "log").exists()


async def test_a_command_that_fails_is_said(tmp_path: Path) -> None:
    about = context(tmp_path, "node-faults", power={"off": "echo no; exit 3", "on": "true"})
    armed = await power(site(Memory()), about)
    with pytest.raises(ClusterError, match=r"exit code 3\.\nno"):
        await armed.act()


async def test_nothing_is_done_to_a_host_that_is_not_allowed_or_not_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="does not allow to switch hosts off") as caught:
        await power(site(Memory()), context(tmp_path))
    assert "node-faults" in str(caught.value.help)
    with pytest.raises(ClusterError, match="gives no commands that off and on"):
        await power(site(Memory()), context(tmp_path, "node-faults", link={"cut": "x", "join": "y"}))
    with pytest.raises(ClusterError, match="kubelet does not register again by itself"):
        await hosts.arm_node_object(
            site(Memory()), "worker-1", context(tmp_path, "node-faults"), {"ns"}, drain=False
        )


async def test_a_host_where_pods_of_others_run_is_spared(tmp_path: Path) -> None:
    memory = Memory()

    def stranger(name: str, **more: Any) -> None:
        document = pod(name, host="node2")
        document["metadata"] |= {"namespace": "theirs", **more}
        # Every listing of the memory gives all that stands below.
        memory.put(f"{place('pods')}/{name}", document)

    stranger("daemon", ownerReferences=[{"kind": "DaemonSet", "uid": "d"}])
    armed = await power(site(memory), context(tmp_path, "node-faults"))
    await armed.disarm()
    stranger("web")
    with pytest.raises(ClusterError, match="Pods of others run on node2, where worker-1 stands: theirs/web"):
        await power(site(memory), context(tmp_path, "node-faults"))


async def test_a_host_where_the_prober_stands_is_spared(tmp_path: Path) -> None:
    prober = pod("p", "", host="node2", **{"ftrun/part": "prober"})
    there = site(Memory(), pod("h", "head"), pod("a", host="node2"), prober)
    with pytest.raises(ClusterError, match="The prober stands on node2"):
        await power(there, context(tmp_path, "node-faults"))


async def test_a_host_where_ftrun_itself_stands_is_spared(tmp_path: Path) -> None:
    memory = Memory()
    there = site(
        memory, pod("h", "head"), pod("a", host="node2"), pod(socket.gethostname(), "", host="node2")
    )
    armed = await power(there, context(tmp_path, "node-faults"))
    await armed.disarm()
    memory.access = Access()
    with pytest.raises(ClusterError, match="ftrun itself runs on node2"):
        await power(there, context(tmp_path, "node-faults"))


async def test_a_host_where_another_run_or_raycluster_stands_is_spared(tmp_path: Path) -> None:
    about = context(tmp_path, "node-faults")
    plain = {"metadata": {"name": "p", "namespace": "ns", "uid": "p", "labels": {}}}
    for labels, whose in (({}, ""), ({RUN: "run"}, ""), ({RUN: "other"}, "the run other")):
        beside = {**pod("p", host="node2"), "metadata": {**plain["metadata"], "labels": labels}}
        there = site(Memory(), pod("h", "head"), pod("a", host="node2"), beside)
        if not whose:
            await (await power(there, about)).disarm()
            continue
        with pytest.raises(ClusterError, match=f"The pod p of {whose} stands on node2"):
            await power(there, about)
    there = site(Memory(), pod("h", "head"), pod("a", host="node2"), pod("p", host="node2", cluster="t-abc"))
    with pytest.raises(ClusterError, match="The pod p of the RayCluster t-abc stands on node2, too"):
        await power(there, about)


async def test_a_host_that_is_away_already_cannot_be_hit(tmp_path: Path) -> None:
    there = site(Memory())
    there.world.listed("nodes", [node("node2", ready=False)])
    with pytest.raises(ClusterError, match=r"^The host node2 of worker-1 is not Ready already"):
        await power(there, context(tmp_path, "node-faults"))


async def test_a_node_that_somebody_else_deleted_first_was_not_hit_by_us(tmp_path: Path) -> None:
    memory = Memory()
    there = site(memory)
    there.world.listed("nodes", [node("node2")])
    about = context(tmp_path, "node-faults", restore="true")
    armed = await hosts.arm_node_object(there, "worker-1", about, {"ns"}, drain=False)
    with pytest.raises(ClusterError, match=r"^Somebody else deleted the node node2 first\.$"):
        await armed.act()
    memory.put(place("nodes", None, "node2"), node("node2"))
    await armed.act()
    assert memory.objects == {}


async def test_who_shares_a_host_is_hit_with_it_and_not_by_the_others_name(tmp_path: Path) -> None:
    there = site(Memory(), pod("h", "head", host="node2"), pod("a", host="node2"))
    about = context(tmp_path, "node-faults")
    armed = await power(there, about, "head")
    assert [hit.slot for hit in armed.hits] == ["head", "worker-1"]
    await armed.disarm()
    with pytest.raises(ClusterError, match=r"the host of head, stand others, too \(worker-1") as caught:
        await hosts.arm_command(there, "head", about, {"ns"}, commands=("off", "on"), key="power", alone=True)
    assert "`kill: {host: head}`" in str(caught.value.help)


async def test_a_drained_host_takes_no_pods_until_it_is_healed(tmp_path: Path) -> None:
    memory = Memory()
    node = place("nodes", None, "node2")
    memory.put(node, {"metadata": {"name": "node2"}, "spec": {}})
    armed = await hosts.arm_node_object(
        site(memory), "worker-1", context(tmp_path, "node-faults"), {"ns"}, drain=True
    )
    assert memory.objects[node]["spec"] == {}
    acted = await armed.act()
    assert memory.objects[node]["spec"] == {"unschedulable": True}
    assert acted.evidence["evicted"] == ["a"]
    assert armed.undo is not None
    await remains.put_back(cast("Api", memory), armed.undo)
    assert memory.objects[node]["spec"] == {}


async def test_a_host_that_somebody_cordoned_is_not_drained(tmp_path: Path) -> None:
    there = site(Memory())
    there.world.listed("nodes", [node("node2", cordoned=True)])
    with pytest.raises(ClusterError, match="Somebody has cordoned node2 already"):
        await hosts.arm_node_object(there, "worker-1", context(tmp_path, "node-faults"), {"ns"}, drain=True)


async def test_a_deployment_is_scaled_back_to_what_it_was() -> None:
    memory = Memory()
    there = site(memory)
    there.world.listed("operator", [pod("o", "")])
    scale = f"{place('deployments', 'op', 'operator')}/scale"
    memory.put(scale, {"metadata": {"name": "operator"}, "spec": {"replicas": 2}})
    armed = await hosts.arm_scale(there, "operator", "op", "operator")
    await armed.act()
    assert memory.objects[scale]["spec"]["replicas"] == 0
    assert ("delete", place("pods", "op", "o")) in memory.asked
    assert armed.undo is not None
    await remains.put_back(cast("Api", memory), armed.undo)
    assert memory.objects[scale]["spec"]["replicas"] == 2


async def test_an_undo_that_nobody_knows_is_said() -> None:
    with pytest.raises(ClusterError, match="knows no undo 'x'"):
        await remains.put_back(cast("Api", Memory()), Undo("x", {}))


async def test_a_deployment_that_is_gone_needs_no_scaling_back() -> None:
    arguments = {"namespace": "ns", "deployment": "gone", "replicas": 1}
    await remains.put_back(cast("Api", Memory()), Undo("scale", arguments))


async def test_a_pod_is_waited_for_as_long_as_it_may_take() -> None:
    document = pod("a", host="node2")
    document["spec"]["terminationGracePeriodSeconds"] = 120
    there = site(Memory(), pod("h", "head"), document)
    limits = []

    async def until(_seen: Any, limit: float) -> bool:
        limits.append(limit)
        return False

    there.until = until
    for grace in (None, 0.0):
        armed = await arms.arm_node(there, {"slot": "worker-1", "how": "delete", "grace": grace})
        assert not (await armed.confirm()).confirmed
    assert limits == [140.0, 20.0]


@pytest.mark.parametrize("setting", ["hostPID", "shareProcessNamespace"])
async def test_no_signal_is_sent_where_a_container_sees_processes_of_others(setting: str) -> None:
    document = pod("a", host="node2")
    document["spec"][setting] = True
    there = site(Memory(), pod("h", "head"), document)
    said = f"No process of worker-1 is hit: its pod a has `{setting}: true`"
    for arm, arguments in (
        (arms.arm_node, {"how": "crash"}),
        (arms.arm_process, {"process": "raylet"}),
        (arms.arm_freeze, {}),
        (arms.arm_freeze, {"process": "raylet"}),
    ):
        with pytest.raises(ClusterError, match=said):
            await arm(there, {"slot": "worker-1", **arguments})
    await arms.arm_node(there, {"slot": "worker-1", "how": "delete"})


async def test_a_pod_that_somebody_else_deleted_first_was_not_hit_by_us() -> None:
    memory = Memory()
    there = site(memory)
    armed = await arms.arm_node(there, {"slot": "worker-1", "how": "delete", "grace": 0.0})
    with pytest.raises(ClusterError, match=r"^Somebody else deleted the pod a first\.$"):
        await armed.act()
    memory.put(place("pods", "ns", "a"), pod("a"))
    await armed.act()
    assert memory.objects == {}
