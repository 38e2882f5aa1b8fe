"""A member is cut off by a policy that is made when it acts, seen by another member, and removed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from runner import clock
from runner.clusters.contract import Action, Completed, Context
from runner.clusters.kubernetes import hosts, policy, remains, survey
from runner.clusters.kubernetes.api import Api, place
from runner.clusters.kubernetes.claim import Claim
from runner.clusters.kubernetes.cluster import open_cluster
from runner.clusters.kubernetes.settings import Settings
from runner.errors import ClusterError
from tests.clusters.kubernetes.documents import pod, rayservice
from tests.clusters.kubernetes.memory import Memory
from tests.clusters.kubernetes.test_hosts import site

NAME = "ftrun-the-run-cut-worker-1"
POLICY, POD = place("networkpolicies", "ns", NAME), place("pods", "ns", "a")
SETTINGS = Settings(context="c", namespaces=("ns",), name="s")


class Network(Memory):
    """A network that may enforce policies: who tries to connect is told so.

    `slow` has a word for each try to connect to the pod once there is a policy: whether it fails whatever the
    network does. With `stuck` the witness cannot connect to itself, either.
    """

    def __init__(self, *slow: bool, enforces: bool = True, listens: bool = True, stuck: bool = False) -> None:
        super().__init__()
        self.enforces, self.listens, self.stuck = enforces, listens, stuck
        self.slow = list(slow)
        self.tried: list[tuple[str, str]] = []
        self.put(POD, pod("a", address="10.0.0.2"))

    async def execute(
        self, namespace: str, name: str, _container: str, command: list[str], *, timeout: float
    ) -> Completed:
        assert (namespace, timeout) == ("ns", 10.0)
        self.tried.append((name, command[-1]))
        if "/10.0.0.2/" not in command[-1]:
            return Completed(0, "closed\n" if self.stuck else "open\n", "")
        acted = POLICY in self.objects
        fails = (acted and self.enforces) or (acted and self.slow and self.slow.pop(0))
        return Completed(0, "open\n" if self.listens and not fails else "closed\n", "")

    def to_the_pod(self) -> int:
        """Count the tries to connect to the pod."""
        return sum("/10.0.0.2/" in script for _, script in self.tried)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "APART", 0.0)


async def armed(network: Network, *, alone: bool = False) -> Any:
    claim = Claim(cast("Api", network), "ns", "the_run", "s")
    await claim.take()
    head = pod("h", "head", state={"waiting": {}} if alone else "running")
    there = site(network, head, pod("a", host="node2", address="10.0.0.2"))
    return await policy.arm(there, claim, "worker-1")


async def test_nothing_is_made_until_it_acts_and_then_nothing_passes() -> None:
    network = Network()
    cut = await armed(network)
    assert POLICY not in network.objects
    assert "ftrun/cut" not in network.objects[POD]["metadata"]["labels"]
    assert NAME in cut.hits[0].says
    await cut.act()
    made = network.objects[POLICY]
    assert made["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & made["spec"].keys()
    [(label, value)] = made["spec"]["podSelector"]["matchLabels"].items()
    assert network.objects[POD]["metadata"]["labels"][label] == value == "the-run.worker-1"
    assert cut.site.world.cut == {"worker-1"}
    # What is left of a run that was killed goes with its ConfigMap.
    assert made["metadata"]["ownerReferences"][0]["name"] == "ftrun-the-run"
    assert made["metadata"]["labels"]["ftrun/run"] == "the-run"


async def test_another_member_sees_that_it_is_cut_off() -> None:
    network = Network()
    cut = await armed(network)
    await cut.act()
    seen = await cut.confirm()
    assert (seen.confirmed, seen.why) == (True, "h cannot connect any more to a")
    assert {name for name, _ in network.tried} == {"h"}
    assert "/dev/tcp/10.0.0.2/52365" in network.tried[0][1]
    assert network.to_the_pod() == 1 + policy.TRIES


@pytest.mark.parametrize("slow", [(True,), (True, True)])
async def test_tries_that_fail_now_and_then_confirm_nothing(
    slow: tuple[bool, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a busy host, in a network that enforces no policies."""
    monkeypatch.setattr(policy, "CONFIRM", 0.0)
    network = Network(*slow, enforces=False)
    cut = await armed(network)
    await cut.act()
    seen = await cut.confirm()
    assert not seen.confirmed
    assert seen.why == "h still connects to a: does this network enforce NetworkPolicies?"


async def test_a_network_may_take_its_time_to_enforce_it() -> None:
    network = Network(False, True, False, True, True, True, enforces=False)
    cut = await armed(network)
    await cut.act()
    assert (await cut.confirm()).confirmed
    assert network.to_the_pod() == 1 + 6


async def test_the_tries_are_a_while_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "APART", 0.1)
    cut = await armed(Network())
    await cut.act()
    began = clock.monotonic()
    assert (await cut.confirm()).confirmed
    assert clock.monotonic() - began >= 0.2


@pytest.mark.parametrize(
    "now", [pod("a", uid="another", host="node2"), pod("a", host="node2", restarts=1), None]
)
async def test_a_pod_that_is_another_one_now_was_not_seen_to_be_cut_off(now: Any) -> None:
    cut = await armed(Network())
    await cut.act()
    cut.site.world.changed("pods", "MODIFIED" if now else "DELETED", now or pod("a", host="node2"))
    seen = await cut.confirm()
    assert not seen.confirmed
    assert seen.why == "nobody can tell: a is gone, or its container has ended since"


@pytest.mark.parametrize(
    ("network", "alone", "why"),
    [
        (Network(enforces=False), False, "h still connects to a: does this network enforce"),
        (Network(listens=False), False, "nobody can tell: h could not connect to a before it, either"),
        (Network(stuck=True), False, "nobody can tell: h cannot connect to itself, either"),
        (Network(), True, "nobody can tell: no other member stands beside a before it, either"),
    ],
)
async def test_what_nobody_saw_is_not_confirmed(
    network: Network, why: str, monkeypatch: pytest.MonkeyPatch, *, alone: bool
) -> None:
    monkeypatch.setattr(policy, "CONFIRM", 0.0)
    cut = await armed(network, alone=alone)
    await cut.act()
    seen = await cut.confirm()
    assert not seen.confirmed
    assert seen.why.startswith(why)


async def test_any_process_joins_it_again_and_twice_does_no_harm() -> None:
    network = Network()
    cut = await armed(network)
    await cut.act()
    for _ in range(2):
        await remains.put_back(cast("Api", network), cut.undo)
        assert POLICY not in network.objects
        assert "ftrun/cut" not in network.objects[POD]["metadata"]["labels"]


async def test_a_pod_that_took_the_name_is_left_alone() -> None:
    network = Network()
    cut = await armed(network)
    await cut.act()
    network.put(POD, pod("a", uid="another", **{"ftrun/cut": "by somebody"}))
    await remains.put_back(cast("Api", network), cut.undo)
    assert network.objects[POD]["metadata"]["labels"]["ftrun/cut"] == "by somebody"


async def test_a_member_that_does_not_run_cannot_be_cut_off() -> None:
    network = Network()
    claim = Claim(cast("Api", network), "ns", "the_run", "s")
    with pytest.raises(ClusterError, match="worker-1 is not running"):
        await policy.arm(site(network, pod("h", "head")), claim, "worker-1")


@pytest.mark.parametrize(
    ("given", "by"),
    [
        ({"network_policy": True}, "policy"),
        ({"network_policy": True, "link": {"cut": "true", "join": "true"}}, "host"),
        ({"link": {"cut": "true", "join": "true"}}, "host"),
        ({}, "host"),
    ],
)
async def test_commands_for_the_link_win(
    given: dict[str, Any], by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context("run", tmp_path, 1, hosts=given)
    cluster = open_cluster(SETTINGS, context)
    cluster.world.listed("rayservices", [rayservice()])
    cluster.world.listed("pods", [pod("h", "head"), pod("a")])
    asked: list[str] = []

    def stand_in(name: str) -> Any:
        async def arm(*_: Any, **__: Any) -> Any:
            asked.append(name)
            raise ClusterError("so far")

        return arm

    monkeypatch.setattr(policy, "arm", stand_in("policy"))
    monkeypatch.setattr(hosts, "arm_command", stand_in("host"))
    with pytest.raises(ClusterError, match="so far"):
        await cluster.arm(Action("cut_link", {"slot": "worker-1"}))
    assert asked == [by]


@pytest.mark.parametrize(
    ("given", "allow", "can"),
    [
        ({"network_policy": True}, (), True),
        ({"link": {"cut": "x", "join": "y"}}, (), False),
        ({"network_policy": True, "link": {"cut": "x", "join": "y"}}, (), False),
        ({"link": {"cut": "x", "join": "y"}}, ("node-faults",), True),
        ({}, ("node-faults",), False),
    ],
)
def test_no_machine_is_hit_by_a_policy_so_nothing_has_to_be_allowed(
    given: dict[str, Any], allow: tuple[str, ...], tmp_path: Path, *, can: bool
) -> None:
    context = Context("run", tmp_path, 1, hosts=given, allow=frozenset(allow))
    facts = {"crd": {"incremental_upgrade": False}}
    assert ("partition" in survey.capabilities(SETTINGS, context, facts)) is can
