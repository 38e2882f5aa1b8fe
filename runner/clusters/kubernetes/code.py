"""The applications' code as a ConfigMap, which every Ray pod mounts and imports from.

Modules at the top stand there as they are; packages, since keys of a ConfigMap know no folders, in one zip.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.errors import ClusterError
from runner.journal.sources import code
from runner.language.plan import Application

ROOM = 900_000
"""Bytes that fit into a ConfigMap, beside its own words."""

MOUNT = "/ftrun/code"
PACKAGES, DIGEST = "packages.zip", "digest"
PATH = f"{MOUNT}:{MOUNT}/{PACKAGES}"
"""Where Python looks."""


@dataclass(frozen=True, slots=True)
class Code:
    """What a ConfigMap holds of it, and what tells it from other code."""

    data: Mapping[str, str]
    binary: Mapping[str, str]
    digest: str


def gather(applications: Sequence[Application]) -> Code:
    """Read the module of each application, and what it imports from its folder.

    What is not there may be installed in the image. Raises ClusterError where two differ under one name, or
    where it is too much.
    """
    files: dict[str, bytes] = {}
    origins: dict[str, Path] = {}
    for application in applications:
        if application.folder is None:
            continue
        module = re.split(r"[:.](?=\w+$)", str(application.config["import_path"]))[0]
        for path in map(Path, code(application.folder, module)):
            name = path.relative_to(application.folder).as_posix()
            content = path.read_bytes()
            if files.setdefault(name, content) != content:
                raise ClusterError(
                    f"Two applications both have a {name}: in {origins[name]} and in {application.folder}.",
                    help="Rename one: all applications of a cluster share one import path.",
                )
            origins.setdefault(name, application.folder)
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name} {len(files[name])}\n".encode() + files[name])
    top = {name: content.decode("utf-8", "replace") for name, content in files.items() if "/" not in name}
    packages = {name: content for name, content in files.items() if "/" in name}
    binary = {PACKAGES: base64.b64encode(_zipped(packages)).decode()} if packages else {}
    size = sum(map(len, top.values())) + sum(map(len, binary.values()))
    if size > ROOM:
        raise ClusterError(
            f"The applications' code takes {size / 1e6:.1f} MB, and a ConfigMap holds {ROOM / 1e6:.1f}.",
            help="Build it into the image that the inventory names.",
        )
    short = digest.hexdigest()[:16]
    return Code({**top, DIGEST: short}, binary, short)


def _zipped(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name])
    return made.getvalue()
