"""JSONPath over documents, by jsonpath-ng's extended parser, which is imported when a path is first met."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from runner.errors import FtrunError
from runner.language.refusal import mistake

Json = Any


@lru_cache(maxsize=256)
def parse(path: str) -> Any:
    """Give the parsed path; refuses what the parser does not accept (a `mistake`)."""
    from jsonpath_ng.ext import parse as parse_path

    if not path.startswith("$"):
        raise mistake(
            "jsonpath",
            f"The path `{path}` does not start at the document.",
            "Begin it with $, as in $.nodes.",
        )
    try:
        return parse_path(path)
    except Exception as error:  # the parser and its lexer raise bare Exceptions of several kinds
        raise mistake("jsonpath", f"`{path}` is not a JSONPath: {_first_line(error)}.") from error


def find(path: str, document: Json) -> list[Json]:
    """Give the values that the path matches, in order; raises FtrunError where it fails on the data."""
    try:
        return [match.value for match in parse(path).find(document)]
    except Exception as error:  # filters raise whatever comparing the data raises
        raise FtrunError(f"The path `{path}` fails on the document: {_first_line(error)}.") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".!")
