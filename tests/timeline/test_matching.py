"""equals, count, all, any on what a path finds; what is not known is never true."""

from __future__ import annotations

import pytest

from runner.timeline.matching import match
from runner.timeline.run import Verdict

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN

DOCUMENT = {
    "unknown": ["replicas"],
    "replicas": [],
    "nodes": [
        {"slot": "head", "state": "ALIVE", "cpus": 0, "id": None, "kind": "ray"},
        {"slot": "worker-1", "state": "DEAD", "cpus": 3, "id": "a", "kind": "ray"},
    ],
    "flags": [True, 1],
}


@pytest.mark.parametrize(
    ("path", "wanted", "verdict"),
    [
        ("$.nodes[0].state", {"equals": "ALIVE"}, PASS),
        ("$.nodes[0].state", {"equals": "DEAD"}, FAIL),
        ("$.nodes[*].state", {"equals": "ALIVE"}, FAIL),
        ("$.nodes[7].state", {"equals": "ALIVE"}, FAIL),
        # Exactly one match, also where all of them are equal.
        ("$.nodes[*].kind", {"equals": "ray"}, FAIL),
        ("$.nodes[*].kind", {"all": "ray"}, PASS),
        ("$.nodes[*].state", {"any": "DEAD"}, PASS),
        ("$.nodes[*].state", {"any": "GONE"}, FAIL),
        ("$.nodes[*].state", {"all": "ALIVE"}, FAIL),
        ("$.nodes[7].state", {"all": "ALIVE"}, FAIL),
        ("$.nodes[*]", {"count": 2}, PASS),
        ("$.nodes[*]", {"count": {"min": 1, "max": 1}}, FAIL),
        ("$.nodes[*]", {"count": {"min": 1}}, PASS),
        ("$.nodes[7]", {"count": 0}, PASS),
        # A list that nobody could answer for decides nothing, least of all that it is empty.
        ("$.replicas[*]", {"count": 0}, UNKNOWN),
        ("$['replicas'][*]", {"count": 0}, UNKNOWN),
        ("$..state", {"any": "GONE"}, UNKNOWN),
        # null says that a value is not known; it equals null.
        ("$.nodes[0].id", {"equals": "a"}, UNKNOWN),
        ("$.nodes[0].id", {"equals": None}, PASS),
        ("$.nodes[*].id", {"any": "a"}, PASS),
        ("$.nodes[*].id", {"any": "b"}, UNKNOWN),
        ("$.nodes[*].id", {"all": "a"}, UNKNOWN),
        ("$.nodes[*].id", {"all": "b"}, FAIL),
        # true is not 1.
        ("$.flags[1]", {"equals": True}, FAIL),
        ("$.nodes[0].cpus", {"equals": False}, FAIL),
        ("$.nodes[1].cpus", {"equals": 3.0}, PASS),
        # A path that fails on the data is unknown.
        ("$.nodes[?(@.slot =~ 'a(')]", {"count": 0}, UNKNOWN),
    ],
)
def test_match(path, wanted, verdict):
    finding = match(wanted, path, DOCUMENT)
    assert finding.verdict is verdict, finding
    assert path in finding.expected
    assert bool(finding.why) is (verdict is UNKNOWN)


def test_without_a_document_nothing_is_known():
    assert match({"count": 0}, "$.nodes", None).verdict is UNKNOWN


def test_people_read_what_was_found():
    assert match({"equals": "DEAD"}, "$.nodes[0].state", DOCUMENT).actual == '"ALIVE"'
    assert match({"count": 1}, "$.nodes[*].slot", DOCUMENT).actual == '2 matches: "head", "worker-1"'
    assert match({"count": 1}, "$.nodes[*].slot", DOCUMENT).expected == "$.nodes[*].slot has 1 match"
