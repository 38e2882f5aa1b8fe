"""Kubernetes' programs, built from Go modules once and kept."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from tests.kubernetes.ground import HERE, Trouble, built, run, say

MODULE = HERE / "programs"
NAMES = (
    "coredns",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
)


def programs() -> Path:
    """Give the folder that has each program under its name, and `pause`; build it if it is not there."""
    sources = [MODULE / name for name in ("go.mod", "go.sum", "main.go", "pause/main.go")]
    return built("programs", sources, _build, disk=4)


def _build(folder: Path) -> None:
    if not shutil.which("go"):
        raise Trouble("Go is missing: install Go 1.24 or later, or put it on PATH.")
    found = re.search(r"go(\d+)\.(\d+)", run("go", "version"))
    if found and (int(found[1]), int(found[2])) < (1, 24):
        raise Trouble(f"Go is {found[0]}, and this Kubernetes needs 1.24 or later.")
    version = re.search(r"k8s.io/kubernetes (v\S+)", (MODULE / "go.mod").read_text())
    assert version
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    say("downloading Go modules (once; a minute)")
    run("go", "mod", "download", cwd=MODULE, env=environment)
    say(f"building Kubernetes {version[1]} (once; six to eight minutes on two cores)")
    flags = f"-s -w -X k8s.io/component-base/version.gitVersion={version[1]}"
    for package, name in ((".", "kubernetes"), ("./pause", "pause")):
        command = ["go", "build", "-trimpath", "-ldflags", flags, "-o", str(folder / name), package]
        run(*command, cwd=MODULE, env=environment)
    for name in NAMES:
        (folder / name).symlink_to("kubernetes")
