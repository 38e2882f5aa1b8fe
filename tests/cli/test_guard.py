from __future__ import annotations

import sys

import pytest

from runner.cli.guard import guarded


def test_a_verb_that_cannot_be_imported_is_told_in_a_sentence(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "runner.cli.check", None)
    assert guarded("check", []) == 3
    said = capsys.readouterr().err
    assert said.startswith("ftrun: this is a bug of ftrun, not of your files: ModuleNotFoundError:")
    monkeypatch.setenv("FTRUN_TRACEBACK", "1")
    with pytest.raises(ModuleNotFoundError):
        guarded("check", [])
