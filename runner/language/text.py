"""YAML text with positions: libyaml's events walked into nodes that know line and column of keys and values.

Scalars are YAML 1.2's; what YAML 1.1 would read differently (`on`, `1:30`, `010`) is a mistake with a hint,
as are duplicate keys, merges that hide a key, tags, and anything that would make a small file large.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic_core import PydanticCustomError

from runner.errors import Problem
from runner.language.plan import Position, Source
from runner.language.refusal import mistake

Json = Any
Key = str | int
Path = tuple[Key, ...]

LIMIT = 1_000_000
"""Most bytes of a file."""
DEPTH = 100
"""Deepest nesting of mappings and lists."""
NODES = 100_000
"""Most values of a file once its aliases are written out."""

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_OLD_NUMBER = re.compile(r"[-+]?0[0-9_]+|[-+]?[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?|[-+]?0b[01_]+")
_WORDS: dict[str, Json] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_OLD_BOOLEANS = frozenset({"yes", "no", "on", "off"})


@dataclass(slots=True)
class Node:
    """A value as it stands in a file: a scalar, a list of nodes, or a mapping of keys to nodes.

    Line and column count from 1. `keys` has the place of each key of a mapping, `size` and `height` count
    the values and the nesting with all aliases written out.
    """

    value: Any
    line: int
    column: int
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    size: int = 1
    height: int = 0


def plain(node: Node) -> Json:
    """Give the node's value without positions, as JSON has it."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def node_of(value: Json, line: int = 0, column: int = 0) -> Node:
    """Give a node for a value that stands in no file, or that replaces what stands there."""
    if isinstance(value, dict):
        children = {key: node_of(child, line, column) for key, child in value.items()}
        return Node(children, line, column, dict.fromkeys(children, (line, column)))
    if isinstance(value, list):
        return Node([node_of(child, line, column) for child in value], line, column)
    return Node(value, line, column)


class Text:
    """A file as it was read: its name, its lines, and the problems found in it so far, in order."""

    def __init__(self, file: str, lines: Sequence[str] = ()) -> None:
        self.file = file
        self.lines = lines
        self.problems: list[Problem] = []
        self.unread = ""
        """Why nothing of it could be read, if so."""

    def refuse(
        self,
        code: str,
        message: str,
        place: Node | tuple[int, int] | None = None,
        help: str | None = None,  # noqa: A002 (Problem's word)
    ) -> None:
        """Note a problem at a node, at (line, column), or of the file as a whole."""
        line, column = (place.line, place.column) if isinstance(place, Node) else place or (0, 0)
        self.problems.append(
            Problem(
                code,
                message,
                file=self.file,
                line=line,
                column=column,
                excerpt=excerpt(self.lines, line, column) if line else "",
                help=help,
            )
        )

    def blame(self, other: Text, place: Node | tuple[int, int]) -> None:
        """Tell of another file that could not be read at the place that names it, and only there."""
        self.refuse("file", f"{other.file}: {other.unread}", place)
        other.problems.clear()

    def position(self, place: Node | tuple[int, int]) -> Position:
        """Give the place as the plan holds it."""
        line, column = (place.line, place.column) if isinstance(place, Node) else place
        return Position(self.file, line, column)


def excerpt(lines: Sequence[str], line: int, column: int) -> str:
    """Show the line with up to two before it, and a caret under the column; long lines are cut around it."""
    width, left = len(str(line)), max(0, column - 70)
    rows = [
        f"  {number:>{width}} | {_shown(lines[number - 1][left : left + 100])}".rstrip()
        for number in range(max(1, line - 2), min(line, len(lines)) + 1)
    ]
    return "\n".join([*rows, f"  {' ' * width} | {' ' * (column - 1 - left)}^"])


def _shown(text: str) -> str:
    """Make control characters visible without moving what stands behind them."""
    return "".join(
        char if char.isprintable() else " " if char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def read(path: str, source: Source) -> tuple[Text, Node | None]:
    """Read one YAML document; None as its node where that was impossible: the text then holds the problem."""
    text, code = Text(path), "file"
    try:
        raw = source.read(path)
    except OSError as error:
        raw, text.unread = b"", _why_unreadable(path, error)
    except ValueError:  # a name with a null byte in it
        raw, text.unread = b"", f"{path!r} is not a file name."
    if len(raw) > LIMIT:
        code, text.unread = (
            "too-large",
            f"The file is larger than {LIMIT // 1_000_000} MB, the most ftrun reads.",
        )
    if text.unread:
        text.refuse(code, text.unread)
        return text, None
    try:
        decoded = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig", "replace")
        text.lines = raw.decode("utf-8-sig", "replace").splitlines()
        place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        text.refuse(
            "encoding", f"The byte 0x{raw[error.start]:02x} is not UTF-8.", place, "Save the file as UTF-8."
        )
        return text, None
    text.lines = re.split(r"\r\n|[\n\r\x85\u2028\u2029]", decoded)  # what libyaml counts as lines
    return text, parse(text, decoded)


def parse(text: Text, decoded: str) -> Node | None:
    """Give the root node of the only document; None, and problems in the text, where there is none."""
    found = len(text.problems)
    try:
        root = _build(text, yaml.parse(decoded, Loader=yaml.CLoader))
    except yaml.reader.ReaderError as error:
        line = decoded.count("\n", 0, error.position) + 1
        column = error.position - decoded.rfind("\n", 0, error.position)
        text.refuse(
            "yaml", f"YAML does not allow the character U+{_code(error.character):04X}.", (line, column)
        )
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else None
        if "nesting depth" in str(error.problem):
            # Looking ahead, the parser itself may come upon its own limit first.
            text.refuse("too-deep", f"Nested deeper than {DEPTH} levels.", place)
            return None
        context = f" {error.context}" if error.context else ""
        text.refuse("yaml", f"This is not YAML: {error.problem}{context}.", place)
        return None
    except yaml.YAMLError as error:
        text.refuse("yaml", f"This is not YAML: {error}.")
        return None
    except UnicodeEncodeError:
        text.refuse("encoding", "The text holds half a character (a lone surrogate).")
        return None
    if root is None and len(text.problems) == found:
        text.refuse(
            "empty", "The file is empty.", help="`ftrun schema` and the built-in scenarios show what goes in."
        )
    return root


def scalar(value: str) -> Json:
    """Give what a plain scalar means: null, boolean, number or text; refuses what YAML 1.1 read otherwise."""
    if value in _WORDS:
        return _WORDS[value]
    if value.lower() in _OLD_BOOLEANS and value in (value.lower(), value.upper(), value.capitalize()):
        raise mistake(
            "yaml-1.1", f"`{value}` is a boolean to some YAML readers and text to others.", _quote(value)
        )
    if value[0] not in "+-.0123456789":
        return value
    if _SEXAGESIMAL.fullmatch(value):
        raise mistake("yaml-1.1", f"`{value}` is a number in base 60 to some YAML readers.", _quote(value))
    if _OLD_NUMBER.fullmatch(value):
        raise mistake("yaml-1.1", f"`{value}` is another number to some YAML readers.", _quote(value))
    if _INTEGER.fullmatch(value):
        if len(value) > 100:
            raise mistake("number", "The number is too long.", _quote("..."))
        return int(value, 0 if value[:2] in ("0o", "0x") else 10)
    if value.lower().lstrip("+-") in (".inf", ".nan") or (
        _FLOAT.fullmatch(value) and math.isinf(float(value))
    ):
        raise mistake("number", f"`{value}` is no number that JSON has.", _quote(value))
    return float(value) if _FLOAT.fullmatch(value) else value


def _quote(value: str) -> str:
    hint = " or true or false" if value.lower() in _OLD_BOOLEANS else ""
    return f"Write '{value}' with quotes for text{hint}."


class _Stop(Exception):
    """Ends the walk over a file where going on would be no use."""


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come yet; `key` is the mapping's key that waits for its value."""

    node: Node
    anchor: str | None
    key: str | None = None
    place: tuple[int, int] = (0, 0)
    waiting: bool = False
    merges: list[tuple[Node, tuple[int, int]]] = field(default_factory=list)


def _build(text: Text, events: Iterator[Any]) -> Node | None:
    """Walk the events into nodes, without recursion: nesting cannot exhaust the stack."""
    anchors: dict[str, Node | None] = {}
    stack: list[_Open] = []
    root: Node | None = None
    total = 0
    try:
        for event in events:
            place = (event.start_mark.line + 1, event.start_mark.column + 1)
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    text.refuse(
                        "documents", "A file holds one YAML document; a second one begins here.", place
                    )
                    raise _Stop
                continue
            if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                _check_tag(text, event.tag, place)
                if len(stack) >= DEPTH:
                    text.refuse("too-deep", f"Nested deeper than {DEPTH} levels.", place)
                    raise _Stop
                empty: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
                if event.anchor:
                    anchors[event.anchor] = None
                stack.append(_Open(Node(empty, *place), event.anchor))
                continue
            if isinstance(event, yaml.ScalarEvent):
                node = Node(_scalar_of(text, event, place), *place)
                if event.anchor:
                    anchors[event.anchor] = node
            elif isinstance(event, yaml.AliasEvent):
                node = _aliased(text, event.anchor or "", anchors, place)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                ended = stack.pop()
                node = ended.node
                _merge(text, ended)
                if ended.anchor:
                    anchors[ended.anchor] = node
            else:
                continue
            total += node.size if isinstance(event, yaml.AliasEvent) else 1
            if total > NODES:
                text.refuse("too-many", f"More than {NODES} values once aliases are written out.", place)
                raise _Stop
            if not stack:
                root = node
            else:
                _put(text, stack[-1], node, place)
                if len(stack) + node.height > DEPTH:
                    text.refuse(
                        "too-deep", f"Nested deeper than {DEPTH} levels once aliases are written out.", place
                    )
                    raise _Stop
    except _Stop:
        return None
    return root


def _put(text: Text, parent: _Open, node: Node, place: tuple[int, int]) -> None:
    """Place a finished node into the collection it stands in: an item, a key, or a key's value."""
    holder = parent.node
    holder.height = max(holder.height, node.height + 1)
    if isinstance(holder.value, list):
        holder.value.append(node)
        holder.size += node.size
        return
    if not parent.waiting:
        parent.waiting, parent.place = True, place
        if isinstance(node.value, str):
            parent.key = node.value
        else:
            parent.key = None
            hint = f"Write '{node.value}' with quotes." if not isinstance(node.value, dict | list) else None
            text.refuse("key", "A key is text, and this is not.", place, hint)
        return
    parent.waiting = False
    if parent.key is None:
        return
    if parent.key == "<<":
        parent.merges.append((node, parent.place))
    elif parent.key in holder.value:
        first = holder.keys[parent.key][0]
        text.refuse(
            "duplicate-key", f"`{parent.key}` stands here twice; first in line {first}.", parent.place
        )
    else:
        holder.value[parent.key] = node
        holder.keys[parent.key] = parent.place
        holder.size += node.size


def _merge(text: Text, ended: _Open) -> None:
    """Carry out `<<`: the keys of the merged mappings join, and none may hide another."""
    holder = ended.node
    for merged, place in ended.merges:
        for each in merged.value if isinstance(merged.value, list) else [merged]:
            if not isinstance(each.value, dict):
                text.refuse("merge", "`<<` takes a mapping, or a list of them.", place)
                continue
            for key, child in each.value.items():
                if key in holder.value:
                    message = f"`<<` merges `{key}`, which stands here already: one would hide the other."
                    text.refuse("merge", message, place, f"Take `{key}` out of one of the two.")
                else:
                    holder.value[key] = child
                    holder.keys[key] = each.keys[key]
                    holder.size += child.size
                    holder.height = max(holder.height, child.height + 1)


def _aliased(text: Text, anchor: str, anchors: dict[str, Node | None], place: tuple[int, int]) -> Node:
    if anchor not in anchors:
        text.refuse("alias", f"No anchor `&{anchor}` stands before this alias.", place)
        raise _Stop
    node = anchors[anchor]
    if node is None:
        text.refuse("alias", f"`*{anchor}` stands inside of what it names.", place)
        raise _Stop
    return node


def _scalar_of(text: Text, event: Any, place: tuple[int, int]) -> Json:
    _check_tag(text, event.tag, place)
    if not event.implicit[0] or event.style:
        return event.value
    try:
        return scalar(event.value)
    except PydanticCustomError as error:
        text.refuse(error.type, error.message(), place, (error.context or {}).get("help"))
        return event.value


def _check_tag(text: Text, tag: str | None, place: tuple[int, int]) -> None:
    if tag not in (None, "!", "tag:yaml.org,2002:str"):
        text.refuse("tag", f"The tag `{tag}` means nothing here.", place, "Remove it.")


def _code(character: Any) -> int:
    return character if isinstance(character, int) else ord(character[:1] or "\0")


def _why_unreadable(path: str, error: OSError) -> str:
    match error:
        case FileNotFoundError() if os.path.islink(path):
            return "This is a link to a file that does not exist."
        case FileNotFoundError():
            return "There is no such file."
        case IsADirectoryError():
            return "This is a directory, not a file."
        case PermissionError():
            return "No permission to read this file."
        case _:
            return f"The file cannot be read: {error.strerror or error}."
