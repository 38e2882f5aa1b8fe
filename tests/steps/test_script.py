"""script: the text of a file, handed to an interpreter."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runner.clusters.contract import Completed
from runner.clusters.fake.cluster import Fake
from runner.errors import InvalidInput
from tests.engine.staging import plan_of, play

FILES = {"x.py": "import sys; print(sys.argv)", "y.sh": 'echo "$0 $1"'}


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_each_kind_has_its_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[tuple[str, ...] | str, str, float]] = []

    async def run(
        self: Fake, command: tuple[str, ...], *, where: str = "here", timeout: float = 60
    ) -> Completed:
        ran.append((command, where, timeout))
        return Completed(3 if where == "here" else 0, "out", "")

    monkeypatch.setattr(Fake, "exec", run)
    told = await play(
        plan_of(
            """
            - script: {file: x.py, args: [a, 1], exit_codes: [3]}
              register: said
            - script: {file: x.py, where: worker-1, timeout: 5s}
            - script: {file: y.sh, args: ["{{ said.stdout }}"], where: head}
            - script: y.sh
            """,
            files=FILES,
        ),
        tmp_path,
    )
    assert ran == [
        ((sys.executable, "-c", FILES["x.py"], "a", "1"), "here", 60.0),
        (("python", "-c", FILES["x.py"]), "worker-1", 5.0),
        (("/bin/sh", "-c", FILES["y.sh"], "y.sh", "out"), "head", 60.0),
        (("/bin/sh", "-c", FILES["y.sh"], "y.sh"), "here", 60.0),
    ]
    assert told.states()["steps[3]"] == "error"
    assert told.messages()["steps[3]"] == "The command ended with exit code 3.\nout"


@pytest.mark.asyncio
async def test_it_has_to_be_allowed_and_to_have_a_node(tmp_path: Path) -> None:
    from runner.engine.run import survey

    for allow, where, code in (([], "here", "not-allowed"), (["exec"], "worker-7", "unknown-target")):
        with pytest.raises(InvalidInput) as refused:
            await survey(
                plan_of(f"- script: {{file: x.py, where: {where}}}", files=FILES, allow=allow), tmp_path
            )
        assert [problem.code for problem in refused.value.problems] == [code]
