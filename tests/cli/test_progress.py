"""What a terminal shows while a run goes: counts that are right, and cost the same after an hour."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from runner.cli.progress import Progress
from runner.journal import events
from runner.journal.samples import Recordings
from runner.timeline import live
from runner.timeline.evidence import Class, gather
from tests.engine.staging import play


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_the_live_line_counts_what_all_the_samples_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Progress(tmp_path / "run", io.StringIO())
    read: list[int] = []
    compared = 0

    def since(self: Recordings, file: str, at: int):
        samples = whole(self, file, at)
        read.append(0 if samples is None else len(samples.n))
        return samples

    def look(event: events.Event) -> None:
        nonlocal compared
        shown.hear(event)
        if not isinstance(event, events.Observation):
            return
        recordings = Recordings(tmp_path / "run")
        for each in shown._counts():
            sent = bad = 0
            for series in shown._probes[each.probe].series:
                samples = recordings.series(series["file"])
                if samples is not None:
                    kinds = gather(samples, ()).kind
                    sent += len(kinds)
                    bad += int(((kinds == Class.BAD) | (kinds == Class.SLOW)).sum())
            assert (each.sent, each.bad) == (sent, bad)
            compared += bad > 0

    whole = Recordings.since
    monkeypatch.setattr(Recordings, "since", since)
    monkeypatch.setattr(live, "SLACK", 1.0)
    told = await play(
        """
        - deploy:
        - probe: {start: all}
        - pause: 30s
        - kill: {node: head}
        - pause: 30s
        - probe: {stop: all}
        """,
        tmp_path,
        hear=[look],
    )
    assert told.run.scenarios[0].state == "finished"
    assert compared > 20
    # 20 requests a second, a timeout of 2 s, and a second beyond it.
    assert max(read) < 100
