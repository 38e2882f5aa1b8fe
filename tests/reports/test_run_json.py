from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from runner.reports import run_json
from tests.golden import check
from tests.reports.example import RUNS, head_node_failure

HERE = Path(__file__).parent
SCHEMA = json.loads((HERE.parents[1] / "docs" / "run.schema.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", RUNS)
def test_every_run_keeps_the_documented_schema(name):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(
        json.loads(run_json.render(RUNS[name]())), SCHEMA, cls=jsonschema.Draft202012Validator
    )


def described(value, schema, path="run"):
    """Walk value and schema together; fail where a name stands in one of them only."""
    schema = SCHEMA["$defs"][schema["$ref"].split("/")[-1]] if "$ref" in schema else schema
    if "anyOf" in schema and value is not None:
        schema = next(described_by for described_by in schema["anyOf"] if "$ref" in described_by)
        schema = SCHEMA["$defs"][schema["$ref"].split("/")[-1]]
    if isinstance(value, dict) and "properties" in schema:
        assert list(value) == list(schema["properties"]), path
        for key, each in value.items():
            described(each, schema["properties"][key], f"{path}.{key}")
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for each in value:
            described(each, schema["items"], f"{path}[]")


def test_the_schema_and_the_file_have_the_same_names_in_the_same_order():
    described(json.loads(run_json.render(RUNS["failed"]())), SCHEMA)


def test_the_file_of_a_run_is_as_it_was():
    check(HERE / "golden" / "passed.run.json", run_json.render(head_node_failure()))


def test_what_is_not_a_number_is_null_and_digits_end_at_nanoseconds():
    run = head_node_failure()
    scenario = run.scenarios[0]
    series = scenario.probes[0].series[0]
    window = replace(series.windows[0], longest=math.inf, shortest=0.1 + 0.2)
    series = replace(series, windows=(window,), resolution=math.nan, samples=np.int64(7), rate=np.float64(20))
    probe = replace(scenario.probes[0], series=(series,))
    text = run_json.render(replace(run, scenarios=(replace(scenario, probes=(probe,)),)))

    def refuse(constant):
        raise AssertionError(constant)

    found = json.loads(text, parse_constant=refuse)["scenarios"][0]["probes"][0]["series"][0]
    assert found["windows"][0]["longest"] is None
    assert found["windows"][0]["shortest"] == 0.3
    assert found["resolution"] is None
    assert found["samples"] == 7
    assert found["rate"] == 20.0


def test_charts_stay_out_of_it():
    assert "chart" not in run_json.render(head_node_failure())
