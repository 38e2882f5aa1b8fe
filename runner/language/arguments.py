"""A step's arguments at run time: rendered with what is known by then, and validated by its kind's model."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ValidationError

from runner.errors import FtrunError
from runner.language.plan import Json, Kind, Position, Step
from runner.language.templates import render
from runner.language.text import Path, node_of
from runner.language.validation import sentences


def resolve(step: Step, variables: Mapping[str, Json], kind: Kind) -> BaseModel:
    """Give the arguments of a step; raises FtrunError with the step's position where they do not fit."""
    if step.arguments is not None:
        return step.arguments
    try:
        given = render(step.raw, variables)
    except FtrunError as error:
        raise FtrunError(f"{_shown(step.position)}: {error.message}", help=error.help) from error
    try:
        return kind.model.model_validate(given)
    except ValidationError as error:
        found = sentences(kind.model, error, node_of(given))
        path, sentence, hint = found[0]
        raise FtrunError(f"{_shown(_nearest(step, path))}: {sentence}", help=hint) from error


def _nearest(step: Step, path: Path) -> Position:
    """Give where the value stands, or the innermost one around it that stands in the file."""
    for length in range(len(path), 0, -1):
        if path[:length] in step.positions:
            return step.positions[path[:length]]
    return step.position


def _shown(position: Position) -> str:
    return f"{position.file}:{position.line}:{position.column}"
