"""The commands and environments of Ray's nodes and of Redis: settings to a blueprint. Pure."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runner.clusters.contract import Endpoint, node_role
from runner.clusters.local.blueprint import Blueprint, Place, Unit
from runner.clusters.local.files import node_folder
from runner.clusters.local.settings import Settings

AGENT_PORTS = (
    "dashboard-agent-grpc-port",
    "metrics-export-port",
    "runtime-env-agent-port",
    "node-manager-port",
    "object-manager-port",
    "dashboard-agent-listen-port",
)
"""A raylet waits 15 s for those that are left to chance, and then dies: each node gets all of them."""

HEAD_PORTS = ("port", "dashboard-port", "ray-client-server-port")

OBJECT_STORE = 80_000_000
MEMORY = 2_000_000_000
"""Bytes a node has for objects, and says it has for tasks."""

NICE = 10
"""How far nodes stand behind the prober: on a busy machine what is watched waits, not who watches."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Where everything stands: one address a node, ports that nobody else has."""

    bus: str
    addresses: Mapping[str, str]
    """By slot, nodes only."""
    node_ports: Mapping[str, Mapping[str, int]]
    """By slot: AGENT_PORTS, and on the head HEAD_PORTS, by name."""
    http_ports: Mapping[str, int]
    """By slot: where its proxy listens; and `service`."""
    redis_port: int

    def dashboard(self) -> Place:
        """Where the head's API answers."""
        return self.addresses["head"], self.node_ports["head"]["dashboard-port"]

    def gcs(self) -> Place:
        """Where the GCS answers."""
        return self.addresses["head"], self.node_ports["head"]["port"]


def slots(settings: Settings) -> list[str]:
    """Give the nodes' slots, the head first."""
    return ["head", *(f"worker-{number + 1}" for number in range(settings.workers))]


def in_namespaces(settings: Settings, bus: str) -> Spread:
    """Spread the nodes over networks of their own, where all may have the same ports."""
    network = bus.rpartition(".")[0]
    names = slots(settings)
    agents = {name: 7001 + number for number, name in enumerate(AGENT_PORTS)}
    head = {"port": 6400, "dashboard-port": 8265, "ray-client-server-port": 10001}
    return Spread(
        bus=bus,
        addresses={slot: f"{network}.{number + 2}" for number, slot in enumerate(names)},
        node_ports={slot: agents | (head if slot == "head" else {}) for slot in names},
        http_ports=dict.fromkeys(names, 8000) | {"service": 8000},
        redis_port=6390,
    )


def port_counts(settings: Settings) -> tuple[int, int]:
    """Give how many ports `on_loopback` needs: for HTTP, and for the rest."""
    count = len(slots(settings))
    return count + 1, count * len(AGENT_PORTS) + len(HEAD_PORTS) + 1


def on_loopback(settings: Settings, network: str, http_ports: Sequence[int], ports: Sequence[int]) -> Spread:
    """Spread the nodes over loopback addresses; all ports differ, since some listeners take every address."""
    names = slots(settings)
    left = iter(ports)
    return Spread(
        bus="127.0.0.1",
        addresses={slot: f"{network}.{number + 2}" for number, slot in enumerate(names)},
        node_ports={
            slot: {name: next(left) for name in AGENT_PORTS + (HEAD_PORTS if slot == "head" else ())}
            for slot in names
        },
        http_ports=dict(zip([*names, "service"], http_ports, strict=True)),
        redis_port=next(left),
    )


def proxy_host(spread: Spread) -> str:
    """Give the host that Serve's proxies listen at: all of a node's own network, or this machine's inside."""
    return "127.0.0.1" if spread.bus == "127.0.0.1" else "0.0.0.0"


def endpoints(spread: Spread) -> tuple[Endpoint, ...]:
    """Give our own list of endpoints: what Serve says of them has the same port everywhere."""
    inside = proxy_host(spread) == "127.0.0.1"
    nodes = [
        Endpoint(
            slot,
            node_role(slot),
            f"http://{'127.0.0.1' if inside else address}:{spread.http_ports[slot]}",
        )
        for slot, address in spread.addresses.items()
    ]
    service = f"http://{spread.bus}:{spread.http_ports['service']}"
    return (Endpoint("service", "service", service, simulated=True), *nodes)


def _redis(spread: Spread, runtime: str, server: str, password: str, restart_delay: float) -> Unit:
    folder = f"{runtime}/redis"
    return Unit(
        slot="redis",
        role="service",
        address=spread.bus,
        command=(
            server,
            *("--bind", spread.bus),
            *("--port", str(spread.redis_port)),
            *("--requirepass", password),
            *("--dir", folder),
            *("--appendonly", "yes"),
            *("--save", ""),
        ),
        log=f"{runtime}/logs/redis.log",
        restart_delay=restart_delay,
        ready=((spread.bus, spread.redis_port),),
    )


def _service(settings: Settings, spread: Spread, runtime: str) -> Unit:
    roles = ("worker",) if settings.exclude_head_from_service else ("head", "worker")
    nodes = [
        f"{each.slot}={each.url.removeprefix('http://')}" for each in endpoints(spread) if each.role in roles
    ]
    port = spread.http_ports["service"]
    return Unit(
        slot="service",
        role="service",
        address=spread.bus,
        command=(sys.executable, "-m", "runner.clusters.local.forwarder", spread.bus, str(port), *nodes),
        log=f"{runtime}/logs/service.log",
        restart_delay=0.2,
        ready=((spread.bus, port),),
        speaks=True,
    )


def _node(settings: Settings, spread: Spread, slot: str, *, runtime: str, python: str, password: str) -> Unit:
    address, ports = spread.addresses[slot], spread.node_ports[slot]
    folder = f"{runtime}/{node_folder(slot)}"
    is_head = slot == "head"
    storage = settings.gcs_fault_tolerance
    environment = {
        **settings.environment,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_prestart_worker_first_driver": "0",
        "RAY_enable_worker_prestart": "0",
        # Ray puts its workers 15 steps behind its own processes. Nodes stand for machines of their own here:
        # the start of one must not starve the replicas of another.
        "RAY_worker_niceness": "0",
        "PYTHONPATH": os.pathsep.join(filter(None, [f"{runtime}/code", os.environ.get("PYTHONPATH", "")])),
        "PATH": os.pathsep.join([os.path.dirname(python), os.environ.get("PATH", os.defpath)]),
    }
    options = {
        "node-ip-address": address,
        "num-cpus": settings.head_cpus if is_head else settings.worker_cpus,
        "num-gpus": 0,
        "object-store-memory": OBJECT_STORE,
        "memory": MEMORY,
        "min-worker-port": 0,
        "max-worker-port": 0,
        "temp-dir": folder,
        # Whatever the ports, a raylet dies where its agent does not stand after 15 s: on two busy cores every
        # other process that starts beside it counts. The two left out serve autoscaling and drivers.
        "include-log-monitor": "false",
        **ports,
    }
    if is_head:
        options["dashboard-host"] = address
        if storage == "redis":
            options["redis-password"] = password
            environment["RAY_REDIS_ADDRESS"] = f"{spread.bus}:{spread.redis_port}"
            # The same namespace would bring back another run's actors.
            environment["RAY_external_storage_namespace"] = os.path.basename(runtime)
        elif storage == "rocksdb":
            environment["RAY_gcs_storage"] = "rocksdb"
            environment["RAY_gcs_storage_path"] = f"{runtime}/gcs"
    else:
        options["address"] = "{}:{}".format(*spread.gcs())
        environment["RAY_SERVE_WORKER_PROXY_HTTP_PORT"] = str(spread.http_ports[slot])
        if storage != "none":
            environment["RAY_gcs_rpc_server_reconnect_timeout_s"] = "600"
    redis = ((spread.bus, spread.redis_port),) if storage == "redis" else ()
    return Unit(
        slot=slot,
        role="node",
        address=address,
        command=(
            *("nice", "-n", str(NICE)),
            *(python, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"),
            *(("--head", "--no-monitor") if is_head else ()),
            *(f"--{name}={value}" for name, value in options.items()),
        ),
        log=f"{runtime}/logs/{slot}.log",
        environment=environment,
        restart_delay=settings.restart_delay.head if is_head else settings.restart_delay.worker,
        after=redis if is_head else (spread.gcs(),),
        ready=(spread.gcs(), spread.dashboard()) if is_head else ((address, ports["node-manager-port"]),),
        # A head that finds this file says "already running" while any local process of it lives.
        forget=(f"{folder}/ray_current_cluster",),
        # `ray start --block` goes on where a raylet ended by itself, as it does when it was drained.
        vital="raylet",
    )


def draw(
    settings: Settings, spread: Spread, *, layout: str, runtime: str, python: str, redis: str, password: str
) -> Blueprint:
    """Give the blueprint of a cluster: Redis if it is needed, the forwarder, the head, the workers.

    `python` has Ray, `redis` is the path of a redis-server, `password` is what Redis and the head agree on.
    """
    units = [_service(settings, spread, runtime)]
    if settings.gcs_fault_tolerance == "redis":
        units.insert(0, _redis(spread, runtime, redis, password, settings.restart_delay.redis))
    units += [
        _node(settings, spread, slot, runtime=runtime, python=python, password=password)
        for slot in slots(settings)
    ]
    return Blueprint(
        layout=layout,
        runtime=runtime,
        bus=spread.bus,
        units=tuple(units),
        dashboard=spread.dashboard(),
        resubmit=settings.resubmit,
    )
