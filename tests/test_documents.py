"""What the documents say is what the code does: names, defaults, examples, links, commands."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter

from runner.cli import options
from runner.cli.guard import guarded
from runner.cli.main import VERBS
from runner.language import models
from runner.language.compiler import compile_files
from runner.language.pack import Disk
from runner.language.plan import Plan
from runner.language.steps import BLOCK
from runner.language.text import LIMIT
from runner.steps.assertion import Case
from runner.steps.catalogue import catalogue

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path
    for folder in (".", "docs", "reports", "tests")
    for path in ROOT.joinpath(folder).glob("*.md")
    if path.parent != ROOT / "reports" or path.name == "README.md"
)
KINDS = catalogue()


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


README, LANGUAGE = read("README.md"), read("docs/language.md")


# The words of the language

SECTIONS: dict[str, type[BaseModel]] = {
    "Scenario": models.ScenarioText,
    "Probes": models.ProbeText,
    "Modifiers": models.ModifiersText,
    "Include": models.IncludeText,
    "Applications": models.ApplicationText,
    "Inventories": models.InventoryText,
    **{f"`{name}`": Case if name == "assert" else kind.model for name, kind in KINDS.items()},
    **options.Settings(),
}
"""Each heading of docs/language.md under which a model's keys stand, and the model."""


def section(heading: str) -> str:
    """Give what stands under a heading, down to the next of any level."""
    outside = re.sub(r"^```.*?^```$", "", LANGUAGE, flags=re.MULTILINE | re.DOTALL)
    found = re.search(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", outside, re.MULTILINE | re.DOTALL)
    assert found, f"docs/language.md has no section {heading!r}"
    return found[1]


def rows(heading: str) -> dict[str, str]:
    """Give the keys that a section's table names, and the default that it gives each."""
    found = {}
    for keys, default in re.findall(r"^\| (`.*?) \| (.*?) \|", section(heading), re.MULTILINE):
        names = re.findall(r"`(\w+)`", keys)
        given = default.split(", ") if default.count(", ") == len(names) - 1 > 0 else [default] * len(names)
        found.update(zip(names, given, strict=True))
    return found


def fields(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def every_key(model: type[BaseModel]) -> set[str]:
    """Give the keys of a model and of all models inside of it."""
    schema = model.model_json_schema()
    return {key for each in (schema, *schema.get("$defs", {}).values()) for key in each.get("properties", {})}


@pytest.mark.parametrize("heading", SECTIONS)
def test_a_table_of_the_language_has_exactly_the_keys_of_its_model(heading):
    documented, real = set(rows(heading)), set(fields(SECTIONS[heading]))
    assert not real - documented, f"docs/language.md, {heading}: not documented: {sorted(real - documented)}"
    assert not documented - real, f"docs/language.md, {heading}: no such key: {sorted(documented - real)}"


@pytest.mark.parametrize("heading", [name for name in SECTIONS if name != "Scenario"])
def test_keys_of_nested_mappings_are_named_in_the_section_too(heading):
    inner = (
        every_key(SECTIONS[heading])
        if heading != "Inventories"
        else every_key(models.InventoryText) | every_key(models.CommandText) | every_key(models.HostsText)
    )
    words = {word for code in re.findall(r"`([^`]+)`", section(heading)) for word in re.findall(r"\w+", code)}
    assert not inner - words, f"docs/language.md, {heading}: not documented: {sorted(inner - words)}"


@pytest.mark.parametrize("heading", SECTIONS)
def test_a_default_in_a_table_is_the_one_of_the_model(heading):
    for key, said in rows(heading).items():
        field = fields(SECTIONS[heading])[key]
        place = f"docs/language.md, {heading}, `{key}`"
        assert field.is_required() == (said == "required"), f"{place}: {said!r} is wrong"
        if re.fullmatch(r"`[^`]+`", said):
            adapter = TypeAdapter(Annotated[field.annotation, None, *field.metadata])
            value = adapter.validate_python(yaml.safe_load(said.strip("`")))
            assert value == field.get_default(call_default_factory=True), f"{place}: {said} is wrong"
        elif said == "none":
            assert field.get_default(call_default_factory=True) in (None, "", (), {}, []), place


def test_every_step_kind_has_a_section_and_no_section_is_of_a_kind_that_is_gone():
    chapter = LANGUAGE[LANGUAGE.index("\n## Steps\n") : LANGUAGE.index("\n## Modifiers\n")]
    assert set(re.findall(r"^### `(\w+)`$", chapter, re.MULTILINE)) == set(KINDS)


def test_the_words_of_blocks_are_named():
    for word in (*BLOCK, "parallel"):
        assert f"`{word}`" in section("Blocks")


def test_every_option_of_run_is_named(capsys):
    guarded("run", ["--help"])
    long = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out)) - {"--help"}
    short_ones = {"--inventory": "-i", "--extra-vars": "-e", "--verbose": "-v"}
    for option in long:
        assert f"`{short_ones.get(option, option)}" in section("Command line"), f"{option} is not documented"


# Examples


@dataclass(frozen=True)
class Example:
    """A fenced block of YAML and where it stands."""

    place: str
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file that it says it is, in its first line."""
        found = re.match(r"# (\S+\.yaml)\n", self.text)
        return found[1] if found else None


def examples(name: str) -> Iterator[Example]:
    text = read(name)
    for found in re.finditer(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Example(f"{name}:{text[: found.start()].count(chr(10)) + 1}", found[1])


EXAMPLES = [*examples("README.md"), *examples("docs/language.md"), *examples("docs/kubernetes.md")]
SCENARIOS = [each for each in EXAMPLES if "\nsteps:" in each.text]
INVENTORIES = [each for each in EXAMPLES if re.match(r"cluster:", each.text)]
FILES = [each for each in EXAMPLES if each.file]
STEPS = [each for each in EXAMPLES if each.text.startswith("- ")]

INVENTORY = """\
cluster: {kind: local}
commands: {break_db: {act: "false"}}
allow: [exec]
"""
FRAME = """\
name: all the steps of docs/language.md
app: apps/sleepy_pid.yaml
probes: {users: {endpoint: service}, workers: {endpoint: each-worker}, head: {endpoint: head}}
steps:
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the applications of the pack, the files that the documents show, and an inventory."""
    shutil.copytree(ROOT / "scenarios" / "apps", tmp_path / "apps")
    for each in FILES:
        assert each.file
        path = tmp_path / each.file
        path.parent.mkdir(exist_ok=True)
        path.write_text(each.text)
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    (tmp_path / "count_files.py").write_text("print(0)\n")
    return tmp_path


def compiled(folder: Path, text: str | None, *, inventory: str = INVENTORY, app: str | None = None) -> Plan:
    (folder / "inventory.yaml").write_text(inventory)
    if text is not None:
        (folder / "scenario.yaml").write_text(text)
    return compile_files(
        [] if text is None else [str(folder / "scenario.yaml")],
        source=Disk(LIMIT),
        catalogue=KINDS,
        clusters=options.Settings(),
        inventory=str(folder / "inventory.yaml"),
        app=app,
    )


@pytest.mark.parametrize("example", SCENARIOS, ids=lambda each: each.place)
def test_a_scenario_of_the_documents_compiles(example, folder):
    assert compiled(folder, example.text).scenarios


@pytest.mark.parametrize("example", INVENTORIES, ids=lambda each: each.place)
def test_an_inventory_of_the_documents_compiles(example, folder):
    assert compiled(folder, None, inventory=example.text).inventory.kind in options.Settings.KINDS


def test_the_steps_of_the_language_are_one_scenario_and_show_every_kind(folder):
    body = "".join(f"  {line}\n" for each in STEPS for line in each.text.splitlines())
    plan = compiled(folder, FRAME + body)
    shown = {line.split(":")[0].strip(" -") for each in STEPS for line in each.text.splitlines()}
    assert set(KINDS) <= shown, f"no example of {sorted(set(KINDS) - shown)}"
    assert plan.scenarios[0].steps


def test_an_application_of_the_documents_compiles(folder):
    [application] = [each for each in FILES if "import_path" in each.text]
    plan = compiled(folder, f"{FRAME}  - deploy:\n", app=str(folder / str(application.file)))
    assert plan.scenarios[0].app.config["import_path"] == "main:app"


def test_every_example_is_one_that_these_tests_compile():
    seen = {each.place for each in (*SCENARIOS, *INVENTORIES, *FILES, *STEPS)}
    assert {each.place for each in EXAMPLES} == seen


# README, and what the documents point at


def test_the_readme_names_every_verb():
    for verb in VERBS:
        # `run` is the verb of `ftrun FILE`.
        assert re.search(rf"\bftrun {verb}\b" if verb != "run" else r"\bftrun \S+", README), verb


def test_the_readme_shows_the_mistake_that_check_really_prints(folder, monkeypatch, capsys):
    found = re.search(r"`ftrun check FILE...` finds[^\n]*\n\n((?:    [^\n]*\n)+)", README)
    assert found, "README.md shows no output of `ftrun check`"
    shown = [line.removeprefix("    ") for line in found[1].splitlines()]
    [scenario] = [each.text for each in SCENARIOS if each.place.startswith("README.md")]
    wrong = scenario.replace("longest:", "longst:")
    assert wrong != scenario
    (folder / "mine.yaml").write_text(wrong)
    monkeypatch.chdir(folder)
    assert guarded("check", ["mine.yaml"]) == 4
    printed = capsys.readouterr().err.splitlines()
    assert shown == printed[: len(shown)], "README.md shows:\n{}\nftrun prints:\n{}".format(
        "\n".join(shown), "\n".join(printed)
    )


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"])
def test_targets_of_make_that_a_document_names_exist(name):
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    named = set(re.findall(r"(?:`|^    )make ([a-z-]+)", read(name), re.MULTILINE))
    assert not named - targets, f"{name}: the Makefile has no {sorted(named - targets)}"
    assert named or name == "ARCHITECTURE.md"


def anchors(text: str) -> set[str]:
    """Give the anchors that a document's headings have on GitHub."""
    heads = re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"\s*\n\s*", " ", path.read_text(encoding="utf-8"))):
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), f"{path.name}: there is no {link}"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), (
                f"{path.name}: no heading for {link}"
            )


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_that_a_document_names_exist(path):
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for name in re.findall(r"`((?:runner|tests|docs|scenarios|inventories|\.ci)/[\w./-]*)`", text):
        assert (ROOT / name).exists(), f"{path.name}: there is no {name}"


def test_every_room_has_its_row_in_the_architecture():
    rooms = {path.parent.name for path in ROOT.joinpath("runner").glob("*/__init__.py")}
    named = set(re.findall(r"^\| `(\w+)/` \|", read("ARCHITECTURE.md"), re.MULTILINE))
    assert named == rooms
