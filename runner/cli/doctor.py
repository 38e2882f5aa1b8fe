"""`ftrun doctor`: whether this machine can run scenarios of an inventory, and what to do if not."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import CannotRun

if TYPE_CHECKING:
    from runner.clusters.local.settings import Settings
    from runner.language.plan import Inventory

MEMORY_A_NODE = 0.75e9
"""Bytes a node takes with its replicas: 2.1 GiB were measured for three."""

DISK = 2e9
"""Bytes of logs and object store spill a run may write."""

GRANTS = "inventories/kubernetes-rbac.yaml grants it."

CONTAINER = 'docker run --rm -it --privileged -v "$PWD":/here -w /here python:3.11 sh -c "{command}"'


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: whether it will do, what was found, and what to do if it will not."""

    ok: bool
    found: str
    remedy: str = ""

    def render(self) -> str:
        """Give its line, and one more for the remedy."""
        line = f"{'ok' if self.ok else 'no'}  {self.found}"
        return line if self.ok or not self.remedy else f"{line}\n      {self.remedy}"


def main(argv: list[str]) -> int:
    """Print one line a check; 0 where all will do, else 3."""
    parser = argparse.ArgumentParser(
        prog="ftrun doctor", description="Say whether this machine can run scenarios, and what to do if not."
    )
    parser.add_argument(
        "-i", "--inventory", default="local", help="inventory file, or the name of a built-in one"
    )
    from runner.cli import options

    options.add_variables(parser)
    inventory = options.inventory_of(parser.parse_args(argv))
    checks = [python()]
    if inventory.kind == "local":
        from runner.clusters.local.settings import Settings

        checks += local(Settings.model_validate(inventory.cluster))
    elif inventory.kind == "kubernetes":
        import asyncio

        checks += asyncio.run(kubernetes(inventory))
    else:
        checks.append(
            Check(True, f"the cluster of {inventory.file} is {inventory.kind}: it needs no more here")
        )
    print("\n".join(check.render() for check in checks))
    whole = all(check.ok for check in checks)
    print(f"This machine can{'' if whole else 'not'} run scenarios against {inventory.file}.")
    return 0 if whole else 3


def python() -> Check:
    """Look at the Python that runs ftrun."""
    return Check(
        sys.version_info >= (3, 11),
        f"Python {platform.python_version()} ({sys.executable})",
        "ftrun needs Python 3.11 or later.",
    )


def local(settings: Settings) -> Iterator[Check]:
    """Look at what a local cluster needs."""
    from runner.clusters.local import ground, layout, remains

    if sys.platform != "linux":
        command = "pip install ftrun && ftrun head_node"
        yield Check(
            False,
            f"{platform.system()}: a local Ray cluster needs Linux; `check`, `report` and external clusters"
            " work here",
            f"Run it in a container: {CONTAINER.format(command=command)}",
        )
        return
    try:
        said = ground.require_ray(ground.python_of(settings))
        yield Check(True, f"Ray {said['version']} ({said['commit']}), Python {said['python']}")
    except CannotRun as error:
        yield _refused(error)
    if settings.gcs_fault_tolerance == "redis":
        try:
            server = ground.require_redis()
            yield Check(True, f"redis-server {ground.redis_version(server)} ({server})")
        except CannotRun as error:
            yield _refused(error)
    try:
        chosen = layout.choose(settings.layout)
        yield Check(True, f"layout {chosen.name}: {chosen.reason}")
    except CannotRun as error:
        yield _refused(error)
    yield from _room(settings, os.path.dirname(remains.new_runtime()))


async def kubernetes(inventory: Inventory) -> list[Check]:
    """Look at a cluster of Kubernetes: who is there, and what may be done."""
    from runner.clusters.kubernetes import manifests, rights, survey
    from runner.clusters.kubernetes.api import Access, Api
    from runner.clusters.kubernetes.settings import Settings

    settings = Settings.model_validate(inventory.cluster)
    api = Api(Access(settings.kubeconfig, settings.context))
    checks = []
    manifest = None
    try:
        manifest = manifests.given(settings, Path(inventory.file).parent)
        if manifest is not None:
            checks.append(Check(True, f"manifest {settings.manifest}: the RayService {manifest.name}"))
    except CannotRun as error:
        checks.append(_refused(error))
    try:
        policies = bool(inventory.hosts.get("network_policy") and not inventory.hosts.get("link"))
        makes = {manifests.PLURALS[each["kind"]] for each in (manifest.others if manifest else ())}
        every = rights.needed(settings, inventory.allow, policies=policies, makes=makes)
        lacking = await rights.lacking(api, every)
        try:
            found = await survey.read(api, settings, manifests.used(settings, manifest), manifest)
            where = f"{api.access}, namespace {settings.namespaces[0]}"
            checks.append(Check(True, f"Kubernetes {found['kubernetes']} {where}"))
            who = found["operator"] or "not seen: it may be away, or elsewhere, or nobody may look"
            checks.append(Check(True, f"KubeRay's operator: {who}"))
        except CannotRun as error:
            checks.append(_refused(error))
        for needs in (False, True):
            said = rights.told([each for each in lacking if each.optional is not needs])
            does = "" if needs else ": it will do without"
            checks += [Check(not needs, f"no right to {each}{does}", GRANTS) for each in said]
        if not lacking:
            checks.append(Check(True, f"all {len(every)} rights that it needs"))
    except CannotRun as error:
        checks.append(_refused(error))
    finally:
        await api.close()
    return checks


def _refused(error: CannotRun) -> Check:
    return Check(False, error.message, error.help or "")


def _room(settings: Settings, folder: str) -> Iterator[Check]:
    """Look at memory, cores, and the place of the runtime folder."""
    need = (settings.workers + 1) * MEMORY_A_NODE
    free = memory()
    yield Check(
        free is None or free >= need,
        f"memory: {_gigabytes(free)} free, {_gigabytes(need)} needed for {settings.workers + 1} nodes",
        "End other programs, give the container more, or take fewer workers.",
    )
    cores = len(os.sched_getaffinity(0))
    slow = ": it will be slow, and waits are made for 2" if cores < 2 else ""
    yield Check(True, f"cores: {cores}{slow}")
    space = shutil.disk_usage(folder).free
    yield Check(
        space >= DISK and os.access(folder, os.W_OK | os.X_OK),
        f"disk: {_gigabytes(space)} free in {folder}, {_gigabytes(DISK)} needed",
        f"Make room in {folder}, or point TMPDIR to a short path (at most 20 characters) that has some.",
    )
    wanted = tempfile.gettempdir()
    if wanted != folder:
        yield Check(True, f"{wanted} is too long for Ray's Unix sockets: {folder} is used instead")


def memory() -> float | None:
    """Give the bytes that can be had: the machine's, or what the control group leaves; None if unknown."""
    found: list[float] = []
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            found += [float(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable")]
        with (
            open("/sys/fs/cgroup/memory.max", encoding="ascii") as limit,
            open("/sys/fs/cgroup/memory.current", encoding="ascii") as used,
        ):
            if (text := limit.read().strip()) != "max":
                found.append(float(text) - float(used.read()))
    except OSError:
        pass
    return min(found, default=None)


def _gigabytes(count: float | None) -> str:
    return "unknown" if count is None else f"{count / 1e9:.1f} GB"
