"""Ray's REST API: what is an answer, what is none, and what a refusal says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from runner.errors import ClusterError, Unreachable
from runner.rayserve import dashboard


@dataclass
class Answer:
    status: int
    body: bytes


class Asked:
    """A transport with one answer."""

    def __init__(self, status: int, document: Any) -> None:
        self.answer = Answer(
            status, document if isinstance(document, bytes) else json.dumps(document).encode()
        )
        self.paths: list[str] = []

    async def __call__(self, method: str, path: str, body: bytes | None) -> Answer:
        assert (method, body) == ("GET", None)
        self.paths.append(path)
        return self.answer


async def test_rows_are_unpacked_and_none_is_cut_off() -> None:
    ask = Asked(200, {"result": True, "msg": "", "data": {"result": {"result": [{"a": 1}]}}})
    assert await dashboard.rows(ask, "actors") == [{"a": 1}]
    assert ask.paths == ["/api/v0/actors?detail=true&limit=10000"]


async def test_an_answer_that_says_nothing_is_no_answer() -> None:
    for ask in (
        Asked(500, b"GCS is down"),
        Asked(503, b"Failed to get a response from the controller"),
        Asked(200, b"<html>"),
        Asked(200, {"result": False, "msg": "Failed to query the data source"}),
    ):
        with pytest.raises(Unreachable):
            await dashboard.rows(ask, "nodes")
    with pytest.raises(Unreachable, match="503"):
        await dashboard.applications(Asked(503, b""))


def test_the_configuration_puts_a_proxy_on_every_node() -> None:
    body = json.loads(dashboard.configuration([{"name": "a"}], host="0.0.0.0", port=8000))
    assert body == {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": 8000},
        "applications": [{"name": "a"}],
    }


def test_a_refusal_says_the_last_line_of_what_serve_says() -> None:
    dashboard.accepted(200, "")
    with pytest.raises(ClusterError, match=r"\(status 400\): import_path is missing\.$"):
        dashboard.accepted(400, "Traceback ...\n  File x\nimport_path is missing\n\n")
    said = "1 validation error for Schema\na.0.import_path\n  Field required\n    For further information visit x"
    with pytest.raises(
        ClusterError, match=r": 1 validation error for Schema: a\.0\.import_path: Field required\.$"
    ):
        dashboard.accepted(400, f"Traceback\n{said}")
    with pytest.raises(ClusterError, match="it does not say why"):
        dashboard.accepted(500, "")
