"""Lines of real runs of Ray 2.60.0 and KubeRay 1.7.0, one for each event, and what they mean."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.rayserve import logs
from runner.rayserve.logs import FILES, OPERATOR, Line, concerns, meaning, read, wall
from tests import golden

RECORDED = Path(__file__).parent / "recorded"
LINES = [
    tuple(row.split("\t", 1)) for row in (RECORDED / "log_lines.txt").read_text(encoding="utf-8").splitlines()
]
NAMED = "Replica(id='44q7diqp', deployment='SleepyPid', app='sleepy_pid')"
REPLICA = {"replica": "44q7diqp", "deployment": "SleepyPid", "app": "sleepy_pid"}


def means(source: str, message: str):
    found = meaning(source, Line("2026-11-24 06:13:03,226", "602", message))
    return found and (found.event, dict(found.about))


def test_recorded_lines_mean_what_they_meant():
    told = []
    for source, text in LINES:
        line = read(source, text)
        assert line is not None, text
        found = meaning(source, line)
        assert found is not None, text
        told.append(f"{line.stamp} {source} {found.event} {json.dumps(found.about)}\n")
    golden.check(RECORDED / "log_lines.golden", "".join(told))


def test_every_event_that_is_told_apart_was_seen_or_is_in_ray_s_source():
    seen = {(source, meaning(source, read(source, text)).event) for source, text in LINES}
    known = {(source, event) for source in logs._KNOWN for event, _ in logs._KNOWN[source]}
    assert known - seen <= UNSEEN, "record a line of it"
    assert not seen & UNSEEN, "it was seen by now"


UNSEEN = {
    ("gcs", "actor_failed"),  # told apart as actor_dead and actor_restarting
    ("gcs", "gcs_exiting"),
    ("controller", "replica_forced"),
    ("controller", "replica_lost"),
    ("controller", "app_deleting"),
    ("controller", "update_failed"),
    ("controller", "scaling"),
    ("controller", "loop_slow"),
    ("operator", "leading"),
}
"""Events that no recorded run had; their messages are those of Ray 2.60.0's source, and of client-go's."""


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            f"Didn't receive health check response for replica {NAMED} after 30.0s, marking it unhealthy.",
            ("health_check_failed", {**REPLICA, "seconds": 30.0}),
        ),
        (
            f"{NAMED} passed the health check after 2 consecutive failures.",
            ("health_check_passed", {**REPLICA, "strikes": 2}),
        ),
        (
            "Upscaling Deployment(name='SleepyPid', app='sleepy_pid') from 2 to 4 replicas. Current ongoing ...",
            ("scaling", {"deployment": "SleepyPid", "app": "sleepy_pid", "was": 2, "replicas": 4}),
        ),
        ("Replica is in good spirits.", None),
    ],
)
def test_messages_of_the_controller_s_source(message, expected):
    assert means("controller", message) == expected


def test_an_actor_without_restarts_is_dead_and_one_with_any_is_started_again():
    text = (
        "Actor is failed on worker {w} at node {n}, need_reschedule = {r}, death context type ="
        " ActorDiedErrorContext, remaining_restarts = {left}, num_restarts = 0, num_restarts_due_to_node_preemption = 0,"
        " preempted = 0 job_id=01000000 actor_id=90e18d"
    )
    about = {"actor_id": "90e18d"}
    for again, left, event in ((1, -1, "restarting"), (1, 2, "restarting"), (1, 0, "dead"), (0, -1, "dead")):
        message = text.format(w="2a88", n="afe5", r=again, left=left)
        assert means("gcs", message) == (f"actor_{event}", about)


def test_the_document_names_every_event_and_what_it_is_about():
    document = (Path(__file__).parents[2] / "docs" / "logs.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", document, re.MULTILINE))
    about: dict[str, set[str]] = {}
    for table in logs._KNOWN.values():
        for event, pattern in table:
            about.setdefault(event, set()).update(pattern.groupindex)
    failed = about.pop("actor_failed") - {"again", "restarts_left"}
    about |= {"actor_dead": failed, "actor_restarting": failed}
    for writer in logs._WRITERS:
        about[writer].add("pid")
    assert set(rows) == set(about) | {"line", "dropped"}
    for event, names in about.items():
        assert set(re.findall(r"`(\w+)`", rows[event])) == names, event


@pytest.mark.parametrize("source", [*FILES, OPERATOR])
@given(text=st.text(max_size=200))
def test_any_text_is_taken(source, text):
    line = read(source, text)
    assert meaning(source, line or Line("", "", text)) is None or text


def test_a_line_that_begins_no_message_continues_one():
    assert read("controller", "Traceback (most recent call last):") is None
    assert read("gcs", "GcsNodeManager: ") is None


def test_the_time_of_a_line_is_local():
    now = time.time()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now)) + f",{int(now % 1 * 1000):03}"
    assert abs(wall(stamp) - now) < 0.01


def test_a_line_of_the_operator_is_what_it_says_and_what_that_is_about():
    text = json.dumps(
        {
            "level": "info",
            "ts": "2026-11-24T13:07:22.976Z",
            "logger": "controllers.RayService",
            "msg": "Found it.",
            "RayService": {"name": "demo", "namespace": "ours"},
            "reconcileID": "1",
            "where": ["a\n b", 1],
            "stacktrace": "deep",
        }
    )
    line = read(OPERATOR, text)
    assert line.message == 'Found it. RayService=demo where=["a\\n b", 1]'
    assert wall(line.stamp) == 1795525642.976
    assert read(OPERATOR, "2026-11-24\tINFO\tsetup\tstarting\n").message.endswith("\tstarting")


@pytest.mark.parametrize(
    ("about", "mine"),
    [
        ({}, True),
        ({"RayService": {"name": "demo", "namespace": "ours"}}, True),
        ({"RayCluster": {"name": "demo-abc", "namespace": "ours"}}, True),
        ({"RayCluster": {"name": "demos", "namespace": "ours"}}, False),
        ({"RayService": {"name": "demo", "namespace": "theirs"}}, False),
        ({"RayJob": {"name": "batch", "namespace": "ours"}}, False),
    ],
)
def test_lines_of_the_operator_about_others_are_told_apart(about, mine):
    assert concerns(json.dumps({"msg": "x", **about}), "ours", "demo") is mine


def test_a_line_of_the_operator_that_is_no_object_may_be_about_anybody():
    assert concerns("{ not JSON", "ours", "demo")
    assert concerns('{"RayService": "demo"}', "ours", "demo")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("found 0 head", {"reason": "found 0 head"}),
        (
            "failed to get Serve application statuses. Please check https://x for more details. err: 500",
            {"reason": "500"},
        ),
        # Two wrote at once, and one of them does so again: no controller goes without.
        ('Operation cannot be fulfilled on x "y": the object has been modified; please try again', None),
    ],
)
def test_why_the_operator_could_not_go_on(error, expected):
    text = json.dumps({"msg": "Reconciler error", "RayService": {"name": "s"}, "error": error})
    found = meaning(OPERATOR, read(OPERATOR, text))
    assert (found and dict(found.about)) == expected
