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


def tagged(kind: str) -> dict[str, set[str]]:
    """Give the scenarios that have a tag of a kind, such as `claim:S5a`, by what stands behind the colon."""
    found: dict[str, set[str]] = {}
    for file in FILES:
        [scenario] = compiled(file).scenarios
        for tag in scenario.tags:
            if tag.startswith(f"{kind}:"):
                found.setdefault(tag.removeprefix(f"{kind}:"), set()).add(file.stem)
    return found


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
    assert listed == tagged("claim")
    assert set(listed) == {
        *("S1a", "S1b", "S2", "S3a", "S3b", "S4", "S5a", "S5b", "S5c", "S5d", "S6", "S7", "S8a", "S8b"),
        *("S9a", "S9b", "S9c", "S10", "S11a", "S11b", "S12", "S13"),
    }


def test_each_thread_is_checked_by_the_scenarios_that_the_document_names() -> None:
    table = re.findall(
        r"^\| \[((\w+)#(\d+))\]\(https://github\.com/ray-project/(\w+)/(?:issues|pull)/(\d+)\) \| [^|]+ \| (.*) \|$",
        DOCUMENT,
        re.MULTILINE,
    )
    assert all((one, number) == (other, again) for _, one, number, other, again, _ in table)
    listed = {row[0]: set(re.findall(r"`(\w+)`", row[-1])) for row in table}
    assert listed == tagged("thread")
    kuberay, ray = (1153, 1463, 615, 634, 1565, 375, 1141, 1559, 4126), (64349, 39122, 57173, 43030, 66252)
    assert {*(f"kuberay#{each}" for each in kuberay), *(f"ray#{each}" for each in ray)} <= set(listed)


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
