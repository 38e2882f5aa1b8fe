"""Ray's own processes are told from each other, and from what helps them."""

from __future__ import annotations

import pytest

from runner.rayserve.processes import part

PYTHON = "/usr/bin/python3.11"
RAY = "/venv/lib/python3.11/site-packages/ray"


@pytest.mark.parametrize(
    ("program", "command", "expected"),
    [
        (f"{RAY}/core/src/ray/raylet/raylet", ("raylet", "--raylet_socket_name=/tmp/x"), "raylet"),
        (f"{RAY}/core/src/ray/gcs/gcs_server", ("gcs_server", "--log_dir=/tmp/x"), "gcs_server"),
        (PYTHON, ("python", f"{RAY}/dashboard/dashboard.py", "--host=10.1.0.2", ""), "dashboard"),
        (PYTHON, ("python", "-u", f"{RAY}/dashboard/agent.py", "--node-ip-address=x"), "dashboard_agent"),
        (PYTHON, ("ray::DashboardAgent        ", ""), "dashboard_agent"),
        (PYTHON, ("ray::RuntimeEnvAgent", ""), None),
        (PYTHON, ("ray::ServeReplica:a:D", ""), None),
        (
            PYTHON,
            ("ray-dashboard-ServeHead-0 (python -B -c \"main(25, '/ray/dashboard/dashboard.py')\")",),
            None,
        ),
        (PYTHON, ("python", "-m", "ray.scripts.scripts", "start", "--block", "--head"), None),
        ("", (f"{RAY}/core/src/ray/raylet/raylet", "--raylet_socket_name=/tmp/x"), "raylet"),
        ("", (), None),
    ],
)
def test_a_part_is_told_by_its_program_its_script_or_its_title(
    program: str, command: tuple[str, ...], expected: str | None
) -> None:
    assert part(program, command) == expected
