"""What a run knows to be secret stands in nothing that it writes, wherever it comes back from."""

from __future__ import annotations

import logging
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner.cli.main import main
from runner.clusters.contract import Saying
from runner.clusters.fake.cluster import Fake
from runner.clusters.fake.world import World
from tests.cli.test_run import APP

GIVEN = {
    "the environment": "envhunter-1",
    "a header of a probe": "headerhunter-2",
    "the inventory": "inventoryhunter-3",
    "the command line": "linehunter-4",
    "an application": "apphunter-5",
    "a step that may not be logged": "stephunter-6",
    "a URL": "urlhunter-7",
}
"""By where it was given; all of them come back in answers and in what the cluster says."""
INVENTORY = """
cluster: {kind: fake, boot: 10ms, deploy_delay: 50ms, restart_delay: 300ms}
allow: [exec]
endpoints: {other: 'http://me:urlhunter-7@127.0.0.1:1'}
vars: {db_password: inventoryhunter-3}
"""
SCENARIO = """
name: mine
app: app.yaml
probes:
  users: {endpoint: service, identity: body, headers: {Authorization: Bearer headerhunter-2}}
  other: {endpoint: other, timeout: 200ms}
steps:
  - deploy:
  - {set: {session_token: 'step{{ "hunter" }}-6'}, no_log: true}
  - probe: {start: [users, other]}
  - log: 'the password is {{ db_password }}, the key {{ api_key }}, the token {{ session_token }}'
  - exec: 'echo {{ db_password }} {{ pin_token }}'
  - http: {endpoint: service, headers: {X-Api-Key: '{{ api_key }}'}}
    register: answer
  - log: '{{ answer.body }}'
  - pause: 300ms
  - kill: {node: head}
    register: fault
  - pause: 500ms
  - assert:
      - {name: 'no {{ answer.body }}', probe: users, failed: {max: 0}}
      - {name: nothing lost, state: '$.nodes[?(@.slot=="head")].id', equals: x}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run a scenario in which every secret comes back from everywhere; give the run's folder."""
    echo = " ".join(GIVEN.values())
    answer, observe = World.answer, Fake.observe

    def telling(self: World, slot: str, at: float, number: int = 0) -> tuple[int, str]:
        status, text = answer(self, slot, at, number)
        return status, f"{text} {echo}" if text and echo not in text else text

    async def speaking(self: Fake) -> AsyncIterator[Saying]:
        text = f"Rejected: {echo}; Authorization: Basic unheard; started with --redis-password=short"
        async for saying in observe(self):
            yield saying
            if saying.source == "supervisor":
                yield Saying(saying.at, saying.at, "controller", slot="head", text=text)
                logging.getLogger("a.library").warning("it saw %s", echo)

    monkeypatch.setattr(World, "answer", telling)
    monkeypatch.setattr(Fake, "observe", speaking)
    monkeypatch.setenv("GITHUB_TOKEN", "envhunter-1")
    monkeypatch.chdir(tmp_path)
    Path("i.yaml").write_text(INVENTORY)
    Path("app.yaml").write_text(
        APP.rstrip().rstrip("}") + ", runtime_env: {env_vars: {API_SECRET: apphunter-5}}}\n"
    )
    Path("mine.yaml").write_text(SCENARIO)
    main(["mine.yaml", "-i", "i.yaml", "-e", "api_key=linehunter-4", "-e", "pin_token=abc"])
    return (tmp_path / "reports" / "latest").resolve()


def test_no_secret_is_written_wherever_it_was_given_and_wherever_it_comes_back(folder: Path) -> None:
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    assert b"(hidden)" in files["samples/0/prober.jsonl"], "it did come back"
    for name in ("journal.jsonl", "run.json", "report.html", "run.log", "sources/mine.yaml"):
        assert b"(hidden)" in files[name], name
    for where, secret in GIVEN.items():
        assert [name for name, content in files.items() if secret.encode() in content] == [], where
    # What only its name tells to be one.
    for word in (b"unheard", b"--redis-password=short", b"pin_token=abc", b'"pin_token":"abc"'):
        assert [name for name, content in files.items() if word in content] == [], word


def test_nor_is_it_in_a_bundle(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GITHUB_TOKEN")
    assert main(["bundle", str(folder), "-o", "b.tar.gz"]) == 0
    with tarfile.open("b.tar.gz") as tar:
        tar.extractall(tmp_path / "out", filter="data")
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or b"hunter-" not in path.read_bytes(), path
