"""The cases of the definitions, and tables of samples with the intervals expected from them."""

from __future__ import annotations

import pytest

from runner.journal.samples import Samples
from runner.timeline.evidence import gather, timing
from runner.timeline.windows import Analysis, analyse
from tests.timeline.simulator import ORIGIN, Outage, Setting, World, nanoseconds

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
