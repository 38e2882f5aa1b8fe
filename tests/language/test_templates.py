import subprocess
import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from runner.errors import FtrunError
from runner.language.templates import evaluate, expression, is_template, render, template

VARIABLES = {"n": 5, "text": "5", "list": [1, {"a": 2}], "none": None, "yes": True}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ n }}", 5),
        ("{{ text }}", "5"),
        ("{{ n + 1 }}", 6),
        ("{{ list[1].a }}", 2),
        ("{{ list }}", [1, {"a": 2}]),
        ("{{ none }}", None),
        ("{{ yes }}", True),
        ("{{ range(3) }}", [0, 1, 2]),
        ("{{ [1, 2] | map('string') }}", ["1", "2"]),
        ("{{ n }}s", "5s"),
        ("{% if yes %}a{% endif %}", "a"),
        ("{{ missing | default(3) }}", 3),
        ("{{ n if missing is defined else 0 }}", 0),
        ("{% raw %}{{ n }}{% endraw %}", "{{ n }}"),
        ("no template", "no template"),
    ],
)
def test_one_expression_keeps_its_type_and_all_else_is_text(text, value):
    given_value = render(text, VARIABLES)
    assert given_value == value
    assert type(given_value) is type(value)


def test_templates_are_rendered_inside_of_lists_and_mappings():
    assert render({"a": ["{{ n }}", 1], "b": ("{{ text }}",)}, VARIABLES) == {"a": [5, 1], "b": ["5"]}


@pytest.mark.parametrize(
    "text",
    [
        "{{ missing }}",
        "{{ list[0].a.b }}",
        "{{ [missing] }}",
        "{{ ''.__class__ }}",
        "{{ list.append(1) }}",
        "{{ 'a' * 10 ** 9 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ range }}",
        "{{ 1 / 0 }}",
        "{% include 'x' %}",
    ],
)
def test_what_fails_is_told_in_a_sentence(text):
    with pytest.raises(FtrunError) as failed:
        render(text, VARIABLES)
    assert failed.value.message.startswith("`{")
    assert "\n" not in failed.value.message


@pytest.mark.parametrize(
    "text", ["{{ n", "{{ n | nosuchfilter }}", "{% if %}", "{{ " + "(" * 5000, "{{ " + "9" * 5000 + " }}"]
)
def test_wrong_syntax_is_a_mistake(text):
    with pytest.raises(PydanticCustomError) as refused:
        template(text)
    assert refused.value.type == "template"


def test_a_template_says_what_it_reads_and_what_it_cannot_do_without():
    parsed = template("{{ a + b | default(1) }} {% set c = 1 %}{{ c }} {{ range(2) }}")
    assert parsed.reads == {"a", "b"}
    assert parsed.needs == {"a"}


def test_an_expression_needs_no_braces():
    assert evaluate("n > 3 and list[0] == 1", VARIABLES) is True
    assert expression("x is defined and x > 1").needs == frozenset()


@pytest.mark.parametrize("text", ["n >", "n n", "", "{{ n }}", "{% if n %}"])
def test_a_wrong_expression_is_a_mistake(text):
    with pytest.raises(PydanticCustomError):
        expression(text)


def test_an_expression_that_fails_is_told_in_a_sentence():
    with pytest.raises(FtrunError, match=r"`missing > 1` fails: 'missing' is undefined\."):
        evaluate("missing > 1", VARIABLES)


@given(st.text(alphabet="{}%#-+ abn|().'\"[]0*", max_size=40).map("{{".__add__))
def test_no_text_makes_a_template_fail_otherwise(text):
    assert is_template(text)
    with suppress(FtrunError):
        render(text, VARIABLES)


def test_jinja_is_imported_when_the_first_template_is_met():
    code = "import sys, runner.language.compiler, runner.language.templates; print('jinja2' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
