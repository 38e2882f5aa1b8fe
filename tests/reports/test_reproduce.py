from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from runner.reports.reproduce import render
from tests.golden import check
from tests.reports.example import could_not_start, head_node_failure

NAMES = ("journal.jsonl", "logs/0/head.log", "run.json", "sources/scenarios/head_node.yaml", "versions.txt")
GOLDEN = Path(__file__).parent / "golden"


def commands(text: str) -> list[str]:
    return text.split("```")[1].splitlines()[2:]


def test_golden() -> None:
    sources = {"here": ".", "files": {"scenarios/head_node.yaml": "pack/scenarios/head_node.yaml"}}
    check(GOLDEN / "passed.REPRODUCE.md", render(head_node_failure(), sources, NAMES))


def test_the_command_names_the_files_as_they_stand_in_sources() -> None:
    run = replace(
        head_node_failure(),
        options={"inventory": "i.yaml", "given": ["a=1", "@../v.yaml"], "app": "main:app", "repeat": 3},
        inventory={"name": "i", "file": "i.yaml"},
    )
    files = {"scenarios/head_node.yaml": "c/s.yaml", "i.yaml": "c/i.yaml", "../v.yaml": "v.yaml"}
    assert commands(render(run, {"here": "c", "files": files}, NAMES)) == [
        "cd sources/c",
        f"ftrun s.yaml -i i.yaml -e a=1 -e @../v.yaml --app main:app --seed {run.seed} --repeat 3",
    ]


def test_without_sources_it_is_the_command_that_was_given() -> None:
    run = replace(could_not_start(), scenarios=(), argv=("x.yaml", "-e", "a=b c"))
    assert commands(render(run, {}, NAMES)) == ["ftrun x.yaml -e 'a=b c'"]
