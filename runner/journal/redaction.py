"""What may be shown of what was recorded: no secrets, and nothing that only tells who recorded it.

Secrets are known by their names (`password`, `token`, `Authorization`, ...), wherever name and value stand
together: in JSON, in YAML, on command lines, in logs. Those that a run was given so are known by their value,
too (`Secrets`), and are hidden wherever they come back, before anything is written. It is a net, not a proof.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from runner.language.plan import Node, Plan, Scenario

Json = Any

HIDDEN = "(hidden)"
"""What stands in place of a secret."""

_NAME = (
    r"(?:pass(?:word|wd|phrase)|requirepass|secret|token(?!iz)|credential|private[_-]?key|api[_-]?key|access[_-]?key"
    r"|authorization|cookie)"
)
_NAMED = re.compile(_NAME, re.IGNORECASE)
_HARMLESS = re.compile(r"(?i)true|false|null|none|yes|no|[-+]?\d+(\.\d+)?|\(hidden\)|[{<$].*")
"""Values that are no secrets, whatever they are called: flags, numbers, templates."""

_URL = re.compile(r"(?<=://)[^/\s:@\"']+:[^/\s@\"']+(?=@)")
_HEADER = re.compile(
    r"(?i)((?:proxy-)?authorization|(?:set-)?cookie|x-api-key)([\"']?\s*[:=]\s*[\"']?)([^\"'\r\n,}]+)"
)
# What stands before the name is not part of it, and the rest is bounded: a long word took its length squared.
_OPTION = re.compile(rf"(?i)((?<![\w-])--?[\w-]{{0,99}}{_NAME}[\w-]{{0,99}}[= ]\s*)([\"']?)([^\s\"']+)")
_ASSIGNED = re.compile(rf"(?i)({_NAME}[\w-]{{0,99}}[\"']?\s*[:=]\s*)([\"']?)([^\s\"',;{{}}\[\]()]+)")
_QUOTED = re.compile(rf"(?i)({_NAME}[\w-]{{0,99}}[\"']?\s*[:=]\s*)([\"'])([^\"'\r\n]+)")

LEAST = 8
"""Characters that a value has at least which is looked for in other texts: a shorter one may be any word."""


def secret(name: str) -> bool:
    """Say whether a name is one that secrets have."""
    return _NAMED.search(name) is not None


class Secrets:
    """The secrets that a run knows by their value. It may learn of more while it goes."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.forms: tuple[str, ...] = ()
        """As they stand in texts, JSON and URLs; the longest first, since one may be the start of another."""
        self.learn(values)

    def learn(self, values: Iterable[str]) -> None:
        """Hide these, too, from now on."""
        forms = {
            form
            for value in values
            if value
            for form in (
                value,
                json.dumps(value)[1:-1],
                json.dumps(value, ensure_ascii=False)[1:-1],
                quote(value, safe=""),
            )
        }
        self.forms = tuple(sorted(forms.union(self.forms), key=lambda form: (-len(form), form)))

    def within(self, text: str) -> bool:
        """Tell whether a text holds any of them."""
        return any(form in text for form in self.forms)

    def hide(self, text: str) -> str:
        """Give a text without them."""
        for form in self.forms:
            text = text.replace(form, HIDDEN)
        return text

    def hide_in(self, value: Json) -> Json:
        """Give a JSON value without them, keys included."""
        if isinstance(value, dict):
            return {self.hide(key): self.hide_in(child) for key, child in value.items()}
        if isinstance(value, list):
            return [self.hide_in(child) for child in value]
        return self.hide(value) if isinstance(value, str) else value

    def hide_bytes(self, content: bytes) -> bytes:
        """Give the content of a file without them."""
        return self.hide(content.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def named(value: Json, name: str = "") -> Iterator[str]:
    """Find the secrets in a JSON value, at any depth: texts under the name of one, users in URLs.

    Of a header also what follows the scheme, and of cookies their values, are secrets by themselves.
    """
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from named(child, str(key))
        if isinstance(value.get("name"), str):  # {name: DB_PASSWORD, value: ...}, as Kubernetes writes it
            yield from named(value.get("value"), value["name"])
    elif isinstance(value, list | tuple):
        for child in value:
            yield from named(child, name)
    elif isinstance(value, str):
        for user in _URL.findall(value):
            plain = unquote(user)
            known = (user, plain, plain.partition(":")[2], base64.b64encode(plain.encode()).decode())
            yield from filter(_telling, known)
        if secret(name):
            parts = re.split(r"[\s;]+", value) if re.search("(?i)authorization|cookie", name) else []
            yield from filter(_telling, (value, *parts, *(part.partition("=")[2] for part in parts)))


def _telling(value: str) -> bool:
    return len(value) >= LEAST and not _HARMLESS.fullmatch(value)


def of_environment(environment: Mapping[str, str]) -> list[str]:
    """Give the values of environment variables whose names are those of secrets."""
    return [value for name, value in sorted(environment.items()) if secret(name) and _telling(value)]


def of_plan(plan: Plan) -> list[str]:
    """Give the secrets that a plan names: variables, settings, URLs, headers, what applications are given."""
    inventory = plan.inventory
    said: list[Json] = [plan.variables, inventory.cluster, inventory.endpoints, inventory.vars]
    for scenario in plan.scenarios:
        said += _said(scenario)
    return list(dict.fromkeys(value for each in said for value in named(each)))


def _said(scenario: Scenario) -> Iterator[Json]:
    yield scenario.cluster
    yield scenario.vars
    for app in (scenario.app, *scenario.apps.values()):
        yield app.config if app is not None else None
    for probe in scenario.probes.values():
        yield [probe.endpoint, dict(probe.headers)]
    yield from _arguments(scenario.steps)


def _arguments(nodes: Iterable[Node]) -> Iterator[Json]:
    from runner.language.plan import Block

    for node in nodes:
        yield node.modifiers.vars
        if isinstance(node, Block):
            yield from _arguments((*node.block, *node.rescue, *node.always))
        else:
            yield node.raw


def hidden(text: str, *, code: bool = False) -> str:
    """Give a text without secrets; in `code` only what stands in quotes is a value."""
    text = _URL.sub(HIDDEN, text)
    text = _HEADER.sub(lambda found: f"{found[1]}{found[2]}{HIDDEN}", text) if not code else text
    for pattern in (_QUOTED,) if code else (_OPTION, _ASSIGNED):
        text = pattern.sub(_unless_harmless, text)
    return text


def _unless_harmless(found: re.Match[str]) -> str:
    return found[0] if _HARMLESS.fullmatch(found[3]) else f"{found[1]}{found[2]}{HIDDEN}"


def hidden_in(value: Json, name: str = "") -> Json:
    """Give a JSON value without secrets: texts under the name of one, and those within other texts."""
    if isinstance(value, dict):
        return {key: hidden_in(child, key) for key, child in value.items()}
    if isinstance(value, list):
        return [hidden_in(child, name) for child in value]
    if not isinstance(value, str):
        return value
    return HIDDEN if secret(name) and value and not _HARMLESS.fullmatch(value) else hidden(value)


def hidden_lines(text: str, *, code: bool = False) -> str:
    """Give lines without secrets; each may be a JSON object, and stays as it is where it holds none."""
    return "\n".join(_line(line, code=code) for line in text.split("\n"))


def _line(line: str, *, code: bool) -> str:
    if "://" not in line and not secret(line):
        return line  # nearly all of them
    if code or not line.startswith("{"):
        return hidden(line, code=code)
    try:
        value = json.loads(line)
    except ValueError:
        return hidden(line)
    shown = hidden_in(value)
    if shown == value:
        return line
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":"))


def without(text: str, words: Sequence[tuple[str, str]]) -> str:
    """Replace whole words, such as a home folder or the name of a machine, by what stands for them."""
    for word, stands in words:
        literal = stands.replace("\\", r"\\")
        text = re.sub(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", literal, text)
    return text
