"""probe: start and stop the scenario's probes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from runner.language.plan import Kind
from runner.language.types import Duration, Model, Scope, mistake, nearest


def _several(value: Any) -> Any:
    """Read one name as a list of one."""
    return [value] if isinstance(value, str) else value


def _declared(name: str, info: ValidationInfo) -> str:
    """Refuse a probe that the scenario does not declare; `all` is every one that it does."""
    known = info.context.probes if isinstance(info.context, Scope) else None
    if name != "all" and known is not None and name not in known:
        there = f"There are: {', '.join(sorted(known))}." if known else "The scenario declares no probe."
        raise mistake("unknown-probe", f'There is no probe "{name}".', nearest(name, known) or there)
    return name


Names = Annotated[
    tuple[Annotated[str, AfterValidator(_declared)], ...],
    BeforeValidator(_several, json_schema_input_type=str | list[str]),
]
"""One name, a list of them, or `all`."""


class Probe(Model):
    """Start probes, and wait until they are steady; or stop them."""

    start: Names | None = Field(default=None, description="Names of probes, or `all`.")
    stop: Names | None = Field(default=None, description="Names of probes, or `all`.")
    steady: Duration | None = Field(
        default=None,
        description="Go on once every series was wholly good for this long; their scope begins there.",
    )
    timeout: Duration = Field(default=60.0, description="How long `steady` may take.")

    @model_validator(mode="after")
    def _one_of(self) -> Probe:
        if (self.start is None) == (self.stop is None):
            raise mistake("probe", "A probe step has either `start` or `stop`.")
        if self.stop is not None and self.steady is not None:
            raise mistake("probe", "`steady` goes with `start`.")
        return self


KIND = Kind("probe", Probe)
