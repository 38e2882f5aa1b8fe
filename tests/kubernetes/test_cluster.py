"""The test cluster itself: a real Kubernetes, whose machines do what they are told."""

from __future__ import annotations

import json
import shutil
import socket
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes import machines
from tests.kubernetes.fixtures import Kubernetes, until
from tests.kubernetes.programs import programs

RAY = "rayproject/ray:2.60.0"
NODE_PORT = 30123
LISTENER = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["NAME"].encode())
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 8000), Answer).serve_forever()
"""


def answer(host: str, port: int) -> str:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
        f"http://{host}:{port}/", timeout=5
    ) as body:
        return body.read().decode()


def answers(host: str, port: int, *nodes: str) -> bool:
    """Tell whether one of the nodes, or of all, answers there.

    A new service is in each machine's tables a moment later, and a busy machine may keep a pod waiting.
    """
    try:
        return answer(host, port) in (nodes or machines.NODES)
    except OSError:
        return False


def answered(host: str, port: int, *nodes: str) -> None:
    """Wait until one of the nodes, or of all, answers there."""
    until(partial(answers, host, port, *nodes), 30)


def node_is(kubernetes: Kubernetes, node: str) -> str:
    conditions = json.loads(kubernetes.kubectl("get", "node", node, "--output=json"))["status"]["conditions"]
    return next(row["status"] for row in conditions if row["type"] == "Ready")


def pod(node: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"on-{node}", "labels": {"app": "listener"}},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "listener",
                    "image": RAY,
                    "command": ["python", "-c", LISTENER],
                    "env": [{"name": "NAME", "value": node}],
                    "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
                    # With none, it would have to wait for all that runs beside it.
                    "resources": {"requests": {"cpu": "100m"}},
                }
            ],
        },
    }


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "listeners"},
    "spec": {
        "type": "NodePort",
        "selector": {"app": "listener"},
        "ports": [{"port": 80, "targetPort": 8000, "nodePort": NODE_PORT}],
    },
}


@pytest.fixture(scope="module")
def listeners(kubernetes: Kubernetes) -> Iterator[dict[str, Any]]:
    """A pod on each node that answers with its node's name, and a service before them."""
    if not kubernetes.ours:
        pytest.fail(
            "These tests are of the cluster that they start: leave out --kubeconfig, or tests/kubernetes."
        )
    kubernetes.kubectl("create", "namespace", "listeners")
    within = ("--namespace=listeners",)
    objects = {"apiVersion": "v1", "kind": "List", "items": [SERVICE, *map(pod, machines.NODES)]}
    until(lambda: "default" in kubernetes.kubectl(*within, "get", "serviceaccounts"), 30)
    kubernetes.kubectl(*within, "create", "--filename=-", text=json.dumps(objects))
    kubernetes.kubectl(*within, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
    yield json.loads(kubernetes.kubectl(*within, "get", "service", "listeners", "--output=json"))
    kubernetes.kubectl("delete", "namespace", "listeners")


def pods(kubernetes: Kubernetes) -> dict[str, dict[str, Any]]:
    found = json.loads(kubernetes.kubectl("--namespace=listeners", "get", "pods", "--output=json"))
    return {row["metadata"]["name"]: row for row in found["items"]}


def run_in(kubernetes: Kubernetes, name: str, *command: str) -> str:
    return kubernetes.kubectl("--namespace=listeners", "exec", name, "--", *command).strip()


def test_two_nodes_are_ready(kubernetes: Kubernetes) -> None:
    nodes = kubernetes.kubectl("get", "nodes", "--output=jsonpath={.items[*].metadata.name}").split()
    assert nodes == list(machines.NODES)
    assert [node_is(kubernetes, node) for node in nodes] == ["True", "True"]


def test_pods_service_and_node_ports_are_reached_from_here(
    kubernetes: Kubernetes, listeners: dict[str, Any]
) -> None:
    addresses = {name: row["status"]["podIP"] for name, row in pods(kubernetes).items()}
    for node in machines.NODES:
        answered(addresses[f"on-{node}"], 8000, node)
    for host, port in (
        (listeners["spec"]["clusterIP"], 80),
        *((machines.address(node), NODE_PORT) for node in machines.NODES),
    ):
        answered(host, port)


def test_a_pod_finds_a_service_by_name_on_both_nodes(
    kubernetes: Kubernetes, listeners: dict[str, Any]
) -> None:
    name = "listeners.listeners.svc.cluster.local"
    asked = {run_in(kubernetes, "on-node1", "wget", "-qO-", f"http://{name}/") for _ in range(12)}
    assert asked == set(machines.NODES)
    assert listeners["spec"]["clusterIP"] in run_in(kubernetes, "on-node2", "getent", "hosts", "listeners")


def test_the_ray_image_has_what_its_users_and_kuberay_expect(
    kubernetes: Kubernetes, listeners: dict[str, Any]
) -> None:
    assert run_in(kubernetes, "on-node1", "ray", "--version") == "ray, version 2.60.0"
    assert run_in(kubernetes, "on-node1", "sh", "-c", "id -un; pwd") == "ray\n/home/ray"
    assert "v=7" in run_in(kubernetes, "on-node1", "redis-server", "--version")
    kubernetes.kubectl("get", "--raw", "/api/v1/namespaces/listeners/services/listeners:80/proxy/")


def test_a_crashed_node_is_silent_then_not_ready_and_comes_back_with_its_pods(
    kubernetes: Kubernetes, listeners: dict[str, Any]
) -> None:
    before = pods(kubernetes)["on-node1"]
    with socket.create_connection((before["status"]["podIP"], 8000)) as kept:
        kept.settimeout(3)
        kubernetes.machines("crash", "node1")
        # As after a power failure, nobody says goodbye.
        with pytest.raises(TimeoutError):
            kept.recv(1)
    until(lambda: node_is(kubernetes, "node1") == "Unknown", 60)
    assert node_is(kubernetes, "node2") == "True"
    # What stood on node1 leaves node2's tables a moment after that; until then half of the connections go there.
    until(lambda: all(answers(machines.address("node2"), NODE_PORT, "node2") for _ in range(8)), 60)

    kubernetes.machines("start", "node1")
    until(lambda: node_is(kubernetes, "node1") == "True", 60)

    def restarted() -> bool:
        (container,) = pods(kubernetes)["on-node1"]["status"]["containerStatuses"]
        return container["ready"] and container["restartCount"] == 1

    until(restarted, 60)
    after = pods(kubernetes)["on-node1"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    answered(after["status"]["podIP"], 8000, "node1")


def test_a_node_that_is_cut_off_runs_on_and_is_ready_again_when_it_joins(
    kubernetes: Kubernetes, listeners: dict[str, Any]
) -> None:
    before = pods(kubernetes)["on-node2"]
    kubernetes.machines("cut", "node2")
    until(lambda: node_is(kubernetes, "node2") == "Unknown", 60)
    with pytest.raises(OSError):
        answer(machines.address("node2"), NODE_PORT)
    kubernetes.machines("join", "node2")
    until(lambda: node_is(kubernetes, "node2") == "True", 60)
    answered(before["status"]["podIP"], 8000, "node2")
    (container,) = pods(kubernetes)["on-node2"]["status"]["containerStatuses"]
    assert container["restartCount"] == 0


def test_a_deleted_node_registers_again_when_its_kubelet_is_restarted(kubernetes: Kubernetes) -> None:
    kubernetes.kubectl("delete", "node", "node2")
    kubernetes.machines("restart", "node2", "kubelet")

    def there() -> bool:
        return (
            "node2" in kubernetes.kubectl("get", "nodes", "--output=name")
            and node_is(kubernetes, "node2") == "True"
        )

    until(there, 60)


def test_the_api_server_comes_back_when_it_is_killed(kubernetes: Kubernetes) -> None:
    def running() -> set[int]:
        return set(machines.processes(machines.CONTROL, "kube-apiserver"))

    before = running()
    kubernetes.machines("restart", machines.CONTROL, "kube-apiserver")
    until(lambda: running() - before, 60)
    assert not running() & before
    until(lambda: kubernetes.kubectl("get", "nodes"), 60)


def test_an_image_of_ones_own_runs_on_both_nodes(kubernetes: Kubernetes, tmp_path: Path) -> None:
    shutil.copy(programs() / "pause", tmp_path / "sleeper")
    kubernetes.machines("load", "ftrun/sleeper:1", str(tmp_path), "/sleeper")
    for node in machines.NODES:
        where = f'--overrides={{"spec": {{"nodeName": "{node}"}}}}'
        kubernetes.kubectl("run", f"sleeper-{node}", "--image=ftrun/sleeper:1", where)
    kubernetes.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
    kubernetes.kubectl("delete", "pod", "--all", "--grace-period=0", "--force")


def test_what_cannot_be_done_is_said(kubernetes: Kubernetes) -> None:
    for words, said in (
        (("start", "node1"), "node1 runs"),
        (("restart", "node1", "etcd"), "node1 runs no etcd"),
    ):
        with pytest.raises(pytest.fail.Exception, match=said):
            kubernetes.machines(*words)
