"""The contract that every cluster keeps; tests/clusters/contract.py holds each of them to it.

A cluster knows how to do things (`Action`) and how to put them back (`Undo`); faults know actions and
never which cluster it is. Methods raise `ClusterError` with a sentence; `Unreachable` where nobody
answered. All of them may be cancelled; none blocks the event loop. Instants are seconds of
CLOCK_MONOTONIC (absolute: the engine subtracts the run's zero).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from runner.journal.redaction import Secrets
from runner.language.plan import Application

Json = Any


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place to send requests to. `slot` is stable: a replacement of worker-1 is worker-1 again."""

    slot: str
    """`service`, `head`, `worker-1`, ..., or a name from the inventory."""
    role: str
    """`service`, `head`, `worker`, `url`"""
    url: str
    """Base URL without a path, such as `http://10.1.0.2:8000`, as the prober reaches it."""
    simulated: bool = False
    """True where ftrun itself stands in for something (the local forwarder for a Kubernetes Service)."""
    through: str = ""
    """What stands between, where that is more than a network: `port-forward to pod x, and to no other`."""


def node_role(slot: str) -> str:
    """Give what the node of a slot is: `head` or `worker`."""
    return "head" if slot == "head" else "worker"


def redacted(url: str) -> str:
    """Give a URL as it may be shown: without user, password and query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=host, query="", fragment=""))


def whole(url: str, path: str) -> str:
    """Give the URL to ask: an endpoint's base and a path; a base with a path of its own needs none."""
    if path == "/" and urlsplit(url).path not in ("", "/"):
        return url
    return url.rstrip("/") + "/" + path.lstrip("/")


@dataclass(frozen=True, slots=True)
class Facts:
    """What survey read. `document` is journalled as it is and shown in reports."""

    capabilities: frozenset[str]
    """What can be done here (`Capability` of the language): `deploy`, `observe`, `exec`; each of the actions
    `node`, `actor`, `process`, `freeze`, `drain`, `command`, `host`; `partition` for cut_link, `redis` and
    `operator` for service; `power_off` and `evict` for these ways of ending a node; `upgrade`, and
    `incremental_upgrade` for that way of it."""
    endpoints: tuple[Endpoint, ...]
    document: Mapping[str, Json]
    """kind, layout, layout_reason, ray {version, commit}, python, redis, gcs_fault_tolerance, workers, ..."""
    cannot: tuple[str, ...] = ()
    """Sentences: what of the settings cannot be had here. A scenario that is about it is skipped."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something to do to a cluster.

    kinds and their arguments:
    - `node`: {slot, how: crash | delete | evict | power_off, grace?}   SIGKILL (or SIGTERM first) of all of a
      node's processes; powered off, it stays away until its undo
    - `service`: {service: redis | operator, how: crash | delete | power_off}     of what stands beside
    - `host`: {slot, how: power_off | delete | drain}   the machine that a node stands on, until its undo
    - `process`: {slot, process: gcs_server | raylet | dashboard | dashboard_agent}     SIGKILL of it alone
    - `actor`: {role: replica | controller | proxy, how: crash | ray_kill, no_restart?, app?, deployment?,
      slot?, mode?: one (default) | all | {fixed} | {percent}}
    - `cut_link`: {slot}                                the node reaches nobody, until its undo
    - `freeze`: {slot, process?}, or {role, ...} as `actor` has it     SIGSTOP, until its undo
    - `drain`: {slot, deadline, reason: preemption | idle}      Ray is asked to let the node go
    - `upgrade`: {how: new_cluster | incremental, environment?, step?, interval?}     nodes with another
      environment are asked for: whoever runs the cluster makes a second one, and lets that serve
    - `command`: {name}                                 a command that the inventory gives
    """

    kind: str
    arguments: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Undo:
    """How to put something back, as data: it must make sense to another process, later."""

    kind: str
    arguments: Mapping[str, Json]
    says: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing an armed action will hit."""

    slot: str
    role: str
    says: str
    """For people: `worker-1 (10.1.0.3), 23 processes`."""
    ids: Mapping[str, Json] = field(default_factory=dict)
    """pid, session, actor_id, node_id, ...: what confirmation compares."""


@dataclass(frozen=True, slots=True)
class Acted:
    """The act was done: `at` brackets its instant as closely as the cluster can tell."""

    at: float
    evidence: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Whether the target is known to be hit."""

    confirmed: bool
    why: str
    evidence: Mapping[str, Json] = field(default_factory=dict)


class Armed(Protocol):
    """An action whose target is resolved, whose script is started, whose right is checked."""

    hits: tuple[Hit, ...]
    undo: Undo | None
    """To be journalled before `act`; None where nothing needs to be put back."""

    async def act(self) -> Acted:
        """Do it, now."""
        ...

    async def confirm(self) -> Confirmation:
        """Wait, with a limit of its own, until the target is seen to be hit."""
        ...

    async def disarm(self) -> None:
        """Let go of what arming started, where `act` was never called; after `act` it does nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Saying:
    """One item of `observe`: a state document (`document`), or a happening (`text`)."""

    at: float
    """Instant of the answer or the happening."""
    asked: float
    """Instant the question was sent (equal to `at` for happenings)."""
    source: str
    """`state`, or who said it: `supervisor`, `forwarder`, `kubernetes`, or a log: `controller`, `gcs`,
    `raylet`, `operator`."""
    document: Mapping[str, Json] | None = None
    slot: str = ""
    text: str = ""
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended."""

    exit_code: int
    stdout: str
    stderr: str


class Prober(Protocol):
    """A running prober: lines of JSON to it and from it (docs/prober.md)."""

    async def send(self, command: Mapping[str, Json]) -> None:
        """Write one command."""
        ...

    def events(self) -> AsyncIterator[Mapping[str, Json]]:
        """Give what it says, until it ends."""
        ...

    async def close(self) -> None:
        """End it; returns when it is gone."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a run tells the cluster it opens."""

    run: str
    """The run's id; names namespaces, sessions and labels."""
    folder: Path
    """The run folder, for logs and undo files."""
    seed: int
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """The inventory's endpoints, by slot."""
    commands: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    """The inventory's commands: name to {act, undo}."""
    allow: frozenset[str] = frozenset()
    secrets: Secrets = field(default_factory=Secrets)
    """What may stand in no file of the run folder."""
    hosts: Mapping[str, Json] = field(default_factory=dict)
    """The inventory's commands for machines: power {off, on}, link {cut, join}, restore, timeout."""
    beside: Path = Path()
    """The inventory's folder: what its settings name by a relative path stands there."""


class Cluster(Protocol):
    """A cluster to run scenarios against.

    Each kind is a package `runner.clusters.<kind>` with `settings.py` (a pydantic model `Settings`, what the
    inventory's and the scenario's `cluster:` may say) and `cluster.py` (a function
    `open_cluster(settings: Settings, context: Context) -> Cluster` that starts nothing yet, and a coroutine
    `heal(undo: Undo) -> None` that carries out an undo of that kind in a later process, for `ftrun cleanup`).
    """

    kind: str

    async def start(self) -> None:
        """Make the cluster, or attach to the one that is there.

        Raises CannotRun with the tail of the right log.
        """
        ...

    async def survey(self) -> Facts:
        """Read what there is; changes nothing. Works before `start` as far as it can."""
        ...

    async def deploy(self, applications: tuple[Application, ...]) -> None:
        """Hand Serve this configuration (all applications it shall have). Does not wait for RUNNING."""
        ...

    async def http(
        self,
        slot: str,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float = 10.0,
    ) -> Answer:
        """Ask `dashboard` (the head's API) or an endpoint's slot, from where the prober stands.

        A body is JSON unless the headers say otherwise. A redirection is an answer, and not followed.
        """
        ...

    async def exec(
        self, command: tuple[str, ...] | str, *, where: str = "here", timeout: float = 60.0
    ) -> Completed:
        """Run a command `here` (next to ftrun) or on a node's slot; a string goes to the shell."""
        ...

    async def arm(self, action: Action) -> Armed:
        """Prepare an action so that `act` takes effect within milliseconds. Hits nothing yet."""
        ...

    async def undo(self, undo: Undo) -> float | None:
        """Put something back; doing it twice does no harm.

        Gives the instant at which it took effect, where that is known better than by when this returns.
        """
        ...

    def observe(self) -> AsyncIterator[Saying]:
        """Give what the cluster says, until cancelled: a document at once, then one a change or poll.

        Raises Lost where somebody else removed it, which ends the scenario.
        """
        ...

    async def listen(self, source: str, pattern: str) -> None:
        """Let `observe` pass on, too, each line that matches, of the log of a source.

        That is `controller`, `gcs`, `raylet` or `operator`. Other lines are passed on if their meaning is
        known. Where no log is followed it does nothing; raises ClusterError for one that is not there, or may
        not be read.
        """
        ...

    async def prober(self, program: Path, directory: Path, away: Collection[str] = ()) -> Prober:
        """Start `program`, the prober's one file, where the users are (never on a node).

        It stands on no machine that a slot of `away` stands on: faults will hit that. Its samples end up in
        `directory`, on this machine.
        """
        ...

    async def reach(self, endpoint: Endpoint) -> Endpoint:
        """Give an endpoint as one reaches it who stands beside ftrun; raises CannotRun where nobody can.

        What that takes is made here, and lasts until the cluster is closed.
        """
        ...

    def closing(self) -> Undo | None:
        """Give the undo that removes whatever `start` is about to make; it is journalled before `start`."""
        ...

    async def weight(self) -> Mapping[str, Json]:
        """Say what watching the cluster has cost it since this was asked last, as far as that is known.

        `requests`: questions to its API, `commands`: started on nodes; `..._cpu_s`: seconds of processors
        that processes of ftrun's took beside the runner's and the prober's; `prober`: where that stands.
        """
        ...

    async def logs(self, directory: Path, *, slots: Collection[str] | None = None) -> None:
        """Copy the logs worth keeping into `directory`, without the context's secrets.

        Of these slots alone, where some are named.
        """
        ...

    async def close(self) -> None:
        """Remove what `start` made; leave an attached cluster as it was found. Twice does no harm."""
        ...
