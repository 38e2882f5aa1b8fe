"""The JSON Schema (draft 2020-12) of files, generated from the models that the compiler validates with.

It is for editors: what it refuses is wrong, but not all that is wrong is refused (references, templates and
the order of steps are the compiler's). Wherever a value is typed, a template may stand instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from runner.language.models import ApplicationText, IncludeText, InventoryText, ModifiersText, ScenarioText
from runner.language.plan import Catalogue, Kind

Json = Any

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEMPLATE = {"type": "string", "pattern": r"\{\{|\{%", "description": "a template"}
STEPS = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Step"}}


def scenario(catalogue: Catalogue, clusters: Mapping[str, type[BaseModel]]) -> dict[str, Json]:
    """Give the schema of a scenario file: a scenario, or a list of them."""
    defs, refs = _defined(
        ScenarioText,
        ModifiersText,
        IncludeText,
        *clusters.values(),
        *(kind.model for kind in catalogue.values()),
    )
    modifiers = defs.pop("ModifiersText")["properties"]
    one = defs["ScenarioText"]
    one["properties"]["steps"] = {**STEPS, "description": "What happens, in order."}
    one["properties"]["cluster"] = _any_cluster(one["properties"]["cluster"], clusters, refs)
    include = {"anyOf": [{"type": "string"}, refs[IncludeText]], "description": "Steps of another file."}
    kinds = {
        "block": {**STEPS, "description": "Steps that belong together."},
        "parallel": {**STEPS, "description": "Steps that run side by side."},
        "include": include,
        **{name: _kind(kind, refs[kind.model], defs) for name, kind in catalogue.items()},
    }
    defs["Step"] = {
        "type": "object",
        "description": "A step: exactly one kind, and modifiers.",
        "properties": {
            **kinds,
            "rescue": {**STEPS, "description": "Run where a step of the block fails."},
            "always": {**STEPS, "description": "Run after the block, whatever became of it."},
            **modifiers,
        },
        "additionalProperties": False,
        "oneOf": [{"required": [name]} for name in kinds],
        "dependentRequired": {"rescue": ["block"], "always": ["block"]},
    }
    one = {"$ref": "#/$defs/ScenarioText"}
    return _whole(
        "A scenario of ftrun", {"anyOf": [one, {"type": "array", "minItems": 1, "items": one}]}, defs
    )


def inventory(clusters: Mapping[str, type[BaseModel]]) -> dict[str, Json]:
    """Give the schema of an inventory file."""
    defs, refs = _defined(InventoryText, *clusters.values())
    choices = []
    for kind, model in clusters.items():
        settings = defs[_name(refs[model])]
        settings["properties"] = {"kind": {"const": kind}, **settings["properties"]}
        settings["required"] = ["kind", *settings.get("required", [])]
        choices.append(refs[model])
    defs["InventoryText"]["properties"]["cluster"] = {"anyOf": choices}
    return _whole("An inventory of ftrun", {"$ref": "#/$defs/InventoryText"}, defs)


def application() -> dict[str, Json]:
    """Give the schema of an application's file."""
    defs, _ = _defined(ApplicationText)
    return _whole("An application of Ray Serve, for ftrun", {"$ref": "#/$defs/ApplicationText"}, defs)


def _defined(*models: type[BaseModel]) -> tuple[dict[str, Json], dict[type[BaseModel], dict[str, Json]]]:
    """Give the definitions of models, with templates allowed in them, and a reference to each."""
    refs, whole = models_json_schema([(model, "validation") for model in models])
    defs: dict[str, Json] = whole.get("$defs", {})
    for definition in defs.values():
        for key in ("properties", "$defs"):
            for name, schema in definition.get(key, {}).items():
                definition[key][name] = _templated(schema)
    return defs, {model: dict(refs[(model, "validation")]) for model in models}


def _templated(schema: Json) -> Json:
    """Allow a template wherever a value has a type, at any depth; drop titles, which only repeat names."""
    if not isinstance(schema, dict):
        return schema
    schema = {key: value for key, value in schema.items() if key != "title"}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = _templated(schema[key])
    if "anyOf" in schema:
        return {**schema, "anyOf": [*(_bare(_templated(each)) for each in schema["anyOf"]), TEMPLATE]}
    if schema.get("type") == "string" and not schema.keys() & {"pattern", "enum", "const"}:
        return schema
    if not schema.keys() & {"type", "$ref", "enum", "const"}:
        return schema
    outside = {key: schema.pop(key) for key in ("description", "default") if key in schema}
    return {**outside, "anyOf": [schema, TEMPLATE]}


def _bare(schema: Json) -> Json:
    """Undo `anyOf: [one, template]` inside of a choice that has the template already."""
    choices = schema.get("anyOf") if isinstance(schema, dict) else None
    return choices[0] if choices and len(choices) == 2 and choices[1] == TEMPLATE else schema


def _kind(kind: Kind, ref: dict[str, Json], defs: Mapping[str, Json]) -> dict[str, Json]:
    """Give the schema of a step kind: its mapping, and each short form, found by expanding an empty one."""
    says = {"description": (kind.model.__doc__ or "").strip()}
    if kind.expand is None:
        return {**says, **ref}
    fields, forms = defs[_name(ref)]["properties"], [ref]
    shorts: tuple[Json, ...] = ("", [], {})
    for short in shorts:
        match kind.expand(short):
            case {**expanded} if len(expanded) == 1:
                [(name, value)] = expanded.items()
                if value is short:
                    forms.append(fields[name])
                elif value == [short]:
                    forms.append(_bare(fields[name])["items"])
    if kind.expand(None) == {}:
        forms.append({"type": "null"})
    return {**says, "anyOf": [form for index, form in enumerate(forms) if form not in forms[:index]]}


def _any_cluster(
    said: dict[str, Json],
    clusters: Mapping[str, type[BaseModel]],
    refs: Mapping[type[BaseModel], dict[str, Json]],
) -> dict[str, Json]:
    """Give the schema of a scenario's `cluster`: it runs on any kind, so its settings fit one of them."""
    return {"description": said.get("description", ""), "anyOf": [refs[model] for model in clusters.values()]}


def _name(ref: Mapping[str, Json]) -> str:
    return str(ref["$ref"]).rpartition("/")[2]


def _whole(title: str, root: dict[str, Json], defs: dict[str, Json]) -> dict[str, Json]:
    used = _reached(root, defs)
    return {
        "$schema": DIALECT,
        "title": title,
        **root,
        "$defs": {name: schema for name, schema in defs.items() if name in used},
    }


def _reached(schema: Json, defs: Mapping[str, Json]) -> set[str]:
    """Give the names of the definitions that a schema uses, directly or not."""
    pending, found = [schema], set[str]()
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            if "$ref" in each and (name := _name(each)) not in found:
                found.add(name)
                pending.append(defs[name])
            pending += each.values()
        elif isinstance(each, list):
            pending += each
    return found
