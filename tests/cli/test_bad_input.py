"""Whatever is wrong with the files ends in a sentence at the right place and exit code 4; nothing is begun."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from runner.cli.main import main

INVENTORY = """\
cluster: {kind: external}
endpoints: {service: "http://127.0.0.1:9"}
commands: {break_it: {act: "true", undo: "true"}}
"""
HEAD = """\
name: bad
probes:
  users: {endpoint: service}
steps:
"""
BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))

WRONG: dict[str, tuple[str | bytes, str]] = {
    # name: (scenario.yaml, what is said of it, beginning with the position)
    "not YAML": ("name: [a\nsteps: ]\n  b", r"scenario\.yaml:\d+:\d+: error\[yaml\]: "),
    "empty": ("", r"scenario\.yaml: error\[empty\]: "),
    "only a comment": ("# nothing\n", r"scenario\.yaml: error\[empty\]: "),
    "no mapping": ("just text\n", r"scenario\.yaml:1:1: error\[\w+\]: "),
    "no steps": ("name: bad\n", r"scenario\.yaml:1:1: error\[missing-key\]: .*steps"),
    "empty steps": ("name: bad\nsteps: []\n", r"scenario\.yaml:2:\d+: error"),
    "duplicate key": (
        HEAD + "  - pause: 1s\nname: again\n",
        r"scenario\.yaml:6:1: error\[duplicate-key\]: .*name",
    ),
    "YAML 1.1 boolean": (
        HEAD + "  - {pause: 1s, ignore_errors: on}\n",
        r"scenario\.yaml:5:\d+: error.*\n(.*\n)*.*true",
    ),
    "unknown step": (
        HEAD + "  - pauze: 1s\n",
        r"scenario\.yaml:5:5: error\[unknown-step\]: .*pauze.*\n(.*\n)*.*Did you mean `pause`",
    ),
    "no step kind": (HEAD + "  - name: nothing\n", r"scenario\.yaml:5:5: error"),
    "two step kinds": (HEAD + "  - {pause: 1s, log: hello}\n", r"scenario\.yaml:5:\d+: error"),
    "unknown key with a near name": (
        HEAD + "  - wait_for: {app: RUNNING, timout: 5s}\n",
        r"scenario\.yaml:5:\d+: error\[unknown-key\]: .*timout.*\n(.*\n)*.*Did you mean `timeout`",
    ),
    "unknown key at the top": (
        HEAD + "  - pause: 1s\nprobs: {}\n",
        r"scenario\.yaml:6:1: error\[unknown-key\]: .*probs.*\n(.*\n)*.*Did you mean `probes`",
    ),
    "wrong type": ("name: bad\nsteps: 5\n", r"scenario\.yaml:2:8: error\[\w+(-\w+)*\]: "),
    "wrong type deep inside": (
        HEAD + "  - {pause: 1s, ignore_errors: [1]}\n",
        r"scenario\.yaml:5:\d+: error",
    ),
    "duration without unit": (
        HEAD + "  - pause: 5\n",
        r"scenario\.yaml:5:12: error\[duration\]: .*no unit.*\n(.*\n)*.*help: .*5s",
    ),
    "duration that is none": (HEAD + "  - pause: soon\n", r"scenario\.yaml:5:12: error\[duration\]: "),
    "negative duration": (HEAD + "  - pause: -5s\n", r"scenario\.yaml:5:12: error\[duration\]: "),
    "negative rate": (
        "name: bad\nprobes:\n  users: {endpoint: service, rate: -1}\nsteps:\n  - pause: 1s\n",
        r"scenario\.yaml:3:36: error\[rate\]: .*-1.*not above zero",
    ),
    "undefined variable": (
        HEAD + '  - log: "{{ nobody }}"\n',
        r"scenario\.yaml:5:\d+: error\[undefined\]: .*nobody",
    ),
    "undefined in a condition": (
        HEAD + "  - {pause: 1s, when: nobody > 1}\n",
        r"scenario\.yaml:5:\d+: error\[undefined\]: .*nobody",
    ),
    "undefined in cluster": (
        HEAD + '  - pause: 1s\ncluster: {workers: "{{ nobody }}"}\n',
        r"scenario\.yaml:6:\d+: error\[undefined\]: .*nobody",
    ),
    "bad JSONPath": (
        HEAD + "  - assert: [{name: a, state: '$.nodes[?(@.x==', count: 1}]\n",
        r"scenario\.yaml:5:\d+: error\[jsonpath\]: ",
    ),
    "template syntax": (HEAD + '  - log: "{{ 1 + }}"\n', r"scenario\.yaml:5:\d+: error\[template\]: "),
    "template that leaves the sandbox": (
        HEAD + "  - log: \"{{ ''.__class__.__mro__ }}\"\n",
        r"scenario\.yaml:5:\d+: error",
    ),
    "probe stopped that never started": (
        HEAD + "  - probe: {stop: users}\n",
        r"scenario\.yaml:5:\d+: error\[probe-not-started\]: .*users",
    ),
    "probe started twice": (
        HEAD + "  - probe: {start: users}\n  - probe: {start: users}\n",
        r"scenario\.yaml:6:\d+: error\[probe-started-twice\]: .*users",
    ),
    "probe that is not declared": (
        HEAD + "  - probe: {start: usrs}\n",
        r"scenario\.yaml:5:\d+: error\[unknown-probe\]: .*usrs.*\n(.*\n)*.*Did you mean .users",
    ),
    "command that the inventory has not": (
        HEAD + "  - kill: {command: brake_it}\n",
        r"scenario\.yaml:5:\d+: error\[unknown-command\]: .*brake_it.*\n(.*\n)*.*Did you mean .break_it",
    ),
    "fault that nothing registers": (
        HEAD + "  - wait_for: {recovered: fault}\n",
        r"scenario\.yaml:5:\d+: error\[unknown-fault\]: ",
    ),
    "kill without a target": (HEAD + "  - kill: {}\n", r"scenario\.yaml:5:\d+: error\[kill\]: "),
    "missing application file": (
        HEAD + "  - deploy: {}\napp: apps/none.yaml\n",
        r"scenario\.yaml:6:6: error\[file\]: .*apps/none\.yaml",
    ),
    "include of itself": (
        HEAD + "  - include: steps.yaml\n",
        r"steps\.yaml:1:\d+: error\[include-loop\]: .*steps\.yaml -> ",
    ),
    "include of a missing file": (
        HEAD + "  - include: none.yaml\n",
        r"scenario\.yaml:5:\d+: error\[file\]: .*none\.yaml",
    ),
    "10 MB": ("# " + "x" * 10_000_000, r"scenario\.yaml: error\[too-large\]: "),
    "deep nesting": ("a: " + "[" * 5000 + "]" * 5000, r"scenario\.yaml:1:\d+: error\[too-deep\]: "),
    "alias bomb": (BOMB, r"scenario\.yaml:\d+:\d+: error\[too-many\]: "),
    "alias of itself": ("name: bad\nsteps: &a [*a]\n", r"scenario\.yaml:2:\d+: error"),
    "a tag that makes an object": (
        "name: !!python/object:os.system {}\nsteps: []\n",
        r"scenario\.yaml:1:7: error",
    ),
    "invalid UTF-8": (
        b"name: bad\nsteps:\n  - log: \xff\xfe\n",
        r"scenario\.yaml:3:\d+: error\[encoding\]: ",
    ),
    "a null byte": (b"name: b\0d\n", r"scenario\.yaml:1:\d+: error"),
    "UTF-16": ("name: bad\n".encode("utf-16"), r"scenario\.yaml:1:1: error\[encoding\]: "),
    "two documents": (HEAD + "  - pause: 1s\n---\nname: second\n", r"scenario\.yaml:6:\d+: error"),
    "a kind of cluster in a scenario": (
        HEAD + "  - pause: 1s\ncluster: {kind: local}\n",
        r"scenario\.yaml:6:\d+: error\[cluster\]: ",
    ),
    "a setting that no cluster has": (
        HEAD + "  - pause: 1s\ncluster: {wrkers: 2}\n",
        r"scenario\.yaml:6:\d+: error\[unknown-key\]: .*wrkers.*\n(.*\n)*.*Did you mean `workers`",
    ),
}

WRONG_INVENTORY: dict[str, tuple[str, str]] = {
    "empty": ("", r"inventory\.yaml: error\[empty\]: "),
    "no kind": ("cluster: {}\n", r"inventory\.yaml:1:\d+: error\[missing-key\]: .*kind"),
    "unknown kind": (
        "cluster: {kind: locl}\n",
        r"inventory\.yaml:1:17: error\[unknown-cluster\]: .*locl.*\n(.*\n)*.*Did you mean .local",
    ),
    "unknown key": (
        INVENTORY + "alow: [exec]\n",
        r"inventory\.yaml:4:1: error\[unknown-key\]: .*alow.*\n(.*\n)*.*Did you mean `allow`",
    ),
    "no URL": (
        "cluster: {kind: external}\nendpoints: {service: localhost}\n",
        r"inventory\.yaml:2:22: error\[url\]: ",
    ),
    "a bad port": (
        "cluster: {kind: external}\nendpoints: {service: 'http://h:99999'}\n",
        r"inventory\.yaml:2:22: error\[url\]: ",
    ),
    "a command without act": (
        "cluster: {kind: external}\ncommands: {b: {undo: x}}\n",
        r"inventory\.yaml:2:\d+: error\[missing-key\]: .*act",
    ),
    "a setting of the wrong type": (
        "cluster: {kind: external, command_timeout: 5}\n",
        r"inventory\.yaml:1:44: error\[duration\]: ",
    ),
    "a word that nothing allows": (INVENTORY + "allow: [exex]\n", r"inventory\.yaml:4:\d+: error"),
}

VERBS = [["check"], []]
"""`ftrun check FILE` and `ftrun FILE`, which runs."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with a good inventory."""
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    (tmp_path / "steps.yaml").write_text("- include: steps.yaml\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Forbidden(socket.socket):
    """A socket that nobody may open; without any, no event loop begins, either."""

    def __init__(self, *arguments: object, **named: object) -> None:
        raise AssertionError("a socket was opened")


def refused(arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command, hold it to what every refusal keeps; give what it said."""
    there = sorted(folder.iterdir())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", Forbidden)
        assert main(arguments) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert "bug of ftrun" not in said.err
    assert re.search(r"\d+ problems?; nothing was started\.\n$", said.err)
    assert sorted(folder.iterdir()) == there, "something was written"
    return said.err


@pytest.mark.parametrize("verb", VERBS, ids=["check", "run"])
@pytest.mark.parametrize(("text", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_scenario(
    text: str | bytes, says: str, verb: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "scenario.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    said = refused([*verb, "scenario.yaml", "-i", "inventory.yaml"], folder, capsys)
    assert re.search(f"^{says}", said, re.MULTILINE), said
    assert len(said) < 10_000
    # What has a place shows it: the line, and a caret under it.
    if re.match(r"[^:]+:\d+:\d+: ", said):
        assert re.search(r"^  +\d+ \| ", said, re.MULTILINE), said
        assert re.search(r"^ +\| +\^$", said, re.MULTILINE), said


@pytest.mark.parametrize("verb", VERBS, ids=["check", "run"])
@pytest.mark.parametrize(("text", "says"), WRONG_INVENTORY.values(), ids=WRONG_INVENTORY)
def test_a_wrong_inventory(
    text: str, says: str, verb: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "scenario.yaml").write_text(HEAD + "  - pause: 1s\n")
    (folder / "inventory.yaml").write_text(text)
    said = refused([*verb, "scenario.yaml", "-i", "inventory.yaml"], folder, capsys)
    assert re.search(f"^{says}", said, re.MULTILINE), said


@pytest.mark.parametrize("verb", VERBS, ids=["check", "run"])
def test_all_mistakes_of_all_files_are_told_at_once(
    verb: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "one.yaml").write_text(HEAD + "  - pause: 5\n  - pauze: 1s\n")
    (folder / "two.yaml").write_text("name: two\nsteps:\n  - pause: 6\n")
    said = refused([*verb, "one.yaml", "two.yaml", "-i", "inventory.yaml"], folder, capsys)
    assert re.findall(r"^(\w+\.yaml:\d+):\d+: error", said, re.MULTILINE) == [
        "one.yaml:5",
        "one.yaml:6",
        "two.yaml:3",
    ]
    assert said.endswith("3 problems; nothing was started.\n")


@pytest.mark.parametrize("verb", VERBS, ids=["check", "run"])
def test_a_folder_without_scenarios(
    verb: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "nothing").mkdir()
    said = refused([*verb, "nothing", "-i", "inventory.yaml"], folder, capsys)
    assert "The folder nothing holds no scenario." in said


@pytest.mark.parametrize("verb", VERBS, ids=["check", "run"])
def test_a_folder_in_place_of_an_inventory(
    verb: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "scenario.yaml").write_text(HEAD + "  - pause: 1s\n")
    (folder / "nothing.yaml").mkdir()
    said = refused([*verb, "scenario.yaml", "-i", "nothing.yaml"], folder, capsys)
    assert re.search(r"^nothing\.yaml: error\[file\]: .*(folder|directory)", said, re.MULTILINE), said


@pytest.mark.parametrize("verb", VERBS, ids=["check", "run"])
@pytest.mark.parametrize("name", ["none.yaml", "head_nod"])
def test_a_file_that_is_not_there(
    name: str, verb: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused([*verb, name, "-i", "inventory.yaml"], folder, capsys)
    assert f"{name}: error[file]: " in said
    if name == "head_nod":
        assert "head_node" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-e", "workers"], "neither key=value nor @file"),
        (["-e", "@none.yaml"], "none.yaml: error[file]: "),
        (["-e", "wrkers=2"], "no file reads a variable of that name"),
    ],
)
def test_options_that_make_no_sense(
    arguments: list[str], says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "scenario.yaml").write_text(HEAD + "  - pause: 1s\n")
    assert says in refused(["scenario.yaml", "-i", "inventory.yaml", *arguments], folder, capsys)


def ordinary(*command: str) -> list[str]:
    """Give the command as one that even the superuser's permissions do not carry past a file's mode."""
    if os.geteuid() != 0:
        return list(command)
    drop = "-dac_override,-dac_read_search"
    setpriv = shutil.which("setpriv")
    assert setpriv is not None
    return [setpriv, f"--bounding-set={drop}", f"--inh-caps={drop}", *command]


@pytest.mark.parametrize("verb", VERBS, ids=["check", "run"])
def test_no_permission(verb: list[str], tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    (tmp_path / "scenario.yaml").write_text(HEAD + "  - pause: 1s\n")
    (tmp_path / "scenario.yaml").chmod(0)
    arguments = [*verb, "scenario.yaml", "-i", "inventory.yaml"]
    ended = subprocess.run(
        ordinary(sys.executable, "-m", "runner.cli.main", *arguments),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (4, "")
    assert re.match(r"scenario\.yaml: error\[file\]: .*[Pp]ermission", ended.stderr), ended.stderr
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("verb", [*VERBS, ["report"], ["cleanup"], ["schema"], ["doctor"]], ids=" ".join)
def test_an_option_that_there_is_not(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*verb, "--bogus"]) == 4
    assert capsys.readouterr().err.startswith("usage: ftrun")


def test_no_file_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 4
    assert "usage: ftrun" in capsys.readouterr().err


def test_a_bug_of_ftrun_is_no_traceback_either(
    monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(argv: list[str]) -> NoReturn:
        raise KeyError("oops")

    monkeypatch.setattr("runner.cli.check.main", broken)
    assert main(["check", "x.yaml"]) == 3
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "bug of ftrun" in said
