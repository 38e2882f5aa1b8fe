"""What may be shown of what was recorded: no secrets, and nothing that only tells who recorded it.

Secrets are known by their names (`password`, `token`, `Authorization`, ...), wherever name and value stand
together: in JSON, in YAML, on command lines, in logs. It is a net, not a proof.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from runner.journal.journal import HIDDEN

Json = Any

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
_OPTION = re.compile(rf"(?i)((?<![\w-])--?[\w-]*{_NAME}[\w-]*[= ]\s*)([\"']?)([^\s\"']+)")
_ASSIGNED = re.compile(rf"(?i)([\w.-]*{_NAME}[\w-]*[\"']?\s*[:=]\s*)([\"']?)([^\s\"',;{{}}\[\]()]+)")
_QUOTED = re.compile(rf"(?i)([\w.-]*{_NAME}[\w-]*[\"']?\s*[:=]\s*)([\"'])([^\"'\r\n]+)")

LEAST = 8
"""Characters that the value of an environment variable has before it is taken for a secret."""


def secret(name: str) -> bool:
    """Say whether a name is one that secrets have."""
    return _NAMED.search(name) is not None


def of_environment(environment: Mapping[str, str]) -> list[str]:
    """Give the values of environment variables whose names are those of secrets."""
    return [
        value
        for name, value in sorted(environment.items())
        if secret(name) and len(value) >= LEAST and not _HARMLESS.fullmatch(value)
    ]


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
