"""A cluster that was killed leaves nothing that the next `up` or `down` would not remove."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.kubernetes import machines
from tests.kubernetes.fixtures import CLUSTER, command, traces

pytestmark = pytest.mark.kubernetes


@pytest.fixture(autouse=True)
def nothing_is_up(request: pytest.FixtureRequest) -> None:
    """Remove what an earlier session left that was killed, but not a cluster that somebody named."""
    if request.config.getoption("kubeconfig") and machines.exists("cp"):
        pytest.fail("A cluster is up, which this test would remove: `tests/kubernetes/cluster down` first.")
    command("down")


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "far_enough",
    [
        pytest.param(lambda: machines.exists("cp"), id="only a network was made"),
        pytest.param(lambda: next(machines.processes("cp", "etcd"), None), id="the control plane began"),
        pytest.param(lambda: next(machines.processes("node2", "kubelet"), None), id="the nodes began"),
    ],
)
def test_what_a_killed_up_leaves_is_removed(far_enough: Callable[[], object]) -> None:
    command("build")
    before = traces()
    starting = subprocess.Popen(
        [sys.executable, CLUSTER, "up"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    with starting:
        while not far_enough():
            assert starting.poll() is None, starting.stderr and starting.stderr.read()
            time.sleep(0.01)
        starting.send_signal(signal.SIGKILL)
    command("down")
    assert traces() - before == set()


def test_a_machine_that_is_about_to_be_is_not_overlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    before = traces()
    machines.join_control()
    slow = ["sh", "-c", 'sleep 1; exec "$@"', "-", *machines.entering("cp")]
    with monkeypatch.context() as changed:
        changed.setattr(machines, "entering", lambda _: slow)
        machines.start("cp", {"binds": [], "sysctl": {}, "programs": []})
    assert machines.remove()
    assert traces() - before == set()


def test_down_is_content_where_there_is_no_cluster() -> None:
    assert command("down") == ""
