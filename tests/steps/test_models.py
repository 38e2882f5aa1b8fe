"""What the arguments of steps accept and refuse."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from runner.steps.assertion import claim, title
from runner.steps.catalogue import catalogue, runs


def validated(kind: str, value: Any) -> dict[str, Any]:
    """Expand and validate as the compiler does; give what was said."""
    chosen = catalogue()[kind]
    given = chosen.expand(value) if chosen.expand else value
    return chosen.model.model_validate(given).model_dump(mode="json", exclude_unset=True)


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("deploy", None, {}),
        ("deploy", {"wait": None}, {"wait": None}),
        ("deploy", {"set": {"*": {"max_ongoing_requests": 7}}}, {"set": {"*": {"max_ongoing_requests": 7}}}),
        ("probe", {"start": "all", "steady": "5s"}, {"start": ["all"], "steady": 5.0}),
        ("probe", {"stop": ["a", "b"]}, {"stop": ["a", "b"]}),
        ("deploy", {"app": "a.yaml"}, {"app": ["a.yaml"]}),
        ("deploy", {"app": ["a.yaml", "b.yaml"], "expect": "DEPLOY_FAILED"},
         {"app": ["a.yaml", "b.yaml"], "expect": "DEPLOY_FAILED"}),
        ("http", {"endpoint": "dashboard", "json": None}, {"endpoint": "dashboard", "json_": None}),
        ("http", {"endpoint": "head", "expect": 404}, {"endpoint": "head", "expect": {"status": [[404, 404]]}}),
        ("set", {"limit": "10s", "n": 1}, {"limit": "10s", "n": 1}),
        ("scale", {"deployment": "D", "replicas": 0}, {"deployment": "D", "replicas": 0}),
        ("collect", None, {}),
        ("collect", {"logs": "all"}, {"logs": "all"}),
        ("collect", {"logs": "head"}, {"logs": ["head"]}),
        ("script", "x.py", {"file": "x.py"}),
        ("script", {"file": "x.sh", "args": ["a", 1]}, {"file": "x.sh", "args": ["a", 1]}),
        ("pause", "500ms", {"duration": 0.5}),
        ("log", "hello", {"text": "hello"}),
        ("exec", ["ls", "-l"], {"command": ["ls", "-l"]}),
        ("wait_for", "RUNNING", {"app": "RUNNING"}),
        ("wait_for", {"members": {"workers": 2}}, {"members": {"workers": 2}}),
        ("assert", [{"probe": "p", "failed": {"max": 0}}], {"cases": [{"probe": "p", "failed": {"max": 0}}]}),
        ("assert", {"that": "1 == 1"}, {"cases": [{"that": "1 == 1"}]}),
        ("assert", [{"probe": "p", "count": {"max": 1}, "total": {"max": "2s"}}],
         {"cases": [{"probe": "p", "count": {"max": 1}, "total": {"max": 2.0}}]}),
        ("assert", [{"state": "$.nodes", "equals": None}], {"cases": [{"state": "$.nodes", "equals": None}]}),
        ("assert", [{"probe": "p", "errors": {"allow": "reset"}}],
         {"cases": [{"probe": "p", "errors": {"allow": ["reset"]}}]}),
        ("assert", {"state": "$.nodes[*].id", "unchanged": "f", "during": {"fault": "f"}},
         {"cases": [{"state": "$.nodes[*].id", "unchanged": "f", "during": {"fault": "f"}}]}),
        ("assert", {"that": "1", "known": {"issue": "https://e.org/1", "until": "2027-01-31", "ray": "<2.61"}},
         {"cases": [{"that": "1", "known": {"issue": "https://e.org/1", "until": "2027-01-31", "ray": "<2.61"}}]}),
    ],
)  # fmt: skip
def test_what_is_accepted(kind: str, value: Any, said: dict[str, Any]) -> None:
    assert validated(kind, value) == said


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        ("deploy", {"wait": 5}, "no unit"),
        ("deploy", {"what": 5}, "not permitted"),
        ("deploy", {"app": []}, "at least 1 item"),
        ("collect", {"logs": []}, "at least 1 item"),
        ("script", "x.rb", "should match pattern"),
        ("http", {}, "Field required"),
        ("http", {"endpoint": "head", "body": "x", "json": 1}, "either `body` or `json`"),
        ("http", {"endpoint": "head", "headers": {"a b": "c"}}, "is not a header"),
        ("http", {"endpoint": "head", "path": "x"}, "should match pattern"),
        ("set", {}, "names no variable"),
        ("set", {"item": 1}, "what a loop calls"),
        ("set", {"a-b": 1}, "cannot be used as a variable"),
        ("scale", {"deployment": "D", "replicas": -1}, "greater than or equal to 0"),
        ("probe", {}, "either `start` or `stop`"),
        ("probe", {"start": "a", "stop": "b"}, "either `start` or `stop`"),
        ("probe", {"stop": "b", "steady": "1s"}, "`steady` goes with `start`"),
        ("wait_for", {"timeout": "5s"}, "nothing to wait for"),
        ("wait_for", {"state": "$.nodes"}, "exactly one of equals"),
        ("wait_for", {"app": "RUNNING", "equals": 1}, "goes with `state`"),
        ("assert", [], "at least 1 item"),
        ("assert", [{"name": "x"}], "given: none"),
        ("assert", [{"probe": "p"}], "needs a limit"),
        ("assert", [{"probe": "p", "that": "1"}], "given: probe and that"),
        ("assert", [{"probe": "p", "count": 0}], "is a limit"),
        ("assert", [{"probe": "p", "failed": {}}], "`min`, `max`, or both"),
        ("assert", [{"probe": "p", "failed": {"min": 2, "max": 1}}], "is above"),
        ("assert", [{"probe": "p", "failed": {"max": 0}, "equals": 1}], "goes with `state`"),
        ("assert", [{"state": "$.nodes", "equals": 1, "count": 1}], "given: equals and count"),
        ("assert", [{"state": "$.nodes", "count": 1, "failed": {"max": 0}}], "name it with `probe`"),
        ("assert", [{"probe": "p", "errors": {"allow": ["slow"]}}], "Input should be 'http_5xx'"),
        ("assert", [{"that": "1", "errors": {"allow": ["reset"]}}], "name it with `probe`"),
        (
            "assert",
            {"that": "1", "known": {"issue": "ray#1", "until": "2027-01-31"}},
            "the address of an issue",
        ),
        ("assert", {"that": "1", "known": {"issue": "https://e.org", "until": "31.1.2027"}}, "not a date"),
        ("assert", {"that": "1", "known": {"issue": "https://e.org", "until": "2027-02-30"}}, "not a date"),
        ("assert", {"that": "1", "known": {"issue": "https://e.org", "until": "20270131"}}, "not a date"),
        ("assert", {"that": "1", "known": {"issue": "https://e.org"}}, "Field required"),
        ("wait_for", {"known": {"issue": "https://e.org", "until": "2027-01-31"}}, "nothing to wait for"),
        (
            "wait_for",
            {"app": "RUNNING", "known": {"issue": "https://e.org", "until": "2027-01-31", "ray": "2.61"}},
            "not a range of versions",
        ),
        ("assert", [{"state": "$.nodes"}], "exactly one of equals, count, all, any, unchanged"),
        ("assert", [{"state": "$.nodes", "count": 1, "unchanged": "f"}], "given: count and unchanged"),
        ("assert", [{"that": "1", "unchanged": "f"}], "goes with `state`"),
        (
            "assert",
            [{"ray_state": {"resource": "actors", "path": "$"}, "unchanged": "f"}],
            "goes with `state`: what",
        ),
        ("assert", [{"that": "1", "during": {"fault": "f"}}], "name it with `probe`"),
        ("wait_for", {"state": "$.nodes", "unchanged": "f"}, "not permitted"),
        ("assert", [{"state": "nodes", "count": 1}], "does not start at the document"),
    ],
)
def test_what_is_refused_says_why(kind: str, value: Any, why: str) -> None:
    with pytest.raises(ValidationError) as refused:
        validated(kind, value)
    assert why in str(refused.value)


def test_a_case_without_a_name_is_named_by_what_it_asserts() -> None:
    assert title({"name": "mine", "probe": "p"}) == "mine"
    assert claim({"name": "mine", "probe": "p", "failed": {"max": 0}}) == "probe p, failed max 0"
    case = {"probe": "users", "longest": {"max": "10s"}, "known": {"issue": "https://e.org"}}
    assert title(case) == "probe users, longest max 10s"


def test_every_kind_has_its_name_and_all_but_faults_can_be_run() -> None:
    kinds = catalogue()
    assert [kind.name for kind in kinds.values()] == list(kinds)
    assert all(callable(runs(name)) for name, kind in kinds.items() if not kind.is_fault)


def test_the_models_cost_nothing_heavy() -> None:
    heavy = ("asyncio", "aiohttp", "numpy", "jinja2", "jsonpath_ng", "structlog", "kubernetes", "ray")
    code = f"import sys; from runner.steps.catalogue import catalogue; dict(catalogue()); print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
