"""http: ask an endpoint of the cluster once, and keep what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from runner.errors import FtrunError
from runner.language.models import Expect, Expected, Headers, Method
from runner.language.plan import Kind
from runner.language.refusal import mistake
from runner.language.types import Duration, EndpointName, Model
from runner.steps.stage import Json, Stage

if TYPE_CHECKING:
    from runner.clusters.contract import Answer

MOST = 1_000_000
"""Bytes of an answer that a step keeps; it stands in the journal."""

TOLD = 500
"""Characters of a wrong answer that the error shows."""

SECRETS = ("authorization", "cookie", "proxy-authenticate", "set-cookie", "www-authenticate", "x-api-key")
"""Headers of answers whose values are not written down, unless nothing is (`no_log`)."""


class Http(Model):
    """Ask an endpoint once; status, headers and body of the answer are what `register` holds."""

    endpoint: Literal["dashboard"] | EndpointName = Field(
        description="`service`, `head`, `worker-1`, `dashboard` (the head's API), or one of the inventory."
    )
    method: Method = "GET"
    path: str = Field(default="/", pattern="^/", description="What is asked for, with its query.")
    headers: Headers = Field(default_factory=dict)
    body: str | None = Field(default=None, description="What is sent, as text.")
    json_: Any = Field(default=None, alias="json", description="What is sent, as JSON.")
    expect: Expected = Expect.model_construct()
    timeout: Duration = Field(default=10.0, gt=0)

    @model_validator(mode="after")
    def _one_body(self) -> Http:
        if {"body", "json_"} <= self.model_fields_set:
            raise mistake("http", "What is sent is either `body` or `json`.")
        return self


def _needs(arguments: Http | None) -> Sequence[str]:
    """Give what a cluster must be able to do."""
    return ("observe",) if arguments is not None and arguments.endpoint == "dashboard" else ()


KIND = Kind("http", Http, needs=_needs)


async def run(arguments: Http, stage: Stage) -> Json:
    """Ask; raises FtrunError where the answer is not the expected one, Unreachable where there is none."""
    from runner.journal.redaction import HIDDEN

    headers = dict(arguments.headers)
    content = None if arguments.body is None else arguments.body.encode()
    if arguments.body is not None and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "text/plain; charset=utf-8"
    if "json_" in arguments.model_fields_set:
        import json

        content = json.dumps(arguments.json_).encode()
    answer = await stage.cluster.http(
        arguments.endpoint,
        arguments.method,
        arguments.path,
        headers=headers,
        body=content,
        timeout=arguments.timeout,
    )
    assert stage.step is not None
    secret = () if stage.step.modifiers.no_log else SECRETS
    text = answer.body.decode(errors="replace")
    if (wrong := unexpected(answer, text, arguments.expect)) is not None:
        asked = f"{arguments.method} {arguments.path.partition('?')[0]}"
        said = f"\n{text.strip()[:TOLD]}" if text.strip() else ""
        raise FtrunError(f"{arguments.endpoint} answered {asked} with {wrong}.{said}")
    return {
        "status": answer.status,
        "headers": {
            name.lower(): HIDDEN if name.lower() in secret else value
            for name, value in answer.headers.items()
        },
        "body": text,
        "json": parsed(text),
    }


def unexpected(answer: Answer, text: str, expect: Expect) -> str | None:
    """Say in what an answer is not the expected one."""
    import re

    if len(answer.body) > MOST:
        return f"{len(answer.body)} bytes, more than the {MOST} that a step keeps"
    if not any(low <= answer.status <= high for low, high in expect.status):
        ranges = (str(low) if low == high else f"{low}-{high}" for low, high in expect.status)
        return f"status {answer.status}, not {' or '.join(ranges)}"
    if expect.body is not None and not re.search(expect.body, text):
        return f"a body in which nothing matches /{expect.body}/"
    return None


def parsed(text: str) -> Json:
    """Give the JSON of a body; null where it is none."""
    import json

    try:
        return json.loads(text)
    except ValueError:
        return None
