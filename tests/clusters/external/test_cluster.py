"""What is special about a cluster that is only URLs and commands."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from runner.clusters.contract import Action, Context, Undo, redacted
from runner.clusters.external.cluster import External, heal, role
from runner.clusters.external.settings import Settings
from runner.errors import ClusterError
from tests.clusters.test_command import alive


def external(folder: Path, *, timeout: str = "60s", **commands: dict[str, str]) -> External:
    endpoints = {"service": "http://me:secret@127.0.0.1:9/", "db": "http://127.0.0.1:9"}
    return External(
        Settings(command_timeout=timeout), Context("run", folder, 1, endpoints=endpoints, commands=commands)
    )


@pytest.mark.parametrize(
    ("slot", "expected"),
    [
        ("service", "service"),
        ("head", "head"),
        ("worker-12", "worker"),
        ("worker-", "url"),
        ("worker-1b", "url"),
        ("db", "url"),
    ],
)
def test_a_slot_tells_its_role(slot: str, expected: str) -> None:
    assert role(slot) == expected


def test_urls_are_shown_without_user_password_and_query() -> None:
    assert redacted("http://me:p@ss@h:80/x?key=1#y") == "http://h:80/x"
    assert redacted("http://h:80/x") == "http://h:80/x"


async def test_facts_hold_no_password_and_the_prober_still_gets_it(tmp_path: Path) -> None:
    facts = await external(tmp_path).survey()
    assert "secret" not in json.dumps(facts.document)
    assert facts.endpoints[0].url == "http://me:secret@127.0.0.1:9"


async def test_what_the_inventory_does_not_give_cannot_be_done(tmp_path: Path) -> None:
    cluster = external(tmp_path)
    assert (await cluster.survey()).capabilities == frozenset()
    with pytest.raises(ClusterError, match="does not allow") as caught:
        await cluster.exec("true")
    assert caught.value.help == "Write `allow: [exec]` into the inventory."
    with pytest.raises(ClusterError, match='no command "break"; it gives: none'):
        await cluster.arm(Action("command", {"name": "break"}))


async def test_an_act_that_fails_is_told_with_its_output(tmp_path: Path) -> None:
    cluster = external(tmp_path, **{"break": {"act": "echo out; echo why >&2; exit 4"}})
    armed = await cluster.arm(Action("command", {"name": "break"}))
    assert armed.undo is None
    await armed.act()
    with pytest.raises(ClusterError, match=r"ended with exit code 4\.\nout\nwhy$"):
        await armed.confirm()


async def test_an_act_that_does_not_end_is_ended(tmp_path: Path) -> None:
    cluster = external(tmp_path, timeout="200ms", **{"break": {"act": "sleep 600"}})
    armed = await cluster.arm(Action("command", {"name": "break"}))
    await armed.act()
    with pytest.raises(ClusterError, match=r"did not end within 0\.2 s"):
        await armed.confirm()


async def test_an_undo_ends_the_act_it_undoes(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    act = f"echo broken $$ >> {trace}; sleep 600; echo late >> {trace}"
    cluster = external(tmp_path, **{"break": {"act": act, "undo": f"echo healed >> {trace}"}})
    armed = await cluster.arm(Action("command", {"name": "break"}))
    await armed.act()
    while not trace.exists() or not trace.read_text().endswith("\n"):  # noqa: ASYNC110 (by another process)
        await asyncio.sleep(0.01)
    assert armed.undo is not None
    await cluster.undo(armed.undo)
    broken, pid, healed = trace.read_text().split()
    assert (broken, healed) == ("broken", "healed")
    assert not alive(int(pid))


async def test_close_ends_what_is_armed(tmp_path: Path) -> None:
    cluster = external(tmp_path, **{"break": {"act": "true"}})
    armed = await cluster.arm(Action("command", {"name": "break"}))
    await cluster.close()
    await armed.disarm()
    assert not Path(f"/proc/{armed.hits[0].ids['pid']}").exists()


async def test_another_process_can_carry_out_an_undo(tmp_path: Path) -> None:
    cluster = external(tmp_path, **{"break": {"act": "true", "undo": f"touch {tmp_path / 'healed'}"}})
    armed = await cluster.arm(Action("command", {"name": "break"}))
    await armed.disarm()
    assert armed.undo is not None
    program = (
        "import asyncio, json, sys\n"
        "from runner.clusters.contract import Undo\n"
        "from runner.clusters.external.cluster import heal\n"
        "asyncio.run(heal(Undo(*json.loads(sys.argv[1]))))\n"
    )
    told = json.dumps([armed.undo.kind, armed.undo.arguments])
    subprocess.run([sys.executable, "-c", program, told], check=True, timeout=60)  # noqa: ASYNC221
    assert (tmp_path / "healed").exists()


async def test_an_undo_that_fails_says_so() -> None:
    undo = Undo("command", {"name": "break", "command": "echo no >&2; exit 1", "timeout": 10})
    with pytest.raises(ClusterError, match=r"ended with exit code 1\.\nno$"):
        await heal(undo)
