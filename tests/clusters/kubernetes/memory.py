"""As much of an API server as claims, hosts and remains use, in memory."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from typing import Any

from runner.clusters.kubernetes.api import Access, Refused

Json = Any


def _merged(old: Json, new: Mapping[str, Json]) -> Json:
    made = dict(old or {})
    for key, value in new.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = _merged(made.get(key), value) if isinstance(value, Mapping) else value
    return made


class Memory:
    """Objects by their paths. `asked` lists what was done; `finds` is called before each reading."""

    def __init__(self) -> None:
        self.access = Access(context="memory")
        self.objects: dict[str, Json] = {}
        self.asked: list[tuple[str, str]] = []
        self._versions = itertools.count(1)

    def put(self, path: str, document: Json) -> Json:
        made = copy.deepcopy(document)
        version = str(next(self._versions))
        made["metadata"] = {"uid": f"uid-{version}", **made.get("metadata", {}), "resourceVersion": version}
        self.objects[path] = made
        return copy.deepcopy(made)

    async def find(self, path: str) -> Json | None:
        return copy.deepcopy(self.objects.get(path))

    async def get(self, path: str, **query: str) -> Json:
        if path in self.objects:
            return copy.deepcopy(self.objects[path])
        below = [each for where, each in self.objects.items() if where.rpartition("/")[0] == path]
        if path.endswith("s"):
            return {"items": copy.deepcopy(below), "metadata": {"resourceVersion": "1"}}
        raise Refused(404, "NotFound", f"{path} is not there.")

    async def create(self, path: str, body: Json, *, dry: bool = False) -> Json:
        self.asked.append(("create", path))
        where = f"{path}/{body['metadata']['name']}" if not path.endswith("eviction") else path
        if where in self.objects:
            raise Refused(409, "AlreadyExists", f"{where} is there already.")
        if dry:
            return copy.deepcopy(body)
        return self.put(where, body)

    async def apply(self, path: str, body: Json, **_: Json) -> Json:
        return self.put(path, _merged(self.objects.get(path), body))

    async def patch(self, path: str, body: Json, **_: Json) -> Json:
        self.asked.append(("patch", path))
        if path not in self.objects:
            raise Refused(404, "NotFound", f"{path} is not there.")
        return self.put(path, _merged(self.objects[path], body))

    async def replace(self, path: str, body: Json) -> Json:
        old = self.objects[path]["metadata"]["resourceVersion"]
        if body["metadata"]["resourceVersion"] != old:
            raise Refused(409, "Conflict", f"{path} has changed.")
        return self.put(path, body)

    async def delete(self, path: str, **_: Json) -> bool:
        self.asked.append(("delete", path))
        gone = self.objects.pop(path, None)
        if gone is not None:
            for where, each in list(self.objects.items()):
                owners = each["metadata"].get("ownerReferences") or ()
                if any(owner["uid"] == gone["metadata"]["uid"] for owner in owners):
                    self.objects.pop(where)
        return gone is not None

    async def close(self) -> None:
        pass
