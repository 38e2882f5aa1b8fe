"""Which machines the faults of a scenario will hit, as far as the plan tells."""

from __future__ import annotations

import pytest

from runner.engine.foresight import hosts_hit
from tests.engine.staging import plan_of

WORKERS = ("worker-1", "worker-2")


@pytest.mark.parametrize(
    ("steps", "hit"),
    [
        ("- kill: {node: {worker: 2}, how: power_off}", {"worker-2"}),
        ("- kill: {host: head, how: delete}", {"head"}),
        ("- partition: {node: {worker: all}, for: 5s}", {"worker-1", "worker-2"}),
        ("- drain: {host: {worker: 1}}", {"worker-1"}),
        ("- block: [{partition: {node: head}}]", {"head"}),
        # A container that ends takes no machine with it.
        ("- kill: {node: head}", set()),
        ("- drain: {node: {worker: 1}}", set()),
        # Which one is drawn when it hits.
        ("- kill: {node: worker, how: power_off}", set()),
        ("- pause: 1s", set()),
    ],
)
def test_machines_that_will_be_hit(steps: str, hit: set[str]) -> None:
    (scenario,) = plan_of(steps).scenarios
    assert hosts_hit(scenario, WORKERS) == hit
