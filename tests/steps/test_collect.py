"""collect: logs as they are at that moment."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from runner.clusters.fake.cluster import Fake
from tests.engine.staging import play

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def test_logs_are_copied_into_a_folder_of_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def logs(self: Fake, directory: Path, *, slots: Collection[str] | None = None) -> None:
        for slot in self.world.nodes if slots is None else slots:
            (directory / slot).mkdir(parents=True, exist_ok=True)
            (directory / slot / "raylet.out").write_text(f"{self.now():.0f}")

    monkeypatch.setattr(Fake, "logs", logs)
    told = await play(
        """
        - pause: 5s
        - block:
            - collect: {logs: [head, worker-1]}
          loop: [1, 2]
        - collect:
        """,
        tmp_path,
    )
    assert told.results()["steps[1]#2.block[0]"] == {
        "failed": False, "skipped": False, "folder": "logs/0/steps-1.2.block-0",
        "files": ["head/raylet.out", "worker-1/raylet.out"],
    }  # fmt: skip
    assert (told.folder / "logs/0/steps-1.1.block-0/head/raylet.out").exists()
    assert len(told.results()["steps[2]"]["files"]) == 3
    assert (told.folder / "logs/0/head/raylet.out").exists()
