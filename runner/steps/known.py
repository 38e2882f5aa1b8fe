"""A claim that today's Ray breaks and that stays written as the claim: shared by `assert` and `wait_for`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from runner.language.refusal import mistake
from runner.language.types import Model


def _issue(value: str) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not set(value) & set(" \t\n")
    except ValueError:  # a bracket that is not closed
        good = False
    if not good:
        raise mistake(
            "url", f"`{value}` is not the address of an issue.", "Write it in full, beginning with https://."
        )
    return value


def _date(value: str) -> str:
    from datetime import date

    try:
        good = date.fromisoformat(value).isoformat() == value
    except ValueError:
        good = False
    if not good:
        raise mistake("date", f"`{value}` is not a date.", "Write year, month and day: 2027-01-31.")
    return value


def _range(value: str) -> str:
    from runner.language.versions import clauses

    clauses(value)
    return value


class Known(Model):
    """Why a fail is known, and how long that shall excuse it."""

    issue: Annotated[
        str, AfterValidator(_issue), WithJsonSchema({"type": "string", "pattern": r"^https?://\S+$"})
    ] = Field(description="The address of the issue that says so.")
    until: Annotated[
        str, AfterValidator(_date), WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"})
    ] = Field(description="The last day, in UTC, on which it excuses a fail: 2027-01-31.")
    ray: Annotated[str, AfterValidator(_range)] | None = Field(
        default=None, description="Only for these versions of Ray, such as <2.61."
    )
