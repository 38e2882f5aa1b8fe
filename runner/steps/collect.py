"""collect: copy the cluster's logs now, before a node that starts again or a rotation takes them away."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from runner.language.plan import Kind
from runner.language.types import EndpointName, Model
from runner.steps.stage import Json, Stage


def _several(value: Any) -> Any:
    """Read one node as a list of one."""
    return [value] if isinstance(value, str) and value != "all" else value


class Collect(Model):
    """Copy logs into the run's folder, as they are now."""

    logs: Annotated[
        Literal["all"] | Annotated[tuple[EndpointName, ...], Field(min_length=1)],
        BeforeValidator(_several, json_schema_input_type=str | list[str]),
    ] = Field(default="all", description="Nodes such as `head` and `worker-1`, or `all`.")


KIND = Kind(
    "collect",
    Collect,
    expand=lambda value: {} if value is None else value,
    needs=lambda _arguments: ("observe",),
)


async def run(arguments: Collect, stage: Stage) -> Json:
    """Copy them into a folder that is named by the step's path."""
    name = stage.path.replace("[", "-").replace("]", "").replace("#", ".")
    folder = stage.folder / "logs" / str(stage.number) / name
    folder.mkdir(parents=True, exist_ok=True)
    await stage.cluster.logs(folder, slots=None if arguments.logs == "all" else arguments.logs)
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {"folder": folder.relative_to(stage.folder).as_posix(), "files": found}
