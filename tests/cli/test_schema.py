import json

import pytest
from jsonschema import Draft202012Validator

from runner.cli.main import main
from runner.language.pack import Disk, folder
from runner.language.text import LIMIT, plain, read
from runner.steps.catalogue import catalogue


@pytest.fixture
def schema(capsys):
    """Print a schema; give its validator."""

    def made(*of: str) -> Draft202012Validator:
        assert main(["schema", *of]) == 0
        printed = json.loads(capsys.readouterr().out)
        Draft202012Validator.check_schema(printed)
        assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        return Draft202012Validator(printed)

    return made


@pytest.mark.parametrize(
    ("of", "place", "pattern"),
    [
        ("scenario", "scenarios", "*.yaml"),
        ("inventory", "inventories", "*.yaml"),
        ("application", "scenarios", "apps/*.yaml"),
    ],
)
def test_all_built_in_files_are_valid(schema, of, place, pattern):
    validator, paths = schema(of), list(folder(place).glob(pattern))
    assert paths
    for path in paths:
        if "apiVersion" in path.read_text(encoding="utf-8"):
            continue  # what Kubernetes is to be given
        # As ftrun and editors read it: PyYAML alone takes 2027-01-31 for a date.
        _, root = read(str(path), Disk(LIMIT))
        assert root is not None
        assert [each.message for each in validator.iter_errors(plain(root))] == []


@pytest.mark.parametrize(
    "step",
    [
        {"pause": "5s"},
        {"pause": {"duration": "{{ how_long }}"}},
        {"deploy": None},
        {"deploy": {"wait": "{{ x }}s"}},
        {"wait_for": "RUNNING"},
        {"assert": {"that": "x > 1"}},
        {"assert": [{"probe": "users", "failed": {"max": "{{ n }}"}}]},
        {"exec": ["ls", "-l"], "register": "r", "until": "r.exit_code == 0", "retries": 3, "delay": "1s"},
        {"block": [{"log": "x"}], "rescue": [{"log": "y"}], "when": ["a", True], "tags": "t"},
        {"include": {"file": "x.yaml", "vars": {"a": 1}}},
        {"kill": {"node": {"worker": "any"}}, "loop": [1, 2], "name": "n"},
        {"parallel": [{"kill": {"node": "head"}}, {"pause": "1s"}], "timeout": "1m"},
        {"deploy": {"app": ["a.yaml", "b.yaml"], "expect": "DEPLOY_FAILED"}},
        {"http": {"endpoint": "dashboard", "json": {"a": [1]}, "expect": 200}},
        {"set": {"limit": "10s", "n": 1}},
        {"scale": {"deployment": "D", "replicas": "{{ n }}"}},
    ],
)
def test_every_form_of_a_step_is_valid(schema, step):
    assert schema().is_valid({"name": "n", "steps": [step]})
    assert schema().is_valid([{"name": "n", "steps": [step]}])


@pytest.mark.parametrize(
    "scenario",
    [
        {"name": "n"},
        {"name": "n", "steps": []},
        {"name": "n", "steps": [{"pause": 5}]},
        {"name": "n", "steps": [{"pause": "5"}]},
        {"name": "n", "steps": [{"puase": "5s"}]},
        {"name": "n", "steps": [{"pause": "5s", "log": "x"}]},
        {"name": "n", "steps": [{"log": "x", "rescue": [{"log": "y"}]}]},
        {"name": "n", "steps": [{"name": "x"}]},
        {"name": "n", "steps": [{"parallel": [{"log": "x"}], "rescue": [{"log": "y"}]}]},
        {"name": "n", "steps": [{"assert": [{"probe": "users", "longst": {"max": "1s"}}]}]},
        {"name": "n", "steps": [{"log": "x"}], "probes": {"u": {"rate": 5}}},
        {"name": "n", "steps": [{"log": "x"}], "probes": {"u": {"endpoint": "head", "rate": -5}}},
        {"name": "n", "steps": [{"log": "x"}], "cluster": {"colour": "red"}},
        {"name": "n", "steps": [{"log": "x"}], "colour": "red"},
    ],
)
def test_a_wrong_scenario_is_refused(schema, scenario):
    assert not schema().is_valid(scenario)


@pytest.mark.parametrize(
    "cluster", [{}, {"kind": "extrenal"}, {"kind": "local", "wrkers": 1}, {"workers": 1}]
)
def test_a_wrong_inventory_is_refused(schema, cluster):
    assert not schema("inventory").is_valid({"cluster": cluster})


def test_editors_can_complete_step_kinds_modifiers_and_what_they_take(schema):
    definitions = schema().schema["$defs"]
    step = definitions["Step"]["properties"]
    assert {*catalogue(), "block", "include", "when", "register", "until", "loop"} <= step.keys()
    assert all(step[kind].get("description") for kind in catalogue())
    assert {"$ref": "#/$defs/Case"} in step["assert"]["anyOf"][1]["anyOf"][0]["items"]["anyOf"]
    assert "longest" in definitions["Case"]["properties"]
