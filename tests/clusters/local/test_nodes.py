"""The commands of Ray's nodes: what they must say, and must never say."""

from __future__ import annotations

import pytest

from runner.clusters.local import blueprint, nodes
from runner.clusters.local.blueprint import Blueprint, Unit
from runner.clusters.local.nodes import AGENT_PORTS, HEAD_PORTS, Spread
from runner.clusters.local.remains import new_runtime
from runner.clusters.local.settings import RestartDelay, Settings


def spread(layout: str, settings: Settings) -> Spread:
    if layout == "namespaces":
        return nodes.in_namespaces(settings, "10.1.0.1")
    for_http, others = nodes.port_counts(settings)
    return nodes.on_loopback(settings, "127.7.7", range(8000, 8000 + for_http), range(20000, 20000 + others))


def drawn(layout: str = "namespaces", runtime: str = "/tmp/ft-0", **settings: object) -> Blueprint:
    chosen = Settings.model_validate(settings)
    return nodes.draw(
        chosen,
        spread(layout, chosen),
        layout=layout,
        runtime=runtime,
        python="/ray/bin/python",
        redis="/usr/bin/redis-server",
        password="secret",
    )


def unit(plan: Blueprint, slot: str) -> Unit:
    return next(each for each in plan.units if each.slot == slot)


def options(command: tuple[str, ...]) -> dict[str, str]:
    return dict(word.removeprefix("--").split("=", 1) for word in command if "=" in word)


both_layouts = pytest.mark.parametrize("layout", ["namespaces", "loopback"])


def test_a_blueprint_survives_its_file() -> None:
    for plan in (drawn(), drawn("loopback", gcs_fault_tolerance="none")):
        assert blueprint.load(plan.dump()) == plan


def test_nodes_have_the_environment_that_the_settings_give_them_but_for_what_is_ours() -> None:
    plan = drawn(environment={"RAY_SERVE_X": "1", "RAY_USAGE_STATS_ENABLED": "1"})
    for unit in plan.units:
        given = unit.environment or {}
        assert given.get("RAY_SERVE_X") == ("1" if unit.role == "node" else None)
        assert given.get("RAY_USAGE_STATS_ENABLED") == ("0" if unit.role == "node" else None)


def test_head_and_workers_are_started_by_the_python_that_has_ray() -> None:
    plan = drawn(workers=3)
    assert [each.slot for each in plan.units] == [
        "redis",
        "service",
        "head",
        "worker-1",
        "worker-2",
        "worker-3",
    ]
    for slot in ("head", "worker-3"):
        command = unit(plan, slot).command
        assert command[:7] == ("nice", "-n", "10", "/ray/bin/python", "-m", "ray.scripts.scripts", "start")
        assert "--block" in command
        assert unit(plan, slot).environment["PATH"].startswith("/ray/bin:")
        assert unit(plan, slot).environment["PYTHONPATH"].startswith("/tmp/ft-0/code")
    assert "--head" in unit(plan, "head").command
    assert options(unit(plan, "worker-3").command)["address"] == "10.1.0.2:6400"


def test_trap_01_each_node_forgets_the_cluster_it_was_in() -> None:
    for each in drawn().units:
        if each.role == "node":
            assert each.forget == (f"{options(each.command)['temp-dir']}/ray_current_cluster",)


@both_layouts
def test_trap_02_no_port_is_left_to_chance_but_those_of_workers(layout: str) -> None:
    for each in drawn(layout).units:
        if each.role == "node":
            wanted = AGENT_PORTS + (HEAD_PORTS if each.slot == "head" else ())
            given = options(each.command)
            assert all(1024 < int(given[name]) < 32768 for name in wanted)
            assert len({given[name] for name in wanted}) == len(wanted)


@both_layouts
def test_trap_05_replicas_must_land_on_workers_and_the_proxies_follow_them(layout: str) -> None:
    plan = drawn(layout)
    assert options(unit(plan, "head").command)["num-cpus"] == "0"
    assert {options(unit(plan, f"worker-{n}").command)["num-cpus"] for n in (1, 2)} == {"3"}


def test_trap_06_no_two_runs_share_a_namespace_in_redis() -> None:
    names = {
        unit(drawn(runtime=runtime), "head").environment["RAY_external_storage_namespace"]
        for runtime in (new_runtime() for _ in range(20))
    }
    assert len(names) == 20


@both_layouts
def test_trap_07_on_loopback_nothing_of_serve_listens_outside(layout: str) -> None:
    chosen = spread(layout, Settings())
    assert nodes.proxy_host(chosen) == ("0.0.0.0" if layout == "namespaces" else "127.0.0.1")


def test_trap_08_ray_stop_is_never_called() -> None:
    assert not any("stop" in each.command for each in drawn().units)


@both_layouts
def test_trap_09_endpoints_are_our_own_list_and_nodes_have_no_names(layout: str) -> None:
    plan = drawn(layout)
    assert not any("node-name" in word for each in plan.units for word in each.command)
    urls = {each.slot: each.url for each in nodes.endpoints(spread(layout, Settings()))}
    assert urls == (
        {
            "service": "http://10.1.0.1:8000",
            "head": "http://10.1.0.2:8000",
            "worker-1": "http://10.1.0.3:8000",
            "worker-2": "http://10.1.0.4:8000",
        }
        if layout == "namespaces"
        else {
            "service": "http://127.0.0.1:8003",
            "head": "http://127.0.0.1:8000",
            "worker-1": "http://127.0.0.1:8001",
            "worker-2": "http://127.0.0.1:8002",
        }
    )
    for slot in ("worker-1", "worker-2"):
        port = unit(plan, slot).environment["RAY_SERVE_WORKER_PROXY_HTTP_PORT"]
        assert urls[slot].endswith(f":{port}")
    assert [each.slot for each in nodes.endpoints(spread(layout, Settings())) if each.simulated] == [
        "service"
    ]


@both_layouts
def test_the_service_leaves_the_head_out_only_where_that_is_wanted(layout: str) -> None:
    def behind(**settings: object) -> list[str]:
        command = unit(drawn(layout, **settings), "service").command
        return [word.partition("=")[0] for word in command if "=" in word]

    assert behind() == ["head", "worker-1", "worker-2"]
    assert behind(exclude_head_from_service=True) == ["worker-1", "worker-2"]


def test_trap_12_paths_are_short_and_addresses_and_ports_are_not_shared() -> None:
    sockets = "/session_2026-11-22_13-32-20_123456_1234567/sockets/plasma_store"
    for slot in nodes.slots(Settings(workers=16)):
        given = options(unit(drawn(runtime=new_runtime(), workers=16), slot).command)
        assert len(given["temp-dir"] + sockets) <= 107
    ports = [
        int(value)
        for each in drawn("loopback").units
        for name, value in options(each.command).items()
        if name in AGENT_PORTS + HEAD_PORTS
    ]
    assert len(set(ports)) == len(ports) == 3 * len(AGENT_PORTS) + len(HEAD_PORTS)
    addresses = [each.address for each in drawn("loopback").units if each.role == "node"]
    assert addresses == ["127.7.7.2", "127.7.7.3", "127.7.7.4"]


def test_fault_tolerance_is_redis_rocksdb_or_none() -> None:
    redis, rocksdb, none = (drawn(gcs_fault_tolerance=each) for each in ("redis", "rocksdb", "none"))
    head = unit(redis, "head")
    assert head.environment["RAY_REDIS_ADDRESS"] == "10.1.0.1:6390"
    assert options(head.command)["redis-password"] == "secret"
    assert head.after == (("10.1.0.1", 6390),)
    assert unit(rocksdb, "head").environment["RAY_gcs_storage"] == "rocksdb"
    for plan in (rocksdb, none):
        assert "redis" not in [each.slot for each in plan.units]
        assert "RAY_REDIS_ADDRESS" not in unit(plan, "head").environment
    name = "RAY_gcs_rpc_server_reconnect_timeout_s"
    assert [unit(plan, "worker-1").environment.get(name) for plan in (redis, rocksdb, none)] == [
        "600",
        "600",
        None,
    ]


def test_settings_reach_the_units() -> None:
    plan = drawn(restart_delay={"head": "20s", "worker": "12s"}, head_cpus=2, resubmit=False)
    assert [unit(plan, slot).restart_delay for slot in ("head", "worker-1")] == [20.0, 12.0]
    assert options(unit(plan, "head").command)["num-cpus"] == "2"
    assert plan.resubmit is False
    assert Settings().restart_delay == RestartDelay()


def test_workers_start_when_the_head_answers() -> None:
    assert unit(drawn(), "worker-2").after == (("10.1.0.2", 6400),)
    assert unit(drawn(), "head").ready == (("10.1.0.2", 6400), ("10.1.0.2", 8265))
