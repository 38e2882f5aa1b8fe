"""What is done beside ftrun itself: HTTP to a URL as it is, and a prober as a process of this machine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from runner.clusters.contract import Answer, Prober, redacted
from runner.clusters.lines import LIMIT, Lines
from runner.errors import Unreachable

GRACE = 5.0
"""Seconds that a prober has to end by itself once its input is closed."""


async def ask(
    url: str,
    method: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float,
) -> Answer:
    """Ask a URL from here; a body is JSON unless the headers say otherwise."""
    import aiohttp
    from multidict import CIMultiDict

    limit = aiohttp.ClientTimeout(total=timeout)
    sent = CIMultiDict(headers or {})
    if body is not None:
        sent.setdefault("Content-Type", "application/json")
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.request(method, url, headers=sent, data=body, allow_redirects=False) as response,
        ):
            return Answer(response.status, dict(response.headers), await response.read())
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        reason = str(error) or f"no answer within {timeout:g} s"
        raise Unreachable(f"{redacted(url)} did not answer: {reason}.") from error


async def prober(program: Path, directory: Path, log: Path) -> Prober:
    """Start the prober here, in a session of its own; it ends when its input does, so also with ftrun."""
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", str(program), str(directory)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            limit=LIMIT,
        )

    async def ended() -> None:
        try:
            async with asyncio.timeout(GRACE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    assert process.stdin is not None
    assert process.stdout is not None
    return Lines(process.stdout, process.stdin, ended)
