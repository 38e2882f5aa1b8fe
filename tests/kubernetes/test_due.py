"""Objects are looked at when they are due, sooner when something changes, and ever more rarely while it fails."""

from __future__ import annotations

import asyncio

import pytest

from tests.kubernetes.standin.due import Due

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def test_the_earliest_comes_first_and_only_then() -> None:
    due, start = Due(), asyncio.get_running_loop().time()
    due.after("late", 5)
    due.after("soon", 2)
    assert await due.next() == "soon"
    assert asyncio.get_running_loop().time() - start == 2
    assert await due.next() == "late"
    assert asyncio.get_running_loop().time() - start == 5


async def test_a_change_brings_it_forward_and_nothing_puts_it_off() -> None:
    due, start = Due(), asyncio.get_running_loop().time()
    due.after("one", 10)
    due.after("one", 20)
    due.after("other", 15)
    asyncio.get_running_loop().call_later(3, due.after, "other")
    assert await due.next() == "other"
    assert asyncio.get_running_loop().time() - start == 3
    assert await due.next() == "one"
    assert asyncio.get_running_loop().time() - start == 10


async def test_waits_double_with_each_failure_until_it_works_again() -> None:
    due = Due()
    assert [due.failed("one") for _ in range(4)] == [0.005, 0.01, 0.02, 0.04]
    assert max(due.failed("one") for _ in range(100)) == 1000
    due.worked("one")
    assert due.failed("one") == 0.005
