"""An upgrade changes the RayService's pods and nothing else, and has happened once another cluster is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from runner.clusters.contract import Action, Context
from runner.clusters.kubernetes import rayservice as documents
from runner.clusters.kubernetes import survey, upgrade
from runner.clusters.kubernetes.api import Api, place
from runner.clusters.kubernetes.cluster import open_cluster
from runner.clusters.kubernetes.settings import Settings
from runner.errors import ClusterError
from tests.clusters.kubernetes.documents import pod, rayservice
from tests.clusters.kubernetes.memory import Memory
from tests.clusters.kubernetes.test_hosts import site

PATH = place("rayservices", "ns", "s")


def settings(**more: Any) -> Settings:
    return Settings.model_validate({"context": "c", "namespaces": ["ns"], "image": "ray:2.60.0", **more})


def made(**status: Any) -> Any:
    document = documents.made(settings(workers=1, environment={"A": "1"}), "applications: []", options=True)
    return {**document, **{key: value for key, value in rayservice(**status).items() if key != "spec"}}


def environment(group: Any) -> dict[str, str]:
    return {each["name"]: each["value"] for each in group["template"]["spec"]["containers"][0]["env"]}


async def armed(memory: Memory, **arguments: Any) -> Any:
    there = site(memory)
    words = {"how": "new_cluster", "environment": {}, **arguments}
    return await upgrade.arm(there, words, mark="run-1", gateway_class="istio")


def parts(document: Any) -> tuple[Any, Any]:
    config = document["spec"]["rayClusterConfig"]
    return config["headGroupSpec"], config["workerGroupSpecs"][0]


async def test_the_workers_get_a_variable_and_all_else_stays() -> None:
    memory = Memory()
    before = memory.put(PATH, made())
    made_ready = await armed(memory)
    assert memory.objects[PATH] == before
    assert [each.says for each in made_ready.hits] == [
        "head, the pod h of the RayCluster s-abc",
        "worker-1, the pod a of the RayCluster s-abc",
    ]
    assert {each.ids["exchanged"] for each in made_ready.hits} == {"s-abc"}
    acted = await made_ready.act()
    assert acted.evidence["cluster"] == "s-abc"
    (old_head, old_worker), (head, worker) = parts(before), parts(memory.objects[PATH])
    assert environment(worker) == {**environment(old_worker), "FTRUN_UPGRADE": "run-1"}
    assert head == old_head
    worker["template"]["spec"]["containers"][0]["env"].pop()
    assert worker == old_worker
    assert memory.objects[PATH]["spec"]["serveConfigV2"] == before["spec"]["serveConfigV2"]
    assert "upgradeStrategy" not in memory.objects[PATH]["spec"]
    assert made_ready.undo is None


async def test_a_scenarios_variables_are_on_every_new_node_in_place_of_the_old_ones() -> None:
    memory = Memory()
    memory.put(PATH, made())
    await (await armed(memory, environment={"A": "2", "B": "3"})).act()
    for group in parts(memory.objects[PATH]):
        assert environment(group).items() >= {"A": "2", "B": "3"}.items()
        names = [each["name"] for each in group["template"]["spec"]["containers"][0]["env"]]
        assert len(names) == len(set(names))


async def test_without_workers_the_head_gets_the_variable() -> None:
    document = made()
    document["spec"]["rayClusterConfig"]["workerGroupSpecs"] = []
    patch = documents.upgraded(document, "m", {"how": "new_cluster"}, gateway_class=None)
    assert environment(patch["spec"]["rayClusterConfig"]["headGroupSpec"])["FTRUN_UPGRADE"] == "m"


async def test_step_by_step_the_strategy_says_so_and_otherwise_it_is_taken_back() -> None:
    memory = Memory()
    memory.put(PATH, made())
    await (await armed(memory, how="incremental", step=25, interval=5.0)).act()
    spec = memory.objects[PATH]["spec"]
    assert spec["upgradeStrategy"] == {
        "type": "NewClusterWithIncrementalUpgrade",
        "clusterUpgradeOptions": {
            "stepSizePercent": 25,
            "intervalSeconds": 5,
            "gatewayClassName": "istio",
        },
    }
    assert spec["rayClusterConfig"]["enableInTreeAutoscaling"] is True
    await (await armed(memory)).act()
    assert memory.objects[PATH]["spec"]["upgradeStrategy"] == {"type": "NewCluster"}


@pytest.mark.parametrize(
    ("status", "sure", "why"),
    [
        ({"pending": "s-new"}, True, "KubeRay makes the RayCluster s-new"),
        ({"active": "s-new"}, True, "KubeRay makes the RayCluster s-new"),
        ({}, False, "KubeRay has named no RayCluster beside s-abc"),
    ],
)
async def test_it_has_happened_once_another_cluster_is_named(
    status: dict[str, str], *, sure: bool, why: str
) -> None:
    memory = Memory()
    memory.put(PATH, made())
    waiting = await armed(memory)
    await waiting.act()
    waiting.site.world.changed("rayservices", "MODIFIED", rayservice(**status))
    found = await waiting.confirm()
    assert (found.confirmed, found.why) == (sure, why)


async def test_a_refusal_by_the_operator_is_said() -> None:
    memory = Memory()
    memory.put(PATH, made())
    waiting = await armed(memory)
    refused = rayservice()
    refused["status"]["conditions"] = [
        {"type": "Ready", "status": "False", "reason": "ValidationFailed", "message": "no autoscaler"}
    ]
    waiting.site.world.changed("rayservices", "MODIFIED", refused)
    assert (await waiting.confirm()).why.endswith("beside s-abc: no autoscaler")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"active": "", "pending": "s-abc"}, "serves from no RayCluster yet"),
        ({"pending": "s-new"}, "is being upgraded already, from s-abc to s-new"),
    ],
)
async def test_only_one_cluster_that_serves_is_upgraded(status: dict[str, str], said: str) -> None:
    memory = Memory()
    memory.put(PATH, made(**status))
    with pytest.raises(ClusterError, match=said):
        await armed(memory)


async def test_what_is_attached_is_not_changed(tmp_path: Path) -> None:
    cluster = open_cluster(settings(rayservice="theirs"), Context("run", tmp_path, 1))
    with pytest.raises(ClusterError, match="is attached to, and not changed") as caught:
        await cluster.arm(Action("upgrade", {"how": "new_cluster"}))
    assert "rayservice: NAME" in str(caught.value.help)


async def test_an_upgraded_rayservice_is_not_handed_on(tmp_path: Path) -> None:
    cluster = open_cluster(settings(name="s"), Context("run", tmp_path, 1))
    memory = Memory()
    memory.put(PATH, made())
    cluster.api = cast("Api", memory)
    cluster.world.listed("rayservices", [rayservice()])
    cluster.world.listed("pods", [pod("h", "head")])
    await cluster.arm(Action("upgrade", {"how": "new_cluster"}))
    with pytest.raises(ClusterError, match="was upgraded: it is not handed on"):
        await cluster.deploy(())


def test_where_it_can_be_done_is_known_from_what_is_served(tmp_path: Path) -> None:
    facts = {"crd": {"incremental_upgrade": True}, "gateway_api": True}
    about = Context("run", tmp_path, 1)

    def can(given: Settings, **more: Any) -> set[str]:
        found = survey.capabilities(given, about, {**facts, **more})
        return {each for each in found if "upgrade" in each}

    steps = settings(gateway_class="istio")
    assert can(steps) == {"upgrade", "incremental_upgrade"}
    assert can(settings()) == {"upgrade"}
    assert can(steps, gateway_api=False) == {"upgrade"}
    assert can(steps, crd={"incremental_upgrade": False}) == {"upgrade"}
    assert can(settings(rayservice="theirs"), attached=True) == set()


async def test_whether_requests_can_be_moved_by_steps_is_read_from_the_api_server() -> None:
    memory = Memory()
    assert not await survey.gateways(cast("Api", memory))
    memory.objects["/apis"] = {"groups": [{"name": "apps"}]}
    assert not await survey.gateways(cast("Api", memory))
    memory.objects["/apis"]["groups"].append({"name": "gateway.networking.k8s.io"})
    assert await survey.gateways(cast("Api", memory))


def test_whether_the_crd_knows_steps() -> None:
    def openapi(**options: Any) -> Any:
        strategy = {"properties": {"type": {}, **options}}
        spec = {"properties": {"upgradeStrategy": strategy}}
        schema = {"properties": {"spec": spec}}
        return {"components": {"schemas": {"io.ray.v1.RayService": schema}}}

    assert documents.has_steps(openapi(clusterUpgradeOptions={"type": "object"}))
    assert not documents.has_steps(openapi())
    assert not documents.has_steps({})
