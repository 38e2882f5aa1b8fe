import pytest

from runner.errors import FtrunError
from runner.language.arguments import resolve
from runner.steps.catalogue import catalogue
from tests.language.compiling import compiled, steps


def step_of(text: str):
    return compiled(steps("- {log: a, register: r}\n" + text)).scenarios[0].steps[1]


def test_arguments_that_were_known_are_given_as_they_are():
    step = step_of("- pause: 2s")
    assert resolve(step, {}, catalogue()["pause"]) is step.arguments


def test_what_waited_for_the_run_is_rendered_and_validated():
    step = step_of("- pause: '{{ r.wait }}s'")
    assert resolve(step, {"r": {"wait": 3}}, catalogue()["pause"]).duration == 3.0


@pytest.mark.parametrize(
    ("text", "variables", "says"),
    [
        ("- pause: '{{ r.wait }}'", {"r": {"wait": 3}}, "s.yaml:5:12: The duration 3 has no unit."),
        (
            "- pause: '{{ r.wait }}'",
            {"r": {}},
            "s.yaml:5:5: `{{ r.wait }}` fails: 'dict object' has no attribute 'wait'.",
        ),
        (
            "- exec: {command: x, exit_codes: ['{{ r }}']}",
            {"r": "a"},
            "s.yaml:5:37: Item 1 must be a whole number, not the text `a`.",
        ),
        (
            "- exec: {command: '{{ r }}'}",
            {"r": {"a": 1}},
            "s.yaml:5:21: `command` must be text or a list, not a mapping.",
        ),
    ],
)
def test_what_does_not_fit_is_told_where_it_stands(text, variables, says):
    step = step_of(text)
    with pytest.raises(FtrunError) as failed:
        resolve(step, variables, catalogue()[step.kind])
    assert failed.value.message == says
