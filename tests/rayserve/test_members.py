"""Members are counted where somebody could say, and are None where not."""

from __future__ import annotations

from runner.rayserve.members import Members, count

DOCUMENT = {
    "unknown": [],
    "nodes": [
        {"state": "ALIVE", "is_head": True},
        {"state": "DEAD", "is_head": True},
        {"state": "ALIVE", "is_head": False},
        {"state": "ALIVE", "is_head": False},
        {"state": "DEAD", "is_head": False},
    ],
    "actors": [
        {"role": "controller", "state": "ALIVE"},
        {"role": "controller", "state": "DEAD"},
        {"role": "replica", "state": "ALIVE"},
    ],
    "replicas": [{"state": "RUNNING"}, {"state": "STARTING"}, {"state": "RUNNING"}],
    "proxies": [{"status": "HEALTHY"}, {"status": "UNHEALTHY"}, {"status": "DRAINING"}],
}


def test_only_what_lives_counts() -> None:
    assert count(DOCUMENT) == Members(heads=1, workers=2, replicas=2, proxies=1, controllers=1)


def test_what_nobody_could_say_is_not_zero() -> None:
    empty = {**DOCUMENT, "unknown": ["replicas", "proxies"], "replicas": [], "proxies": []}
    assert count(empty) == Members(heads=1, workers=2, replicas=None, proxies=None, controllers=1)
    nothing = {**{name: [] for name in DOCUMENT}, "unknown": ["nodes", "actors", "replicas", "proxies"]}
    assert count(nothing) == Members(None, None, None, None, None)
