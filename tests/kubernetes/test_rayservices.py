"""The stand-in decides about a RayService, and judges it, as KubeRay does: its quirks, too."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kubernetes.standin import conditions, rayservices
from tests.kubernetes.standin.rayservices import Look
from tests.kubernetes.test_pods import made, sample

Json = Any

EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"
RUNNING = {"whoami": {"status": "RUNNING", "message": "", "serveDeploymentStatuses": {}}}


def name(service: str) -> str:
    return f"{service}-fresh"


def after(service: Json, look: Look, now: str = LATE) -> Json:
    return rayservices.status(service, look, now, name)


def serving() -> tuple[Json, Json]:
    """A RayService that serves, and its cluster."""
    service = sample()
    cluster = made(service)
    service["status"] = {"pendingServiceStatus": {"rayClusterName": "demo-abcde"}}
    look = Look(pending=cluster, pending_applications=RUNNING, target="demo-abcde", endpoints=1)
    service["status"] = after(service, look, EARLY)
    return service, cluster


def reasons(status: Json) -> dict[str, tuple[str, str]]:
    return {item["type"]: (item["status"], item["reason"]) for item in status["conditions"]}


def test_a_new_service_names_its_first_cluster_before_it_makes_it() -> None:
    status = after(sample(), Look())
    assert status["pendingServiceStatus"] == {"rayClusterName": "demo-fresh"}
    assert reasons(status) == {
        "Ready": ("False", "Initializing"),
        "UpgradeInProgress": ("False", "Initializing"),
    }
    assert status["serviceStatus"] == ""


def test_the_cluster_carries_the_services_mark() -> None:
    service = sample()
    service["metadata"]["labels"] = {"team": "a"}
    cluster = made(service)
    assert cluster["metadata"]["labels"] == {
        "team": "a",
        "ray.io/originated-from-cr-name": "demo",
        "ray.io/originated-from-crd": "RayService",
    }
    annotations = cluster["metadata"]["annotations"]
    assert annotations["ray.io/num-worker-groups"] == "1"
    assert annotations["ray.io/kuberay-version"] == "stand-in"
    assert annotations["ray.io/hash-without-replicas-and-workers-to-delete"]
    assert cluster["metadata"]["ownerReferences"][0]["uid"] == "service-uid"


def test_it_serves_once_the_services_point_at_the_pending_cluster() -> None:
    service, _ = serving()
    status = service["status"]
    assert status["activeServiceStatus"]["rayClusterName"] == "demo-abcde"
    assert status["activeServiceStatus"]["applicationStatuses"] == RUNNING
    assert status["pendingServiceStatus"] == {}
    assert (status["serviceStatus"], status["numServeEndpoints"]) == ("Running", 1)
    assert reasons(status) == {
        "Ready": ("True", "NonZeroServeEndpoints"),
        "UpgradeInProgress": ("False", "NoPendingCluster"),
    }


def test_ready_means_an_endpoint_and_not_an_application() -> None:
    service, cluster = serving()
    status = after(service, Look(active=cluster, endpoints=2))
    assert reasons(status)["Ready"] == ("True", "NonZeroServeEndpoints")
    assert status["activeServiceStatus"]["applicationStatuses"] == {}
    assert conditions.find(status, "Ready")["lastTransitionTime"] == EARLY
    status = after(service, Look(active=cluster, active_applications=RUNNING, target="demo-abcde"))
    assert reasons(status)["Ready"] == ("False", "ZeroServeEndpoints")
    assert status["serviceStatus"] == ""
    assert conditions.find(status, "Ready")["lastTransitionTime"] == LATE


def another_variable(service: Json) -> None:
    container = service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][
        0
    ]
    container["env"] = [*container["env"], {"name": "NEW", "value": "1"}]


def more_replicas(service: Json) -> None:
    service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0] |= {"replicas": 3, "maxReplicas": 4}


def tolerated(service: Json) -> None:
    service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["tolerations"] = [{}]


def another_group(service: Json) -> None:
    groups = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    groups.append(copy.deepcopy(groups[0]) | {"groupName": "more"})


def group_in_front(service: Json) -> None:
    groups = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    groups.insert(0, copy.deepcopy(groups[0]) | {"groupName": "more"})


def other_configuration(service: Json) -> None:
    service["spec"]["serveConfigV2"] += "# changed\n"


@pytest.mark.parametrize(
    ("change", "new_cluster", "in_place"),
    [
        (another_variable, True, False),
        (group_in_front, True, False),
        (another_group, False, True),
        (more_replicas, False, False),
        (tolerated, False, False),
        (other_configuration, False, False),
    ],
)
def test_which_changes_make_a_new_cluster(
    change: Callable[[Json], None], new_cluster: bool, in_place: bool
) -> None:
    service, cluster = serving()
    change(service)
    assert rayservices.needs_new_cluster(service, cluster, None) is new_cluster
    assert rayservices.only_groups_were_appended(service, cluster) is in_place
    status = after(service, Look(active=cluster, endpoints=1))
    assert bool(status["pendingServiceStatus"].get("rayClusterName")) is new_cluster
    assert (reasons(status)["UpgradeInProgress"] == ("True", "BothActivePendingClustersExist")) is new_cluster


def test_with_the_strategy_none_a_cluster_stays_whatever_changes() -> None:
    service, cluster = serving()
    another_variable(service)
    service["spec"]["upgradeStrategy"] = {"type": "None"}
    assert not rayservices.needs_new_cluster(service, cluster, None)


def test_an_upgrade_ends_when_the_services_point_at_the_new_cluster() -> None:
    service, old = serving()
    another_variable(service)
    service["status"] = after(service, Look(active=old, endpoints=1))
    new = rayservices.cluster(service, "demo-fresh")
    waiting = Look(active=old, pending=new, pending_applications={}, endpoints=1)
    service["status"] = after(service, waiting)
    assert service["status"]["activeServiceStatus"]["rayClusterName"] == "demo-abcde"
    assert rayservices.left_behind(service, [old, new]) == []
    service["status"] = after(
        service, Look(active=old, pending=new, pending_applications=RUNNING, target="demo-fresh", endpoints=1)
    )
    assert service["status"]["activeServiceStatus"]["rayClusterName"] == "demo-fresh"
    assert service["status"]["pendingServiceStatus"] == {}
    assert reasons(service["status"])["UpgradeInProgress"] == ("False", "NoPendingCluster")
    assert rayservices.left_behind(service, [old, new]) == [old]


def test_a_change_during_the_switch_waits_until_it_is_done() -> None:
    service, old = serving()
    another_variable(service)
    service["status"] = after(service, Look(active=old, endpoints=1))
    new = rayservices.cluster(service, "demo-fresh")
    group_in_front(service)
    look = Look(active=old, pending=new, pending_applications=RUNNING, target="demo-fresh", endpoints=1)
    service["status"] = after(service, look)
    assert service["status"]["pendingServiceStatus"] == {}
    service["status"] = after(service, Look(active=new, endpoints=1))
    assert service["status"]["pendingServiceStatus"] == {"rayClusterName": "demo-fresh"}


def test_a_service_that_is_deleted_leaves_all_its_clusters_behind() -> None:
    service, cluster = serving()
    service["metadata"]["deletionTimestamp"] = LATE
    assert rayservices.left_behind(service, [cluster]) == [cluster]


def test_the_configuration_is_handed_in_where_it_is_new_or_forgotten() -> None:
    service = sample()
    text = service["spec"]["serveConfigV2"]
    assert rayservices.must_submit(service, None, RUNNING)  # as after the operator's restart
    assert rayservices.must_submit(service, text, {})
    assert rayservices.must_submit(service, text + "# older", RUNNING)
    assert not rayservices.must_submit(service, text, RUNNING)


def test_only_applications_that_run_make_a_cluster_ready() -> None:
    assert rayservices.all_run(RUNNING)
    assert not rayservices.all_run({})
    assert not rayservices.all_run(RUNNING | {"other": {"status": "DEPLOYING"}})


def test_applications_are_taken_from_what_serve_says() -> None:
    details = {
        "applications": {
            "": {
                "status": "RUNNING",
                "message": "",
                "deployments": {"D": {"status": "HEALTHY", "message": "m"}},
            }
        }
    }
    assert rayservices.applications(details) == {
        "default": {
            "status": "RUNNING",
            "message": "",
            "serveDeploymentStatuses": {"D": {"status": "HEALTHY", "message": "m"}},
        }
    }


def test_the_two_services() -> None:
    service, cluster = serving()
    head, serve = rayservices.services(service, cluster)
    assert (head["metadata"]["name"], serve["metadata"]["name"]) == ("demo-head-svc", "demo-serve-svc")
    for made_ in (head, serve):
        assert made_["metadata"]["ownerReferences"][0]["kind"] == "RayService"
        assert rayservices.points_at(made_) == "demo-abcde"
    assert head["spec"]["clusterIP"] == "None"
    assert serve["spec"] == {
        "type": "ClusterIP",
        "selector": {"ray.io/cluster": "demo-abcde", "ray.io/serve": "true"},
        "ports": [{"name": "serve", "port": 8000}],
    }
    assert serve["metadata"]["labels"]["ray.io/serve"] == "demo-serve"


def test_a_service_of_the_users_own_keeps_its_type_and_ports_but_not_its_selector() -> None:
    service, cluster = serving()
    service["spec"]["serveService"] = {
        "metadata": {"name": "front"},
        "spec": {
            "type": "NodePort",
            "selector": {"a": "b"},
            "ports": [{"name": "serve", "port": 8000, "nodePort": 30800}],
        },
    }
    _, serve = rayservices.services(service, cluster)
    assert serve["metadata"]["name"] == "front"
    assert serve["spec"]["type"] == "NodePort"
    assert serve["spec"]["ports"] == [{"name": "serve", "port": 8000, "nodePort": 30800}]
    assert serve["spec"]["selector"] == {"ray.io/cluster": "demo-abcde", "ray.io/serve": "true"}


def test_a_pod_is_one_endpoint_however_many_addresses_it_has() -> None:
    def endpoint(uid: str, ready: bool) -> Json:
        return {"targetRef": {"uid": uid}, "conditions": {"ready": ready}}

    slices = [
        {"endpoints": [endpoint("a", True), endpoint("b", False)]},
        {"endpoints": [endpoint("a", True), {"conditions": {"ready": True}}]},
        {"endpoints": None},
    ]
    assert rayservices.ready_endpoints(slices) == 1


def redis_twice(service: Json) -> None:
    service["metadata"]["annotations"] = {"ray.io/ft-enabled": "true"}


def address_in_the_environment(service: Json) -> None:
    head = service["spec"]["rayClusterConfig"]["headGroupSpec"]
    head["template"]["spec"]["containers"][0]["env"].append(
        {"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"}
    )


def address_without_options(service: Json) -> None:
    address_in_the_environment(service)
    del service["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"]


def gradual(service: Json) -> None:
    service["spec"]["upgradeStrategy"] = {"type": "NewClusterWithIncrementalUpgrade"}


def long_name(service: Json) -> None:
    service["metadata"]["name"] = "a" * 48


def crossed_limits(service: Json) -> None:
    service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["minReplicas"] = 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (redis_twice, "both set"),
        (address_in_the_environment, "cannot set RAY_REDIS_ADDRESS"),
        (address_without_options, "RAY_REDIS_ADDRESS is set"),
        (gradual, "not NewClusterWithIncrementalUpgrade"),
        (long_name, "47 characters"),
        (crossed_limits, "minReplicas greater than maxReplicas"),
    ],
)
def test_what_is_refused_says_why(change: Callable[[Json], None], said: str) -> None:
    service = sample()
    assert rayservices.mistake(service) is None
    change(service)
    why = rayservices.mistake(service)
    assert why is not None
    assert said in why
    assert reasons(rayservices.refused(service, why, LATE)) == {"Ready": ("False", "ValidationFailed")}


def test_a_status_is_written_only_for_what_matters() -> None:
    service, cluster = serving()
    same = after(service, Look(cluster, None, RUNNING, None, "demo-abcde", 1))
    assert not rayservices.differs(service["status"], same)
    moved = copy.deepcopy(cluster) | {"status": {"state": "ready"}}
    assert not rayservices.differs(
        service["status"], after(service, Look(moved, None, RUNNING, None, "demo-abcde", 1))
    )
    assert rayservices.differs(service["status"], after(service, Look(active=cluster, endpoints=1)))


looks = st.builds(
    Look,
    active=st.sampled_from([None, made(sample())]),
    active_applications=st.sampled_from([None, {}, RUNNING]),
    target=st.sampled_from(["", "demo-abcde"]),
    endpoints=st.integers(0, 3),
)


@given(st.lists(looks, max_size=6))
def test_whatever_was_seen_the_service_runs_while_it_is_ready_and_a_look_without_news_changes_nothing(
    seen: list[Look],
) -> None:
    service, _ = serving()
    for look in seen:
        status = after(service, look)
        assert (status["serviceStatus"] == "Running") is conditions.holds(status, "Ready")
        assert conditions.holds(status, "Ready") is (look.endpoints > 0)
        service["status"] = status
        if look.active is not None:
            assert not rayservices.differs(status, after(service, look))
