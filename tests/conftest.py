"""What holds for every test."""

from __future__ import annotations

import asyncio

from hypothesis import settings

# Nothing is timed as a test: on a busy machine a deadline would fail by the machine's fault.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure() -> None:
    """Leave no event loop to be made in passing: looptime's plugin asks for one before each plain test.

    The one it would be given is never closed, and warnings are errors.
    """
    asyncio.set_event_loop(None)
