"""Compiles a scenario's text and performs it on a fake cluster, in simulated time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from typing import TypeVar

import yaml

from runner.cli.options import Settings
from runner.engine.run import perform
from runner.journal.events import Event, StepEnd
from runner.journal.journal import Subscriber, read
from runner.journal.samples import Recordings
from runner.language.compiler import compile_files
from runner.language.plan import Plan
from runner.steps.catalogue import catalogue
from runner.timeline.fold import fold
from runner.timeline.run import Run

E = TypeVar("E", bound=Event)

HEAD = """
name: a scenario
app: app.yaml
probes:
  users: {endpoint: service, identity: body}
  workers: {endpoint: each-worker}
  head: {endpoint: head}
steps:
"""
INVENTORY = {
    "cluster": {"kind": "fake"},
    "allow": ["exec"],
    "commands": {"break_it": {"act": "break", "undo": "mend"}},
}
APP = "{name: app, import_path: 'app:app', deployments: [{name: D, num_replicas: 2}]}"


class Files(dict[str, bytes]):
    """A source made of texts."""

    def read(self, path: str) -> bytes:
        try:
            return self[Path(path).name]
        except KeyError:
            raise FileNotFoundError(path) from None


def plan_of(
    steps: str,
    *,
    head: str = HEAD,
    more: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    **inventory: object,
) -> Plan:
    """Compile steps (or whole scenarios, with `head` empty) for a fake cluster; `files` stand beside them."""
    texts = [
        head.replace("a scenario", f"scenario {n}") + dedent(each) for n, each in enumerate((steps, *more))
    ]
    source = Files({f"s{n}.yaml": text.encode() for n, text in enumerate(texts)})
    source["app.yaml"] = APP.encode()
    source["fake.yaml"] = yaml.safe_dump({**INVENTORY, **inventory}).encode()
    source.update({name: text.encode() for name, text in (files or {}).items()})
    return compile_files(
        [f"s{n}.yaml" for n in range(len(texts))],
        source=source,
        catalogue=catalogue(),
        clusters=Settings(),
        inventory="fake.yaml",
        seed=7,
    )


class Told:
    """What a run left: its events, read back from the folder, and what they fold to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events = read(folder / "journal.jsonl")

    @property
    def run(self) -> Run:
        return fold(self.events, Recordings(self.folder))

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def states(self) -> dict[str, str]:
        """Give the state of each step instance, by its path."""
        return {event.path: event.state for event in self.all(StepEnd)}

    def messages(self) -> dict[str, str]:
        return {event.path: event.message for event in self.all(StepEnd)}

    def results(self) -> dict[str, object]:
        return {event.path: event.result for event in self.all(StepEnd)}


async def play(plan: Plan | str, folder: Path, *, hear: Sequence[Subscriber] = ()) -> Told:
    """Perform a plan, or the steps of one scenario, in a new run folder."""
    run = folder / "run"
    run.mkdir()
    await perform(plan_of(plan) if isinstance(plan, str) else plan, run, hear=hear)
    return Told(run)
