"""Templates: Jinja2 in a sandbox, with native types; what is undefined is an error, never an empty text.

A text that is one `{{ expression }}` gives the expression's own value (a number stays a number); any other
template gives text. Jinja2 is imported when the first template is met.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError

from runner.errors import FtrunError
from runner.language.refusal import mistake

if TYPE_CHECKING:
    from jinja2 import nodes
    from jinja2.environment import TemplateExpression
    from jinja2.sandbox import SandboxedEnvironment

Json = Any

MARKS = ("{{", "{%", "{#")
"""What makes a text a template."""

_NAME = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
_WORDS = frozenset({"true", "false", "none", "not", "range", "dict", "namespace"})

BRACES = "To mean the braces themselves, write {% raw %}...{% endraw %} around them."


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template. `reads` are the variables it may look at, `needs` those it fails without."""

    compiled: Callable[[Mapping[str, Json]], Json]
    reads: frozenset[str]
    needs: frozenset[str]


def is_template(value: object) -> bool:
    """Say whether the value is a text with a template in it."""
    return isinstance(value, str) and any(mark in value for mark in MARKS)


@lru_cache(maxsize=4096)
def template(text: str) -> Template:
    """Parse a text with braces; refuses wrong syntax (a `mistake`)."""
    if (match := _NAME.fullmatch(text)) and match[1].lower() not in _WORDS:
        # By far the most common template is one variable. It needs no Jinja, which takes long to import.
        return Template(_variable(match[1]), frozenset({match[1]}), frozenset({match[1]}))
    try:
        tree = _environment().parse(text)
        whole = _only_expression(tree)
        compiled = _environment().from_string(tree).render if whole is None else _expression(whole)
        return _analysed(compiled, tree)
    except Exception as error:  # besides TemplateSyntaxError: recursion, numbers too long for Python
        raise mistake("template", f"The template is wrong: {_said(error)}.", BRACES) from error


@lru_cache(maxsize=4096)
def expression(text: str) -> Template:
    """Parse an expression without braces; refuses wrong syntax (a `mistake`)."""
    from jinja2 import nodes
    from jinja2.parser import Parser

    try:
        parser = Parser(_environment(), text, state="variable")
        parsed = parser.parse_expression()
        if not parser.stream.eos:
            raise FtrunError(f"it goes on after its end, at `{parser.stream.current}`")
        tree = nodes.Template([nodes.Output([parsed], lineno=1)], lineno=1)
        tree.set_environment(_environment())
        return _analysed(_expression(parsed), tree)
    except Exception as error:  # as above
        raise mistake("template", f"The condition is wrong: {_said(error)}.") from error


def _variable(name: str) -> Callable[[Mapping[str, Json]], Json]:
    def look_up(variables: Mapping[str, Json]) -> Json:
        if name not in variables:
            raise FtrunError(f"'{name}' is undefined")
        return variables[name]

    return look_up


def render(value: Json, variables: Mapping[str, Json]) -> Json:
    """Render every template inside of a JSON value, keys excepted; raises FtrunError with a sentence."""
    if isinstance(value, Mapping):
        return {key: render(child, variables) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [render(child, variables) for child in value]
    return _valued(template, value, variables) if is_template(value) else value


def evaluate(text: str, variables: Mapping[str, Json]) -> Json:
    """Give the value of an expression without braces; raises FtrunError with a sentence."""
    return _valued(expression, text, variables)


def _valued(parse: Any, text: str, variables: Mapping[str, Json]) -> Json:
    try:
        return _json(parse(text).compiled(variables))
    except PydanticCustomError as error:
        raise FtrunError(f"`{_short(text)}`: {error.message()}") from error
    except Exception as error:  # a template may raise what any expression may
        raise FtrunError(f"`{_short(text)}` fails: {_said(error)}.") from error


def _json(value: Any) -> Json:
    """Give the value as plain JSON; text types of Jinja become text, generators lists."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _json(child) for key, child in value.items()}
    if isinstance(value, list | tuple | set | frozenset | range | GeneratorType):
        return [_json(child) for child in value]
    if hasattr(value, "_fail_with_undefined_error"):
        str(value)  # Jinja's undefined value, which raises in its own words
    raise FtrunError(f"it gives a {type(value).__name__}, which is no value of YAML or JSON")


def _only_expression(tree: nodes.Template) -> nodes.Expr | None:
    """Give the expression of a template that is nothing else."""
    from jinja2 import nodes

    match tree.body:
        case [nodes.Output(nodes=[nodes.Expr() as only])] if not isinstance(only, nodes.TemplateData):
            return only
    return None


def _expression(parsed: nodes.Expr) -> TemplateExpression:
    """Compile one expression to a function of the variables, as `compile_expression` does with a text."""
    from jinja2 import nodes
    from jinja2.environment import TemplateExpression

    body: list[nodes.Node] = [nodes.Assign(nodes.Name("result", "store"), parsed, lineno=1)]
    tree = nodes.Template(body, lineno=1)
    tree.set_environment(_environment())
    return TemplateExpression(_environment().from_string(tree), undefined_to_none=False)


def _analysed(compiled: Any, tree: nodes.Template) -> Template:
    """Find the names it reads; a name that is asked for with `is defined` or has a `default` is no need."""
    from jinja2 import meta, nodes

    reads = frozenset(meta.find_undeclared_variables(tree)) - _environment().globals.keys()
    guarded = {
        guard.node.name
        for guard in tree.find_all((nodes.Filter, nodes.Test))
        if guard.name in ("default", "d", "defined", "undefined") and isinstance(guard.node, nodes.Name)
    }
    return Template(compiled, reads, reads - guarded)


@cache
def _environment() -> SandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Environment(ImmutableSandboxedEnvironment):
        """The sandbox, with a limit on what grows out of a short expression."""

        intercepted_binops = frozenset({"*", "**", "%"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "**" and not (abs(left) <= 1e6 and abs(right) <= 100):
                raise FtrunError("a power that large is not computed")
            sequence, number = (left, right) if hasattr(left, "__len__") else (right, left)
            if operator == "*" and hasattr(sequence, "__len__") and len(sequence) * number > 1_000_000:
                raise FtrunError("a repetition that long is not computed")
            return super().call_binop(context, operator, left, right)

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    for name in ("lipsum", "cycler", "joiner"):  # random or stateful: a plan must mean the same twice
        del environment.globals[name]
    return environment


def _said(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:77]}..."
