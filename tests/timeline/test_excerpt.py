from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.journal.samples import Outcome, ProberLog, Samples
from runner.timeline.evidence import gather, timing
from runner.timeline.excerpt import AROUND, EDGE, ERRORS, QUOTED, quote
from runner.timeline.run import Error, Excerpt
from runner.timeline.windows import analyse

ZERO = 5_000_000_000
PERIOD = 100_000_000
HEADER = {
    "t0_ns": ZERO,
    "period_ns": [PERIOD, 1],
    "timeout_ns": 2 * 10**9,
    "slow_after_ns": 5 * 10**8,
    "blind_after_ns": 10**9,
    "recover_after_ns": 10**9,
}
LOG = ProberLog((), {0: "", 1: "4711"}, {0: "", 1: "connection refused", 2: "503: busy"}, {}, ())


def samples(outcomes: list[tuple[int, int, int]], took: float = 0.01) -> Samples:
    """Give samples, one a period, from (outcome, status, detail)."""
    count = len(outcomes)
    sent = ZERO + np.arange(count, dtype=np.int64) * PERIOD
    outcome, status, detail = (np.array(column) for column in zip(*outcomes, strict=True))
    return Samples(
        header=HEADER,
        n=np.arange(count),
        due=sent,
        sent=sent,
        done=sent + round(took * 1e9),
        status=status.astype(np.uint16),
        who=np.where(outcome == Outcome.OK, 1, 0).astype(np.uint16),
        detail=detail.astype(np.uint16),
        outcome=outcome.astype(np.uint8),
        flags=np.zeros(count, np.uint8),
    )


def windows(recorded: Samples):
    evidence = gather(recorded, ())
    end = int(recorded.sent[-1]) + PERIOD
    found = analyse(evidence, timing(HEADER), scope=(ZERO, end), zero=ZERO).windows
    return quote(found, evidence.within(ZERO, end), log=LOG, zero=ZERO)


GOOD = (Outcome.OK, 200, 0)
REFUSED = (Outcome.REFUSED, 0, 1)
BUSY = (Outcome.HTTP_5XX, 503, 2)


def test_a_short_window_is_shown_whole_with_what_stands_around_it():
    (window,) = windows(samples([GOOD] * 20 + [REFUSED, BUSY, REFUSED] + [GOOD] * 20))
    assert window.excerpt is not None
    shown = [(round(each.sent, 3), each.outcome, each.status, each.who) for each in window.excerpt.samples]
    assert shown == [
        (1.8, "good", 200, "4711"),
        (1.9, "good", 200, "4711"),
        (2.0, "refused", None, ""),
        (2.1, "http_5xx", 503, ""),
        (2.2, "refused", None, ""),
        (2.3, "good", 200, "4711"),
        (2.4, "good", 200, "4711"),
    ]
    assert [each.skipped for each in window.excerpt.samples] == [0] * 7
    assert window.excerpt.samples[2].took == 0.01


def test_errors_are_counted_by_their_text_the_most_frequent_first():
    (window,) = windows(samples([GOOD] * 20 + [BUSY] + [REFUSED] * 2 + [GOOD] * 20))
    assert window.excerpt == Excerpt(
        samples=window.excerpt.samples,
        errors=(Error("refused", None, "connection refused", 2), Error("http_5xx", 503, "503: busy", 1)),
        others=0,
    )


def test_a_right_answer_that_was_late_is_slow_and_no_error_of_the_server():
    (window,) = windows(samples([GOOD] * 3, took=0.9))
    assert {each.outcome for each in window.excerpt.samples} == {"slow"}
    assert window.excerpt.errors == (Error("slow", 200, "", 3),)


def test_a_window_at_the_very_beginning_and_to_the_very_end_has_an_excerpt():
    (window,) = windows(samples([REFUSED] * 30))
    assert len(window.excerpt.samples) == 2 * EDGE
    assert window.open


def test_only_the_longest_windows_of_a_series_have_one():
    outcomes = []
    for length in range(1, QUOTED + 4):
        outcomes += [GOOD] * 20 + [REFUSED] * length
    found = windows(samples([*outcomes, *[GOOD] * 20]))
    assert [window.excerpt is not None for window in found] == [False] * 3 + [True] * QUOTED


@settings(max_examples=60)
@given(
    st.lists(
        st.sampled_from([GOOD, GOOD, GOOD, REFUSED, BUSY, (Outcome.VOID, 0, 0), (Outcome.TIMEOUT, 0, 0)]),
        min_size=1,
        max_size=200,
    )
)
def test_an_excerpt_is_small_in_order_and_leaves_nothing_uncounted(outcomes):
    recorded = samples(outcomes)
    for window in windows(recorded):
        assert window.excerpt is not None or len(windows(recorded)) > QUOTED
        if window.excerpt is None:
            continue
        shown = window.excerpt.samples
        assert len(shown) <= 2 * (EDGE + AROUND)
        assert len(window.excerpt.errors) <= ERRORS
        numbers = [round(each.sent * 1e9) // PERIOD for each in shown]
        assert numbers == sorted(set(numbers))
        assert [each.skipped for each in shown[1:]] == [two - one - 1 for one, two in pairwise(numbers)]
        counted = sum(each.count for each in window.excerpt.errors) + window.excerpt.others
        assert counted == sum(window.outcomes.values())
