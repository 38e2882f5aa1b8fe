"""Which variables a place of a file may read, and rendering what is known there at load time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pydantic_core import PydanticCustomError

from runner.errors import FtrunError
from runner.language.templates import is_template, render, template
from runner.language.text import Json, Node, Path, Text, node_of
from runner.language.types import check_names


@dataclass(frozen=True, slots=True)
class Variables:
    """`static` have values at load time; `runtime` are names whose values the run will bring.

    `fixed` come from the command line and win over every other variable of their name.
    """

    static: Mapping[str, Json] = field(default_factory=dict)
    runtime: frozenset[str] = frozenset()
    fixed: Mapping[str, Json] = field(default_factory=dict)

    @property
    def known(self) -> frozenset[str]:
        """Every name that may be read here."""
        return self.runtime | self.static.keys()

    def knowing(self, static: Mapping[str, Json], runtime: frozenset[str] = frozenset()) -> Variables:
        """Give these with more of them; a name that is given anew hides the old one."""
        static = {**static, **{name: value for name, value in self.fixed.items() if name in static}}
        runtime -= self.fixed.keys()
        kept = {name: value for name, value in self.static.items() if name not in runtime}
        return replace(self, static={**kept, **static}, runtime=(self.runtime - static.keys()) | runtime)

    def settle(self, node: Node, text: Text) -> tuple[Node, set[Path]]:
        """Render the templates inside of a node that read static names only.

        Gives the node and the paths of the templates that have to wait for the run. Wrong syntax, names that
        nothing defines and templates that fail are noted in the text.
        """
        deferred: set[Path] = set()
        return self._settled(node, text, (), deferred), deferred

    def _settled(self, node: Node, text: Text, path: Path, deferred: set[Path]) -> Node:
        if isinstance(node.value, dict):
            children = {
                key: self._settled(child, text, (*path, key), deferred) for key, child in node.value.items()
            }
            return replace(node, value=children)
        if isinstance(node.value, list):
            items = [
                self._settled(child, text, (*path, index), deferred) for index, child in enumerate(node.value)
            ]
            return replace(node, value=items)
        if not is_template(node.value):
            return node
        try:
            parsed = template(node.value)
            check_names(parsed.needs, self.known)
            if not parsed.reads & self.runtime:
                return node_of(render(node.value, self.static), node.line, node.column)
        except PydanticCustomError as error:
            text.refuse(error.type, error.message(), node, (error.context or {}).get("help"))
        except FtrunError as error:
            text.refuse("template", error.message, node)
        deferred.add(path)
        return node
