"""Serve applications: read from a file, or named on the command line in place of a scenario's."""

from __future__ import annotations

import os
import re
from pathlib import Path

from runner.errors import InvalidInput, Problem
from runner.language.models import ApplicationText
from runner.language.plan import Application
from runner.language.text import Node, Text
from runner.language.validation import validate
from runner.language.variables import Variables


def application(root: Node, text: Text, variables: Variables) -> Application | None:
    """Compile an application's file; None with the problems in the text.

    Its code stands in the folder of the file. Whether Ray can import it is seen only when it is deployed: it
    may be installed where Ray runs, and not here.
    """
    if isinstance(root.value, dict) and "applications" in root.value:
        message = (
            "This is a whole configuration of Serve; an application's file is one entry of `applications`."
        )
        text.refuse("application", message, root)
        return None
    node, _ = variables.settle(root, text)
    said = validate(ApplicationText, node, text)
    if said is None or text.problems:
        return None
    name = said.name or Path(text.file).stem
    config = said.model_dump(mode="json", exclude_unset=True) | {
        "name": name,
        "import_path": said.import_path,
        "route_prefix": said.route_prefix,
    }
    return Application(name, config, Path(os.path.abspath(text.file)).parent, text.position(_name_of(node)))


def named(import_path: str) -> Application:
    """Give the application `module:name` of the current folder; raises InvalidInput where it is not there."""
    match = re.fullmatch(r"(?P<module>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):[A-Za-z_]\w*", import_path)
    if match is None:
        message = f"`--app {import_path}` is not module:name."
        raise InvalidInput([Problem("application", message, help="Such as main:app.")])
    module = match["module"]
    stem = Path.cwd().joinpath(*module.split("."))
    if not stem.with_suffix(".py").is_file() and not stem.is_dir():
        message = (
            f"`--app {import_path}`: there is no {stem.with_suffix('.py').relative_to(Path.cwd())} here."
        )
        raise InvalidInput(
            [Problem("application", message, help="Run ftrun in the folder that your code is in.")]
        )
    config = {"name": module.rpartition(".")[2], "import_path": import_path, "route_prefix": "/"}
    return Application(config["name"], config, Path.cwd())


def _name_of(node: Node) -> Node:
    name = node.value.get("name")
    return name if isinstance(name, Node) else node
