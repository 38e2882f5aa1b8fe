"""assert: mark what has to hold; one pure function judges it (docs/assertions.md)."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from runner.language.plan import Kind
from runner.language.types import (
    Duration,
    EndpointName,
    FaultName,
    Model,
    ProbeName,
    TemplateText,
    mistake,
)
from runner.steps.matching import Limit, Matching, listed


class Lasting(Model):
    """A duration that must not be below `min` nor above `max`."""

    min: Duration | None = None
    max: Duration | None = None

    @model_validator(mode="after")
    def _something(self) -> Lasting:
        if self.min is None and self.max is None:
            raise mistake("limit", "A limit has `min`, `max`, or both.")
        return self


class Share(Model):
    """A share of all samples, from 0 to 1."""

    min: float = Field(ge=0, le=1)


class Percentile(Model):
    """A percentile of latency, and the most it may be."""

    percentile: float = Field(default=99.0, gt=0, le=100)
    max: Duration


class During(Model):
    """A part of the scope: up to the fault, from there to the recovery, or from the recovery on."""

    fault: FaultName = Field(description="The name that the fault was registered under.")
    phase: Literal["before", "during", "after"] = "during"


class Recovery(Model):
    """How long it may take from a fault's injection to full recovery."""

    fault: FaultName = Field(description="The name that the fault was registered under.")
    max: Duration


class Known(Model):
    """A claim that today's Ray is known to break: a fail is expected until the date."""

    issue: str = Field(description="The issue's URL.")
    until: str = Field(description="The date, such as 2027-01-31, from which on the fail counts.")
    ray: str | None = Field(
        default=None, description='The versions of Ray that it is about, such as "<2.61".'
    )

    @field_validator("until", mode="before")
    @classmethod
    def _date(cls, value: Any) -> str:
        text = value.isoformat() if isinstance(value, dt.date) else str(value)
        try:
            return dt.date.fromisoformat(text).isoformat()
        except ValueError:
            raise mistake("date", f"{text!r} is not a date such as 2027-01-31.") from None


_LIMITS = ("failed", "total", "longest", "success", "latency")
_SUBJECTS = ("probe", "state", "ray_state", "recovery", "that")


class Case(Matching):
    """One thing that has to hold."""

    name: str | None = Field(default=None, description="The case's name; histories join on it.")
    probe: ProbeName | None = Field(default=None, description="The probe it looks at, all its series.")
    endpoint: EndpointName | None = Field(
        default=None, description="Only this slot, such as `head` or `worker-1`."
    )
    connection: Literal["new", "reused"] | None = None
    failed: Limit | None = Field(
        default=None, description="Number of failed requests; slow ones are not failed."
    )
    count: int | Limit | None = Field(
        default=None,
        description="With `probe` the number of downtime windows, with a path that of its matches.",
    )
    total: Lasting | None = Field(default=None, description="All downtime together.")
    longest: Lasting | None = Field(default=None, description="The longest downtime window.")
    success: Share | None = Field(default=None, description="Share of samples that are good.")
    latency: Percentile | None = None
    during: During | None = None
    same_identities: FaultName | None = Field(
        default=None, description="A fault: who answered until its recovery answered before it, too."
    )
    recovery: Recovery | None = None
    that: TemplateText | None = Field(default=None, description="A template expression, without braces.")
    known: Known | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Case:
        subjects = [name for name in _SUBJECTS if getattr(self, name) is not None]
        if len(subjects) != 1:
            raise mistake(
                "case",
                f"A case has exactly one of probe, state, ray_state, recovery, that; given: {listed(subjects)}.",
            )
        limits = [name for name in (*_LIMITS, "count", "same_identities") if getattr(self, name) is not None]
        if self.probe is None:
            stray = [name for name in limits if name != "count"]
            stray += [
                name for name in ("endpoint", "connection", "during") if getattr(self, name) is not None
            ]
            if stray:
                raise mistake("case", f"`{stray[0]}` says something of a probe; name it with `probe`.")
            if self.path is None and self.matchers:
                raise mistake("case", f"`{self.matchers[0]}` goes with `state` or `ray_state`.")
            return self
        if not limits:
            raise mistake(
                "case",
                "A probe needs a limit: failed, count, total, longest, success, latency or same_identities.",
            )
        if isinstance(self.count, int):
            raise mistake("limit", "`count` of a probe's downtime windows is a limit, such as {max: 0}.")
        stray = [name for name in self.matchers if name != "count"]
        if stray:
            raise mistake("case", f"`{stray[0]}` goes with `state` or `ray_state`.")
        return self


class Assert(Model):
    """A list of cases, each with a verdict of its own."""

    cases: tuple[Case, ...] = Field(min_length=1)


def _expand(value: Any) -> Any:
    """Read a list of cases, or a single one."""
    if isinstance(value, list):
        return {"cases": value}
    return {"cases": [value]} if isinstance(value, dict) and "cases" not in value else value


KIND = Kind("assert", Assert, expand=_expand)
