"""What the API server's answers mean: sentences, and whose answer a proxied one is."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import aiohttp
import pytest

from runner import clock
from runner.clusters.contract import Answer
from runner.clusters.kubernetes import api
from runner.clusters.kubernetes.api import Access
from runner.errors import CannotRun, ClusterError, Unreachable

HERE = Access(context="staging")


def status(code: int, message: str, reason: str = "") -> Answer:
    body = {"kind": "Status", "apiVersion": "v1", "code": code, "message": message, "reason": reason}
    return Answer(code, {}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("path", "answer", "says"),
    [
        ("/api/v1/x", status(401, "Unauthorized"), "does not take the credentials: they are wrong, or have run out"),
        ("/api/v1/x", status(403, 'User "u" cannot list', "Forbidden"), 'not allowed here: User "u" cannot list.'),
        ("/api/v1/x", status(403, "pods is forbidden: exceeded quota: q", "Forbidden"), "quota has no room"),
        ("/apis/ray.io/v1/x", Answer(404, {}, b"404 page not found\n"), "KubeRay's CRDs are not installed"),
        ("/apis/x/v1/y", Answer(404, {}, b"404 page not found\n"), "knows nothing at /apis/x/v1/y"),
        ("/api/v1/x", status(404, 'namespaces "n" not found', "NotFound"), "refuses GET /api/v1/x (404)"),
        ("/api/v1/x", status(422, "spec.x: Invalid value", "Invalid"), "(422): spec.x: Invalid value."),
        ("/api/v1/x", Answer(502, {}, b"<html>"), "(502): <html>."),
    ],
)  # fmt: skip
def test_a_refusal_is_a_sentence(path: str, answer: Answer, says: str) -> None:
    error = api.refused("GET", path, answer, HERE)
    assert says in error.message
    assert error.message.endswith(".")
    assert error.status == answer.status


@pytest.mark.parametrize(
    ("answer", "theirs"),
    [
        (Answer(200, {}, b"ok"), True),
        (Answer(503, {}, b"No replicas are available yet."), True),
        (Answer(404, {}, b'{"detail": "not here"}'), True),
        (Answer(500, {}, b'{"kind": "Status", "apiVersion": "mine/v1"}'), True),
        (Answer(503, {}, b"error trying to reach service: dial tcp 10.0.0.1:8000: connect: refused"), False),
        (status(503, 'no endpoints available for service "s"', "ServiceUnavailable"), False),
        (status(404, 'pods "p" not found', "NotFound"), False),
    ],
)
def test_an_answer_of_the_api_servers_own_is_none_of_what_was_asked(answer: Answer, theirs: bool) -> None:
    assert (api._not_from_there(answer) is None) == theirs


def test_the_end_of_a_command_is_its_exit_code() -> None:
    def failed(**cause: Any) -> bytes:
        return json.dumps({"status": "Failure", "message": "m", "details": {"causes": [cause]}}).encode()

    assert api.ending(b'{"status": "Success"}') == 0
    assert api.ending(failed(reason="ExitCode", message="3")) == 3
    with pytest.raises(ClusterError, match=r"could not be run: m\."):
        api.ending(failed(reason="Other", message="x"))


async def test_whoever_names_no_context_must_be_in_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(CannotRun, match="names no context, and ftrun does not run in a pod"):
        await Access().load()


async def test_a_context_that_is_not_there_is_said(tmp_path: Any) -> None:
    for text in ("", "contexts: [", "- no mapping\n"):
        (tmp_path / "config").write_text(text)
        with pytest.raises(CannotRun, match="There is no context c that can be used"):
            await Access(str(tmp_path / "config"), "c").load()
    with pytest.raises(CannotRun, match="There is no kubeconfig"):
        await Access(str(tmp_path / "none"), "c").load()
    (tmp_path / "config").write_text("apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\n")
    with pytest.raises(CannotRun, match="There is no context c that can be used"):
        await Access(str(tmp_path / "config"), "c").load()


def test_places_of_objects() -> None:
    assert api.place("pods", "ns", "p") == "/api/v1/namespaces/ns/pods/p"
    assert api.place("pods") == "/api/v1/pods"
    assert api.place("rayservices", "ns") == "/apis/ray.io/v1/namespaces/ns/rayservices"
    assert api.door("services", "ns", "s", 8265) == "/api/v1/namespaces/ns/services/s:8265/proxy"


class Socket:
    """A connection that brings these messages, and ends."""

    protocol = "v5.channel.k8s.io"

    def __init__(self, *messages: bytes) -> None:
        self._messages = [aiohttp.WSMessage(aiohttp.WSMsgType.BINARY, each, None) for each in messages]

    def __aiter__(self) -> Socket:
        return self

    async def __anext__(self) -> aiohttp.WSMessage:
        if not self._messages:
            raise StopAsyncIteration
        return self._messages.pop(0)

    async def send_bytes(self, _sent: bytes) -> None:
        raise ConnectionResetError("Cannot write to closing transport")


async def test_a_command_whose_stream_is_cut_has_no_end_that_is_known() -> None:
    whole = api.Stream(cast("Any", Socket(b"\x01out", b"\x02err", b'\x03{"status": "Success"}')), "p")
    done = await whole.ended()
    assert (done.exit_code, done.stdout, done.stderr) == (0, "out", "err")
    cut = api.Stream(cast("Any", Socket(b"\x01out")), "p")
    with pytest.raises(Unreachable) as caught:
        await cut.ended()
    assert caught.value.message == "The stream from p was cut: its container ended, or the connection did."
    with pytest.raises(Unreachable, match=r"^The stream to p was cut\.$"):
        await cut.write(b"go\n")
    assert caught.value.exit_code == 3


class Server:
    """Answers by a script, `(status, body)` or nothing for so many seconds; then for ever what it said last."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *script: Any) -> None:
        self.script = list(script)
        self.asked: list[tuple[str, float]] = []
        self.api = api.Api(HERE)
        monkeypatch.setattr(clock, "monotonic", lambda: asyncio.get_running_loop().time())
        monkeypatch.setattr(self.api, "configuration", self.configuration)
        monkeypatch.setattr(self.api, "request", self.request)

    async def configuration(self) -> Any:
        return "there is one"

    async def request(self, method: str, *_: Any, **__: Any) -> Answer:
        self.asked.append((method, clock.monotonic()))
        said = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(said, float):
            await asyncio.sleep(said)
            raise Unreachable("The API server cannot be reached.")
        return said

    async def meet(self) -> Server:
        """Have it answer once; what is asked after that is noted."""
        await self.api.get("/version")
        self.asked.clear()
        return self


GOOD = Answer(200, {}, b'{"made": true}')


@pytest.mark.looptime
@pytest.mark.parametrize("stands_still", [[10.0, 10.0], [0.0] * 20, [status(503, "etcd has no leader")] * 3])
async def test_a_server_that_stands_still_for_a_while_is_outlasted(
    monkeypatch: pytest.MonkeyPatch, stands_still: list[Any]
) -> None:
    server = await Server(monkeypatch, GOOD, *stands_still, GOOD).meet()
    assert await server.api.apply("/x", {}) == {"made": True}
    assert [method for method, _ in server.asked] == ["PATCH"] * (len(stands_still) + 1)


@pytest.mark.looptime
async def test_one_that_is_gone_is_given_up_once_for_all_that_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = await Server(monkeypatch, GOOD, 10.0).meet()
    began = clock.monotonic()
    with pytest.raises(Unreachable):
        await server.api.get("/x")
    assert api.STANDSTILL <= clock.monotonic() - began <= api.STANDSTILL + 2 * api.PATIENCE
    began = clock.monotonic()
    with pytest.raises(Unreachable):
        await server.api.delete("/x", uid="u")
    assert clock.monotonic() - began == pytest.approx(10)


@pytest.mark.looptime
async def test_a_request_ends_though_the_server_answers_others(monkeypatch: pytest.MonkeyPatch) -> None:
    server = await Server(monkeypatch, *[GOOD, 10.0] * 30).meet()

    async def others() -> None:
        while True:
            await asyncio.sleep(5)
            server.api._silent = None

    task = asyncio.create_task(others())
    server.script = [10.0]
    began = clock.monotonic()
    with pytest.raises(Unreachable):
        await server.api.get("/x")
    task.cancel()
    assert clock.monotonic() - began <= api.STANDSTILL + 2 * api.PATIENCE


@pytest.mark.looptime
async def test_what_breaks_something_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    server = await Server(monkeypatch, GOOD, 10.0, GOOD).meet()
    with pytest.raises(Unreachable):
        await server.api.delete("/x", uid="u", once=True)
    assert len(server.asked) == 1


@pytest.mark.looptime
async def test_what_may_not_be_asked_twice_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    server = await Server(monkeypatch, GOOD, 10.0, GOOD).meet()
    with pytest.raises(Unreachable):
        await server.api.create("/x", {})
    assert [method for method, _ in server.asked] == ["POST"]


@pytest.mark.looptime
async def test_where_no_server_ever_answered_that_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, 0.0)
    with pytest.raises(Unreachable):
        await server.api.get("/version")
    assert len(server.asked) == 1


@pytest.mark.looptime
async def test_credentials_that_have_run_out_are_read_again_once(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, status(401, "Unauthorized"), GOOD)
    assert await server.api.get("/x") == {"made": True}
    server = Server(monkeypatch, status(401, "Unauthorized"))
    with pytest.raises(api.Refused, match="have run out"):
        await server.api.get("/x")
    assert len(server.asked) == 2


@pytest.mark.looptime
async def test_so_are_those_of_a_question_to_somebody_behind_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(monkeypatch, status(401, "Unauthorized"), status(401, "Unauthorized"), GOOD)
    answer = await server.api.proxied("/door", "GET", "/x", timeout=2.0)
    assert answer.status == 200
    theirs = Answer(401, {}, b"Log in first.")
    server = Server(monkeypatch, theirs)
    assert await server.api.proxied("/door", "GET", "/x", timeout=2.0) == theirs
    assert len(server.asked) == 1
