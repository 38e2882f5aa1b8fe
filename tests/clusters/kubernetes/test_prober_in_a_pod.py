"""The prober in a pod of a real Kubernetes: what the shell, the kubelet and the API server make of it."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runner.clusters.contract import Endpoint
from runner.clusters.kubernetes import prober
from runner.clusters.kubernetes.api import Access, Api, place
from runner.clusters.kubernetes.claim import Claim
from runner.clusters.kubernetes.forward import Forward
from runner.clusters.kubernetes.prober import PodProber
from runner.clusters.kubernetes.settings import Share
from runner.errors import CannotRun
from runner.journal.samples import Outcome, read_prober_log, read_samples
from runner.probes.session import Session
from tests.kubernetes.fixtures import Kubernetes, until
from tests.probes.test_session import SPEC, journalled

pytestmark = pytest.mark.kubernetes

SPACE = "ftrun-prober"
PERIOD = 1e9 / SPEC.rate
SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"42")
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


def web(name: str) -> dict[str, Any]:
    """A pod that answers, as PodSecurity `restricted` wants it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": SPACE, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "web",
                    "image": "rayproject/ray:2.60.0",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-c", SERVER],
                    "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
                    "resources": {"requests": {"cpu": "100m"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


@pytest.fixture(scope="module")
def space(kubernetes: Kubernetes) -> Iterator[Kubernetes]:
    """A namespace that enforces PodSecurity `restricted`, with a pod that answers and a Service before it."""
    labels = {f"pod-security.kubernetes.io/{each}": "restricted" for each in ("enforce", "warn")}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": SPACE},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 8000}]},
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE, "labels": labels}}
    for each in (namespace, service):
        kubernetes.kubectl("apply", "-f", "-", text=json.dumps(each))
    kubernetes.kubectl("wait", "-n", SPACE, "--for=create", "serviceaccount/default", "--timeout=60s")
    kubernetes.kubectl("apply", "-f", "-", text=json.dumps(web("web")))
    kubernetes.kubectl("wait", "-n", SPACE, "--for=condition=Ready", "pod/web", "--timeout=120s")
    yield kubernetes
    kubernetes.kubectl("delete", "namespace", SPACE, "--wait=false")


class OnePod:
    """As much of a cluster as a session needs."""

    def __init__(self, api: Api, claim: Claim, **options: Any) -> None:
        self.api = api
        self.claim = claim
        self.options = options
        self.made: PodProber | None = None

    async def prober(self, program: Path, directory: Path, _away: Collection[str] = ()) -> PodProber:
        like = await self.api.get(place("pods", SPACE, "web"))
        self.made = await prober.start(
            self.api,
            self.claim,
            program=program,
            directory=directory,
            like=like,
            resources=Share().prober,
            **self.options,
        )
        return self.made


@asynccontextmanager
async def claimed(kubernetes: Kubernetes, run: str) -> AsyncIterator[tuple[Api, Claim]]:
    context = kubernetes.kubectl("config", "current-context").strip()
    api = Api(Access(str(kubernetes.kubeconfig), context))
    claim = Claim(api, SPACE, run, run)
    try:
        await claim.take()
        yield api, claim
    finally:
        await claim.release()
        await api.close()


async def test_its_samples_come_back_whole_though_the_api_server_goes_away(
    space: Kubernetes, tmp_path: Path
) -> None:
    where = json.loads(space.kubectl("get", "pod", "web", "-n", SPACE, "-o", "json"))
    address, host = where["status"]["podIP"], where["spec"]["nodeName"]
    with journalled(tmp_path) as journal:
        async with claimed(space, "whole") as (api, claim):
            cluster: Any = OnePod(api, claim, avoid={host})
            session = await Session.open(cluster, tmp_path, scenario=0, run="whole", journal=journal)
            assert cluster.made.host != host
            pod = f"http://{address}:8000"
            named = f"http://web.{SPACE}.svc.cluster.local:8000"
            # More than can be open within the timeout: whatever the answers do, no request is held back by the cap.
            started = await session.start(
                replace(SPEC, endpoint="each-node", max_in_flight=math.ceil(2 * SPEC.rate * SPEC.timeout)),
                [Endpoint("head", "head", named), Endpoint("worker-1", "worker", pod)],
            )
            await asyncio.sleep(2)
            if space.ours:
                await asyncio.to_thread(space.machines, "restart", "cp", "kube-apiserver")
            await asyncio.sleep(8)
            await session.stop("users")
            await session.close()
            await asyncio.to_thread(
                until, lambda: "prober" not in space.kubectl("get", "pods", "-n", SPACE, "-o", "name"), 30
            )
    assert cluster.made.cuts >= space.ours
    log = read_prober_log(tmp_path / "samples/0/prober.jsonl")
    assert [each["why"] for each in log.others if each["kind"] == "bye"] == ["quit"]
    assert len(started) == 4
    for each in started:
        samples = read_samples(tmp_path / each["file"])
        assert Outcome.OK in samples.outcome
        # Each request has its record, those of the time away, too. What is missing was never sent, in a stall: of
        # a wake-up that was late by less, at most two requests are too old to be sent.
        due = np.sort(samples.due)
        for before, after in pairwise(due):
            if after - before > 3.5 * PERIOD:
                assert any(start <= after and before <= end for start, end in log.stalls), (
                    before,
                    after,
                    log,
                )
        assert max(samples.n) > 8 * SPEC.rate


async def test_a_pod_that_no_host_will_have_is_told_of(
    space: Kubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prober, "BOOT", 4.0)
    nodes = space.kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}").split()
    async with claimed(space, "nowhere") as (api, claim):
        cluster: Any = OnePod(api, claim, avoid=set(nodes))
        with pytest.raises(CannotRun, match=r"no host has room .* It may not stand on"):
            await cluster.prober(Path(__file__), tmp_path)


async def test_a_prober_whose_pod_is_deleted_is_known_to_be_gone(space: Kubernetes, tmp_path: Path) -> None:
    with journalled(tmp_path) as journal:
        async with claimed(space, "killed") as (api, claim):
            cluster: Any = OnePod(api, claim)
            session = await Session.open(cluster, tmp_path, scenario=0, run="killed", journal=journal)
            await session.start(
                replace(SPEC, connections=("new",)),
                [Endpoint("service", "service", f"http://web.{SPACE}:8000")],
            )
            await asyncio.sleep(0.5)
            space.kubectl("delete", "pod", "-n", SPACE, cluster.made.pod, "--grace-period=0", "--force")
            async with asyncio.timeout(60):
                await session.lost.wait()
            await session.close()
    assert session.why_lost.startswith("The prober is gone")


async def test_a_port_of_a_pod_is_reached_from_here_as_by_kubectl(space: Kubernetes, tmp_path: Path) -> None:
    """New and kept connections; once the pod is gone nobody answers any more."""
    space.kubectl("apply", "-f", "-", text=json.dumps(web("other")))
    space.kubectl("wait", "-n", SPACE, "--for=condition=Ready", "pod/other", "--timeout=120s")
    context = space.kubectl("config", "current-context").strip()
    api = Api(Access(str(space.kubeconfig), context))
    forward = Forward(api, SPACE, "other", 8000)

    def last(each: Mapping[str, Any]) -> set[Outcome]:
        return set(map(Outcome, read_samples(tmp_path / each["file"]).outcome[-5:]))

    with journalled(tmp_path) as journal:
        cluster: Any = None  # nothing of it is needed here
        session = await Session.open(cluster, tmp_path, scenario=0, run="r", journal=journal, origin="here")
        try:
            spec = replace(SPEC, endpoint="worker-1", rate=10, timeout=3.0, slow_after=3.0)
            series = await session.start(
                spec,
                [Endpoint("worker-1", "worker", await forward.open(), through="port-forward to pod other")],
            )
            await asyncio.to_thread(until, lambda: all(last(each) == {Outcome.OK} for each in series), 60)
            await asyncio.to_thread(
                space.kubectl, "delete", "pod", "-n", SPACE, "other", "--grace-period=0", "--force"
            )
            # The kubelet takes its time to end it.
            await asyncio.to_thread(until, lambda: not any(Outcome.OK in last(each) for each in series), 60)
            await session.stop("users")
        finally:
            await session.close()
            await forward.close()
            await api.close()
    for each in series:
        assert each["through"] == "port-forward to pod other"
        assert each["file"].startswith("samples/0/here/")
