"""Which of several targets are hit: all of them, or some, drawn with a seed. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any, TypeVar

from runner.errors import ClusterError

T = TypeVar("T")
Json = Any


def drawn(found: Sequence[T], mode: Json, draw: random.Random) -> list[T]:
    """Give those that `mode` means: `one`, `all`, {fixed: n}, {percent: share} (rounded up), in their order.

    Raises ClusterError where there are fewer than `fixed`.
    """
    if mode == "all":
        return list(found)
    if mode == "one":
        number = 1
    elif "fixed" in mode:
        number = int(mode["fixed"])
    else:
        number = math.ceil(len(found) * mode["percent"] / 100 - 1e-9)
    if number > len(found):
        raise ClusterError(f"{number} are to be hit, and there are only {len(found)}.")
    chosen = set(draw.sample(range(len(found)), number))
    return [each for index, each in enumerate(found) if index in chosen]
