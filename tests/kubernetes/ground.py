"""What the cluster stands on: the tools, the room and the rights it needs, and the folders it uses."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
STATE = Path("/var/lib/ftrun-kubernetes")
"""All that a running cluster writes. One machine has one cluster: its networks have fixed names too."""
CGROUPS = "ftrun-kubernetes"
"""The cgroup, in each hierarchy, under which all pods of the cluster are."""
GIB = 2**30
TOOLS = {
    "conntrack": "conntrack",
    "containerd": "containerd",
    "etcd": "etcd-server",
    "ip": "iproute2",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "runc": "runc",
}
"""Commands, and the Debian packages they are in."""

begun = time.monotonic()


class Trouble(Exception):
    """What was wrong, and what to do; ends the command."""


def say(text: str) -> None:
    """Tell what is done now, with the seconds since the command began."""
    print(f"{time.monotonic() - begun:5.1f} s  {text}", file=sys.stderr, flush=True)


def run(*command: str | Path, text: str | None = None, **options: object) -> str:
    """Run a command to its end, and give what it printed."""
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    except FileNotFoundError as missing:
        raise Trouble(f"{missing.filename} is missing: `tests/prepare` installs what is needed.") from None
    if done.returncode != 0:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-12:])
        raise Trouble(f"`{' '.join(map(str, command))}` ended with {done.returncode}: {said}")
    return str(done.stdout)


def enter() -> None:
    """Refuse who is not root; know the folders of root's commands also where PATH does not."""
    if os.geteuid() != 0:
        raise Trouble("Only root can make network namespaces and cgroups: run this as root.")
    os.environ["PATH"] += ":/usr/sbin:/sbin:/usr/local/go/bin"


def require(*, memory: float) -> None:
    """Refuse to begin where something is missing; `memory` in GiB."""
    missing = sorted({package for tool, package in TOOLS.items() if not shutil.which(tool)})
    if not Path("/usr/lib/cni/bridge").exists():
        missing.append("containernetworking-plugins")
    if missing:
        raise Trouble(f"Debian packages are missing: {' '.join(missing)}. `tests/prepare` installs them.")
    if not Path("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists():
        raise Trouble(
            "The cgroups of this machine are not version 1, and this cluster was never tried with others. "
            "Use kind or minikube, and give its file to the tests: pytest --kubeconfig FILE."
        )
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(fields["MemAvailable"].split()[0]) * 1024
    if available < memory * GIB:
        raise Trouble(
            f"{available / GIB:.1f} GiB of memory are available, and {memory:.0f} GiB are needed: end something."
        )


def require_disk(folder: Path, needed: float) -> None:
    """Refuse to begin where the disk of a folder has fewer GiB left."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free / GIB
    if free < needed:
        raise Trouble(
            f"{folder} has {free:.1f} GiB left on its disk, and {needed:.0f} GiB are needed: make room there. "
            "Where what is built is kept, FTRUN_TESTS_CACHE says."
        )


def cache() -> Path:
    """Give the folder of what was built, which outlives clusters."""
    given = os.environ.get("FTRUN_TESTS_CACHE")
    if given:
        return Path(given).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ftrun-tests"


def built(name: str, sources: Sequence[Path], build: Callable[[Path], None], *, disk: float) -> Path:
    """Give the folder that `build` filled from just these sources, once; a broken attempt leaves no such folder.

    While it builds, it needs so many GiB of disk.
    """
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    folder = cache() / f"{name}-{digest.hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    with locked(cache() / "lock"):
        if not folder.is_dir():
            attempt = folder.with_suffix(".attempt")
            shutil.rmtree(attempt, ignore_errors=True)
            require_disk(attempt, disk)
            attempt.mkdir(parents=True)
            build(attempt)
            attempt.rename(folder)
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that other commands wait for; it falls with this process, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another command that holds {path}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
