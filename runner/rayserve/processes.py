"""Ray's own processes on a node, told by what they run or are titled. Pure."""

from __future__ import annotations

import os
from collections.abc import Sequence

PROGRAMS = ("raylet", "gcs_server")
"""Those that are programs of their own."""

SCRIPTS = {
    "dashboard": ("ray/dashboard/dashboard.py",),
    "dashboard_agent": ("ray/dashboard/agent.py", "ray::DashboardAgent"),
}
"""Those that Python runs: how a word of their command ends, or the title that they give themselves."""


def part(program: str, command: Sequence[str]) -> str | None:
    """Name the part that a process plays: raylet, gcs_server, dashboard, dashboard_agent, or none of these.

    `program` is the file that runs, empty if nobody may know; `command` are its words, a title the first one.
    """
    named = os.path.basename(program or next(iter(command), ""))
    if named in PROGRAMS:
        return named
    for name, ends in SCRIPTS.items():
        # The script comes soon, behind options of Python; what helps the dashboard is titled otherwise.
        if any(word.rstrip().endswith(ends) for word in command[:8]):
            return name
    return None
