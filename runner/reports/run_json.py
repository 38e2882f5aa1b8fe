"""run.json: the run for machines, as docs/formats.md and docs/run.schema.json describe it.

The file follows the tree of `runner.timeline.run`: the same names in the same order. Left out are the
charts, which only pictures need.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from numbers import Integral
from typing import Any

from runner.timeline.run import Run

VERSION = 1
"""The version of run.json."""


def document(run: Run) -> dict[str, Any]:
    """Give the run as JSON has it: seconds rounded to nanoseconds, what is not known or unbounded is null."""
    return {
        "version": VERSION,
        "run": run.run,
        "ftrun": run.ftrun,
        "verdict": str(run.verdict),
        "exit_code": run.exit_code,
        "state": run.state,
        "message": run.message,
        "clock": {"wall": _plain(run.wall), "monotonic": _plain(run.monotonic)},
        "seed": run.seed,
        "argv": list(run.argv),
        "machine": _plain(run.machine),
        "inventory": _plain(run.inventory),
        "scenarios": _plain(run.scenarios),
        "options": _plain(run.options),
        "repeated": _plain(run.repeated),
        "judged_by": run.judged_by,
    }


def render(run: Run) -> str:
    """Give the text of run.json."""
    return json.dumps(document(run), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    match value:
        case bool() | None:
            return value
        case Integral():
            return int(value)
        case float():
            return round(float(value), 9) if math.isfinite(value) else None
        case str():
            return str(value)
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case tuple() | list():
            return [_plain(each) for each in value]
        case _ if is_dataclass(value):
            return {
                each.name: _plain(getattr(value, each.name)) for each in fields(value) if each.name != "chart"
            }
        case _:
            return str(value)
