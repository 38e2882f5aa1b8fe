"""An external cluster keeps the contract, as far as one can of which nothing is known."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from runner.clusters.contract import Action, Context
from runner.clusters.external.cluster import External
from runner.clusters.external.settings import Settings
from tests.clusters.contract import Contract, Subject, cluster, facts  # noqa: F401 (fixtures)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def subject(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Subject]:
    folder = tmp_path_factory.mktemp("external")

    async def respond(request: web.Request) -> web.Response:
        word = request.headers.get("X-Word")
        said = f"{request.method} {word} {await request.text()}" if word else "here"
        return web.Response(text=said)

    app = web.Application()
    app.router.add_route("*", "/", respond)
    served = web.AppRunner(app)
    await served.setup()
    site = web.TCPSite(served, "127.0.0.1", 0)
    await site.start()
    port = served.addresses[0][1]
    # Bound and not listening: whoever connects is refused, and nobody else gets the port meanwhile.
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        broken = folder / "broken"
        context = Context(
            "contract",
            folder,
            1,
            endpoints={
                "service": f"http://127.0.0.1:{port}/",
                "worker-1": f"http://127.0.0.1:{closed.getsockname()[1]}",
            },
            commands={"break": {"act": f"touch {broken}", "undo": f"rm -f {broken}"}},
            allow=frozenset({"exec"}),
        )
        yield Subject(
            External(Settings(), context),
            live="service",
            dead="worker-1",
            actions=((Action("command", {"name": "break"}), lambda _before, _after: broken.exists()),),
        )
    await served.cleanup()


class TestExternal(Contract):
    pass
