from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from runner.journal.events import KINDS, Event

DOCS = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
ROWS = {
    row[1]: re.findall(r"`(\w+)`", row[2])
    for row in re.finditer(r"^\| `(\w+)` \| (.*?) \|", DOCS, re.MULTILINE)
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_event_of_the_journal_is_documented_with_all_its_fields(kind):
    common = {each.name for each in fields(Event)}
    assert ROWS.get(kind) == [each.name for each in fields(KINDS[kind]) if each.name not in common]
