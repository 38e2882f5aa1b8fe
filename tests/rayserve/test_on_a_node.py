"""Scripts that run on a Ray node, with whatever Python has Ray there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from runner import rayserve

SCRIPTS = ("kill_actor.py", "drain_node.py")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_for_a_node_runs_on_python_3_9(script: str) -> None:
    ast.parse((Path(rayserve.__file__).parent / script).read_text(), feature_version=(3, 9))
