"""The Plan: what the language compiles to and the engine runs. Frozen, and free of text.

Values inside a plan may hold templates (`Deferred`): what depends on registered results or loop items is
rendered by the engine when the step is reached, with `runner.language.templates.render`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

Json = Any


class Source(Protocol):
    """Where files come from: the disk, the built-in pack, or a test's dictionary."""

    def read(self, path: str) -> bytes:
        """Give the file's content; raises OSError as `open` does."""
        ...


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a file; line and column from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Kind:
    """A step kind as the language knows it: its name, the model of its arguments, how a short form expands.

    `expand` turns a short form (`deploy:` without value, `pause: 5s`, a list of assertions) into the
    mapping that the model validates; None where only a mapping is meant.
    `defines` says that the keys of its mapping are variables of the steps that follow.
    `needs` gives the capabilities of a cluster that the arguments need; they are None as long as only the run
    will know them. None where no capability is needed.
    """

    name: str
    model: type[BaseModel]
    is_fault: bool = False
    expand: Callable[[Json], Json] | None = None
    defines: bool = False
    needs: Callable[[Any], Sequence[str]] | None = None


Catalogue = Mapping[str, Kind]
"""Step kinds by name, faults included; put together by the command line from steps/ and faults/."""


@dataclass(frozen=True, slots=True)
class Retry:
    """`until` / `retries` / `delay`: run again until the condition holds, `retries` times at most."""

    until: str
    retries: int
    delay: float


@dataclass(frozen=True, slots=True)
class Modifiers:
    """What every step and block may carry. Conditions are template expressions without braces."""

    name: str | None = None
    when: tuple[str, ...] = ()
    register: str | None = None
    loop: Json = None
    retry: Retry | None = None
    timeout: float | None = None
    ignore_errors: bool = False
    tags: tuple[str, ...] = ()
    vars: Mapping[str, Json] = field(default_factory=dict)
    no_log: bool = False
    background: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One step: `arguments` are the validated model when nothing in it is deferred, else the raw mapping.

    `raw` always holds the mapping as written (short form expanded, templates unrendered); `positions`
    maps a path inside it, such as `("cases", 0, "longest")`, to where it stands.
    """

    path: str
    kind: str
    is_fault: bool
    modifiers: Modifiers
    position: Position
    raw: Mapping[str, Json]
    arguments: BaseModel | None
    positions: Mapping[tuple[str | int, ...], Position] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Block:
    """block / rescue / always, nested and modified like a step; or `parallel`: all of `block` at once."""

    path: str
    modifiers: Modifiers
    position: Position
    block: tuple[Node, ...]
    rescue: tuple[Node, ...] = ()
    always: tuple[Node, ...] = ()
    parallel: bool = False

    @property
    def kind(self) -> str:
        """The word that it is written with."""
        return "parallel" if self.parallel else "block"


Node = Step | Block


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a right answer is: statuses (ranges or numbers), and a regular expression the body must hold."""

    status: tuple[tuple[int, int], ...] = ((200, 299),)
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answered: `body`, `json` (keys and indexes), `header` (a name) or `regex` (group 1 of a match)."""

    kind: str
    value: Json = None


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """A declared probe, defaults filled in. Durations in seconds, rate in requests a second."""

    name: str
    endpoint: str
    """`service`, `each-worker`, `each-node`, `head`, a slot such as `worker-1`, a name that the inventory
    gives, or an http(s) URL."""
    connections: tuple[str, ...]
    """`new`, `reused`, or both."""
    path: str
    method: str
    headers: Mapping[str, str]
    body: str | None
    rate: float
    timeout: float
    slow_after: float
    blind_after: float
    recover_after: float
    max_in_flight: int
    expect: Expectation
    identity: Identity | None
    position: Position
    origin: str = "cluster"
    """Where requests come from: `cluster`, where its users are, or `here`, beside ftrun."""


@dataclass(frozen=True, slots=True)
class Application:
    """A Serve application: one entry of `applications:` of Serve's configuration, and where its code stands.

    `config` has name, import_path, route_prefix, deployments, args, runtime_env as Ray Serve has them.
    `folder` is put on PYTHONPATH of every node.
    """

    name: str
    config: Mapping[str, Json]
    folder: Path | None
    position: Position | None = None


@dataclass(frozen=True, slots=True)
class Abort:
    """When a scenario is given up: as soon as one of these limits is exceeded by a series of the probe."""

    probe: str
    longest: float | None = None
    total: float | None = None
    failed: int | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario, ready to be bound to a cluster."""

    name: str
    file: str
    position: Position
    description: str
    tags: tuple[str, ...]
    requires: tuple[str, ...]
    cluster: Mapping[str, Json]
    """What the scenario is about: workers, gcs_fault_tolerance, and other settings of a cluster."""
    app: Application | None
    apps: Mapping[str, Application]
    """Other applications that steps deploy, by the text that names them."""
    scripts: Mapping[str, str]
    """What the scripts hold that steps run, by the text that names them."""
    probes: Mapping[str, ProbeSpec]
    vars: Mapping[str, Json]
    steps: tuple[Node, ...]
    timeout: float | None = None
    repeat: int | None = None
    """How often it runs, each time with its first fault delayed; None: once, without a delay."""
    abort_when: Abort | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """Where scenarios run. `cluster` holds the settings of the cluster kind, validated by its model."""

    name: str
    file: str
    kind: str
    """local, kubernetes, external, fake"""
    cluster: Mapping[str, Json]
    endpoints: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    hosts: Mapping[str, Json] = field(default_factory=dict)
    """Commands that break and heal the machines it stands on."""
    vars: Mapping[str, Json] = field(default_factory=dict)
    position: Position | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that will run, in order."""

    scenarios: tuple[Scenario, ...]
    inventory: Inventory
    seed: int
    variables: Mapping[str, Json] = field(default_factory=dict)
    """Those of the command line, which win over all others."""
    sources: Mapping[str, bytes] = field(default_factory=dict)
    """What every file held that it was compiled from, by the path it was read at."""
