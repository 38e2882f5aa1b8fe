"""Follows files as they grow, without a cluster: time is given."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from runner.clusters import listening
from runner.clusters.local import follower
from runner.clusters.local.follower import Follower

NODE = "0d80ddf569195a0c2676dd7ce57eb6a581c801807ad3f8a45aa8aa6a"
EPOCH = 1_795_000_000.0
"""The wall's time at monotonic 0."""


class Told:
    def __init__(self):
        self.all = []

    def __call__(self, source, slot, text, *, at=None, **data):
        self.all.append((source, slot, text, at, data))

    def take(self):
        found, self.all = self.all, []
        return found


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def session(tmp_path):
    folder = tmp_path / "head" / "session_2026-11-24_06-12-47_112479_28" / "logs"
    (folder / "serve").mkdir(parents=True)
    (tmp_path / "head" / "session_latest").symlink_to(folder.parent.name)
    return folder


@pytest.fixture
def following(tmp_path, told):
    return Follower(tmp_path, ["head", "worker-1"], told)


def stamp(at: float) -> str:
    wall = EPOCH + at
    return (
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall))
        + f",{int(round(wall % 1 * 1000, 3)) % 1000:03}"
    )


def gcs(at: float, message: str) -> str:
    return f"[{stamp(at)} I 31 31] (gcs_server) gcs_node_manager.cc:111: {message}\n"


def controller(at: float, message: str, level: str = "INFO") -> str:
    return f"{level} {stamp(at)} controller 602 -- {message}\n"


REGISTERED = f"Registering new node. node_id={NODE} node_name=10.1.0.3 node_address=10.1.0.3"


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def look(following, at: float, *, wall: float | None = None) -> None:
    following.look(at, EPOCH + at if wall is None else wall)


def test_a_line_that_means_something_is_passed_on_with_its_own_time(session, following, told):
    look(following, 10.0)
    append(session / "gcs_server.out", gcs(10.05, "Some other thing.") + gcs(10.15, REGISTERED))
    look(following, 10.2)
    ((source, slot, text, at, data),) = told.take()
    assert (source, slot, text) == ("gcs", "head", REGISTERED)
    assert at == pytest.approx(10.15, abs=0.002)
    assert data == {"event": "node_registered", "node_id": NODE, "address": "10.1.0.3"}
    look(following, 10.4)
    assert not told.take()


def test_new_files_and_nodes_are_found_and_half_a_line_waits(session, tmp_path, following, told):
    look(following, 10.0)
    append(
        session / "serve" / "controller_17.log", controller(10.1, "Controller starting (version='2.60.0').")
    )
    append(session / "serve" / "controller_build_app_18.log", controller(10.1, "Deploying new app 'x'."))
    whole = gcs(10.1, REGISTERED)
    append(session / "gcs_server.1.out", whole[:60])
    other = tmp_path / "w1" / "session_2026-11-24_06-12-47_112479_28" / "logs"
    other.mkdir(parents=True)
    append(other / "raylet.out", gcs(10.1, f"Raylet of id, {NODE} started. Raylet consists of ..."))
    look(following, 10.2)
    assert [(source, slot, data["event"]) for source, slot, _, _, data in told.take()] == [
        ("controller", "head", "controller_starting"),
        ("raylet", "worker-1", "raylet_started"),
    ]
    append(session / "gcs_server.1.out", whole[60:])
    look(following, 10.4)
    assert [data["event"] for *_, data in told.take()] == ["node_registered"]


def test_where_the_wall_clock_was_set_the_instant_of_reading_counts(session, following, told):
    path = session / "gcs_server.out"
    path.touch()
    look(following, 10.0)
    append(path, gcs(10.1, REGISTERED))
    look(following, 10.2, wall=EPOCH + 10.2 + 30)  # it was put forward by half a minute in between
    ((*_, at, data),) = told.take()
    assert at == 10.2
    assert data["within"] == pytest.approx(0.2)


def test_lines_that_stood_there_before_the_first_look_have_their_own_time(session, following, told):
    append(session / "gcs_server.out", gcs(3.0, REGISTERED))
    look(following, 10.0)
    ((*_, at, data),) = told.take()
    assert at == pytest.approx(3.0, abs=0.002)
    assert "within" not in data


def test_what_is_listened_for_is_passed_on_also_inside_of_a_message(session, following, told):
    following.listen("controller", r"ValueError: no (bread|milk)")
    path = session / "serve" / "controller_17.log"
    append(
        path,
        controller(9.9, "Something went wrong", "ERROR")
        + "Traceback:\nValueError: no milk today\n"
        + "x" * 9000,
    )
    look(following, 10.0)
    ((source, _, text, at, data),) = told.take()
    assert (source, text) == ("controller", "ValueError: no milk today")
    assert at == pytest.approx(9.9, abs=0.002)
    assert data == {"event": "line", "matches": ["ValueError: no (bread|milk)"]}


def test_what_cannot_be_listened_for_is_refused(following):
    with pytest.raises(ValueError, match="no log of 'attic'"):
        following.listen("attic", "x")
    with pytest.raises(ValueError, match="no regular expression"):
        following.listen("gcs", "(")


def test_what_is_said_all_the_time_is_passed_on_once_and_health_checks_each_time(session, following, told):
    lost = "Connection to the node was broken, reconnecting. node_id=" + "0" * 56
    failed = f"Health check failed for node {NODE}, remaining checks 4, status 14"
    append(session / "raylet.out", gcs(1, lost) + gcs(3, lost))
    append(session / "gcs_server.out", gcs(1, failed) + gcs(3, failed))
    look(following, 10.0)
    assert [data["event"] for *_, data in told.take()] == [
        "node_check_failed",
        "node_check_failed",
        "gcs_lost",
    ]


def test_a_storm_is_cut_and_that_is_said(session, following, told):
    path = session / "gcs_server.out"
    append(path, "".join(gcs(9.9, REGISTERED) for _ in range(listening.BURST + 40)))
    look(following, 10.0)
    assert len(told.take()) == listening.BURST
    look(following, 10.2)
    ((_, _, text, _, data),) = told.take()
    assert data == {"event": "dropped", "lines": 40}
    assert text == "40 lines that mean something were dropped: more than 50 a second"


def test_a_log_that_outruns_its_reader_is_skipped_to_its_end_and_that_is_said(session, following, told):
    path = session / "gcs_server.out"
    noise = gcs(9.9, "y" * 900)
    append(path, noise * (follower.BACKLOG // len(noise) + 50) + gcs(9.95, REGISTERED))
    for nth in range(3):
        look(following, 10.0 + nth / 5)
    first, second = told.take()
    assert first[4]["event"] == "dropped"
    assert 0 < first[4]["bytes"] < os.path.getsize(path)
    assert second[4]["event"] == "node_registered"


def test_a_log_that_is_rotated_is_not_read_twice(session, following, told):
    path = session / "gcs_server.out"
    append(path, gcs(9.9, REGISTERED))
    look(following, 10.0)
    path.rename(session / "gcs_server.1.out")
    append(session / "gcs_server.1.out", gcs(10.1, "GcsServer server started, listening on port 6400."))
    append(path, gcs(10.15, REGISTERED))
    look(following, 10.2)
    assert [(data["event"], round(at, 1)) for *_, at, data in told.take()] == [
        ("node_registered", 9.9),
        ("gcs_started", 10.1),
        ("node_registered", 10.2),
    ]


def test_a_look_reads_a_bounded_piece(session, following, told):
    path = session / "gcs_server.out"
    noise = gcs(9.9, "y" * 900)
    append(path, noise * (3 * follower.PIECE // 2 // len(noise)) + gcs(9.95, REGISTERED))
    look(following, 10.0)
    assert not told.take()
    look(following, 10.2)
    ((*_, at, data),) = told.take()
    assert data["event"] == "node_registered"
    assert at == pytest.approx(9.95, abs=0.002)


def test_a_file_that_comes_within_the_same_tick_of_the_clock_is_found(session, following, told):
    os.utime(session, (EPOCH + 10, EPOCH + 10))
    look(following, 10.1)
    append(session / "gcs_server.out", gcs(10.15, REGISTERED))
    os.utime(session, (EPOCH + 10, EPOCH + 10))
    look(following, 10.3)
    assert len(told.take()) == 1


def test_a_folder_that_goes_away_hurts_nobody(session, following, told):
    path = session / "gcs_server.out"
    append(path, gcs(9.9, REGISTERED))
    look(following, 10.0)
    path.unlink()
    look(following, 10.2)
    assert len(told.take()) == 1
