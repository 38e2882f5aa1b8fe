import pytest

from tests.language.compiling import compiled, problem, steps, where

START = "- probe: {start: users}\n"
STOP = "- probe: {stop: users}\n"
ASSERT = "- assert: [{probe: users, count: {max: 0}}]\n"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (START + START, (5, 20, "probe-started-twice")),
        (START + "- probe: {start: [head, users]}", (5, 20, "probe-started-twice")),
        ("- probe: {start: all}\n" + START, (5, 20, "probe-started-twice")),
        (START + "- probe: {start: all}", (5, 20, "probe-started-twice")),
        ("- block:\n    - probe: {start: users}\n" + START, (6, 20, "probe-started-twice")),
        (STOP, (4, 19, "probe-not-started")),
        ("- probe: {start: head}\n" + STOP, (5, 19, "probe-not-started")),
        (ASSERT, (4, 22, "probe-not-started")),
    ],
)
def test_what_is_wrong_on_every_path_is_refused(text, place):
    assert where(problem(steps(text)))[1:] == place


@pytest.mark.parametrize(
    "text",
    [
        START + STOP + START + ASSERT,
        START + STOP + STOP + ASSERT,
        START + "- probe: {start: head}",
        START + "- {probe: {start: users}, when: false}",
        "- {probe: {start: users}, when: true}\n" + START,
        "- {loop: [1], block: [{probe: {start: users}}]}\n" + START,
        "- {block: [{probe: {start: users}}], rescue: [{probe: {start: users}}]}\n" + START,
        "- {probe: {start: users}, register: r, until: r}\n" + STOP + ASSERT,
        "- {loop: [users], probe: {start: '{{ item }}'}}\n" + STOP + START,
    ],
)
def test_what_only_the_run_can_know_is_left_to_it(text):
    assert compiled(steps(text))
