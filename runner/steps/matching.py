"""What a path through a document must give: shared by `assert` and `wait_for`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, model_validator

from runner.language.refusal import mistake
from runner.language.types import JsonPathText, Model


def listed(names: Sequence[str]) -> str:
    """Name what was given, or say that nothing was."""
    return " and ".join(names) or "none"


class Limit(Model):
    """A number that must not be below `min` nor above `max`."""

    min: int | float | None = None
    max: int | float | None = None

    @model_validator(mode="after")
    def _something(self) -> Limit:
        if self.min is None and self.max is None:
            raise mistake("limit", "A limit has `min`, `max`, or both.")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise mistake("limit", f"`min` ({self.min:g}) is above `max` ({self.max:g}).")
        return self


class RayState(Model):
    """A path over what Ray's State API answers for one resource."""

    resource: str = Field(description="Such as `actors`, `nodes`, `placement_groups`.")
    path: JsonPathText


class Matching(Model):
    """A path and the one thing its matches must be."""

    state: JsonPathText | None = Field(default=None, description="JSONPath over the state document.")
    ray_state: RayState | None = Field(
        default=None, description="JSONPath over what Ray's State API answers."
    )
    equals: Any = Field(default=None, description="There is exactly one match, and it is this.")
    count: int | Limit | None = Field(default=None, description="How many matches there are.")
    all: Any = Field(default=None, description="There is a match, and every match is this.")
    any: Any = Field(default=None, description="Some match is this.")

    MATCHERS: ClassVar[tuple[str, ...]] = ("equals", "count", "all", "any")

    @property
    def path(self) -> str | None:
        """The path, whichever document it reads."""
        return self.state if self.state is not None else self.ray_state.path if self.ray_state else None

    @property
    def matchers(self) -> tuple[str, ...]:
        """Which of them are given (null is a value like any other)."""
        return tuple(name for name in self.MATCHERS if name in self.model_fields_set)

    @model_validator(mode="after")
    def _one_matcher(self) -> Matching:
        if self.state is not None and self.ray_state is not None:
            raise mistake("path", "`state` and `ray_state` read different documents; write two.")
        if self.path is not None and len(self.matchers) != 1:
            raise mistake(
                "matcher",
                f"A path needs exactly one of {', '.join(self.MATCHERS)}; given: {listed(self.matchers)}.",
            )
        return self


def mismatch(matching: Matching, document: Mapping[str, Any]) -> str | None:
    """Say how what the path finds differs from what it must be; None where it does not."""
    from runner.timeline.matching import match
    from runner.timeline.run import Verdict

    assert matching.path is not None
    wanted = matching.model_dump(mode="json", include=set(matching.matchers))
    found = match(wanted, matching.path, document)
    if found.verdict is Verdict.PASS:
        return None
    return f"{found.actual}, where {found.expected}" + (f" ({found.why})" if found.why else "")
