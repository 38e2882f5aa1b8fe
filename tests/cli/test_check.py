import os
import socket
import stat
import subprocess
import sys

import pytest

from runner.cli.main import main
from runner.language.pack import names

GOOD = "name: good\nprobes: {users: {endpoint: service}}\nsteps: [{pause: 1s}]\n"


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Run `ftrun check` in a folder of its own; give exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> tuple[int, str, str]:
        code = main(["check", *argv])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_a_line_is_printed_for_each_scenario_that_is_right(check, tmp_path):
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(
        "- name: two\n  steps: [{pause: 1s}]\n- name: three\n  steps: [{log: x}]\n"
    )
    assert check("a.yaml", "b.yaml") == (0, "a.yaml: good: ok\nb.yaml: two: ok\nb.yaml: three: ok\n", "")


def test_problems_go_to_stderr_with_exit_code_4(check, tmp_path):
    (tmp_path / "a.yaml").write_text("name: a\nsteps:\n  - puase: 1s\n")
    (tmp_path / "b.yaml").write_text(GOOD)
    code, out, err = check("a.yaml", "b.yaml", "c.yaml")
    assert (code, out) == (4, "")
    assert err == (
        "a.yaml:3:5: error[unknown-step]: `puase` is neither a step kind nor a modifier.\n"
        "  1 | name: a\n"
        "  2 | steps:\n"
        "  3 |   - puase: 1s\n"
        "    |     ^\n"
        "  help: Did you mean `pause`?\n"
        "\n"
        "c.yaml: error[file]: There is no such file.\n"
        f"  help: Built-in scenarios: {', '.join(names('scenarios'))}.\n"
        "\n"
        "2 problems; nothing was started.\n"
    )


def test_built_in_scenarios_are_found_from_anywhere(check):
    code, out, err = check("head_node", "worker_node", "replica", "-i", "local", "-e", "gcs=rocksdb")
    assert (code, err) == (0, "")
    assert [line.split(": ")[1:] for line in out.splitlines()] == [
        ["head-node-failure", "ok"],
        ["worker-node-failure", "ok"],
        ["replica-failure", "ok"],
    ]


def test_the_application_of_this_folder_takes_the_place_of_the_built_in_one(check, tmp_path):
    assert check("head_node", "--app", "main:app", "--path", "/predict")[0] == 4
    (tmp_path / "main.py").write_text("app = None\n")
    assert check("head_node", "--app", "main:app", "--path", "/predict")[0] == 0


def test_no_socket_is_opened_and_nothing_is_started(check, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the outside was touched")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(os, "fork", refuse)
    assert check("head_node")[0] == 0


BAD = {
    "not YAML": b"name: [",
    "empty": b"",
    "duplicate keys": b"name: a\nname: b\nsteps: [{pause: 1s}]",
    "unknown step": b"name: a\nsteps: [{explode: 1s}]",
    "unknown key": b"name: a\nsetps: []\nsteps: [{pause: 1s}]",
    "wrong type": b"name: a\nsteps: [{kill: 5}]",
    "duration without unit": b"name: a\nsteps: [{pause: 5}]",
    "negative rate": b"name: a\nprobes: {p: {endpoint: head, rate: -1}}\nsteps: [{pause: 1s}]",
    "undefined variable": b"name: a\nsteps: [{log: '{{ x }}'}]",
    "bad JSONPath": b"name: a\nsteps: [{assert: [{state: '$.[', count: 1}]}]",
    "template syntax": b"name: a\nsteps: [{log: '{{ x'}]",
    "probe stopped that never started": b"name: a\nprobes: {p: {endpoint: head}}\nsteps: [{probe: {stop: p}}]",
    "probe started twice": b"name: a\nprobes: {p: {endpoint: head}}\nsteps: [{probe: {start: p}}, {probe: {start: p}}]",
    "missing application file": b"name: a\napp: nowhere.yaml\nsteps: [{pause: 1s}]",
    "include loop": b"name: a\nsteps: [{include: bad.yaml}]",
    "10 MB": b"#" * 10_000_000,
    "deep nesting": b"[" * 50_000,
    "alias bomb": b"\n".join(
        [b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        + [b"a%d: &a%d [%s]" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 30)]
    ),
    "invalid UTF-8": b"name: \xff\xfe",
    "YAML 1.1": b"name: on\nsteps: [{pause: 1s}]",
    "half a character": b'name: "\\ud800"\nsteps: [{pause: 1s}]',
}


@pytest.mark.parametrize("what", BAD)
def test_a_wrong_file_is_exit_code_4_and_never_a_traceback(check, tmp_path, what):
    (tmp_path / "bad.yaml").write_bytes(BAD[what])
    code, out, err = check("bad.yaml")
    assert (code, out) == (4, "")
    assert err.startswith("bad.yaml")
    assert "error[" in err
    assert "Traceback" not in err


def test_a_file_without_permission_is_told(check, tmp_path, monkeypatch):
    path = tmp_path / "secret.yaml"
    path.write_text(GOOD)
    path.chmod(0)
    assert stat.S_IMODE(path.stat().st_mode) == 0
    if os.access(path, os.R_OK):  # root may read anything; the system's answer to others is told the same way
        monkeypatch.setattr("runner.language.pack.Disk.read", _denied)
    code, _, err = check("secret.yaml")
    assert code == 4
    assert "No permission to read this file." in err


def _denied(self, path):
    raise PermissionError(13, "Permission denied", path)


def test_a_folder_that_holds_none_is_told(check, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = check("empty")
    assert code == 4
    assert "The folder empty holds no scenario." in err


@pytest.mark.parametrize("argv", [["--nonsense"], [], ["x.yaml", "--seed", "many"]])
def test_wrong_options_are_exit_code_4(check, argv):
    code, _, err = check(*argv)
    assert code == 4
    assert "usage: ftrun check" in err


def test_what_check_does_not_need_is_not_imported(tmp_path):
    (tmp_path / "s.yaml").write_text(GOOD)
    code = "import sys; from runner.cli.main import main; main(['check', 's.yaml']); print(*sys.modules)"
    said = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, text=True)
    imported = set(said.splitlines()[-1].split())
    heavy = {"asyncio", "aiohttp", "numpy", "jinja2", "jsonpath_ng", "kubernetes", "ray", "structlog"}
    assert not heavy & imported
    assert not {"email", "importlib.metadata", "json"} & imported
    # Of ftrun itself: reading files, and of the step kinds and cluster kinds those that the files name.
    rooms = ("clusters", "engine", "faults", "journal", "probes", "rayserve", "reports", "steps", "timeline")
    modules = {name for name in imported if name.startswith(tuple(f"runner.{room}." for room in rooms))}
    assert modules == {
        "runner.clusters.local",
        "runner.clusters.local.settings",
        "runner.steps.catalogue",
        "runner.steps.pause",
        "runner.steps.stage",
    }


def test_a_default_of_a_model_does_not_build_it_before_it_is_used():
    code = (
        "from runner.language import models; from runner.clusters.local import settings;"
        "print([model.__name__ for module in (models, settings) for model in vars(module).values()"
        " if getattr(model, '__pydantic_complete__', False)])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
