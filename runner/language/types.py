"""The types that models of scenario text share: durations, rates, names of other things, conditions, paths.

A type refuses a value with `mistake(code, sentence)`, which the compiler shows at the value's own position.
Names of probes, faults and commands, and the names a condition reads, are compared with what the scenario
declares when the validation context holds it (`Scope`); without one any text will do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo, WithJsonSchema

from runner.language.refusal import mistake, nearest

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
"""Seconds of each unit a duration may have."""

DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|h)")


class Model(BaseModel):
    """What is written in a file: frozen, and without unknown keys."""

    # Built when first used: a file uses few of the kinds there are.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


@dataclass(frozen=True, slots=True)
class Scope:
    """What may be referred to at one place of a scenario; None where it cannot be known yet.

    `variables` are the names a condition may read, `faults` the names registered by an earlier fault step.
    """

    variables: Collection[str] | None = None
    probes: Collection[str] | None = None
    faults: Collection[str] | None = None
    commands: Collection[str] | None = None
    endpoints: Collection[str] | None = None


def seconds(value: Any) -> float:
    """Give the seconds of a duration such as `500ms`, `2s`, `5m` or `1h`; a number alone is a mistake."""
    if isinstance(value, str) and (match := DURATION.fullmatch(value.strip())):
        given = float(match["number"]) * UNITS[match["unit"]]
        if math.isfinite(given):
            return given
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise mistake(
            "duration", f"The duration {value} has no unit.", f"Write {value}s for seconds, {value}ms for ms."
        )
    raise mistake(
        "duration", f"{value!r} is not a duration.", "Write a number and a unit: 500ms, 2s, 5m, 1h."
    )


def duration(value: float) -> str:
    """Write seconds as a duration that `seconds` reads back as the same number."""
    from decimal import Decimal

    text = format(Decimal(repr(value)), "f")
    return f"{text.removesuffix('.0')}s"


def _rate(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise mistake("rate", f"{value!r} is not a rate.", "A rate is a number: requests a second.")
    if not math.isfinite(value) or value <= 0:
        raise mistake(
            "rate", f"The rate {value} is not above zero.", "A rate is a number: requests a second."
        )
    if value > 10_000:
        raise mistake(
            "rate", f"The rate {value} is more than one prober can send.", "Use at most 10000 a second."
        )
    return float(value)


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        raise mistake("regex", f"`{value}` is not a regular expression: {error}.") from error
    return value


def _path(value: str) -> str:
    from runner.language.paths import parse

    parse(value)
    return value


def _condition(value: str, info: ValidationInfo) -> str:
    from runner.language.templates import expression

    if value.lstrip().startswith(("{{", "{%")):
        raise mistake(
            "template", "A condition is an expression already: it takes no braces.", "Remove {{ and }}."
        )
    parsed = expression(value)
    if isinstance(info.context, Scope) and info.context.variables is not None:
        check_names(parsed.needs, info.context.variables)
    return value


def check_names(names: Collection[str], known: Collection[str]) -> None:
    """Refuse a template that reads a name that nothing defines at this place."""
    for name in sorted(set(names) - set(known)):
        raise mistake("undefined", f"Nothing defines `{name}` here.", nearest(name, known))


def _named(what: str, attribute: str) -> AfterValidator:
    """Make the check that a name is among those the scope holds under `attribute`."""

    def check(value: str, info: ValidationInfo) -> str:
        known = getattr(info.context, attribute) if isinstance(info.context, Scope) else None
        if known is not None and value not in known:
            there = (
                f"There are: {', '.join(sorted(known))}." if known else f"There is no {what} at this place."
            )
            raise mistake(f"unknown-{what}", f"There is no {what} `{value}`.", nearest(value, known) or there)
        return value

    return AfterValidator(check)


_DURATION_SCHEMA: Mapping[str, Any] = {
    "type": "string",
    "pattern": r"^\d+(\.\d+)?\s*(ms|s|m|h)$",
    "description": "a number and a unit: 500ms, 2s, 5m, 1h",
}
_RATE_SCHEMA: Mapping[str, Any] = {
    "type": "number",
    "exclusiveMinimum": 0,
    "maximum": 10_000,
    "description": "requests a second",
}

Duration = Annotated[float, BeforeValidator(seconds), WithJsonSchema(dict(_DURATION_SCHEMA))]
"""Seconds; written with a unit."""

Rate = Annotated[float, BeforeValidator(_rate), WithJsonSchema(dict(_RATE_SCHEMA))]
"""Requests a second, above zero."""

JsonPathText = Annotated[str, AfterValidator(_path)]
"""A JSONPath that jsonpath-ng's extended parser accepts, such as `$.nodes[?(@.is_head==true)]`."""

RegexText = Annotated[str, AfterValidator(_regex)]
"""A regular expression of Python's `re`."""

TemplateText = Annotated[str, AfterValidator(_condition)]
"""A template expression without braces, such as `fault.injected > 3`: `when`, `until`, `that`."""

ProbeName = Annotated[str, _named("probe", "probes")]
"""A probe of this scenario."""

FaultName = Annotated[str, _named("fault", "faults")]
"""The name that an earlier fault step registers."""

CommandName = Annotated[str, _named("command", "commands")]
"""A command that the inventory gives."""

EndpointName = Annotated[str, _named("endpoint", "endpoints")]
"""`service`, `head`, `worker-1`, ..., or an endpoint of the inventory."""
