from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.reports import chart
from runner.timeline.run import Chart


def lane(worst) -> Chart:
    nothing = np.full(len(worst), np.nan)
    return Chart(0.0, 1.0, np.array(worst, np.uint8), nothing, nothing)


def bars(path: str) -> list[tuple[int, int]]:
    """Read a path of bars back: column and width of each."""
    found, x = [], 0
    for start, move, width in re.findall(r"(M|m)(\d+),\d+h(\d+)v\d+h-\d+z", path):
        x = int(move) if start == "M" else x + int(move)
        found.append((x, int(width)))
    return found


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_a_lane_draws_each_column_in_its_own_state(worst):
    columns, paths = chart.states(lane(worst))
    assert columns == len(worst)
    drawn = [0] * columns
    for code, (name, _, _) in chart.STATES.items():
        for x, width in bars(paths.get(name, "")):
            assert set(drawn[x : x + width]) == {0}
            drawn[x : x + width] = [code] * width
    assert drawn == worst


def test_neighbours_are_one_bar():
    _, paths = chart.states(lane([1] * 500 + [4] * 200 + [1] * 500))
    assert bars(paths["bad"]) == [(500, 200)]
    assert bars(paths["good"]) == [(0, 500), (700, 500)]


@given(st.integers(chart.COLUMNS + 1, 9000), st.data())
def test_no_bad_column_is_lost_where_columns_are_drawn_as_one(length, data):
    worst = np.ones(length, np.uint8)
    at = data.draw(st.integers(0, length - 1))
    worst[at] = 4
    columns, paths = chart.states(lane(worst))
    assert columns == chart.COLUMNS
    ((x, width),) = bars(paths["bad"])
    assert width == 1
    assert abs(x - at * chart.COLUMNS / length) <= 1


def test_states_differ_in_height_and_not_in_colour_alone():
    heights = {bottom - top for _, top, bottom in chart.STATES.values()}
    assert len(heights) == len(chart.STATES)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.text("abc ", min_size=1, max_size=50)), max_size=30),
    st.integers(1, 5),
)
def test_labels_never_meet_and_never_leave_the_plot(texts, rows):
    taken = []
    for label, (x, text) in zip(chart.place(texts, rows), texts, strict=True):
        if label is None:
            continue
        width = len(text) * chart.LETTER
        left = x / 100 * chart.PLOT
        left, right = (left - width, left) if label.anchor == "end" else (left, left + width)
        assert left >= 0
        assert right <= chart.PLOT
        assert 0 <= label.row < rows
        assert all(row != label.row or right <= a or left >= b for row, a, b in taken)
        taken.append((label.row, left, right))


def test_the_first_label_always_finds_room():
    (label,) = chart.place([(100.0, "recovered")], rows=1)
    assert label is not None
    assert label.anchor == "end"


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 20)), max_size=30))
def test_spans_of_one_row_do_not_overlap(pairs):
    spans = sorted((start, start + length) for start, length in pairs)
    rows = chart.stack(spans)
    for row in set(rows):
        own = [span for span, each in zip(spans, rows, strict=True) if each == row]
        assert all(after[0] >= before[1] - 1e-6 for before, after in pairwise(own))


@pytest.mark.parametrize(
    ("end", "texts"),
    [
        (104.2, ["0", "10", "20", "30", "40", "50", "60", "70", "80", "90", "100"]),
        (1.0, ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1.0"]),
        (0.0, ["0"]),
    ],
)
def test_ticks_are_round_numbers_from_the_scenarios_start(end, texts):
    ticks = chart.Axis(7.5, 7.5 + end).ticks()
    assert [text for _, text in ticks] == texts
    assert ticks[0][0] == 0.0


@given(st.floats(0, 1e6), st.floats(1e-3, 1e6))
def test_there_are_never_too_many_ticks(start, length):
    assert 1 < len(chart.Axis(start, start + length).ticks()) <= 14


def test_what_lies_outside_the_axis_is_at_its_border():
    axis = chart.Axis(10.0, 20.0)
    assert [axis.percent(at) for at in (9, 10, 15, 20, 21)] == [0, 0, 50, 100, 100]


def test_a_lone_slow_answer_is_seen_in_the_latency_and_gaps_stay_gaps():
    middle = np.full(1000, 0.004)
    high = np.full(1000, 0.008)
    high[777] = 0.9
    middle[300:500] = high[300:500] = np.nan
    drawn = Chart(0.0, 1.0, np.ones(1000, np.uint8), middle, high)
    bounds = chart.latency_range([drawn])
    assert bounds == pytest.approx((0.001, 1.0))
    columns, paths = chart.latency(bounds, drawn, 100)
    line, area = paths["p50"], paths["area"]
    assert columns == 100
    assert line.count("M") == 2
    assert area.count("M") == 2
    # One step up by about two decades of three, and down again.
    (up, down) = re.findall(r"v(-\d+)h1v(\d+)", area)[0]
    assert -int(up) == int(down) == pytest.approx(2 / 3 * chart.LATENCY * chart.FINE, rel=0.1)


def test_without_answers_there_is_no_latency_to_draw():
    assert chart.latency_range([lane([4] * 9)]) is None
    assert chart.latency_range([]) is None
