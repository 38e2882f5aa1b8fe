"""What waits decide by, read from the ends of files that grow."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runner.journal import samples as sample_files
from runner.journal.events import ProbeStart
from runner.journal.samples import HEADER_BYTES, MAGIC, RECORD, Recordings
from runner.steps import live
from runner.timeline import live as of_timeline
from runner.timeline.clocks import Axis, Ping
from tests.timeline.simulator import ORIGIN, Outage, Setting, World, nanoseconds

AXIS = Axis(ORIGIN)
SETTING = Setting(rate=20.0, blind_after=0.25, length=60.0)
PROBE = ProbeStart(
    scenario=0,
    probe="users",
    series=(
        {
            "series": "service/new",
            "file": "samples/0/users.samples",
            "t0": 0.0,
            "timeout": SETTING.timeout,
            "slow_after": SETTING.slow_after,
            "recover_after": SETTING.recover_after,
        },
    ),
)


def write(folder: Path, world: World, now: float) -> tuple[Any, Any]:
    """Write what the prober of a world has written by `now`, in the order in which requests ended."""
    every, stalls = world.record()
    end = ORIGIN + round(now * 1e9)
    order = [row for row in np.argsort(every.done, kind="stable") if every.done[row] <= end - 50_000_000]
    records = np.zeros(len(order), dtype=RECORD)
    records["n"] = every.n[order]
    records["late"] = (every.sent - every.due)[order] // 1000
    records["took"] = (every.done - every.sent)[order] // 1000
    records["outcome"] = every.outcome[order]
    folder = folder / "samples" / "0"
    folder.mkdir(parents=True, exist_ok=True)
    head = MAGIC + json.dumps(dict(every.header)).encode().ljust(HEADER_BYTES - len(MAGIC) - 1) + b"\n"
    (folder / "users.samples").write_bytes(head + records.tobytes())
    there = [each for each in stalls if each[1] <= end]
    lines = [
        (ORIGIN + n * 10**9, {"kind": "ping", "id": n, "p_ns": ORIGIN + n * 10**9}) for n in range(int(now))
    ]
    lines += [(stop, {"kind": "stall", "start_ns": start, "end_ns": stop}) for start, stop in there]
    texts = [json.dumps(line) + "\n" for _, line in sorted(lines, key=lambda each: each[0])]
    (folder / "prober.jsonl").write_text("".join(texts))
    return every, there


KINDS = ["refused", "http_503", "stall", "blackhole"]
instants = st.floats(0.0, 55.0)


@settings(max_examples=150, deadline=None)
@given(
    outages=st.lists(
        st.tuples(instants, st.floats(0.2, 20.0), st.sampled_from(KINDS), st.sampled_from([1, 4])), max_size=3
    ),
    freeze=st.none() | st.tuples(instants, st.floats(0.1, 5.0)),
    now=st.floats(1.0, 60.0),
    at_least=st.sampled_from([None, 1.0, 5.0, 30.0]),
)
@example(outages=[(10.0, 20.0, "refused", 1)], freeze=None, now=29.0, at_least=None)  # a good one long ago
@example(outages=[(10.0, 1.0, "refused", 1)], freeze=None, now=39.0, at_least=30.0)  # just too short
@example(outages=[], freeze=(44.6, 1.5), now=46.6, at_least=None)  # who waits now may wait since long
def test_the_end_of_the_files_says_what_all_of_them_say(tmp_path_factory, outages, freeze, now, at_least):
    folder = tmp_path_factory.mktemp("run")
    freezes = [] if freeze is None else [(freeze[0], freeze[0] + freeze[1])]
    world = World(
        SETTING, [Outage(at, at + lasts, kind, share) for at, lasts, kind, share in outages], freezes
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample_files, "SHORT", 400)
        write(folder, world, now)
        [found] = live.streaks(Recordings(folder), [PROBE], axis=AXIS, now=now, at_least=at_least)
    whole = Recordings(folder).series("samples/0/users.samples")
    stalls = Recordings(folder).prober(0).stalls
    known = of_timeline.streak(whole, stalls, now=ORIGIN + round(now * 1e9))
    if not len(whole.n):
        assert found.since is None
        return
    assert found.until == pytest.approx((known.until - ORIGIN) / 1e9, abs=1e-6)
    assert found.lasting == pytest.approx(now - (known.good - ORIGIN) / 1e9, abs=1e-6)
    assert (found.since is None) == (known.since is None)
    enough = found.recover_after if at_least is None else at_least
    if known.seconds < enough:
        assert found.length == pytest.approx(known.seconds, abs=1e-6)
    else:
        assert found.length >= enough


@pytest.mark.parametrize(("probe", "named"), [("users", "users/head/new"), ("head", "head/new")])
def test_a_probe_called_as_its_endpoint_is_not_named_twice(tmp_path, probe, named):
    start = ProbeStart(scenario=0, probe=probe, series=({**PROBE.series[0], "series": "head/new"},))
    said = live.not_good(live.streaks(Recordings(tmp_path), [start], axis=AXIS, now=3.0))
    assert said == f"probe {named} has had no good answer for 3.0 s"


def test_an_hour_of_samples_is_not_read_again_and_again(tmp_path, monkeypatch):
    write(tmp_path, World(Setting(rate=20.0, length=3600.0)), 3600.0)
    read = 0
    ends = sample_files._ends

    def counted(*args):
        nonlocal read
        for raw in ends(*args):
            read += len(raw)
            yield raw

    monkeypatch.setattr(sample_files, "_ends", counted)
    [found] = live.streaks(Recordings(tmp_path), [PROBE], axis=AXIS, now=3600.0, at_least=5.0)
    assert found.length >= 5.0
    assert read < 40_000


PINGS = [Ping(nanoseconds(n) - 9 * 10**12 - 50_000_000, nanoseconds(n), nanoseconds(n) - 9 * 10**12 + 50_000_000)
         for n in range(60)]  # fmt: skip
"""The prober is 9000 s ahead, and each ping takes 0.1 s."""


def test_by_another_clock_a_streak_is_as_long_as_it_is_at_least(tmp_path):
    write(tmp_path, World(SETTING, [Outage(30.0, 32.0, "refused")]), 40.0)
    recordings = Recordings(tmp_path)
    away = Axis(ORIGIN - 9 * 10**12, PINGS)
    [here] = live.streaks(recordings, [PROBE], axis=AXIS, now=40.0, at_least=10.0)
    [there] = live.streaks(recordings, [PROBE], axis=away, now=40.0, at_least=10.0)
    assert here.since is not None
    assert there.since is not None
    assert here.since + 0.049 <= there.since <= here.since + 0.053
    assert here.until - 0.2 <= there.until <= here.until - 0.049
    # Long enough is long enough for sure.
    [enough] = live.streaks(recordings, [PROBE], axis=away, now=40.0, at_least=7.5)
    assert enough.length >= 7.5


def test_a_prober_whose_clock_nobody_knows_is_not_good(tmp_path):
    write(tmp_path, World(SETTING), 40.0)
    broken = Axis(
        ORIGIN - 9 * 10**12, [*PINGS[:30], *(replace(each, p=each.p + 10**9) for each in PINGS[30:40])]
    )
    found = live.streaks(Recordings(tmp_path), [PROBE], axis=broken, now=40.0)
    assert live.not_good(found) == (
        "the clock of probe users/service/new cannot be joined with the run's: its pings disagree"
    )
