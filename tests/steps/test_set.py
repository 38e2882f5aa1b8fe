"""set: variables for the steps that follow."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.journal import events
from tests.engine.staging import play

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def test_later_steps_read_what_was_set_last_also_in_loops_and_blocks(tmp_path: Path) -> None:
    told = await play(
        """
        - set: {n: 1, words: [a, b]}
        - log: "{{ n + 1 }} {{ words | join('-') }}"
        - set: {n: "{{ n + item }}"}
          loop: [10, 20]
        - log: "n {{ n }}"
        - block:
            - set: {n: "{{ n * 2 }}", inner: yes indeed}
        - log: "{{ n }} {{ inner }}"
        - set: {n: 0}
          when: n > 1000
        - log: "n {{ n }}"
        """,
        tmp_path,
    )
    assert [event.text for event in told.all(events.Said)] == ["2 a-b", "n 31", "62 yes indeed", "n 62"]
    assert told.results()["steps[0]"]["values"] == {"n": 1, "words": ["a", "b"]}
