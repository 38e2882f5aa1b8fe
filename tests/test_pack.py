"""The built-in pack: every scenario is right, says what it claims, and no claim of the guide is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runner.cli.options import Settings
from runner.language.compiler import compile_files
from runner.language.pack import Disk
from runner.language.plan import Plan
from runner.language.text import LIMIT
from runner.steps.catalogue import catalogue

ROOT = Path(__file__).parents[1]
FILES = sorted(ROOT.joinpath("scenarios").glob("*.yaml"))
DOCUMENT = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")


def compiled(*files: Path) -> Plan:
    return compile_files(
        [str(file) for file in files],
        source=Disk(LIMIT),
        catalogue=catalogue(),
        clusters=Settings(),
        inventory=str(ROOT / "inventories" / "local.yaml"),
        seed=1,
    )


def claims(file: Path) -> set[str]:
    """Give the guide's claims that a scenario is tagged with."""
    [scenario] = compiled(file).scenarios
    return {tag.removeprefix("claim:") for tag in scenario.tags if tag.startswith("claim:")}


def rows(pattern: str) -> dict[str, str]:
    """Give the rows of docs/claims.md whose first cell matches: that cell, and the rest of the row."""
    return dict(re.findall(rf"^\| ({pattern}) \| (.*)$", DOCUMENT, re.MULTILINE))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_scenario_stands_alone_and_says_what_it_claims(file: Path) -> None:
    [scenario] = compiled(file).scenarios
    assert len(scenario.description) > 40
    assert scenario.tags


def test_they_are_right_together_too() -> None:
    plan = compiled(*FILES)
    assert len(plan.scenarios) == len(FILES)


def test_each_claim_of_the_guide_is_checked_by_the_scenarios_that_the_document_names() -> None:
    listed = {
        claim: set(re.findall(r"`(\w+)`", row.split("|")[1])) for claim, row in rows(r"S\d+[a-d]?").items()
    }
    tagged: dict[str, set[str]] = {claim: set() for claim in listed}
    for file in FILES:
        for claim in claims(file):
            tagged.setdefault(claim, set()).add(file.stem)
    assert listed == tagged
    assert all(listed.values())
    assert set(listed) == {
        *("S1a", "S1b", "S2", "S3a", "S3b", "S4", "S5a", "S5b", "S5c", "S5d", "S6", "S7", "S8a", "S8b"),
        *("S9a", "S9b", "S9c", "S10", "S11a", "S11b", "S12", "S13"),
    }


def test_the_document_has_a_row_of_figures_for_each_scenario() -> None:
    assert {name.strip("`") for name in rows(r"`\w+`")} == {file.stem for file in FILES}


def test_the_readme_says_the_same_of_each_claim() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| (S\d+[a-d]?) \| (.*) \|$", readme, re.MULTILINE))
    listed = {claim: row.rstrip(" |").split(" | ") for claim, row in rows(r"S\d+[a-d]?").items()}
    assert set(told) == set(listed)
    for claim, row in told.items():
        says, verdict, _measured = row.split(" | ")
        assert listed[claim][0].startswith(says)
        assert listed[claim][2] == verdict, claim
