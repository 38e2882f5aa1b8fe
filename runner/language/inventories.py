"""Inventories: where scenarios run, with the settings of the cluster kind validated by its own model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel

from runner.language.models import InventoryText
from runner.language.plan import Inventory, Json
from runner.language.refusal import nearest
from runner.language.text import Node, Text, plain
from runner.language.validation import validate
from runner.language.variables import Variables


@dataclass(frozen=True, slots=True)
class Home:
    """An inventory, the text it came from, and the model of its cluster's settings."""

    inventory: Inventory
    text: Text
    cluster: Node
    """The settings as they stand in the file, without the kind."""
    settings: type[BaseModel]


def inventory(
    root: Node, text: Text, clusters: Mapping[str, type[BaseModel]], fixed: Mapping[str, Json]
) -> Home | None:
    """Compile an inventory; None with the problems in the text."""
    if not isinstance(root.value, dict):
        text.refuse("inventory", "An inventory is a mapping that begins with `cluster`.", root)
        return None
    variables = own_variables(root, text, Variables({}, frozenset(), fixed))
    rest = {key: child for key, child in root.value.items() if key != "vars"}
    node, _ = variables.settle(replace(root, value=rest), text)
    said = validate(InventoryText, replace(node, value={**root.value, **node.value}), text)
    if said is None:
        return None
    cluster = node.value["cluster"]
    kind = said.cluster.get("kind")
    if not isinstance(kind, str) or kind not in clusters:
        known = ", ".join(sorted(clusters))
        if kind is None:
            text.refuse("missing-key", "`kind` is missing.", cluster, f"Kinds of cluster: {known}.")
        else:
            hint = nearest(str(kind), list(clusters)) or f"There are: {known}."
            text.refuse(
                "unknown-cluster", f"There is no kind of cluster `{kind}`.", cluster.value["kind"], hint
            )
        return None
    settings = replace(cluster, value={key: child for key, child in cluster.value.items() if key != "kind"})
    if validate(clusters[kind], settings, text) is None or text.problems:
        return None
    made = Inventory(
        name=Path(text.file).stem,
        file=text.file,
        kind=kind,
        cluster={key: value for key, value in said.cluster.items() if key != "kind"},
        endpoints=said.endpoints,
        commands={name: command.model_dump(exclude_none=True) for name, command in said.commands.items()},
        allow=said.allow,
        hosts=said.hosts.model_dump(exclude_none=True) if said.hosts is not None else {},
        vars=variables.static,
        position=text.position(root),
    )
    return Home(made, text, settings, clusters[kind])


def own_variables(root: Node, text: Text, around: Variables) -> Variables:
    """Give the variables of a file: those around it, and its `vars`, each of which may read those before."""
    written = root.value.get("vars")
    if written is None or not isinstance(written.value, dict):
        return around
    variables = around
    for name, node in written.value.items():
        if name in around.fixed:
            variables = variables.knowing({name: around.fixed[name]})
            continue
        settled, _ = variables.settle(node, text)
        variables = variables.knowing({name: plain(settled)})
    return variables
