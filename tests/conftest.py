"""What holds for every test."""

from __future__ import annotations

import asyncio


def pytest_configure() -> None:
    """Leave no event loop to be made in passing: looptime's plugin asks for one before each plain test.

    The one it would be given is never closed, and warnings are errors.
    """
    asyncio.set_event_loop(None)
