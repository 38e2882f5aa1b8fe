"""Ranges of versions, such as `<2.61` or `>=2.58, <2.61`: read when a file is, asked when a run is judged."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from itertools import zip_longest

from runner.language.refusal import mistake

Release = tuple[int, ...]

_OPERATORS: Mapping[str, Callable[[list[int], list[int]], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_CLAUSE = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*(\d+(?:\.\d+)*)\s*")
_RELEASE = re.compile(r"\d+(?:\.\d+)*")


def clauses(text: str) -> list[tuple[str, Release]]:
    """Give the comparisons of a range, all of which must hold; refuses what is none."""
    found = []
    for part in text.split(","):
        match = _CLAUSE.fullmatch(part)
        if match is None:
            raise mistake(
                "version",
                f"`{text}` is not a range of versions.",
                "Write comparisons: <2.61, or >=2.58, <2.61.",
            )
        found.append((match[1], _numbers(match[2])))
    return found


def within(text: str, version: str) -> bool | None:
    """Tell whether a version lies in a range; None where that is no version.

    Only the numbers count: a release candidate or a nightly build is taken for the release that it leads to.
    """
    match = _RELEASE.match(version)
    if match is None:
        return None
    return all(_compared(sign, _numbers(match[0]), bound) for sign, bound in clauses(text))


def _compared(sign: str, one: Release, other: Release) -> bool:
    pairs = list(zip_longest(one, other, fillvalue=0))
    return _OPERATORS[sign]([left for left, _ in pairs], [right for _, right in pairs])


def _numbers(text: str) -> Release:
    return tuple(int(part) for part in text.split("."))
