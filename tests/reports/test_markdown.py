from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.reports.markdown import MOST, escaped, fenced, render
from tests.golden import check
from tests.reports.example import RUNS, head_node_failure, several

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = "a | b `c` <i>&amp; $x$ *y*\n\n# z [l](http://x) \\"
PLAIN = re.compile(r"(?<!\\)(?:\\\\)*[|`*_\[\]<>~#$]")
"""A character that Markdown would take for its own."""


@pytest.mark.parametrize("name", RUNS)
def test_golden(name):
    check(GOLDEN / f"{name}.summary.md", render(RUNS[name]()))


@given(st.text())
def test_an_escaped_text_is_one_line_without_a_character_of_markdown(text):
    shown = escaped(text)
    assert "\n" not in shown
    assert not PLAIN.search(re.sub(r"&#\d+;", "", shown))
    assert not re.match(r"[-+=]|\d+[.)](\s|$)", shown)


def test_escaping_keeps_what_is_said():
    assert escaped(HOSTILE) == (r"a \| b \`c\` \<i\>&amp;amp; \$x\$ \*y\* \# z \[l\](http://x) " + "\\\\")
    assert escaped("- x") == "&#45; x"
    assert escaped("12. x") == "1&#50;. x"
    assert escaped("12.5 s") == "12.5 s"


@given(st.text())
def test_a_fence_is_longer_than_any_within(text):
    first, *_, last = fenced(text, "sh")
    fence = first.removesuffix("sh")
    assert set(fence) == {"`"}
    assert fence == last
    assert fence not in text


def test_hostile_texts_break_no_row():
    run = head_node_failure()
    [scenario] = run.scenarios
    claims = tuple(replace(each, name=HOSTILE, expected=HOSTILE, why=HOSTILE) for each in scenario.assertions)
    hostile = replace(run, scenarios=(replace(scenario, name=HOSTILE, assertions=claims),))
    rows = [line for line in render(hostile).splitlines() if line.startswith("|")]
    assert rows
    heads = [index for index, row in enumerate(rows) if row.startswith("|---")]
    for start, end in zip(
        [head - 1 for head in heads], [*(head - 1 for head in heads[1:]), None], strict=True
    ):
        columns = {len(re.findall(r"(?<!\\)\|", row.replace("\\\\", ""))) for row in rows[start:end]}
        assert len(columns) == 1


def test_of_several_scenarios_those_that_passed_are_folded_up_and_closed_again():
    text = render(several())
    assert text.count("<details>") == text.count("</details>") == 1


def test_of_many_windows_the_first_are_shown():
    run = head_node_failure()
    [scenario] = run.scenarios
    probe = next(each for each in scenario.probes if each.name == "head")
    many = replace(probe.series[0], windows=probe.series[0].windows * 30)
    changed = replace(scenario, probes=(replace(probe, series=(many,)),))
    text = render(replace(run, scenarios=(changed,)))
    assert text.count("| head head/new |") == MOST
    assert "And 10 more windows: run.json holds all of them." in text


def test_it_ends_with_the_command_that_runs_it_again():
    run = replace(head_node_failure(), seed=7, options={"inventory": "mine.yaml", "given": ["gcs=it's none"]})
    assert render(run).endswith(
        "```sh\nftrun scenarios/head_node.yaml -i mine.yaml -e 'gcs=it'\"'\"'s none' --seed 7\n```\n"
    )
