from __future__ import annotations

import pytest

from runner.reports import html
from runner.reports.write import write
from tests.reports.example import could_not_start, head_node_failure


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_it_writes_its_files_and_the_same_ones_again(tmp_path):
    write(head_node_failure(), tmp_path)
    first = contents(tmp_path)
    assert set(first) == {"run.json", "junit.xml", "report.html", "summary.md"}
    write(head_node_failure(), tmp_path)
    assert contents(tmp_path) == first


def test_a_report_that_cannot_be_made_leaves_the_old_ones_whole(tmp_path, monkeypatch):
    write(head_node_failure(), tmp_path)
    first = contents(tmp_path)

    def fail(run):
        raise MemoryError

    monkeypatch.setattr(html, "render", fail)
    with pytest.raises(MemoryError):
        write(could_not_start(), tmp_path)
    assert contents(tmp_path) == first


def test_text_that_utf_8_cannot_hold_does_not_stop_it(tmp_path):
    from dataclasses import replace

    write(replace(could_not_start(), message="half a pair: \ud800"), tmp_path)
    assert "half a pair: " in (tmp_path / "run.json").read_text(encoding="utf-8")
