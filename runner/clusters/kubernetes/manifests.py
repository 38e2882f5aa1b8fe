"""A user's own RayService, and what stands beside it in the same file."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError
from pydantic.alias_generators import to_camel

from runner.clusters.kubernetes.api import place
from runner.clusters.kubernetes.settings import Settings
from runner.errors import CannotRun
from runner.journal.redaction import LEAST

Json = Any
Object = Mapping[str, Json]

PLURALS = {
    "ConfigMap": "configmaps", "Secret": "secrets", "Service": "services", "Deployment": "deployments",
    "PersistentVolumeClaim": "persistentvolumeclaims", "NetworkPolicy": "networkpolicies",
    "RayService": "rayservices",
}  # fmt: skip
"""The plural of each kind that may be made."""


class _Part(BaseModel):
    """What is relied on of a part of an object; all else in it is the API server's to judge."""

    model_config = ConfigDict(alias_generator=to_camel, defer_build=True)


class _Labelled(_Part):
    labels: dict[str, Json] | None = None


class _Metadata(_Labelled):
    name: Annotated[str, Field(min_length=1)]
    namespace: str | None = None
    annotations: dict[str, Json] | None = None


class _Template(_Part):
    metadata: _Labelled = _Labelled.model_construct()


class _Spec(_Part):
    template: _Template | None = None


class _Object(_Part):
    metadata: _Metadata
    spec: _Spec | None = None
    data: dict[str, Json] | None = None
    string_data: dict[str, Json] | None = None


class _Variable(_Part):
    name: str


class _Container(_Part):
    image: str | None = None
    env: list[_Variable] | None = None
    volume_mounts: list[Json] | None = None


class _Pod(_Part):
    containers: Annotated[list[_Container], Field(min_length=1)]
    volumes: list[Json] | None = None


class _PodTemplate(_Part):
    spec: _Pod


class _Group(_Part):
    template: _PodTemplate


class _Workers(_Group):
    replicas: Annotated[StrictInt, Field(ge=0)] | None = None
    min_replicas: Annotated[StrictInt, Field(ge=0)] | None = None


class _RayCluster(_Part):
    head_group_spec: _Group
    worker_group_specs: list[_Workers] | None = None
    gcs_fault_tolerance_options: dict[str, Json] | None = None


class _RayServiceSpec(_Part):
    ray_cluster_config: _RayCluster


class _RayService(_Part):
    metadata: _Metadata
    spec: _RayServiceSpec


WRONG = {
    "missing": "is missing", "too_short": "is empty", "string_too_short": "is empty",
    "model_type": "is no mapping", "dict_type": "is no mapping", "list_type": "is no list",
    "string_type": "is no text", "int_type": "is no whole number", "greater_than_equal": "is below 0",
}  # fmt: skip
"""What can be wrong with a part of an object, in words, by pydantic's."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A RayService, and what it needs."""

    rayservice: Object
    others: tuple[Object, ...]

    @property
    def name(self) -> str:
        """The RayService's name."""
        return str(self.rayservice["metadata"]["name"])


def given(settings: Settings, beside: Path) -> Manifest | None:
    """Give what `manifest` of an inventory holds; None without one. `beside` is the inventory's folder."""
    if settings.manifest is None:
        return None
    return read(beside / Path(settings.manifest).expanduser(), settings.namespaces[0])


def used(settings: Settings, manifest: Manifest | None) -> str:
    """Give the name of the RayService of runs: one that is there, the manifest's, or one that is made."""
    return settings.rayservice or (manifest.name if manifest else settings.name)


def read(file: Path, namespace: str) -> Manifest:
    """Read a file of YAML documents, one of them a RayService; raises CannotRun with what is wrong.

    All of it is made in one namespace: what names another is refused.
    """
    import yaml

    try:
        # By way of JSON: what an anchor repeats is an object of its own in each place, and a date is text.
        documents = [
            json.loads(json.dumps(each, default=str))
            for each in yaml.safe_load_all(file.read_text(encoding="utf-8"))
        ]
    except OSError as error:
        raise CannotRun(f"The manifest {file} cannot be read: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CannotRun(f"The manifest {file} is not YAML: {error}.") from error
    except (ValueError, TypeError) as error:
        # A date that the calendar has not, or a key that is none in JSON.
        raise CannotRun(f"The manifest {file} holds what Kubernetes cannot take: {error}.") from error
    found: list[Object] = []
    for number, each in enumerate(_apart(documents, file), 1):
        if not isinstance(each, dict):
            raise CannotRun(f"Object {number} of the manifest {file} is no mapping.")
        if str(each.get("kind")) not in PLURALS:
            raise CannotRun(
                f"The manifest {file} holds an object of kind {each.get('kind')}, which ftrun does not make.",
                help=f"It makes: {', '.join(PLURALS)}. Make the rest yourself.",
            )
        _require_parts(each, file)
        if (named := each["metadata"].get("namespace") or namespace) != namespace:
            raise CannotRun(
                f"The {each['kind']} {each['metadata']['name']} of the manifest {file} names the namespace"
                f" {named}, and the inventory {namespace}.",
                help="Leave the namespace out of the manifest, or name it first under `namespaces`.",
            )
        found.append(each)
    services = [each for each in found if each["kind"] == "RayService"]
    if len(services) != 1:
        raise CannotRun(f"The manifest {file} holds {len(services)} RayServices, and one is wanted.")
    return Manifest(services[0], tuple(each for each in found if each is not services[0]))


def _apart(documents: Iterable[Json], file: Path) -> Iterator[Json]:
    """Give the objects of documents: a List's items, or the document itself."""
    for each in documents:
        if not isinstance(each, dict) or "items" not in each:
            yield from () if each is None else (each,)
        elif isinstance(each["items"] or [], list):
            yield from each["items"] or ()
        else:
            raise CannotRun(f"`items` of a {each.get('kind')} in the manifest {file} are no list.")


def _require_parts(document: Object, file: Path) -> None:
    """See that what is relied on is there; raises CannotRun with the first that is not."""
    kind, meta = document["kind"], document.get("metadata")
    shape = _RayService if kind == "RayService" else _Object
    try:
        shape.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        part = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in first["loc"])[1:]
        name = meta.get("name") if isinstance(meta, dict) else None
        whose = f"the {kind} {name}" if name else f"a {kind}"
        raise CannotRun(
            f"`{part}` of {whose} in the manifest {file} {WRONG[first['type']]}.",
            help=f"`kubectl apply --dry-run=server -f {file}` judges all of it.",
        ) from error


def secrets(manifest: Manifest) -> Iterator[str]:
    """Give what the Secrets of a manifest hold, as text; what is shorter than a secret may be any word."""
    for each in manifest.others:
        if each["kind"] != "Secret":
            continue
        held = [str(value) for value in (each.get("stringData") or {}).values()]
        for encoded in (each.get("data") or {}).values():
            with suppress(ValueError):
                held += [str(encoded), base64.b64decode(str(encoded)).decode()]
        yield from (value for value in held if len(value) >= LEAST)


def where(document: Object, namespace: str) -> str:
    """Give where an object is applied."""
    return place(PLURALS[str(document["kind"])], namespace, document["metadata"]["name"])
