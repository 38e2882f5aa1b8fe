"""Which object is to be looked at next, and when."""

from __future__ import annotations

import asyncio

FIRST_DELAY = 0.005
LONGEST_DELAY = 1000.0

INSTANT = 0.001
"""Seconds that are no wait: below them a timer may not move the clock."""


class Due:
    """Keys, each with an instant on the loop's clock. After failures the wait doubles each time, as controllers do."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._sooner = asyncio.Event()

    def after(self, key: str, seconds: float = 0.0) -> None:
        """Let a key be due then, unless it is so before."""
        at = asyncio.get_running_loop().time() + seconds
        self._at[key] = min(at, self._at.get(key, at))
        self._sooner.set()

    def failed(self, key: str) -> float:
        """Let a key be due again after a wait that grows; give the wait."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        wait = min(FIRST_DELAY * 2.0 ** min(count, 40), LONGEST_DELAY)
        self.after(key, wait)
        return wait

    def worked(self, key: str) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)

    async def next(self) -> str:
        """Wait for the next key that is due, and take it."""
        while True:
            self._sooner.clear()
            now = asyncio.get_running_loop().time()
            key = min(self._at, key=self._at.__getitem__, default=None)
            if key is not None and self._at[key] < now + INSTANT:
                del self._at[key]
                return key
            wait = None if key is None else self._at[key] - now
            try:
                async with asyncio.timeout(wait):
                    await self._sooner.wait()
            except TimeoutError:
                pass
