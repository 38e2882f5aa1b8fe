"""What tests use of a Kubernetes: one for the whole session, and the machines under it where they are ours."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kubernetes.ground import STATE
from tests.kubernetes.plane import KUBECONFIG
from tests.kubernetes.programs import programs

CLUSTER = Path(__file__).parent / "cluster"
SETTINGS = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
"""What a kubelet would set for this whole machine."""
PATIENCE = 1200.0
"""Seconds that a command may take: the first `up` on a machine builds everything."""


@dataclass(frozen=True)
class Kubernetes:
    """A cluster that runs."""

    kubeconfig: Path

    @property
    def ours(self) -> bool:
        """Tell whether its machines are made by tests/kubernetes."""
        return self.kubeconfig == KUBECONFIG

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        """Run kubectl and give what it printed; where it ends badly, the test fails."""
        program = programs() / "kubectl" if self.ours else "kubectl"
        return _run([str(program), f"--kubeconfig={self.kubeconfig}", *arguments], text)

    def machines(self, *arguments: str) -> str:
        """Do something to a machine, such as `crash node1`."""
        if not self.ours:
            pytest.fail(
                f"This test does `{' '.join(arguments)}`, and the machines of {self.kubeconfig} are not ours: "
                "run it without --kubeconfig, or leave it out."
            )
        return command(*arguments)


def until(happened: Callable[[], object], seconds: float, every: float = 0.3) -> None:
    """Wait for something to be so; each look by kubectl costs a fifth of a second of a processor.

    A look that ends badly says nothing: an API server that is busy or away may answer the next one.
    """
    limit = time.monotonic() + seconds
    why = "not so"
    while True:
        try:
            if happened():
                return
        except pytest.fail.Exception as failed:
            why = str(failed)
        if time.monotonic() > limit:
            pytest.fail(f"After {seconds:.0f} s: {why}")
        time.sleep(every)


def command(*arguments: str) -> str:
    """Run `tests/kubernetes/cluster` and give what it printed; where it ends badly, the test fails."""
    return _run([sys.executable, str(CLUSTER), *arguments])


def _run(words: Sequence[str], text: str | None = None) -> str:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False, timeout=PATIENCE)
    if done.returncode != 0:
        pytest.fail(f"`{' '.join(words)}` ended with {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def traces() -> set[str]:
    """Give what there is on this machine of the kinds that a cluster leaves behind if nobody removes it."""
    found = {
        str(path)
        for pattern in (
            "etc/cni/*",
            "run/netns/*",
            "sys/class/net/*",
            "sys/fs/cgroup/*/*/",
            "var/lib/*",
            "var/log/*/",
        )
        for path in Path("/").glob(pattern)
    }
    found.update(_run(["ip", "route"]).splitlines())
    found.update(line.split()[1] for line in Path("/proc/mounts").read_text().splitlines())
    found.update(f"{name} = {Path('/proc/sys', name).read_text()}" for name in SETTINGS)
    found.update(filter(None, map(_program, Path("/proc").glob("[0-9]*"))))
    # `ip netns` makes a mount of this folder when it is first used.
    return found - {"/run/netns"}


def _program(process: Path) -> str:
    """Give what a process runs, if it is one of a cluster: they have process namespaces of their own."""
    try:
        path, said = (process / "exe").readlink(), (process / "cmdline").read_text()
        elsewhere = (process / "ns/pid").readlink() != Path("/proc/self/ns/pid").readlink()
    except OSError:
        return ""
    known = path.name in {"containerd", "containerd-shim-runc-v2", "etcd", "kubernetes", "pause"}
    return (
        f"{process.name} {said.replace(chr(0), ' ')}" if (known and elsewhere) or str(STATE) in said else ""
    )


@pytest.fixture(scope="session")
def kubernetes(request: pytest.FixtureRequest) -> Iterator[Kubernetes]:
    """Give a real Kubernetes: the one of --kubeconfig, else one that is started here and removed in the end."""
    given = request.config.getoption("kubeconfig")
    if given:
        yield Kubernetes(Path(given).absolute())
        return
    command("down")  # what an earlier session left that was killed
    found = traces()
    capture = request.config.pluginmanager.getplugin("capturemanager")
    assert capture
    with capture.global_and_fixture_disabled():
        # Its lines of progress are for who waits.
        ended = subprocess.run([sys.executable, CLUSTER, "up"], stdout=subprocess.DEVNULL, check=False)
    try:
        if ended.returncode != 0:
            pytest.fail("There is no Kubernetes for this test: `tests/kubernetes/cluster up` says above why.")
        yield Kubernetes(KUBECONFIG)
    finally:
        command("down")
    if left := traces() - found:
        pytest.fail(f"The cluster was removed, and left: {', '.join(sorted(left))}")


def add_options(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kubeconfig",
        metavar="FILE",
        help="run Kubernetes' tests on the cluster of this file, not on one that they start",
    )


def arrange(items: list[pytest.Item]) -> None:
    """Run what needs a Kubernetes last, so that it stands beside no other test; mark it, and give it time.

    Its time runs from the test's own beginning: starting the cluster takes longer.
    """

    def needs(item: pytest.Item) -> bool:
        return "kubernetes" in getattr(item, "fixturenames", ())

    for item in filter(needs, items):
        item.add_marker("kubernetes")
        seconds = next((mark.args[0] for mark in item.iter_markers("timeout")), 300)
        item.add_marker(pytest.mark.timeout(seconds, func_only=True), append=False)
    items.sort(key=needs)
