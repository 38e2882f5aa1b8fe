"""How a value is refused: a code, a sentence, and what to do about it."""

from __future__ import annotations

from collections.abc import Collection

from pydantic_core import PydanticCustomError


def mistake(code: str, message: str, help: str | None = None) -> PydanticCustomError:  # noqa: A002 (Problem's word)
    """Give the error that refuses a value: a whole sentence, and what to do about it."""
    # pydantic takes literal strings only, so that they can be translated; ours are sentences made here.
    return PydanticCustomError(code, "{sentence}", {"sentence": message, "help": help})


def nearest(word: str, words: Collection[str]) -> str | None:
    """Give `Did you mean "x"?` for the word that looks most like this one, or None."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f"Did you mean `{near[0]}`?" if near else None
