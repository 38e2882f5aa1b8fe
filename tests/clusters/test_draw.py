"""Which of several targets are hit."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.clusters.draw import drawn
from runner.errors import ClusterError


@given(st.lists(st.integers(), min_size=1, unique=True), st.floats(0.1, 100), st.integers())
def test_a_share_is_rounded_up_and_drawn_with_the_seed(found: list[int], share: float, seed: int) -> None:
    chosen = drawn(found, {"percent": share}, random.Random(seed))
    assert chosen == drawn(found, {"percent": share}, random.Random(seed))
    assert chosen == [each for each in found if each in chosen]
    assert len(chosen) == min(len(found), math.ceil(len(found) * share / 100 - 1e-9))
    assert chosen


def test_one_all_and_a_number() -> None:
    found = list("abcd")
    assert drawn(found, "all", random.Random(1)) == found
    assert {drawn(found, "one", random.Random(seed))[0] for seed in range(50)} == set(found)
    assert len(drawn(found, {"fixed": 3}, random.Random(1))) == 3
    with pytest.raises(ClusterError, match=r"5 are to be hit, and there are only 4\."):
        drawn(found, {"fixed": 5}, random.Random(1))
