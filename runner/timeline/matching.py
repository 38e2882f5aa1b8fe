"""What a JSONPath finds in a document, against what a case or a wait wants it to be."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.errors import FtrunError
from runner.language.paths import find
from runner.timeline.run import Verdict
from runner.timeline.verdict import Interval, within

Json = Any

SHOWN = 5
"""So many matches are shown to people."""

NULL = "a value that decides is null, which means not known"


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict, and its reasons as sentences for people."""

    verdict: Verdict
    expected: str
    actual: str
    why: str = ""


def match(wanted: Mapping[str, Json], path: str, document: Json | None) -> Finding:
    """Judge one of equals, count, all, any (in `wanted`) on what `path` finds.

    Unknown where there is no document, where a list that the path reads is unknown in it, where the path
    fails on the data, and where a value decides that is null, which says that it is not known.
    """
    matcher, value = _matcher(wanted)
    expected = f"{path} {_say_wanted(matcher, value)}"
    found = _found(path, expected, document)
    if isinstance(found, Finding):
        return found
    verdict = _decide(matcher, value, found)
    why = NULL if verdict is Verdict.UNKNOWN else ""
    return Finding(verdict, expected, _say_found(matcher, found), why)


def unchanged(path: str, before: Json | None, document: Json | None) -> Finding:
    """Judge whether `path` finds the same in two documents, in any order; nothing at all is not the same."""
    expected = f"{path} finds what it found before the fault"
    was, now = (_found(path, expected, each) for each in (before, document))
    if isinstance(was, Finding):
        return Finding(Verdict.UNKNOWN, expected, "what was there before is not known", was.why)
    if not was:
        return Finding(Verdict.UNKNOWN, expected, "there was nothing before", "there is nothing to compare")
    if isinstance(now, Finding):
        return now
    actual = f"{_say_found('', now)}; before it {_say_found('', was)}"
    if None in (*was, *now):
        return Finding(Verdict.UNKNOWN, expected, actual, NULL)
    one, other = (sorted(map(_show_whole, each)) for each in (was, now))
    return Finding(Verdict.PASS if one == other else Verdict.FAIL, expected, actual)


def _found(path: str, expected: str, document: Json | None) -> Sequence[Json] | Finding:
    """Give what a path finds; where that cannot be known, the finding that says why."""
    if document is None:
        return Finding(
            Verdict.UNKNOWN, expected, "nothing was observed", "there is no observation to look at"
        )
    missing = _unknown_lists(path, document)
    if missing:
        return Finding(
            Verdict.UNKNOWN,
            expected,
            "nobody could say",
            f"at that moment nobody could answer for {' and '.join(missing)}",
        )
    try:
        return find(path, document)
    except FtrunError as error:
        return Finding(Verdict.UNKNOWN, expected, "nothing", str(error))


def same(one: Json, other: Json) -> bool:
    """Tell whether two values of JSON are equal; true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _matcher(wanted: Mapping[str, Json]) -> tuple[str, Json]:
    """Give the matcher and its value. A null counts only where no other matcher is given."""
    given = [name for name in ("equals", "count", "all", "any") if name in wanted]
    if not given:
        raise FtrunError("A path needs one of equals, count, all, any.")
    chosen = next((name for name in given if wanted[name] is not None), given[0])
    return chosen, wanted[chosen]


def _decide(matcher: str, value: Json, found: Sequence[Json]) -> Verdict:
    if matcher == "count":
        limits = value if isinstance(value, Mapping) else {"min": value, "max": value}
        return within(Interval(len(found), len(found)), least=limits.get("min"), most=limits.get("max"))
    hits = [same(each, value) for each in found]
    unknown = value is not None and any(each is None for each in found)
    if matcher == "any":
        return Verdict.PASS if any(hits) else Verdict.UNKNOWN if unknown else Verdict.FAIL
    if not found or (matcher == "equals" and len(found) > 1):
        return Verdict.FAIL
    if all(hits):
        return Verdict.PASS
    wrong = any(not hit and each is not None for hit, each in zip(hits, found, strict=True))
    return Verdict.UNKNOWN if unknown and not wrong else Verdict.FAIL


def _unknown_lists(path: str, document: Json) -> list[str]:
    """Give the unknown lists that a path may read: its first name; every one where it begins otherwise."""
    unknown = [str(name) for name in document.get("unknown", ())] if isinstance(document, Mapping) else []
    first = re.match(r"""\$(?:\.|\[['"])([A-Za-z_]\w*)""", path)
    if first is None:
        return unknown
    return [first[1]] if first[1] in unknown else []


def _say_wanted(matcher: str, value: Json) -> str:
    match matcher, value:
        case "count", {**limits}:
            return " and ".join(
                f"at {word} {limits[name]} matches"
                for name, word in (("min", "least"), ("max", "most"))
                if limits.get(name) is not None
            )
        case "count", _:
            return f"has {value} match{'' if value == 1 else 'es'}"
        case "equals", _:
            return f"is {_show(value)}"
        case "all", _:
            return f"is {_show(value)} everywhere, at least once"
        case _:
            return f"is {_show(value)} somewhere"


def _say_found(matcher: str, found: Sequence[Json]) -> str:
    if not found:
        return "no match"
    shown = ", ".join(_show(each) for each in found[:SHOWN]) + (", ..." if len(found) > SHOWN else "")
    if matcher == "equals" and len(found) == 1:
        return shown
    return f"{len(found)} match{'' if len(found) == 1 else 'es'}: {shown}"


def _show_whole(value: Json) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _show(value: Json) -> str:
    text = _show_whole(value)
    return text if len(text) <= 120 else text[:117] + "..."
