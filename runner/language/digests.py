"""What a scenario does, as short digests, so that it is known again later. Assertions are left out."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from pydantic import BaseModel

from runner.language.plan import Block, Json, Node, Scenario, Step

JUDGING = {"assert": ("cases",), "wait_for": ("known",)}
"""What of a kind of step is for the judge alone."""


def digest(value: Any) -> str:
    """Give a short digest of a value: enough to see that it is another one, too little to guess it by."""
    text = json.dumps(value, sort_keys=True, default=_plain, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def of_scenario(scenario: Scenario) -> dict[str, str]:
    """Give the digests of what a scenario says beside its steps, by what it is."""
    parts: dict[str, Any] = {
        "`cluster`": scenario.cluster,
        "`requires`": scenario.requires,
        "`timeout`": scenario.timeout,
        "`repeat`": scenario.repeat,
        "`abort_when`": scenario.abort_when,
        "the application": _config(scenario.app),
    }
    parts |= {f"the application `{name}`": _config(app) for name, app in scenario.apps.items()}
    for name, probe in scenario.probes.items():
        parts[f"the probe `{name}`"] = {**asdict(probe), "position": None}
    return {name: digest(value) for name, value in parts.items()}


def of_variables(scenario: Scenario) -> dict[str, str]:
    """Give the digests of a scenario's variables."""
    return {name: digest(value) for name, value in scenario.vars.items()}


def of_node(node: Node) -> str:
    """Give the digest of a step, or of what modifies a block."""
    return digest(_said(node))


def reads(nodes: Sequence[Node], name: str) -> Iterator[Node]:
    """Give the nodes in which the run may have read a variable, but for assertions."""
    for node in nodes:
        said = _said(node)
        if isinstance(node, Step) and node.arguments is not None:
            said["arguments"] = None  # settled before the run
        if re.search(rf"\b{re.escape(name)}\b", json.dumps(said, default=_plain)):
            yield node
        if isinstance(node, Block):
            yield from reads((*node.block, *node.rescue, *node.always), name)


def _said(node: Node) -> dict[str, Any]:
    modifiers = {**asdict(node.modifiers), "name": None, "tags": None}
    if isinstance(node, Block):
        return {"kind": node.kind, "modifiers": modifiers}
    if node.kind == "assert":
        modifiers["register"] = None
    given = node.raw if node.arguments is None else node.arguments.model_dump(mode="json")
    kept: Mapping[str, Json] = {
        key: value for key, value in given.items() if key not in JUDGING.get(node.kind, ())
    }
    return {"kind": node.kind, "modifiers": modifiers, "arguments": None if node.modifiers.no_log else kept}


def _config(app: Any) -> Any:
    return None if app is None else {"name": app.name, "config": app.config}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)
