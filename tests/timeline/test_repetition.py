"""What repetitions say together: ranks hold the truth, the worst is the worst, the command plays it again."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.timeline.repetition import downtime, recovery, repeated, spread
from runner.timeline.replay import command
from runner.timeline.run import Blind, Length
from tests.reports.example import RECOVERED, head_node_failure
from tests.reports.example import repeated as example

PARTS = st.tuples(*(st.floats(0, 100),) * 4).map(sorted)
"""The ends of an interval, the best value within, and the truth, which may be before or after that."""
MEASURED = st.lists(st.tuples(PARTS, st.booleans()), min_size=1, max_size=12)


def rank(values: list[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    return min(each for each in values if sum(other <= each for other in values) >= share * len(values))


@given(MEASURED)
def test_whatever_the_truths_are_each_rank_holds_that_of_the_truths(measured):
    lengths, truths = {}, []
    for number, ((low, one, other, high), swapped) in enumerate(measured, start=1):
        lengths[number] = Length(low, other if swapped else one, high)
        truths.append(one if swapped else other)
    found = spread("users", lengths)
    for value, share in ((found.min, 0.0), (found.median, 0.5), (found.p90, 0.9), (found.max, 1.0)):
        truth = rank(truths, share)
        assert value.shortest <= truth <= value.longest
        assert value.shortest <= value.at <= value.longest
    assert found.min.at <= found.median.at <= found.p90.at <= found.max.at
    assert found.max.at == lengths[found.worst].at == max(each.at for each in lengths.values())
    assert found.count == len(measured)


@given(MEASURED, st.randoms(use_true_random=False))
def test_their_order_does_not_matter(measured, luck):
    lengths = {n: Length(low, at, high) for n, ((low, at, _, high), _) in enumerate(measured, start=1)}
    shuffled = list(lengths.items())
    luck.shuffle(shuffled)
    assert spread("users", dict(shuffled)) == spread("users", lengths)


def test_downtime_is_at_most_that_of_windows_and_blind_time_together():
    users, workers, _ = head_node_failure().scenarios[0].probes
    blip = users.series[0]
    window = blip.windows[0]
    assert downtime(blip) == Length(
        window.shortest, window.end.at - window.start.at, window.end.latest - window.start.earliest
    )
    blind = replace(blip, blind=(Blind(window.start.earliest, window.end.latest + 1.0, ()),))
    assert downtime(blind).longest == pytest.approx(downtime(blip).longest + 1.0)
    assert downtime(workers.series[3]) == Length(0, 0.0, pytest.approx(1.78))
    asleep = replace(blip, blind=(Blind(60.0, 60.1, ("suspend",)),))
    assert math.isinf(downtime(asleep).longest)


def test_a_recovery_that_nobody_saw_has_no_end():
    (fault,) = head_node_failure().scenarios[0].faults
    took = RECOVERED - fault.injected
    assert recovery(fault) == Length(0.0, took, took)
    assert recovery(replace(fault, evidence={"missing_at": fault.injected + 5})) == Length(5, took, took)
    assert math.isinf(recovery(replace(fault, recovered=None)).at)


def test_what_did_not_hit_and_earlier_attempts_do_not_count():
    run = example()
    (found,) = run.repeated
    assert [turn.repetition for turn in found.turns] == [1, 2]
    assert {each.of: each.count for each in found.downtime} == {"users": 2, "workers": 2, "head": 2}
    first, second = run.scenarios[1:]
    unhit = replace(second, faults=(), repetition=2)
    assert [each.count for each in next(repeated([first, unhit], {})).downtime] == [1, 1, 1]
    lost = replace(second, faults=(replace(second.faults[0], recovered=None),))
    (spread_of_fault,) = next(repeated([first, lost], {})).recovery
    assert math.isinf(spread_of_fault.max.at)
    assert math.isfinite(spread_of_fault.min.at)
    assert spread_of_fault.worst == 2
    # Of a fault that nobody waited for nothing is known.
    never = replace(first, faults=(replace(first.faults[0], recovered=None),))
    assert next(repeated([never, lost], {})).recovery == ()


def test_nothing_repeated_is_nothing():
    assert list(repeated(head_node_failure().scenarios, {})) == []


def test_the_command_holds_what_was_chosen():
    options = {
        "inventory": "my inventory.yaml", "given": ["gcs=none", "@more.yaml"], "app": "main:app", "path": "/x",
        "tags": ["a", "b"], "skip_tags": ["c"],
    }  # fmt: skip
    assert command(options, "s.yaml", 7, repeat=1) == (
        "ftrun s.yaml -i 'my inventory.yaml' -e gcs=none -e @more.yaml --app main:app --path /x --tags a,b "
        "--skip-tags c --seed 7 --repeat 1"
    )
    assert command({}, "s.yaml", 7) == "ftrun s.yaml --seed 7"
