"""What the lines of logs mean: of the Serve controller, the GCS, a raylet, KubeRay's operator. Pure.

A line that is not known here means nothing: it is dropped, never guessed at. docs/logs.md lists the events.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Json = Any

FILES: Mapping[str, tuple[str, ...]] = {
    "controller": ("serve/controller_[0-9]*.log",),
    "gcs": ("gcs_server*.out",),
    "raylet": ("raylet*.out",),
}
"""Where each source of Ray logs, below the `logs` of a session; a new start writes a new file."""

OPERATOR = "operator"
"""KubeRay's operator, which logs to its container's output."""

SHORT = 300
"""Characters of a message that are passed on."""

REPEATED = frozenset({"gcs_lost", "reconcile_failed"})
"""Events that are said every other second for as long as they last: once is enough."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PYTHON = re.compile(r"(?P<level>[A-Z]+) (?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) \w+ (?P<pid>\w+) -- ")
_CPP = re.compile(
    r"\[(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) (?P<level>[A-Z]) (?P<pid>\d+) \d+\] \(\w+\) [\w.]+:\d+: "
)


_FRAME = frozenset({"level", "ts", "logger", "msg", "reconcileID", "stacktrace", "caller"})
"""Keys of a structured line that say nothing of what it is about."""

_KINDS = ("RayService", "RayCluster", "RayJob", "RayCronJob")
"""Keys that name the object which a line is about."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that begins a message. `stamp` is its local time as written."""

    stamp: str
    pid: str
    message: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a line says: the event, and what it is about."""

    event: str
    about: Mapping[str, Json]


def read(source: str, text: str) -> Line | None:
    """Take a line apart, without its colours; None for one that continues the message before it."""
    text = _COLOUR.sub("", text) if "\x1b" in text else text
    if source == OPERATOR:
        return _structured(text)
    head = (_PYTHON if source == "controller" else _CPP).match(text)
    return Line(head["at"], head["pid"], text[head.end() :].rstrip()) if head else None


def _structured(text: str) -> Line:
    """Take a line of JSON apart: what it says, then what it is about. Another line is all message."""
    said = _object(text)
    if said is None:
        return Line("", "", text.rstrip())
    words = [str(said.get("msg"))]
    for name, value in said.items():
        if name not in _FRAME:
            about = value.get("name") if name in _KINDS and isinstance(value, dict) else value
            words.append(f"{name}={about if isinstance(about, str) else json.dumps(about)}")
    return Line(str(said.get("ts")), "", " ".join(" ".join(words).split()))


def concerns(text: str, namespace: str, rayservice: str) -> bool:
    """Whether a line of the operator may be about a RayService: it is about no object, or one of its."""
    said = _object(text) or {}
    for kind in _KINDS:
        about = said.get(kind)
        if isinstance(about, dict):
            name = str(about.get("name"))
            mine = name == rayservice or name.startswith(f"{rayservice}-")
            return mine and about.get("namespace") == namespace
    return True


def _object(text: str) -> dict[str, Json] | None:
    if not text.startswith("{"):
        return None
    try:
        said = json.loads(text)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def wall(stamp: str) -> float:
    """Give the seconds since the epoch of a line's time, which is local unless it names its zone."""
    return datetime.fromisoformat(stamp).timestamp()


def meaning(source: str, line: Line) -> Meaning | None:
    """Give what a line says; None for one that means nothing here."""
    for event, pattern in _KNOWN[source]:
        if (found := pattern.match(line.message)) is not None:
            about = {
                name: _NUMBERS.get(name, str)(text)
                for name, text in found.groupdict().items()
                if text is not None
            }
            return _told(event, line, about)
    return None


def _told(event: str, line: Line, about: dict[str, Json]) -> Meaning:
    """Give the meaning of a line; some take more than its words."""
    if event.endswith("_starting") and "pid" not in about and event in _WRITERS:
        about["pid"] = int(line.pid)
    if event == "actor_failed":
        # -1 restarts left are endless ones.
        again = about.pop("again") and about.pop("restarts_left") != 0
        about.pop("restarts_left", None)
        event = "actor_restarting" if again else "actor_dead"
    return Meaning(event, about)


_WRITERS = frozenset({"controller_starting", "gcs_starting", "raylet_starting"})
"""Events whose process is the one that wrote the line."""

_NUMBERS: Mapping[str, Callable[[str], Json]] = {
    **dict.fromkeys(("seconds", "construct"), float),
    **dict.fromkeys(("pid", "strikes", "left", "replicas", "was", "again", "restarts_left"), int),
}

_DEPLOYMENT, _APP = r"(?P<deployment>[^']*)", r"(?P<app>[^']*)"

_WORDS = {
    "Replica": rf"Replica\(id='(?P<replica>[^']*)', deployment='{_DEPLOYMENT}', app='{_APP}'\)",
    "Deployment": rf"Deployment\(name='{_DEPLOYMENT}', app='{_APP}'\)",
    "Node": r"'?(?P<node_id>[0-9a-f]{56})'?",
    "Gcs": r"0{56}",  # how the syncer of resources names it
    "app": _APP,
    "version": r"(?P<version>[^'\s]+)",
    "deployments": r"(?P<deployments>\[.*?\])",
    "rest": r"(?P<reason>.{1,200})",
    "left": r"(?P<left>\d+)",
    "restarts_left": r"(?P<restarts_left>-?\d+)",
    **{name: rf"(?P<{name}>[\d.]+)" for name in ("seconds", "construct")},
    **{name: rf"(?P<{name}>\d+)" for name in ("pid", "strikes", "replicas", "was", "again")},
    **{
        name: rf"(?P<{name}>\w+)" for name in ("actor_id", "worker_id", "node_id", "reason", "state", "agent")
    },
    "address": r"(?P<address>\S+)",
    "says": r"(?P<says>.*?)",
    "cluster": r"(?P<cluster>\S+)",
}
"""What `<...>` stands for in the tables below."""


def _table(text: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Read a table: a line holds an event, and how the messages begin that mean it."""
    rows = [line.split(maxsplit=1) for line in text.strip().splitlines()]
    return tuple(
        (event, re.compile(re.sub(r"(?<!\?P)<(\w+)>", lambda found: _WORDS[found[1]], pattern)))
        for event, pattern in rows
    )


_KNOWN: Mapping[str, tuple[tuple[str, re.Pattern[str]], ...]] = {
    "controller": _table(r"""
    controller_starting  Controller starting \(version='<version>'\)
    recovering           Recovering current state for <Deployment> from <replicas> live actors
    recovered            Finished recovering deployments after <seconds>s
    replica_starting     Starting <Replica>\.
    replica_recovering   Recovering <Replica>\.
    replica_started      <Replica> started .*<Node> after <seconds>s \(PID: <pid>\)(?:.* took <construct>s)?
    replica_failed       Exception in <Replica>, the replica will be stopped
    replica_failed       Exception when allocating <Replica>
    replica_stopping     Stopping <Replica> \(currently (?:ReplicaState\.)?<state>\)
    replica_stopping     Stopping <Replica> on draining node <Node>
    replica_migrating    Migrating <Replica> from draining node <Node>
    replica_forced       <Replica> did not shut down after grace period
    replica_stopped      <Replica> is stopped
    replica_lost         <Replica> died before controller could recover it
    health_check_failed  Health check for <Replica> failed: <rest>
    health_check_failed  Didn't receive health check response for replica <Replica> after <seconds>s
    health_check_passed  <Replica> passed the health check after <strikes> consecutive failures
    replica_unhealthy    Replica <Replica> failed the health check <strikes> times in a row
    replica_unhealthy    Actor for <Replica> <reason>, marking it unhealthy immediately
    proxy_starting       Starting proxy '[^']*' on node <Node>
    proxy_not_ready      Proxy actor reported not ready on node <Node>
    proxy_check_failed   Unexpected error invoking health check for proxy on <Node>
    proxy_check_failed   Didn't receive health check response for proxy on <Node> after <seconds>s
    proxy_unhealthy      Proxy [A-Za-z_:]+-<Node> failed the health check <strikes> times in a row
    proxy_stopped        Proxy on node <Node> is <reason>\. Shutting down
    proxy_stopped        Removing proxy on <reason> node <Node>
    proxy_stopped        Removing <reason> proxy on node <Node>
    proxy_draining       Draining proxy on node <Node>
    proxy_not_draining   No longer draining proxy on node <Node>
    app_deploying        Deploying new app '<app>'
    app_building         Importing and building app '<app>'
    app_built            Imported and built app '<app>' successfully
    app_deleting         Deleting app '<app>'
    unhealthy            The deployments <deployments> are UNHEALTHY
    deploying            Deploying new version of <Deployment> \(initial target replicas: <replicas>
    update_failed        Rolling update of <Deployment> failed
    scaling              (?:Up|Down)scaling <Deployment> from <was> to <replicas> replicas
    replicas_waiting     Deployment '.*' in application '<app>' has <replicas> replicas .* to be scheduled
    loop_slow            The last control loop was slow \(took <seconds>s
    """),
    "gcs": _table(r"""
    gcs_starting         Ray cluster metadata ray_version=<version>
    gcs_loading          Loading job table data
    gcs_loaded           Using <reason> cluster ID from external storage
    gcs_loaded           Generated <reason> cluster ID
    gcs_started          GcsServer server started, listening on port
    gcs_exiting          GCS server received <reason>
    node_registered      Registering new node\. node_id=<Node> .*node_address=<address>
    node_check_failed    Health check failed for node <Node>, remaining checks <left>
    node_dead            .*, death reason = <reason>, death message = <says> ?node_id=<Node>
    node_draining        HandleDrainNode, reason: <says>, deadline: .*node_id=<Node>
    actor_registered     Registered actor .*actor_id=<actor_id>
    actor_creating       Creating actor .*actor_id=<actor_id>
    actor_placed         Submitting actor creation .*=<actor_id> worker_id=<worker_id> node_id=<Node>
    actor_created        Actor created successfully .*actor_id=<actor_id>
    actor_failed         Actor is failed .*schedule = <again>,.*ing_restarts = <restarts_left>,.*=<actor_id>
    actor_destroyed      Destroying actor, .*actor_id=<actor_id>
    worker_failed        Worker <worker_id> on node <node_id> exits, type=<reason>
    """),
    "raylet": _table(r"""
    raylet_starting      Setting node ID node_id=<Node>
    agent_awaited        Monitor agent process with name <agent>
    raylet_started       Raylet of id, <Node> started
    gcs_lost             Failed to read a message from node: <Gcs>
    gcs_lost             Connection to the node was broken, reconnecting\. node_id=<Gcs>
    gcs_reconnected      The GCS has restarted\. Resubscribing
    node_dead            Received address and liveness notification for node, IsAlive = 0 node_id=<Node>
    worker_started       Started worker process with pid <pid> worker_id=<worker_id>
    worker_killed        Received KillLocalActor RPC worker_id=<worker_id> actor_id=<actor_id>
    worker_died          Disconnecting worker, .*worker_id=<worker_id>
    draining             Drain raylet RPC has received\..*Drain reason: <reason>
    exiting              Raylet graceful shutdown triggered, reason = <rest>
    exiting              Failed to connect to GCS within
    exiting              (?:[Rr]aylet )?[Rr]eceived SIG
    """),
    OPERATOR: _table(r"""
    operator_starting    starting manager$
    leading              successfully acquired lease
    cluster_named        createRayClusterInstance .*clusterName=<cluster>
    resubmitted          updateServeDeployment .*message=Cached Serve config .*rayClusterName=<cluster>
    switching            Reconciling K8s services to point to the pending Ray cluster
    promoted             Promoting pending cluster to active\..*newCluster=<cluster>
    reconcile_failed     Reconciler error (?!.*the object has been modified).*?error=(?:.*? err: )?<rest>
    """),
}
"""Of the patterns that match, the first counts."""
