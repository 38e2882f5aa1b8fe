"""The images that pods run: made here, from Debian's and Python's packages, and kept as a node unpacks them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.kubernetes.archives import PATH, Image, archive
from tests.kubernetes.ground import HERE, built, run, say

RAY = "2.60.0"
PAUSE = "ftrun/pause:1"
DEBIAN = (
    "bash",
    "ca-certificates",
    "libstdc++6",
    "procps",
    "python3",
    "python-is-python3",
    "redis-server",
    "wget",
)
"""KubeRay's probes call wget; its scripts call bash."""


def images(programs: Path) -> Path:
    """Give a containerd's folder into which all images were imported; make it if it is not there."""
    sources = [Path(__file__), HERE / "unpack.sh", HERE / "programs/pause/main.go"]
    return built("images", sources, lambda folder: _build(folder, programs), disk=5)


def _build(folder: Path, programs: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="layers-") as made:
        pause, ray, client = (Path(made, name) for name in ("pause", "ray", "client"))
        pause.mkdir()
        shutil.copy(programs / "pause", pause / "pause")
        _install_ray(ray)
        _install_client(client, ray)
        shell = {"Cmd": ["bash"], "User": "1000:100", "WorkingDir": "/home/ray"}
        home = [f"PATH={PATH}", "HOME=/home/ray", "LANG=C.UTF-8"]
        archives = [
            archive(image, Path(made, f"{number}.tar"))
            for number, image in enumerate(
                (
                    Image((PAUSE,), (pause,), {"Entrypoint": ["/pause"]}),
                    Image((f"rayproject/ray:{RAY}", "redis:7.0"), (ray,), {**shell, "Env": home}),
                    # For programs that talk to Kubernetes from inside it.
                    Image(
                        ("ftrun/operator-stand-in:1",),
                        (ray, client),
                        {**shell, "Env": [*home, "PYTHONPATH=/opt/python"]},
                    ),
                )
            )
        ]
        say("unpacking the images as a node would")
        unpack(folder, archives)


def _install_ray(root: Path) -> None:
    """Fill a folder with Debian, Redis, and Ray as its own image has it: a user `ray`, Python and its packages."""
    suite = next(
        line.partition("=")[2]
        for line in Path("/etc/os-release").read_text().splitlines()
        if "CODENAME" in line
    )
    say(f"making the Ray image: Debian {suite} (once; a minute)")
    run("mmdebstrap", "--variant=minbase", f"--include={','.join(DEBIAN)}", suite, root)
    for waste in ("usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt/lists"):
        shutil.rmtree(root / waste, ignore_errors=True)
    run(
        "useradd",
        "--root",
        root,
        "--uid",
        "1000",
        "--gid",
        "100",
        "--create-home",
        "--shell",
        "/bin/bash",
        "ray",
    )
    say(f"making the Ray image: Ray {RAY} (once; a minute)")
    _pip("--python", root / "usr/bin/python3", "install", f"ray[serve]=={RAY}")
    for script in (root / "usr/local/bin").iterdir():
        first, _, rest = script.read_bytes().partition(b"\n")
        if first.startswith(b"#!") and b"python" in first:
            script.write_bytes(b"#!/usr/bin/python3\n" + rest)


def _install_client(root: Path, ray: Path) -> None:
    say("making the operator's image (once)")
    _pip(
        "--python",
        ray / "usr/bin/python3",
        "install",
        "--target",
        root / "opt/python",
        "kubernetes",
        "aiohttp",
    )


def _pip(*arguments: str | Path) -> None:
    """Run a pip that can install into another Python's folders; the one at hand may be too old, or absent."""
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "venv", folder)
        environment = {**os.environ, "PIP_BREAK_SYSTEM_PACKAGES": "1", "PIP_ROOT_USER_ACTION": "ignore"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        run(Path(folder, "bin/python"), "-m", "pip", "--quiet", *arguments, env=environment)


def unpack(folder: Path, archives: list[Path]) -> None:
    """Import images into a containerd's folder, with a containerd of its own that ends again."""
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    run(*command, "sh", HERE / "unpack.sh", folder, *archives)
