"""The cases of the definitions, and tables of samples with the intervals expected from them."""

from __future__ import annotations

import math

import pytest

from runner.journal.samples import Outcome, ProberLog, Samples
from runner.timeline.evidence import gather, timing
from runner.timeline.windows import Analysis, analyse
from tests.timeline.simulator import ORIGIN, Outage, Setting, World, nanoseconds, table

CASES = Setting()
"""100/s, timeout 2 s, slow_after 0.5 s, 15 s long."""


def look(samples: Samples, stalls=(), *, start=0.0, end=15.0, **more) -> Analysis:
    return analyse(
        gather(samples, stalls),
        timing(samples.header),
        scope=(nanoseconds(start), nanoseconds(end)),
        zero=ORIGIN,
        **more,
    )


def simulate(*outages: Outage, setting: Setting = CASES, freezes=(), **more) -> Analysis:
    samples, stalls = World(setting, list(outages), list(freezes)).record()
    return look(samples, stalls, end=setting.length, **more)


def only(analysis: Analysis):
    assert len(analysis.windows) == 1
    return analysis.windows[0]


def test_refused_for_a_second():
    window = only(simulate(Outage(10.003, 11.003, "refused")))
    assert window.shortest == pytest.approx(0.99, abs=0.005)
    assert window.longest == pytest.approx(1.01, abs=0.005)
    assert window.outcomes == {"refused": 100}
    assert window.start.at == pytest.approx(10.003, abs=0.01)
    assert window.end is not None
    assert window.end.at == pytest.approx(11.003, abs=0.01)


def test_one_lone_503():
    window = only(simulate(Outage(10.0025, 10.0115, "http_503")))
    assert window.shortest == 0
    assert window.longest == pytest.approx(0.02, abs=0.005)
    assert window.outcomes == {"http_5xx": 1}


def test_refused_until_the_end():
    window = only(simulate(Outage(10.003, 99.0, "refused")))
    assert window.open
    assert window.end is None
    assert window.shortest == pytest.approx(4.98, abs=0.005)
    assert window.longest == pytest.approx(5.0, abs=0.005)


def test_packets_dropped_for_three_seconds_on_new_connections():
    window = only(simulate(Outage(10.003, 13.003, "blackhole"), setting=Setting(length=20)))
    assert window.shortest == pytest.approx(2.5, abs=0.05)
    assert window.longest == pytest.approx(3.0, abs=0.05)
    assert window.start.at == pytest.approx(10.003, abs=0.01)
    assert window.end is not None
    assert window.end.at == pytest.approx(13.003, abs=0.02)


def test_frozen_for_five_seconds_with_late_answers():
    window = only(simulate(Outage(10.003, 15.003, "stall"), setting=Setting(length=20)))
    assert window.shortest == pytest.approx(4.0, abs=0.05)
    assert window.longest == pytest.approx(5.0, abs=0.05)
    assert set(window.outcomes) == {"timeout", "slow"}
    assert window.end is not None
    assert window.end.at == pytest.approx(15.003, abs=0.01)


def test_frozen_for_a_second():
    window = only(simulate(Outage(10.003, 11.003, "stall")))
    assert window.shortest == 0
    assert window.longest == pytest.approx(1.0, abs=0.02)
    assert set(window.outcomes) == {"slow"}


def test_two_outages_of_a_second_are_two_windows():
    analysis = simulate(Outage(8.003, 9.003, "refused"), Outage(10.503, 11.503, "refused"))
    assert [round(window.shortest, 1) for window in analysis.windows] == [1.0, 1.0]
    assert analysis.count.lo == 2


def test_one_request_in_four_refused_is_one_window():
    analysis = simulate(Outage(5.003, 10.003, "refused", share=4))
    window = only(analysis)
    assert window.shortest == 0
    assert window.longest == pytest.approx(5.0, abs=0.05)
    assert analysis.failed.lo == analysis.failed.hi == 125


# Tables of samples, and what is expected of them. One sample every 10 ms from 0 on, each taking 1 ms:
# g good, s slow (0.6 s), b refused, t timeout (2 s), v void, - never sent.


def samples_of(row: str, setting: Setting = CASES) -> Samples:
    outcomes = {
        "g": Outcome.OK,
        "s": Outcome.OK,
        "b": Outcome.REFUSED,
        "t": Outcome.TIMEOUT,
        "v": Outcome.VOID,
    }
    took = {"g": 1, "s": 600, "b": 1, "t": 2000, "v": 1}
    there = [n for n, letter in enumerate(row) if letter != "-"]
    sent = [ORIGIN + n * 10_000_000 for n in there]
    return table(
        setting,
        there,
        sent,
        sent,
        [at + took[row[n]] * 1_000_000 for n, at in zip(there, sent, strict=True)],
        [outcomes[row[n]] for n in there],
    )


def tell(row: str, **more) -> Analysis:
    return look(samples_of(row), end=len(row) / 100, **more)


LONG = "g" * 150
"""Enough good samples to close a window."""

TABLE = {
    # row: [(earliest start, latest start, earliest end, latest end, shortest)], times in ms
    f"ggb{LONG}": [(10, 21, 20, 31, 0)],
    f"ggbbbb{LONG}": [(10, 21, 50, 61, 29)],
    f"b{LONG}": [(0, 1, 0, 11, 0)],
    # Goods between bad ones break the proof, not the window.
    f"ggbbgbb{LONG}": [(10, 21, 60, 71, 18)],
    # Two windows, since what is between closes the first.
    f"gb{LONG}bb{LONG}": [(0, 11, 10, 21, 0), (1510, 1521, 1530, 1541, 9)],
    # A row of goods that spans less than a second does not close it.
    f"gb{'g' * 100}b{LONG}": [(0, 11, 1020, 1031, 0)],
    f"gb{'g' * 101}b{LONG}": [(0, 11, 10, 21, 0), (1020, 1031, 1030, 1041, 0)],
    # Whatever bad sample may speak longest counts, not the last one.
    f"gtb{'g' * 120}b{LONG}": [(0, 21, 1230, 1241, 0)],
    # Other errors are the same window.
    f"ggbts{LONG}": [(10, 21, 40, 51, 19)],
    # A void sample is no evidence: neither good nor bad.
    f"ggvbv{LONG}": [(10, 31, 30, 51, 0)],
    # A slow one says "down" at most 0.5 s after it was sent; goods sent before that close nothing.
    f"gs{'g' * 120}b{LONG}": [(0, 510, 1220, 1231, 0)],
    f"gs{'g' * 155}b{LONG}": [(0, 21, 10, 21, 0), (1560, 1571, 1570, 1581, 0)],
    # Blind cells break the proof as well.
    f"gbb{'-' * 20}bb{LONG}": [(0, 11, 240, 251, 18)],
}  # fmt: skip


@pytest.mark.parametrize("row", TABLE)
def test_a_row_of_samples_makes_these_windows(row):
    found = [
        tuple(
            round(value * 1000)
            for value in (
                window.start.earliest,
                window.start.latest,
                window.end.earliest,
                window.end.latest,
                window.shortest,
            )
        )
        for window in tell(row).windows
        if window.end is not None
    ]
    assert found == TABLE[row]


def test_a_window_is_open_only_if_no_good_sample_follows():
    assert tell(f"{LONG}bbb").windows[0].open
    window = tell(f"{LONG}bbbg").windows[0]
    assert not window.open
    assert window.end is not None


def test_the_best_value_of_an_edge_lies_between_its_samples():
    window = tell(f"ggbbb{LONG}").windows[0]
    assert window.end is not None
    assert window.start.at == pytest.approx(0.015)
    assert window.end.at == pytest.approx(0.045)


def test_where_the_last_bad_one_got_no_answer_the_first_right_answer_tells_the_end():
    samples = World(Setting(length=20), [Outage(10.003, 14.003, "stall")]).record()[0]
    window = look(samples, end=20).windows[0]
    assert window.end is not None
    assert window.end.earliest == pytest.approx(13.5, abs=0.02)
    assert window.end.at == pytest.approx(14.003, abs=0.01)


def test_a_timeout_got_no_answer_also_where_slow_after_is_the_timeout():
    setting = Setting(length=20, slow_after=2.0)
    samples = World(setting, [Outage(10.003, 14.003, "stall")]).record()[0]
    window = look(samples, end=20).windows[0]
    assert set(window.outcomes) == {"timeout"}
    assert window.end is not None
    assert window.end.at == pytest.approx(14.003, abs=0.01)


def test_outcomes_are_counted_and_slow_is_no_failure():
    analysis = tell(f"ggbbtsss{LONG}")
    assert analysis.windows[0].outcomes == {"slow": 3, "refused": 2, "timeout": 1}
    assert analysis.failed.lo == 3


# Blind cells


def spans(analysis: Analysis) -> list[tuple[int, int]]:
    return [(round(each.start * 1000), round(each.end * 1000)) for each in analysis.blind]


def test_a_gap_is_blind_if_it_is_longer_than_blind_after():
    assert spans(tell("g" + "-" * 9 + "g")) == []
    assert spans(tell("g" + "-" * 10 + "g")) == [(0, 110)]


def test_edges_of_the_scope_may_be_blind():
    assert spans(tell("-" * 20 + "g" * 20 + "-" * 20)) == [(0, 200), (390, 600)]


def test_without_evidence_everything_is_blind():
    analysis = tell("-" * 5)
    assert spans(analysis) == [(0, 50)]
    assert analysis.resolution is None
    assert analysis.failed.hi == 6


def test_void_samples_leave_a_blind_cell_and_name_its_cause():
    analysis = tell("g" * 20 + "v" * 20 + "g" * 20)
    assert spans(analysis) == [(190, 400)]
    assert analysis.blind[0].causes == ("local errors",)


def test_the_causes_of_blind_cells_are_named():
    row = "g" + "-" * 20 + "g" + "-" * 20 + "g" + "-" * 20
    ms = 1_000_000
    log = ProberLog(
        stalls=((ORIGIN + 10 * ms, ORIGIN + 200 * ms),),
        who={},
        detail={},
        stops={},
        others=(
            {
                "kind": "run_delay",
                "start_ns": ORIGIN + 10 * ms,
                "end_ns": ORIGIN + 200 * ms,
                "grew_ns": 180 * ms,
            },
            {"kind": "capped", "start_ns": ORIGIN + 250 * ms, "end_ns": ORIGIN + 300 * ms, "count": 6},
        ),
    )
    analysis = tell(row, log=log, stopped=False)
    assert [each.causes for each in analysis.blind] == [
        ("stall", "run delay"),
        ("in-flight cap",),
        ("no stop",),
    ]


def test_pings_without_an_answer_are_a_cause():
    others = tuple({"kind": "ping", "id": n, "p_ns": ORIGIN + at * 10**9} for n, at in enumerate((0, 1, 6)))
    analysis = tell("g" * 200 + "-" * 300 + "g" * 200, log=ProberLog((), {}, {}, {}, others))
    assert [each.causes for each in analysis.blind] == [("unanswered pings",)]


def test_after_a_suspend_nothing_has_an_upper_bound():
    log = ProberLog((), {}, {}, {}, ({"kind": "suspend", "at_ns": ORIGIN + 10**9, "grew_ns": 10**12},))
    analysis = tell(f"gg{LONG}", log=log)
    assert [each.hi for each in (analysis.failed, analysis.count, analysis.total, analysis.longest)] == [
        math.inf
    ] * 4


# What verdicts look at


def test_intervals_of_a_row():
    # Blind from 10 to 320 ms, down from there to 350 ms; the end is known to 11 ms.
    analysis = tell(f"gg{'-' * 30}bbbb{LONG}")
    assert (analysis.failed.lo, analysis.failed.hi) == (4, 34)
    assert (analysis.count.lo, analysis.count.hi) == (1, 1 + 4)
    assert analysis.total.lo == pytest.approx(0.029)
    assert analysis.total.hi == pytest.approx(0.351)
    assert analysis.longest.hi == pytest.approx(0.351)
    assert analysis.total.above
    assert analysis.longest.above
    assert analysis.resolution == pytest.approx(0.31)


def test_blind_time_alone_leaves_downtime_open():
    analysis = tell("g" * 20 + "-" * 30 + "g" * 20)
    for interval in (analysis.total, analysis.longest):
        assert (interval.lo, interval.hi, interval.above) == (0, pytest.approx(0.31), False)
    assert (analysis.count.lo, analysis.count.hi) == (0, 4)


def test_nothing_reaches_beyond_the_scope():
    window = look(samples_of(f"gb{LONG}"), end=0.0205).windows[0]
    assert window.end is not None
    assert window.end.latest == pytest.approx(0.0205)
    assert window.longest == pytest.approx(0.0205)


def test_three_goods_in_a_row_inside_a_window_may_be_the_end_of_one():
    assert tell(f"gbggb{LONG}").count.hi == 1
    assert tell(f"gbgggb{LONG}").count.hi == 2
    # The row that closes a window is not inside it.
    assert tell(f"gb{LONG}b{LONG}").count.hi == 2


def test_total_is_the_union_of_windows_and_blind_cells():
    # The blind cell is inside the window's bracket and counts once.
    analysis = tell(f"gb{'-' * 20}b{LONG}")
    (window,) = analysis.windows
    assert analysis.total.hi == pytest.approx(window.longest)


def test_only_what_was_sent_within_the_scope_counts():
    row = "g" * 50 + "b" * 10 + LONG
    before = look(samples_of(row), start=0.0, end=0.495)
    inside = look(samples_of(row), start=0.525, end=0.555)
    assert before.windows == ()
    (window,) = inside.windows
    assert window.open
    assert (window.start.earliest, window.longest) == (pytest.approx(0.525), pytest.approx(0.03))
    assert inside.failed.lo == 3


def test_the_order_of_samples_is_that_of_sending():
    """A request that was sent first and ends last still comes first."""
    samples = samples_of(f"gtgg{LONG}")
    window = look(samples, end=2.0).windows[0]
    assert window.start.earliest == 0.0
    assert window.outcomes == {"timeout": 1}
