"""What class a sample is of, and how far a bad one speaks; stalls of the prober are not held against the server."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.journal.samples import Outcome
from runner.timeline.evidence import Class, gather, stalled_before
from tests.timeline.simulator import ORIGIN, Setting, table

MS = 1_000_000


def one(outcome: Outcome, took: int, stalls=()) -> tuple[Class, int]:
    """Give the class of a sample sent at 0 that took so many ms, and its u in ms; stalls in ms."""
    samples = table(Setting(), [0], [ORIGIN], [ORIGIN], [ORIGIN + took * MS], [outcome])
    evidence = gather(samples, [(ORIGIN + start * MS, ORIGIN + end * MS) for start, end in stalls])
    return Class(int(evidence.kind[0])), int(evidence.u[0] - ORIGIN) // MS


@pytest.mark.parametrize(
    ("outcome", "took", "expected"),
    [
        (Outcome.OK, 500, (Class.GOOD, 500)),
        (Outcome.OK, 501, (Class.SLOW, 500)),
        (Outcome.REFUSED, 1, (Class.BAD, 1)),
        (Outcome.HTTP_5XX, 700, (Class.BAD, 500)),
        (Outcome.TIMEOUT, 2000, (Class.BAD, 500)),
        (Outcome.VOID, 0, (Class.VOID, 0)),
    ],
)
def test_classes(outcome, took, expected):
    assert one(outcome, took) == expected


@pytest.mark.parametrize("outcome", [each for each in Outcome if each not in (0, Outcome.OK, Outcome.VOID)])
def test_every_other_end_is_bad(outcome):
    assert one(outcome, 1)[0] is Class.BAD


def test_stalled_time_inside_a_request_is_taken_off():
    assert one(Outcome.OK, 900, [(100, 500)]) == (Class.GOOD, 900)
    assert one(Outcome.OK, 901, [(100, 500)]) == (Class.SLOW, 900)
    assert one(Outcome.TIMEOUT, 3000, [(100, 500)]) == (Class.BAD, 900)
    # Of a stall that reaches beyond either end only the part inside.
    assert one(Outcome.OK, 700, [(-1000, 200)]) == (Class.GOOD, 700)
    assert one(Outcome.OK, 701, [(-1000, 200)])[0] is Class.SLOW
    assert one(Outcome.OK, 701, [(500, 5000)]) == (Class.GOOD, 701)
    assert one(Outcome.OK, 701, [(501, 5000)])[0] is Class.SLOW
    assert one(Outcome.OK, 600, [(700, 5000)])[0] is Class.SLOW


@pytest.mark.parametrize(
    ("outcome", "took", "expected"),
    [(Outcome.TIMEOUT, 2000, Class.VOID), (Outcome.OK, 900, Class.GOOD), (Outcome.OK, 901, Class.SLOW)],
)
def test_what_finds_no_answer_while_our_own_forwarder_stalls_proves_nothing(outcome, took, expected):
    samples = table(Setting(), [0], [ORIGIN], [ORIGIN], [ORIGIN + took * MS], [outcome])
    deaf = [(ORIGIN + 100 * MS, ORIGIN + 400 * MS), (ORIGIN + 300 * MS, ORIGIN + 500 * MS)]
    assert gather(samples, (), deaf).kind.tolist() == [expected]
    assert gather(samples, deaf[:1], deaf).kind.tolist() == [expected]


def test_what_ended_before_the_forwarder_stalled_is_evidence():
    samples = table(Setting(), [0], [ORIGIN], [ORIGIN], [ORIGIN + 5 * MS], [Outcome.REFUSED])
    assert gather(samples, (), [(ORIGIN + 6 * MS, ORIGIN + 9 * MS)]).kind.tolist() == [Class.BAD]


def test_being_sent_late_makes_nothing_bad():
    samples = table(Setting(), [0], [ORIGIN], [ORIGIN + 900 * MS], [ORIGIN + 1300 * MS], [Outcome.OK])
    assert gather(samples, ()).kind.tolist() == [Class.GOOD]


@given(st.lists(st.integers(1, 50), max_size=12), st.lists(st.integers(-10, 400), min_size=1, max_size=20))
def test_stalled_time_before_an_instant_is_what_counting_gives(lengths, instants):
    edges = np.cumsum(lengths).tolist()
    stalls = list(zip(edges[::2], edges[1::2], strict=False))
    counted = [sum(start <= tick < end for start, end in stalls for tick in range(at)) for at in instants]
    assert stalled_before(stalls, np.array(instants)).tolist() == counted
