"""What every cluster keeps: one suite, which a cluster's test module inherits and gives a `subject` to.

    from tests.clusters.contract import Contract, Subject, cluster, facts  # noqa: F401 (fixtures)

    @pytest_asyncio.fixture(scope="module", loop_scope="module")
    async def subject(tmp_path_factory): yield Subject(...)

    class TestLocal(Contract): ...

The cluster is started once for the module; tests run in the order in which they stand here, and those that
break something come last and wait until it is whole again.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import pytest_asyncio

import runner.probes
from runner import clock
from runner.clusters import here
from runner.clusters.contract import Action, Answer, Armed, Cluster, Facts, Saying
from runner.errors import CannotRun, ClusterError, Unreachable
from runner.journal.samples import Outcome, read_prober_log, read_samples
from runner.language.models import Capability
from runner.language.plan import Application

CAPABILITIES = set(get_args(Capability))
ACTIONS = {name: name for name in ("node", "actor", "process", "freeze", "drain", "command", "host")} | {
    "partition": "cut_link",
    "redis": "service",
    "operator": "service",
}
"""The kind of action that a capability stands for."""
LISTS = ("nodes", "actors", "applications", "deployments", "replicas", "proxies", "processes")
SCHEMA = json.loads((Path(__file__).parent / "state_schema.json").read_text())
PROGRAM = Path(runner.probes.__file__).parent / "prober.py"

Happened = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]


def children() -> list[int]:
    """Give the processes that descend from this one."""
    parents = {}
    for name in os.listdir("/proc"):
        try:
            stat = Path("/proc", name, "stat").read_text() if name.isdigit() else ""
        except OSError:
            continue
        if stat and stat.rpartition(")")[2].split()[0] != "Z":
            parents[int(name)] = int(stat.rpartition(")")[2].split()[1])
    found = [os.getpid()]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


@dataclass
class Subject:
    """A cluster that was not started yet, and what the suite has to know of it."""

    cluster: Cluster
    live: str
    """The slot of an endpoint that answers 2xx once the application runs."""
    dead: str | None = None
    """The slot of an endpoint where nobody listens, if there is one."""
    application: Application | None = None
    actions: tuple[tuple[Action, Happened], ...] = ()
    """What to do to it, gentle first, and how to tell from the documents before and after that it happened."""
    patience: float = 5.0
    """Seconds that a change may take to be seen."""
    heard: Callable[[Answer], str] = lambda answer: answer.body.decode()
    """Say `METHOD WORD BODY` of the last request with a header X-Word; else the live endpoint answers so."""
    left: Callable[[], object] = children
    """What is left of it after `close`: equal to what it gave before `start`."""


async def armed(cluster: Cluster, action: Action) -> Armed:
    """Arm; a head that is busy is asked again: that it gave no answer in time says nothing."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await cluster.arm(action)
            except Unreachable:
                await asyncio.sleep(0.3)


def node_died(slot: str) -> Happened:
    """Tell whether the processes of a node, or of Redis, went down, or were started again since."""

    def happened(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        if "processes" in after["unknown"]:
            return False
        old, new = (
            next(row for row in document["processes"] if row["slot"] == slot) for document in (before, after)
        )
        return bool(new["state"] != "up" or new["starts"] > old["starts"])

    return happened


def shows(slot: str, field: str) -> Happened:
    """Tell whether what runs the machines says of one that it is `cut_off`, or has `frozen` processes."""
    return lambda _before, after: any(row[field] for row in after["processes"] if row["slot"] == slot)


def replica_died(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Tell whether a replica that ran is not there any more."""
    old, new = (
        {row["id"] for row in document["replicas"] if row["state"] == "RUNNING"}
        for document in (before, after)
    )
    return "replicas" not in after["unknown"] and not old <= new


def whole(document: Mapping[str, Any]) -> bool:
    """Tell whether every node is up, and a member, and every application runs, all its replicas with it."""
    members = sum(row["state"] == "ALIVE" for row in document["nodes"])
    return (
        not document["unknown"]
        and members >= sum(row["role"] == "node" for row in document["processes"])
        and all(
            row["state"] == "up" and not row["frozen"] and not row["cut_off"] for row in document["processes"]
        )
        and all(row["status"] == "RUNNING" for row in document["applications"])
        and all(row["state"] == "RUNNING" for row in document["replicas"])
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(subject: Subject) -> AsyncIterator[Cluster]:
    cluster = subject.cluster
    before = subject.left()
    closing = cluster.closing()
    await cluster.start()
    try:
        if subject.application is not None:
            await cluster.deploy((subject.application,))
            await seen(subject, lambda document: document["applications"] and whole(document))
            async with asyncio.timeout(subject.patience):
                while not await answers(subject):  # noqa: ASYNC110 (who forwards looks every 5 s)
                    await asyncio.sleep(0.1)
        yield cluster
    finally:
        await cluster.close()
        await cluster.close()
    if closing is not None:
        asdict(closing)
        await import_module(f"runner.clusters.{cluster.kind}.cluster").heal(closing)
    assert subject.left() == before


async def answers(subject: Subject) -> bool:
    """Tell whether the live endpoint answers."""
    try:
        return (await subject.cluster.http(subject.live, "GET", "/")).status == 200
    except Unreachable:
        return False


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def facts(cluster: Cluster) -> Facts:
    return await cluster.survey()


async def sayings(subject: Subject, count: int) -> list[Saying]:
    """Give the next state documents."""
    found: list[Saying] = []
    stream = subject.cluster.observe()
    async with asyncio.timeout(subject.patience):
        async for saying in stream:
            if saying.document is not None:
                found.append(saying)
                if len(found) == count:
                    break
    await stream.aclose()  # type: ignore[attr-defined]
    return found


async def settled(subject: Subject, facts: Facts) -> Mapping[str, Any]:
    """Give a document in which all is as it should be, as far as the cluster can say."""
    if "observe" in facts.capabilities:
        return await seen(subject, whole)
    [saying] = await sayings(subject, 1)
    assert saying.document is not None
    return saying.document


async def seen(subject: Subject, true: Callable[[Mapping[str, Any]], Any]) -> Mapping[str, Any]:
    """Observe until a document makes it true."""
    stream = subject.cluster.observe()
    last: Mapping[str, Any] | None = None
    try:
        async with asyncio.timeout(subject.patience):
            async for saying in stream:
                last = saying.document or last
                if saying.document is not None and true(saying.document):
                    return saying.document
    except TimeoutError:
        pytest.fail(f"not seen within {subject.patience} s; last was {json.dumps(last)}")
    finally:
        await stream.aclose()  # type: ignore[attr-defined]
    raise AssertionError("observe ended by itself")


def specification(facts: Facts, slot: str) -> dict[str, Any]:
    """Give a series at 100 requests a second (docs/prober.md)."""
    [endpoint] = [each for each in facts.endpoints if each.slot == slot]
    return {
        "run": "contract",
        "series": f"{slot}/new",
        "probe": "users",
        "endpoint": slot,
        "connection": "new",
        "url": endpoint.url + "/",
        "url_shown": endpoint.url + "/",
        "method": "GET",
        "headers": {},
        "body": None,
        "period_ns": [10_000_000, 1],
        "timeout_ns": 2_000_000_000,
        "slow_after_ns": 500_000_000,
        "blind_after_ns": 100_000_000,
        "recover_after_ns": 1_000_000_000,
        "max_in_flight": 100,
        "expect": {"status": [[200, 299]], "body": None},
        "identity": None,
        "file": "series.samples",
    }


@pytest.mark.asyncio(loop_scope="module")
class Contract:
    """The suite. `subject` is the test module's; `cluster` is the same cluster, started and deployed."""

    async def test_closing_is_data(self, subject: Subject) -> None:
        undo = subject.cluster.closing()
        assert undo is None or json.loads(json.dumps(asdict(undo))) == asdict(undo)

    async def test_survey_names_what_can_be_done_and_where_to_send(
        self, cluster: Cluster, facts: Facts
    ) -> None:
        assert facts.capabilities <= CAPABILITIES
        slots = [endpoint.slot for endpoint in facts.endpoints]
        assert len(slots) == len(set(slots))
        assert all(endpoint.role in ("service", "head", "worker", "url") for endpoint in facts.endpoints)
        assert all(endpoint.url.startswith(("http://", "https://")) for endpoint in facts.endpoints)
        assert not any(endpoint.url.endswith("/") for endpoint in facts.endpoints)
        assert facts.document["kind"] == cluster.kind
        json.dumps(facts.document)

    async def test_documents_keep_the_schema(self, subject: Subject, cluster: Cluster, facts: Facts) -> None:
        for saying in await sayings(subject, 2):
            assert saying.source == "state"
            assert saying.asked <= saying.at <= clock.monotonic()
            assert saying.document is not None
            jsonschema.validate(saying.document, SCHEMA)
            assert all(saying.document[name] == [] for name in saying.document["unknown"])
            if "observe" not in facts.capabilities:
                assert set(saying.document["unknown"]) == set(LISTS)

    async def test_deploys_or_says_that_it_cannot(
        self, subject: Subject, cluster: Cluster, facts: Facts
    ) -> None:
        if "deploy" not in facts.capabilities:
            with pytest.raises(ClusterError, match=r"\.$"):
                await cluster.deploy((Application("a", {"name": "a"}, None),))
            return
        assert subject.application is not None
        document = await seen(subject, lambda each: not {"applications", "replicas"} & {*each["unknown"]})
        statuses = {row["name"]: row["status"] for row in document["applications"]}
        assert statuses == {subject.application.name: "RUNNING"}
        assert document["replicas"]

    async def test_asks_an_endpoint(self, subject: Subject, cluster: Cluster) -> None:
        answer = await cluster.http(subject.live, "GET", "/")
        assert 200 <= answer.status < 300
        assert isinstance(answer.body, bytes)

    async def test_a_request_carries_headers_and_a_body(self, subject: Subject, cluster: Cluster) -> None:
        answer = await cluster.http(
            subject.live,
            "POST",
            "/",
            headers={"X-Word": "w", "Content-Type": "text/plain"},
            body=b"hello",
        )
        assert answer.status == 200
        assert subject.heard(answer) == "POST w hello"

    async def test_nobody_there_is_unreachable(self, subject: Subject, cluster: Cluster) -> None:
        if subject.dead is not None:
            with pytest.raises(Unreachable):
                await cluster.http(subject.dead, "GET", "/", timeout=2)
        with pytest.raises(ClusterError):
            await cluster.http("no-such-slot", "GET", "/")

    async def test_runs_commands_here_or_says_that_it_may_not(self, cluster: Cluster, facts: Facts) -> None:
        if "exec" not in facts.capabilities:
            with pytest.raises(ClusterError):
                await cluster.exec("echo no")
            return
        completed = await cluster.exec("echo out; echo err >&2; exit 3")
        assert (completed.exit_code, completed.stdout, completed.stderr) == (3, "out\n", "err\n")
        with pytest.raises(ClusterError):
            await cluster.exec("echo", where="no-such-slot")

    async def test_a_command_that_does_not_end_is_ended(self, cluster: Cluster, facts: Facts) -> None:
        if "exec" in facts.capabilities:
            began = clock.monotonic()
            with pytest.raises(ClusterError):
                await cluster.exec("sleep 600", timeout=0.3)
            assert clock.monotonic() - began < 10

    async def test_the_prober_keeps_its_protocol(
        self, subject: Subject, cluster: Cluster, facts: Facts, tmp_path: Path
    ) -> None:
        prober = await cluster.prober(PROGRAM, tmp_path)
        events = aiter(prober.events())

        async def answer(event: str) -> Mapping[str, Any]:
            async with asyncio.timeout(30):
                said = await anext(events)
            assert said["event"] == event, said
            return said

        ready = await answer("ready")
        assert (ready["boot_id"], ready["time_namespace"]) == (clock.boot_id(), clock.time_namespace())
        await prober.send(
            {
                "command": "start",
                "probe": "users",
                "series": [specification(facts, subject.live)],
            }
        )
        started = await answer("started")
        r1 = clock.monotonic_ns()
        await prober.send({"command": "ping", "id": 7})
        pong = await answer("pong")
        assert pong["id"] == 7
        assert r1 <= pong["p_ns"] <= clock.monotonic_ns()
        await asyncio.sleep(1.5)
        await prober.send({"command": "stop", "probe": "users"})
        stopped = await answer("stopped")
        await prober.send({"command": "quit"})
        await answer("bye")
        await prober.close()

        [series] = started["series"]
        samples = read_samples(tmp_path / series["file"])
        assert samples.header["t0_ns"] == series["t0_ns"]
        assert samples.header["endpoint"] == subject.live
        assert len(samples.n) > 20
        assert (samples.outcome == Outcome.OK).mean() > 0.9
        assert samples.sent[-1] <= stopped["at_ns"]
        assert read_prober_log(tmp_path / "prober.jsonl").stops == {"users": stopped["at_ns"]}

    async def test_from_here_an_endpoint_is_reached_or_that_is_refused(
        self, subject: Subject, cluster: Cluster, facts: Facts
    ) -> None:
        for endpoint in facts.endpoints:
            try:
                found = await cluster.reach(endpoint)
            except CannotRun:
                continue
            assert (found.slot, found.role) == (endpoint.slot, endpoint.role)
            if found.slot == subject.live:
                answer = await here.ask(found.url + "/", "GET", timeout=10.0)
                assert answer.status == 200

    async def test_a_prober_ends_when_it_is_closed(self, cluster: Cluster, tmp_path: Path) -> None:
        prober = await cluster.prober(PROGRAM, tmp_path)
        async with asyncio.timeout(30):
            assert (await anext(aiter(prober.events())))["event"] == "ready"
            await prober.close()

    async def test_arming_hits_nothing(self, subject: Subject, cluster: Cluster, facts: Facts) -> None:
        before = await settled(subject, facts)
        for action, happened in subject.actions:
            ready = await armed(cluster, action)
            assert ready.hits
            assert all(hit.says for hit in ready.hits)
            await asyncio.sleep(0.2)
            await ready.disarm()
            await ready.disarm()
            [after] = await sayings(subject, 1)
            assert after.document is not None
            assert not happened(before, after.document)

    async def test_what_it_cannot_hit_it_says(self, cluster: Cluster) -> None:
        for action in (
            Action("node", {"slot": "no-such-slot", "how": "crash"}),
            Action("service", {"service": "no-such-service", "how": "crash"}),
            Action("process", {"slot": "no-such-slot", "process": "raylet"}),
            Action("freeze", {"slot": "no-such-slot"}),
            Action("cut_link", {"slot": "no-such-slot"}),
            Action("drain", {"slot": "no-such-slot", "deadline": 1.0, "reason": "preemption"}),
            Action("command", {"name": "no-such-command"}),
            Action("actor", {"role": "replica", "app": "no-such-app", "how": "crash"}),
        ):
            with pytest.raises(ClusterError, match=r"\.$"):
                await cluster.arm(action)

    async def test_logs_can_be_kept(self, cluster: Cluster, tmp_path: Path) -> None:
        await cluster.logs(tmp_path)

    async def test_what_watching_costs_is_told_since_it_was_asked_last(self, cluster: Cluster) -> None:
        first = await cluster.weight()
        json.dumps(first)
        numbers = {name: value for name, value in first.items() if name != "prober"}
        assert all(value >= 0 for value in numbers.values())
        assert numbers.get("requests", 1) > 0
        second = await cluster.weight()
        assert second.keys() == first.keys()
        assert all(second[name] <= value for name, value in numbers.items())

    async def test_lines_of_logs_can_be_listened_for(self, cluster: Cluster) -> None:
        for source in ("controller", "gcs", "raylet"):
            await cluster.listen(source, "what nobody ever logs")

    async def test_acts_confirms_and_puts_back(
        self, subject: Subject, cluster: Cluster, facts: Facts
    ) -> None:
        assert {action.kind for action, _ in subject.actions} == {
            kind for capability, kind in ACTIONS.items() if capability in facts.capabilities
        }
        off = any(
            action.kind == "node" and action.arguments["how"] == "power_off" for action, _ in subject.actions
        )
        assert off == ("power_off" in facts.capabilities)
        for action, happened in subject.actions:
            old = await settled(subject, facts)
            ready = await armed(cluster, action)
            earliest = clock.monotonic()
            acted = await ready.act()
            assert earliest <= acted.at <= clock.monotonic()
            # A busy machine may take its time; what is not armed takes seconds.
            assert acted.at - earliest < 1, "what is armed takes effect at once"
            confirmation = await ready.confirm()
            assert confirmation.confirmed, confirmation.why
            assert confirmation.why
            json.dumps([acted.evidence, confirmation.evidence, [asdict(hit) for hit in ready.hits]])
            await ready.disarm()
            await seen(subject, lambda document, old=old, happened=happened: happened(old, document))  # type: ignore[misc]
            if ready.undo is not None:
                assert json.loads(json.dumps(asdict(ready.undo))) == asdict(ready.undo)
                await cluster.undo(ready.undo)
                await cluster.undo(ready.undo)
            if "observe" in facts.capabilities:
                await seen(subject, whole)
