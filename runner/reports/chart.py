"""The geometry of pictures: series, spans and marks as SVG paths and percentages of the width.

Lanes are drawn in columns and stretched to the width of the page; what is text stands at a percentage and
is never stretched. Labels are laid out for the narrowest width the page gives a plot, so that they do not
meet on a wider one; where scripts run, report.js lays them out again for the width and zoom that there is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from runner.timeline.run import Chart

LANE = 20
"""Height of a lane in pixels."""
LATENCY = 36
"""Height of a latency chart in pixels."""
FINE = 4
"""A latency chart has so many units of height a pixel: what is pointed at is read back from its path."""
PLOT = 640
"""The narrowest width of a plot in pixels; `report.html.j2` gives no less."""
COLUMNS = 1200
"""A lane has this many columns at most, about one a pixel."""
POINTS = 400
"""A latency chart has this many columns at most."""
LETTER = 6.4
"""Width of a letter of a label in pixels, on average and a little more."""

# State of a column: its class, and where in the lane its bar begins and ends. Height tells them apart
# where colour does not.
STATES = {1: ("good", 8, 12), 2: ("blind", 3, 17), 3: ("slow", 5, 15), 4: ("bad", 0, 20)}


@dataclass(frozen=True, slots=True)
class Axis:
    """The seconds that the width of the plot stands for."""

    start: float
    end: float

    def percent(self, at: float) -> float:
        """Give where an instant lies, in percent of the width; what lies outside is at the border."""
        length = self.end - self.start
        share = (at - self.start) / length if length > 0 else 0.0
        return round(min(1.0, max(0.0, share)) * 100, 3)

    def place(self, start: float, end: float) -> tuple[float, float]:
        """Give where a stretch begins, and its width, in percent."""
        left = self.percent(start)
        return left, round(self.percent(end) - left, 3)

    def ticks(self, most: int = 12) -> list[tuple[float, str]]:
        """Give at most so many ticks and one: percent, and the seconds since the start."""
        length = self.end - self.start
        if length <= 0:
            return [(0.0, "0")]
        step = next(
            step
            for power in range(-4, 12)
            for step in (10.0**power, 2 * 10.0**power, 5 * 10.0**power)
            if length / step <= most
        )
        digits = max(0, -math.floor(math.log10(step)))
        number = math.floor(length / step * (1 + 1e-12))
        return [
            (self.percent(self.start + each * step), f"{each * step:.{digits}f}")
            for each in range(number + 1)
        ]


@dataclass(frozen=True, slots=True)
class Label:
    """A text at a percentage; `row` counts from 0 downwards, `anchor` is SVG's text-anchor."""

    x: float
    row: int
    anchor: str
    text: str


def place(texts: Iterable[tuple[float, str]], rows: int, *, gap: float = 14.0) -> list[Label | None]:
    """Put labels into rows so that no two meet; None for those that find no room.

    `texts` holds percentages and texts, in order of importance.
    """
    taken: list[list[tuple[float, float]]] = [[] for _ in range(rows)]
    labels: list[Label | None] = []
    for x, text in texts:
        width = len(text) * LETTER + gap
        left = x / 100 * PLOT
        anchor = "end" if left + width > PLOT else "start"
        begin, end = (left - width, left) if anchor == "end" else (left, left + width)
        row = next(
            (number for number, row in enumerate(taken) if all(end <= a or begin >= b for a, b in row)), None
        )
        if row is None or begin < 0:
            labels.append(None)
            continue
        taken[row].append((begin, end))
        labels.append(Label(x, row, anchor, text))
    return labels


def fits(text: str, width: float) -> bool:
    """Tell whether a text fits into a bar of a width in percent."""
    return width / 100 * PLOT > len(text) * LETTER + 8


def gaps(start: float, end: float, covered: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Give the stretches of [start, end] that none of the others covers."""
    found: list[tuple[float, float]] = []
    reached = start
    for begin, stop in sorted(covered):
        if min(begin, end) > reached:
            found.append((reached, min(begin, end)))
        reached = max(reached, stop)
    if reached < end:
        found.append((reached, end))
    return found


def rug(instants: Iterable[float]) -> str:
    """Give a path of one stroke for each place in percent, on a thousand columns."""
    columns = sorted({min(999, round(each * 10)) for each in instants})
    return "".join(f"M{column},0v6" for column in columns)


def stack(spans: Sequence[tuple[float, float]]) -> list[int]:
    """Give each span a row, counted from 0, so that spans of one row do not overlap."""
    ends: list[float] = []
    rows: list[int] = []
    for start, end in spans:
        row = next((number for number, taken in enumerate(ends) if taken <= start + 1e-9), len(ends))
        if row == len(ends):
            ends.append(end)
        else:
            ends[row] = end
        rows.append(row)
    return rows


def states(chart: Chart, columns: int = COLUMNS) -> tuple[int, dict[str, str]]:
    """Give the number of columns of a lane, and a path of its bars for each state that occurs.

    Columns that are drawn as one show the worst of them; neighbours of one state are one bar.
    """
    worst = chart.worst
    if len(worst) > columns:
        worst = np.maximum.reduceat(worst, _cuts(len(worst), columns))
    edges = np.flatnonzero(np.diff(worst)) + 1
    starts = np.concatenate(([0], edges))
    ends = np.concatenate((edges, [len(worst)]))
    paths: dict[str, str] = {}
    for code, (name, top, bottom) in STATES.items():
        chosen = worst[starts] == code
        parts: list[str] = []
        last = 0
        for start, end in zip(starts[chosen].tolist(), ends[chosen].tolist(), strict=True):
            width = end - start
            # After `z` the pen is back where the bar began.
            pen = f"m{start - last},0" if parts else f"M{start},{top}"
            parts.append(f"{pen}h{width}v{bottom - top}h-{width}z")
            last = start
        if parts:
            paths[name] = "".join(parts)
    return len(worst), paths


def latency_range(charts: Iterable[Chart]) -> tuple[float, float] | None:
    """Give the decades that hold every latency of the charts, in seconds; None where nothing was answered."""
    values = np.concatenate(
        [np.concatenate((each.latency_p50, each.latency_max)) for each in charts] or [np.empty(0)]
    )
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return None
    low = math.floor(math.log10(float(values.min())))
    high = math.ceil(math.log10(float(values.max())))
    return 10.0**low, 10.0 ** max(high, low + 1)


def decades(bounds: tuple[float, float]) -> list[tuple[float, str]]:
    """Give the powers of ten of a latency chart: the pixel from the top, and a label where there is room."""
    low, high = (round(math.log10(each)) for each in bounds)
    lines: list[tuple[float, str]] = []
    for power in range(low, high + 1):
        y = round((high - power) / (high - low) * LATENCY, 1)
        text = f"{10.0**power:g} s" if power >= 0 else f"{10.0 ** (power + 3):g} ms"
        room = y >= 10 and (not lines or not lines[-1][1] or lines[-1][0] - y >= 10)
        lines.append((y, text if room else ""))
    return lines


def latency(bounds: tuple[float, float], chart: Chart, columns: int = POINTS) -> tuple[int, dict[str, str]]:
    """Give the number of columns, the path of the p50 line and that of the area under the maximum."""
    high, middle = chart.latency_max, chart.latency_p50
    if len(high) > columns:
        cuts = _cuts(len(high), columns)
        high = np.fmax.reduceat(high, cuts)
        # The greatest of the medians: a short rise must not vanish where columns are drawn as one.
        middle = np.fmax.reduceat(middle, cuts)
    return len(high), {"area": _area(_pixels(high, bounds)), "p50": _line(_pixels(middle, bounds))}


def _cuts(length: int, columns: int) -> npt.NDArray[np.int64]:
    return (np.arange(columns) * length // columns).astype(np.int64)


def _pixels(values: npt.NDArray[np.float64], bounds: tuple[float, float]) -> list[int]:
    """Give the units from the top for each value; -1 where there is none."""
    low, high = (math.log10(each) for each in bounds)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (high - np.log10(values)) / (high - low)
    pixels = np.where(
        np.isfinite(values), np.rint(np.clip(np.nan_to_num(share, posinf=1.0), 0, 1) * LATENCY * FINE), -1
    )
    return [int(each) for each in pixels]


def _runs(pixels: Sequence[int]) -> Iterable[list[tuple[int, int, int]]]:
    """Give the unbroken stretches of a line, each a list of (column, width, pixel)."""
    run: list[tuple[int, int, int]] = []
    for column, pixel in enumerate(pixels):
        if pixel < 0:
            if run:
                yield run
            run = []
        elif run and run[-1][2] == pixel:
            run[-1] = (run[-1][0], run[-1][1] + 1, pixel)
        else:
            run.append((column, 1, pixel))
    if run:
        yield run


def _steps(run: list[tuple[int, int, int]]) -> str:
    parts = [f"h{run[0][1]}"]
    for (_, _, before), (_, width, pixel) in pairwise(run):
        parts.append(f"v{pixel - before}h{width}")
    return "".join(parts)


def _line(pixels: Sequence[int]) -> str:
    return "".join(f"M{run[0][0]},{run[0][2]}{_steps(run)}" for run in _runs(pixels))


def _area(pixels: Sequence[int]) -> str:
    bottom = LATENCY * FINE
    return "".join(f"M{run[0][0]},{bottom}V{run[0][2]}{_steps(run)}V{bottom}z" for run in _runs(pixels))
