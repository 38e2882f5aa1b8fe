"""The layout is chosen, and why is said; a wrong machine is said in a sentence."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from runner.clusters.local import layout
from runner.errors import CannotRun


def test_namespaces_are_taken_where_they_work() -> None:
    chosen = layout.choose("auto")
    assert chosen.name == "namespaces"
    assert chosen.reason.startswith("this machine allows it (by ")
    assert layout.choose("namespaces").reason.startswith("the inventory asks for it (by ")
    assert layout.choose("loopback") == layout.Layout("loopback", "the inventory asks for it")


def test_where_the_kernel_refuses_the_fallback_says_what_it_said(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = ("sh", "-c", "echo 'unshare: Operation not permitted' >&2; exit 1", "sh")
    monkeypatch.setattr(layout, "enclosures", lambda: [refused])
    chosen = layout.choose("auto")
    assert chosen.name == "loopback"
    assert chosen.reason == "network namespaces cannot be had: unshare: Operation not permitted"
    with pytest.raises(CannotRun, match="cannot be had on this machine: unshare: Operation not permitted"):
        layout.choose("namespaces")


def test_a_kernel_that_allows_namespaces_but_not_what_we_do_in_them_is_found_out() -> None:
    # A network namespace of its own, but no mount namespace: /run cannot be covered.
    assert layout.refusal(("unshare", "-Un")) is not None


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    chosen = layout.choose("auto")
    assert (chosen.name, chosen.reason) == (
        "loopback",
        "network namespaces cannot be had: the program `unshare` is not installed",
    )


@pytest.mark.parametrize("wanted", ["auto", "loopback"])
def test_elsewhere_than_on_linux_it_says_so(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout.sys, "platform", "darwin")
    with pytest.raises(CannotRun, match="needs Linux"):
        layout.choose(wanted)


def test_trap_12_runs_on_loopback_draw_networks_of_their_own() -> None:
    networks = {layout.loopback_network() for _ in range(50)}
    assert len(networks) > 40
    assert not any(network.startswith("127.0.") for network in networks)


def test_free_ports_are_those_nobody_listens_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.3.2.1", 0)) as other:
        ports = layout.free_ports(3, near=20000)
        assert ports == sorted(set(ports))
        for server in (taken, other):
            port = server.getsockname()[1]
            if port < 32000:
                assert port not in layout.free_ports(2, near=port)
    with pytest.raises(CannotRun, match="There are not 5 free ports"):
        layout.free_ports(5, near=31998)
