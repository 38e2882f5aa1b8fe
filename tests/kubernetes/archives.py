"""Images as files: what `docker save` writes, of folders."""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from tests.kubernetes.ground import run

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Image:
    """Names, layers (folders, each over the one before) and what a container of it runs by default."""

    names: tuple[str, ...]
    layers: tuple[Path, ...]
    config: dict[str, Any] = field(default_factory=dict)


def archive(image: Image, path: Path) -> Path:
    """Write an image as `docker save` would."""
    layers = [_layer(folder) for folder in image.layers]
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": image.config,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for _, digest in layers]},
        }
    ).encode()
    described = f"{hashlib.sha256(config).hexdigest()}.json"
    tags = [_whole(name) for name in image.names]
    manifest = [
        {"Config": described, "RepoTags": tags, "Layers": [f"{digest}/layer.tar" for _, digest in layers]}
    ]
    with tarfile.open(path, "w") as file:
        for text, member in ((json.dumps(manifest).encode(), "manifest.json"), (config, described)):
            entry = tarfile.TarInfo(member)
            entry.size = len(text)
            file.addfile(entry, BytesIO(text))
        for tar, digest in layers:
            file.add(tar, f"{digest}/layer.tar")
    return path


def _whole(name: str) -> str:
    """Give the name of an image as nodes keep it: with a registry, whether there is one or not."""
    first, slash, _ = name.partition("/")
    if slash and ("." in first or ":" in first):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


def _layer(folder: Path) -> tuple[Path, str]:
    """Pack a folder, once; give the tar and its SHA-256."""
    tar = folder.with_suffix(".layer")
    if not tar.exists():
        run("tar", "--numeric-owner", "--sort=name", "-C", folder, "-cf", tar, ".")
    with tar.open("rb") as file:
        return tar, hashlib.file_digest(file, "sha256").hexdigest()
