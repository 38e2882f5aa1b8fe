from typing import Annotated, Literal

import pytest
from pydantic import Field

from runner.language.text import Text, parse
from runner.language.types import Duration, Model
from runner.language.validation import validate


class Which(Model):
    number: Annotated[int, Field(ge=1)] | Literal["any", "all"]


class Limit(Model):
    min: int | None = None
    max: int | None = None


class Example(Model):
    place: Literal["head", "tail"] | Which = "head"
    count: int | Limit | None = None
    cases: tuple[Limit, ...] = Field(default=(), min_length=1)
    wait: Duration | None = None
    tags: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    share: Annotated[float, Field(gt=0, le=1)] = 1


def told(content: str) -> list[tuple[int, str, str, str | None]]:
    text = Text("f.yaml", content.splitlines())
    root = parse(text, content)
    assert validate(Example, root, text) is None
    return [(each.column, each.code, each.message, each.help) for each in text.problems]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "{place: haed}",
            (
                9,
                "type",
                "`place` must be `head` or `tail` or a mapping, not the text `haed`.",
                "Did you mean `head`?",
            ),
        ),
        ("{place: {nmber: 1}}", (10, "unknown-key", "`nmber` is not a key here.", "Did you mean `number`?")),
        ("{place: {number: 0}}", (18, "value", "`number` must be at least 1.", None)),
        (
            "{place: {number: anny}}",
            (
                18,
                "type",
                "`number` must be a whole number or `any` or `all`, not the text `anny`.",
                "Did you mean `any`?",
            ),
        ),
        ("{place: {}}", (9, "missing-key", "`number` is missing.", None)),
        ("{count: x}", (9, "type", "`count` must be a whole number or a mapping, not the text `x`.", None)),
        ("{count: {maxx: 1}}", (10, "unknown-key", "`maxx` is not a key here.", "Did you mean `max`?")),
        ("{count: {max: x}}", (15, "type", "`max` must be a whole number, not the text `x`.", None)),
        ("{cases: []}", (9, "value", "`cases` must not be empty.", None)),
        ("{cases: [{max: 1.5}]}", (16, "type", "`max` must be a whole number, not the number 1.5.", None)),
        ("{cases: [5]}", (10, "type", "Item 1 must be a mapping, not the number 5.", None)),
        ("{cases: 5}", (9, "type", "`cases` must be a list, not the number 5.", None)),
        ("{wait: 5}", (8, "duration", "The duration 5 has no unit.", "Write 5s for seconds, 5ms for ms.")),
        ("{tags: {a: 5}}", (12, "type", "`a` must be text, not the number 5.", None)),
        ("{tags: {a: ''}}", (12, "value", "`a` must not be empty.", None)),
        ("{share: 0}", (9, "value", "`share` must be above 0.", None)),
        ("{share: 2}", (9, "value", "`share` must be at most 1.", None)),
        (
            "{xyzzy: 2}",
            (
                2,
                "unknown-key",
                "`xyzzy` is not a key here.",
                "Keys here: place, count, cases, wait, tags, share.",
            ),
        ),
        ("[1]", (1, "type", "This must be a mapping, not a list.", None)),
    ],
)
def test_each_mistake_is_told_once_in_our_words_where_it_stands(content, expected):
    assert told(content) == [expected]


def test_nothing_is_said_of_what_waits_for_the_run():
    text = Text("f.yaml", ["{cases: ['{{ x }}', {mx: 1}], wait: '{{ y }}'}"])
    root = parse(text, text.lines[0])
    assert validate(Example, root, text, deferred={("cases", 0), ("wait",)}) is None
    assert [each.code for each in text.problems] == ["unknown-key"]
