"""What the repetitions of a scenario say together, as the template draws it: a dot for each, and ranks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from runner.reports import chart, phrases
from runner.timeline.run import Length, Repeated, Scenario, Spread

TURNS = 40
"""Most repetitions that a table shows; the worst is among them."""


def draw(repeated: Repeated, scenarios: Sequence[Scenario]) -> dict[str, Any]:
    """Give the picture and the table of a repeated scenario; `scenarios` are those of the run, in order."""
    own = {
        each.repetition: (number, each)
        for number, each in enumerate(scenarios, 1)
        if each.name == repeated.name and not each.superseded
    }
    spreads = [("down", each) for each in repeated.downtime] + [
        ("recovery", each) for each in repeated.recovery
    ]
    most = max([each for _, spread in spreads for each in _finite(spread.max)], default=1.0)
    axis = chart.Axis(0.0, most * 1.04 if most > 0 else 1.0)
    turns = sorted(repeated.turns, key=lambda turn: (turn.repetition != repeated.worst, turn.repetition))[
        :TURNS
    ]
    return {
        "repeated": repeated,
        "lines": phrases.say_repeated(repeated),
        "ticks": axis.ticks(8),
        "spreads": [
            {
                "kind": kind,
                "spread": spread,
                "ranks": [
                    (name, phrases.length(value))
                    for name, value in (
                        ("median", spread.median),
                        ("90 %", spread.p90),
                        ("worst", spread.max),
                    )
                ],
                "median": axis.percent(spread.median.at) if math.isfinite(spread.median.at) else None,
                "dots": [
                    (axis.percent(at), turn == spread.worst, f"repetition {turn}: {phrases.duration(at)}")
                    for turn, (_, scenario) in own.items()
                    if (at := _measured(kind, spread, scenario)) is not None
                ],
            }
            for kind, spread in spreads
        ],
        "turns": [
            {
                "turn": turn,
                "word": phrases.word(turn.verdict, turn.state),
                "section": own[turn.repetition][0] if turn.repetition in own else None,
                "worst": turn.repetition == repeated.worst,
                "measured": [
                    "unknown" if value is None else phrases.duration(value)
                    for value in (
                        _measured(kind, spread, own[turn.repetition][1]) if turn.repetition in own else None
                        for kind, spread in spreads
                    )
                ],
            }
            for turn in sorted(turns, key=lambda turn: turn.repetition)
        ],
        "left_out": len(repeated.turns) - len(turns),
    }


def _finite(length: Length) -> Iterator[float]:
    return (each for each in (length.longest, length.at) if math.isfinite(each))


def _measured(kind: str, spread: Spread, scenario: Scenario) -> float | None:
    """Give the best single value of what a spread is of in one repetition; None where it is not known."""
    if kind == "down":
        worst = next((phrases.worst(each) for each in scenario.probes if each.name == spread.of), None)
        return phrases.downtime(worst).at if worst is not None and worst.samples else None
    fault = next((each for each in scenario.faults if each.name == spread.of), None)
    if fault is None or fault.injected is None or fault.recovered is None:
        return None
    return fault.recovered - fault.injected
