"""What a run left is removed, and nothing of anybody else's; what cannot be put back is not forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from runner.clusters.contract import Context, Undo
from runner.clusters.kubernetes import remains
from runner.clusters.kubernetes.api import Api, place
from runner.clusters.kubernetes.claim import Claim, undos
from runner.clusters.kubernetes.cluster import KubernetesCluster
from runner.clusters.kubernetes.settings import Settings
from runner.errors import ClusterError
from tests.clusters.kubernetes.documents import pod
from tests.clusters.kubernetes.memory import Memory

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

SERVICE = place("rayservices", "ns", "serve")


def api(memory: Memory) -> Api:
    return cast("Api", memory)


async def healed(memory: Memory, undo: Undo) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remains, "Api", lambda _: memory)
        await remains.heal(undo)


def broken(deployment: str) -> Undo:
    said = {"namespace": "ns", "deployment": deployment, "replicas": 1}
    return Undo("scale", said, f"scale the Deployment {deployment} to 1")


async def test_whose_name_begins_like_the_runs_is_spared() -> None:
    memory = Memory()
    status = {"activeServiceStatus": {"rayClusterName": "serve-abcde"}}
    memory.put(SERVICE, {"metadata": {"name": "serve", "labels": {"ftrun/run": "r"}}, "status": status})
    for name, cluster in (("mine", "serve-abcde"), ("theirs", "serve-prod-fghij"), ("by-hand", "serve-x")):
        memory.put(place("pods", "ns", name), pod(name, cluster=cluster))
    await remains.remove(api(memory), "ns", "ftrun-r", "serve")
    assert SERVICE not in memory.objects
    left = {path.rpartition("/")[2] for path in memory.objects}
    assert left == {"theirs", "by-hand"}


@pytest.mark.looptime(False)  # commands are run
async def test_an_undo_that_fails_keeps_nothing_else_from_being_put_back_and_removed() -> None:
    memory = Memory()
    claim = Claim(api(memory), "ns", "r", "serve")
    await claim.take()
    node = place("nodes", None, "node1")
    memory.put(node, {"metadata": {"name": "node1"}, "spec": {"unschedulable": True}})
    memory.put(SERVICE, {"metadata": {"name": "serve", "labels": {"ftrun/run": "r"}}})
    fails = Undo("host_command", {"command": "false", "host": "node1", "timeout": 5}, "switch node1 on")
    for each in (Undo("uncordon", {"host": "node1"}, "let pods stand there"), fails):
        await claim.note(each)
    about = Context("r", Path(), 1, hosts={"restore": "false"}, allow=frozenset({"node-faults"}))
    closing = remains.closing(Settings(namespaces=("ns",)), claim, about)
    with pytest.raises(ClusterError, match=r"^Could not switch node1 on: `false` ended with exit code 1\.$"):
        await healed(memory, closing)
    assert memory.objects[node]["spec"] == {}
    left = {place("configmaps", "ns", "ftrun-r"), node}
    assert set(memory.objects) == left
    assert list(undos(memory.objects[place("configmaps", "ns", "ftrun-r")]).values()) == [fails]


@pytest.mark.parametrize(
    ("undo", "why"),
    [
        (Undo("host_command", {"command": "rm x", "host": "h", "timeout": 5}), "no command `rm x` under"),
        (Undo("uncordon", {"host": "h"}), "does not allow `node-faults`"),
        (Undo("scale", {"namespace": "ns", "deployment": "web", "replicas": 9}), "does not allow to scale"),
        (
            Undo("scale", {"namespace": "op", "deployment": "serve-redis", "replicas": 9}),
            "not allow to scale",
        ),
        (
            Undo("policy", {"namespace": "other", "policy": "p", "pod": "x", "uid": "u"}),
            "about namespace other",
        ),
        (Undo("thaw", {"frozen": [{"namespace": "other", "pod": "x"}]}), "not about namespace ns"),
    ],
)
async def test_an_undo_that_somebody_wrote_into_a_configmap_does_no_more_than_the_inventory_allows(
    undo: Undo, why: str
) -> None:
    memory = Memory()
    claim = Claim(api(memory), "ns", "r", "serve")
    await claim.take()
    await claim.note(undo)
    before = len(memory.asked)
    closing = remains.closing(Settings(namespaces=("ns",)), claim, Context("r", Path(), 1))
    with pytest.raises(ClusterError, match=why):
        await healed(memory, closing)
    assert [each for each in memory.asked[before:] if each[0] != "delete"] == []


@pytest.mark.looptime(False)  # commands are run
async def test_what_a_run_may_break_may_be_put_back(tmp_path: Path) -> None:
    memory = Memory()
    settings, said = Settings(namespaces=("ns",)), f"touch {tmp_path / 'on'}"
    for deployment, namespace in (("serve-redis", "ns"), ("kuberay-operator", settings.operator.namespace)):
        path = f"{place('deployments', namespace, deployment)}/scale"
        memory.put(path, {"metadata": {"name": deployment}, "spec": {"replicas": 0}})
    claim = Claim(api(memory), "ns", "r", "serve")
    await claim.take()
    for each in (
        broken("serve-redis"),
        Undo(
            "scale",
            {"namespace": settings.operator.namespace, "deployment": "kuberay-operator", "replicas": 1},
        ),
        Undo("host_command", {"command": said, "host": "h", "timeout": 5}),
    ):
        await claim.note(each)
    allow = frozenset({"node-faults", "operator-faults"})
    about = Context("r", Path(), 1, hosts={"power": {"off": "x", "on": said}}, allow=allow)
    await healed(memory, remains.closing(settings, claim, about))
    assert (tmp_path / "on").exists()
    assert {each["spec"]["replicas"] for each in memory.objects.values()} == {1}


async def test_what_could_not_be_put_back_stays_written_down(tmp_path: Path) -> None:
    memory: Any = Memory()
    cluster = KubernetesCluster(Settings(namespaces=("ns",)), Context("r", tmp_path, 1))

    async def close() -> None:
        """Nothing is open."""

    memory.close = close
    cluster.api = memory
    cluster.claim = Claim(memory, "ns", "r", "ftrun")
    await cluster.claim.take()
    fails = Undo("host_command", {"command": "false", "host": "h", "timeout": 5}, "switch h on")
    note = await cluster.claim.note(fails)
    with pytest.raises(ClusterError):
        await cluster.undo(fails)
    with pytest.raises(
        ClusterError, match=r"`ftrun cleanup -i INVENTORY r` puts it back, from any machine\.$"
    ):
        await cluster.close()
    assert note in memory.objects[place("configmaps", "ns", "ftrun-r")]["data"]
    assert place("leases", "ns", "ftrun-ftrun") not in memory.objects
    await cluster.close()
