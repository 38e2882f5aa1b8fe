"""What an image's file says of its layers is true."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

from tests.kubernetes.archives import Image, archive


def folder(path: Path, **files: str) -> Path:
    path.mkdir()
    for name, text in files.items():
        (path / name).write_text(text)
    return path


def test_an_archive_names_its_image_and_proves_its_layers(tmp_path: Path) -> None:
    layers = (folder(tmp_path / "below", system="Debian"), folder(tmp_path / "above", tool="ours"))
    image = Image(("team/tool:1", "redis:7.0", "registry.example/x:2"), layers, {"Entrypoint": ["/tool"]})
    with tarfile.open(archive(image, tmp_path / "image.tar")) as file:

        def member(name: str) -> bytes:
            found = file.extractfile(name)
            assert found
            return found.read()

        (manifest,) = json.loads(member("manifest.json"))
        config: dict[str, Any] = json.loads(member(manifest["Config"]))
        tars = [member(name) for name in manifest["Layers"]]
    assert manifest["RepoTags"] == [
        "docker.io/team/tool:1",
        "docker.io/library/redis:7.0",
        "registry.example/x:2",
    ]
    assert config["config"] == {"Entrypoint": ["/tool"]}
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]
    with tarfile.open(tmp_path / "above.layer") as above:
        assert above.getnames() == [".", "./tool"]
