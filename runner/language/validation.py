"""A model's verdict on a node, in our words: every error of pydantic becomes a problem at its place."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from runner.language.refusal import nearest
from runner.language.text import Json, Node, Path, Text, plain
from runner.language.types import Scope

M = TypeVar("M", bound=BaseModel)

EXPECTED: Mapping[str, str] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "null",
}
"""What a type of pydantic's errors about the shape of a value would have had."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One error of pydantic, found in the node. `choices` are the (path, type) pairs of unions on its way."""

    path: Path
    node: Node
    key: tuple[int, int] | None
    """Where the key stands, if the error is about a key rather than its value."""
    kind: str
    words: Mapping[str, Any]
    given: Json
    choices: tuple[tuple[Path, str], ...] = ()

    def about_shape(self, depth: int) -> bool:
        """Whether it only says that the value is of another type than the choice at this depth would have."""
        return self.path == self.choices[depth][0] and (self.kind in EXPECTED or self.kind == "literal_error")


def validate(
    model: type[M], node: Node, text: Text, *, scope: Scope | None = None, deferred: Collection[Path] = ()
) -> M | None:
    """Give the model of a node, or None with the problems noted in the text.

    Nothing is said of what stands at or below a `deferred` path: its value is known at run time only.
    """
    try:
        return model.model_validate(plain(node), context=scope)
    except ValidationError as error:
        for refusal in _told(model, error, node):
            if not any(refusal.path[: len(path)] == path for path in deferred):
                _refuse(model, refusal, text)
        return None


def sentences(
    model: type[BaseModel], error: ValidationError, node: Node
) -> list[tuple[Path, str, str | None]]:
    """Give (path, sentence, help) of each error, for values that are validated at run time."""
    return [(refusal.path, *_worded(model, refusal)) for refusal in _told(model, error, node)]


def _told(model: type[BaseModel], error: ValidationError, node: Node) -> list[Refusal]:
    """Give the errors worth telling: one for each mistake."""
    chosen = [
        each
        for each in _chosen(_located(error, node))
        if not (each.kind == "too_short" and each.node.value)  # pydantic counts only items that are right
    ]
    meant = {
        nearest(str(each.path[-1]), _keys(model, each.path))
        for each in chosen
        if each.kind == "extra_forbidden"
    }
    return [
        each
        for each in chosen
        if each.kind != "missing" or nearest(each.words["missing"], [each.words["missing"]]) not in meant
    ]


def shown(value: Json) -> str:
    """Name a value in a sentence."""
    match value:
        case None:
            return "nothing (null)"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text `{value}`" if len(value) <= 40 else f"the text `{value[:37]}...`"
        case list() | tuple():
            return "a list"
        case _:
            return "a mapping"


def _located(error: ValidationError, root: Node) -> Iterator[Refusal]:
    """Walk each error's place down the node; what is no key or index there names a choice of types."""
    for each in error.errors(include_url=False):
        last = each["loc"][-1] if each["loc"] else ""
        words = {**each.get("ctx", {}), "message": each["msg"], "missing": last}
        node, key = root, None
        path: Path = ()
        choices: tuple[tuple[Path, str], ...] = ()
        for part in each["loc"][:-1] if each["type"] == "missing" or last == "[key]" else each["loc"]:
            child: Node | None = None
            if isinstance(node.value, dict) and isinstance(part, str):
                child, key = node.value.get(part), node.keys.get(part)
            elif isinstance(node.value, list) and isinstance(part, int):
                child, key = (node.value[part] if part < len(node.value) else None), None
            if child is not None:
                node, path = child, (*path, part)
            else:
                choices = (*choices, (path, str(part)))
        about_key = each["type"] == "extra_forbidden" or last == "[key]"
        place = key if about_key else None
        yield Refusal(path, node, place, each["type"], words, each["input"], choices)


def _chosen(refusals: Iterable[Refusal], depth: int = 0) -> Iterator[Refusal]:
    """Where a value may be of several types, keep the errors of the one it was meant to be."""
    unions: dict[Path, dict[str, list[Refusal]]] = {}
    for refusal in refusals:
        if len(refusal.choices) <= depth:
            yield refusal
        else:
            path, choice = refusal.choices[depth]
            unions.setdefault(path, {}).setdefault(choice, []).append(refusal)
    for choices in unions.values():
        meant = [group for group in choices.values() if not any(each.about_shape(depth) for each in group)]
        if meant:
            shortest: list[Refusal] = min(meant, key=len)
            yield from _chosen(shortest, depth + 1)
        else:
            yield _combined([each for group in choices.values() for each in group])


def _combined(refusals: Sequence[Refusal]) -> Refusal:
    """Join the errors of all choices where none fits: what is expected is any of them."""
    first = refusals[0]
    if len(refusals) == 1:
        return first
    words = {
        "expected": _either(dict.fromkeys(_expected(each) for each in refusals)),
        "options": [option for each in refusals for option in _options(each)],
    }
    return Refusal(first.path, first.node, None, "choice", words, plain(first.node))


def _refuse(model: type[BaseModel], refusal: Refusal, text: Text) -> None:
    sentence, hint = _worded(model, refusal)
    code = refusal.kind if "sentence" in refusal.words else _CODES.get(refusal.kind, "value")
    text.refuse(code, sentence, refusal.key or refusal.node, hint)


_CODES = {
    "extra_forbidden": "unknown-key",
    "missing": "missing-key",
    **dict.fromkeys((*EXPECTED, "choice"), "type"),
}


def _worded(model: type[BaseModel], refusal: Refusal) -> tuple[str, str | None]:
    """Give the sentence and the help for an error."""
    words, name = refusal.words, _name(refusal.path)
    if "sentence" in words:
        return words["sentence"], words.get("help")
    match refusal.kind:
        case "missing":
            return f"`{words['missing']}` is missing.", None
        case "extra_forbidden":
            known = _keys(model, refusal.path)
            key = str(refusal.path[-1])
            return f"`{key}` is not a key here.", nearest(key, known) or f"Keys here: {', '.join(known)}."
        case "literal_error" | "choice":
            near = nearest(refusal.given, _options(refusal)) if isinstance(refusal.given, str) else None
            return f"{name} must be {_expected(refusal)}, not {shown(refusal.given)}.", near
        case kind if kind in EXPECTED:
            return f"{name} must be {EXPECTED[kind]}, not {shown(refusal.given)}.", None
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            relation = refusal.kind.replace("_", " ").replace("greater than equal", "at least")
            relation = relation.replace("less than equal", "at most").replace("greater than", "above")
            limit = next(words[key] for key in ("gt", "ge", "lt", "le") if key in words)
            return f"{name} must be {relation.replace('less than', 'below')} {limit:g}.", None
        case "too_short" | "string_too_short":
            return f"{name} must not be empty.", None
        case "string_pattern_mismatch" if words.get("pattern") == "^/":
            return f"{name} must begin with /, not be {shown(refusal.given)}.", None
        case _:
            return (
                f"{name} is not right: {str(words['message'])[:1].lower()}{str(words['message'])[1:]}.",
                None,
            )


def _name(path: Path) -> str:
    if not path:
        return "This"
    return f"Item {path[-1] + 1}" if isinstance(path[-1], int) else f"`{path[-1]}`"


def _expected(refusal: Refusal) -> str:
    if refusal.kind == "choice":
        return str(refusal.words["expected"])
    return EXPECTED.get(refusal.kind) or _either([f"`{option}`" for option in _options(refusal)]) or "another"


def _options(refusal: Refusal) -> list[str]:
    """Give the words that a literal takes."""
    if "options" in refusal.words:
        return list(refusal.words["options"])
    if refusal.kind != "literal_error":
        return []
    return [part.strip("'") for part in str(refusal.words["expected"]).replace(" or ", ", ").split(", ")]


def _either(phrases: Iterable[str]) -> str:
    *most, last = list(phrases) or [""]
    return f"{', '.join(most)} or {last}" if most else last


def _keys(model: type[BaseModel], path: Path) -> list[str]:
    """Give the keys that the models at a path have."""
    models: list[type[BaseModel]] = [model]
    for part in path[:-1]:
        fields = [each for one in models for key, each in _fields(one) if key == part]
        models = [inner for each in fields for inner in _models(each.annotation)] if fields else models
    return [key for one in models for key, _ in _fields(one)]


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    return ((field.alias or name, field) for name, field in model.model_fields.items())


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Find the models inside of a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
