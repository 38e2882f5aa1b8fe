"""How long ftrun takes to start: CPU time of whole commands, as multiples of `python -c pass` in the same run.

    python tests/benchmarks/startup.py [repetitions]

Prints a table; never fails on a slow day. `chaos validate` of a ten-action experiment is measured beside
`ftrun check` where Chaos Toolkit is installed for the same Python.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

PYTHON = sys.executable
BESIDE = Path(PYTHON).parent
FTRUN = (PYTHON, str(BESIDE / "ftrun")) if (BESIDE / "ftrun").exists() else (PYTHON, "-m", "runner.cli")


def cpu(command: Sequence[str]) -> float:
    """Give the seconds of CPU, its children's included, that a command takes."""
    quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    before = getrusage(RUSAGE_CHILDREN)
    os.waitpid(os.posix_spawn(command[0], command, os.environ, file_actions=quiet), 0)
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def experiment(path: Path) -> str:
    """Write an experiment of Chaos Toolkit with ten actions."""
    action = {
        "type": "action",
        "name": "nothing",
        "provider": {"type": "python", "module": "os", "func": "getpid", "arguments": {}},
    }
    path.write_text(
        json.dumps({"title": "ten", "description": "ten", "method": [action] * 10, "rollbacks": []}),
        encoding="utf-8",
    )
    return str(path)


def main() -> None:
    """Measure the commands in turn, so that what else the machine does hits all of them alike."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 21
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.yaml"
        plain.write_text(
            "name: plain\nprobes: {users: {endpoint: service}}\nsteps:\n" + "  - pause: 1s\n" * 10,
            encoding="utf-8",
        )
        commands: dict[str, Sequence[str]] = {
            "python -c pass": (PYTHON, "-c", "pass"),
            "ftrun --help": (*FTRUN, "--help"),
            "ftrun check, ten steps": (*FTRUN, "check", str(plain)),
            "ftrun check head_node": (*FTRUN, "check", "head_node"),
        }
        chaos = BESIDE / "chaos"
        if chaos.exists():
            commands["chaos validate, ten actions"] = (
                *(PYTHON, str(chaos), "--no-version-check", "validate", "--no-verify-tls"),
                experiment(Path(folder) / "ten.json"),
            )
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repetitions):
            for name, command in commands.items():
                taken[name].append(cpu(command))
    one = statistics.median(taken["python -c pass"])
    print(f"{'command':<30}{'median ms':>10}{'multiple':>10}")
    for name, times in taken.items():
        median = statistics.median(times)
        print(f"{name:<30}{median * 1000:>10.1f}{median / one:>10.2f}")
    if shutil.which("chaos", path=str(BESIDE)) is None:
        print("chaos is not installed beside this Python: no comparison with `chaos validate`.")


if __name__ == "__main__":
    main()
