"""What a step costs: the slope between scenarios of few and of many steps, the journal on.

    python tests/benchmarks/steps.py

Prints a table; the aim is at most 0.1 ms for a step that does nothing.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from runner.engine.run import perform
from tests.engine.staging import plan_of

FEW, MANY, ROUNDS = 1, 1000, 7
STEPS = {
    "no-op (pause: 0s)": "- pause: 0s\n",
    "log": "- log: nothing\n",
    "log with a template": "- log: 'one {{ 1 + 1 }}'\n",
    "log under when": "- {log: nothing, when: 1 == 1}\n",
}


def took(steps: str) -> float:
    """Give the CPU seconds that performing these steps takes."""
    plan = plan_of(steps, cluster={"kind": "fake", "boot": "1ms"})
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        asyncio.run(perform(plan, Path(folder)))
        return time.process_time() - began


def main() -> None:
    """Print the table."""
    print(f"{'step':<24}{'us a step, median of ' + str(ROUNDS):>28}{'least':>10}")
    for name, step in STEPS.items():
        slopes = [(took(step * MANY) - took(step * FEW)) / (MANY - FEW) * 1e6 for _ in range(ROUNDS)]
        print(f"{name:<24}{statistics.median(slopes):>28.1f}{min(slopes):>10.1f}")


if __name__ == "__main__":
    main()
