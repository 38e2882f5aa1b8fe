"""http: what is sent, what is kept of the answer, and what is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.clusters.contract import Answer
from runner.clusters.fake.cluster import Asked, Fake
from tests.engine.staging import Told, play

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """Let every endpoint answer with 201, some headers and JSON; give what was asked."""
    heard: list[Asked] = []

    async def http(self: Fake, slot: str, method: str, path: str, **said: Any) -> Answer:
        heard.append(Asked(slot, method, path, said["headers"], said["body"]))
        headers = {"Content-Type": "application/json", "Set-Cookie": "id=secret"}
        return Answer(201, headers, b"x" * 2_000_000 if path == "/big" else b'{"a": [1]}')

    monkeypatch.setattr(Fake, "http", http)
    return heard


async def one(step: str, folder: Path) -> Told:
    return await play(f"- http: {step}\n  register: answer\n", folder)


@pytest.mark.parametrize(
    ("step", "sent"),
    [
        ("{endpoint: head}", Asked("head", "GET", "/", {}, None)),
        (
            "{endpoint: dashboard, method: PUT, path: '/api?x=1', json: {a: [1]}, headers: {X-A: b}}",
            Asked("dashboard", "PUT", "/api?x=1", {"X-A": "b"}, b'{"a": [1]}'),
        ),
        (
            "{endpoint: worker-1, method: POST, body: hello}",
            Asked("worker-1", "POST", "/", {"Content-Type": "text/plain; charset=utf-8"}, b"hello"),
        ),
        (
            "{endpoint: worker-1, method: POST, body: a=b, headers: {content-type: x/y}}",
            Asked("worker-1", "POST", "/", {"content-type": "x/y"}, b"a=b"),
        ),
        ("{endpoint: service, method: POST, json: null}", Asked("service", "POST", "/", {}, b"null")),
    ],
)
async def test_what_is_sent(tmp_path: Path, asked: list[Asked], step: str, sent: Asked) -> None:
    await one(step, tmp_path)
    assert asked == [sent]


async def test_later_steps_read_the_answer_and_its_secrets_are_not_written(
    tmp_path: Path, asked: list[Asked]
) -> None:
    told = await play(
        """
        - http: {endpoint: service}
          register: answer
        - http: {endpoint: service, path: "/{{ answer.json.a[0] }}"}
        - assert: {that: "answer.status == 201 and answer.headers['content-type'] == 'application/json'"}
        """,
        tmp_path,
    )
    assert [each.path for each in asked] == ["/", "/1"]
    assert told.results()["steps[0]"] == {
        "failed": False, "skipped": False, "status": 201, "body": '{"a": [1]}', "json": {"a": [1]},
        "headers": {"content-type": "application/json", "set-cookie": "(hidden)"},
    }  # fmt: skip
    assert told.run.exit_code == 0


async def test_with_no_log_nothing_is_written_and_all_of_it_can_be_used(
    tmp_path: Path, asked: list[Asked]
) -> None:
    told = await play(
        """
        - http: {endpoint: service}
          register: answer
          no_log: true
        - http: {endpoint: service, headers: {Cookie: "{{ answer.headers['set-cookie'] }}"}}
          no_log: true
        """,
        tmp_path,
    )
    assert asked[1].headers == {"Cookie": "id=secret"}
    assert b"secret" not in (told.folder / "journal.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            "{endpoint: head, path: '/a?token=1', expect: 200}",
            'head answered GET /a with status 201, not 200.\n{"a": [1]}',
        ),
        (
            "{endpoint: head, expect: {status: 2xx, body: b+}}",
            'head answered GET / with a body in which nothing matches /b+/.\n{"a": [1]}',
        ),
        (
            "{endpoint: head, path: /big}",
            "head answered GET /big with 2000000 bytes, more than the 1000000 that a step keeps.\n"
            + "x" * 500,
        ),
    ],
)
async def test_an_answer_that_is_not_expected_is_an_error(
    tmp_path: Path, asked: list[Asked], step: str, said: str
) -> None:
    told = await one(step, tmp_path)
    assert told.states()["steps[0]"] == "error"
    assert told.messages()["steps[0]"] == said
    assert told.run.exit_code == 3


async def test_nobody_there_is_an_error_and_can_be_tried_again(tmp_path: Path) -> None:
    told = await play(
        """
        - http: {endpoint: service}
          register: answer
          until: not answer.failed
          retries: 3
          delay: 10s
        - deploy:
        """.replace("- deploy:\n", ""),
        tmp_path,
    )
    assert told.messages()["steps[0]#4"] == "service refused the connection."
