"""What a run has in a cluster: one ConfigMap that owns all it makes and holds its undos, and one Lease.

The ConfigMap's deletion takes with it whatever it owns; its undos let another machine heal what a run that
was killed had broken. The Lease keeps two runs away from one RayService.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
import socket
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from runner import clock
from runner.clusters.contract import Undo
from runner.clusters.kubernetes.api import Api, Refused, place
from runner.errors import CannotRun, FtrunError

Json = Any
Object = Mapping[str, Json]

MANAGED = {"app.kubernetes.io/managed-by": "ftrun"}
RUN, PART = "ftrun/run", "ftrun/part"
"""Labels of whatever ftrun makes."""

TERM = 20
"""Seconds that a Lease holds without being renewed."""

LOOK = 1.0
"""Seconds between two looks at another run's Lease."""

RENEW = 5.0
"""Seconds between two renewals."""

GONE = 45.0
"""Seconds to wait until the pods of what was deleted are gone; the rest goes by itself."""


def short(run: str) -> str:
    """Give a run's name as Kubernetes takes it in names and labels."""
    return re.sub(r"[^a-z0-9]+", "-", run.lower()).strip("-")[:50].rstrip("-") or "run"


class Claim:
    """One run's claim on one RayService. `take` it, and `release` it at the end."""

    def __init__(self, api: Api, namespace: str, run: str, rayservice: str) -> None:
        self._api = api
        self.namespace = namespace
        self.run = short(run)
        self.rayservice = rayservice
        self.name = f"ftrun-{self.run}"
        self.labels = {**MANAGED, RUN: self.run}
        self._uid = ""
        self._undos = 0
        self._renewing: asyncio.Task[None] | None = None
        self.left: tuple[str, ...] = ()
        """What was still to be put back when it was taken, by what the undos say."""
        self.lost = ""
        """Why the Lease is not ours any more; empty as long as it is."""

    @property
    def taken(self) -> bool:
        """Whether the ConfigMap was made."""
        return bool(self._uid)

    @property
    def owner(self) -> dict[str, Json]:
        """Give the reference by which what is made goes with the ConfigMap."""
        return {"apiVersion": "v1", "kind": "ConfigMap", "name": self.name, "uid": self._uid}

    def owned(self, document: Object, part: str = "") -> dict[str, Json]:
        """Give an object as ours: labelled, the pods of a Deployment, too, and owned by the ConfigMap."""
        owned = copy.deepcopy(dict(document))
        labels = {**self.labels, **({PART: part} if part else {})}
        for each in (owned, (owned.get("spec") or {}).get("template") or {}):
            if "metadata" in each:
                each["metadata"]["labels"] = {**(each["metadata"].get("labels") or {}), **labels}
        owned["metadata"]["ownerReferences"] = [self.owner]
        return owned

    async def take(self) -> None:
        """Make the ConfigMap, and take the Lease; raises CannotRun where another run holds it."""
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": self.labels},
            "data": {"rayservice": self.rayservice, "from": socket.gethostname()},
        }
        path = place("configmaps", self.namespace, self.name)
        # An earlier scenario of this run may have left one, with what could not be put back.
        there = await self._api.find(path)
        left = undos(there) if there is not None else {}
        self.left = tuple(each.says for each in left.values())
        self._undos = max((int(name.partition("-")[2]) for name in left), default=0)
        made = await self._api.apply(path, body)
        self._uid = made["metadata"]["uid"]
        try:
            await self._take_lease()
        except BaseException:
            if there is None:
                await self._api.delete(path)
            raise
        self._renewing = asyncio.create_task(self._renew())

    async def release(self) -> None:
        """Let go of the Lease, and delete the ConfigMap with all that it owns. Twice does no harm."""
        self._stop_renewing()
        await release(self._api, self.namespace, self.name, self.rayservice)

    async def leave(self) -> None:
        """Let go of the Lease, and leave the ConfigMap with what is still to be put back."""
        self._stop_renewing()
        await let_go(self._api, self.namespace, self.name, self.rayservice)

    def _stop_renewing(self) -> None:
        task, self._renewing = self._renewing, None
        if task is not None:
            task.cancel()
        self._uid = ""

    # -- undos

    async def note(self, undo: Undo) -> str:
        """Write down an undo before the act that it heals; give what it is called."""
        self._undos += 1
        name = f"undo-{self._undos}"
        await self._note(name, json.dumps(asdict(undo)))
        return name

    async def strike(self, name: str) -> None:
        """Cross out an undo: it was carried out, or nothing was done."""
        await self._note(name, None)

    async def _note(self, name: str, text: str | None) -> None:
        await self._api.patch(place("configmaps", self.namespace, self.name), {"data": {name: text}})

    # -- the Lease

    @property
    def _lease(self) -> str:
        return place("leases", self.namespace, f"ftrun-{self.rayservice}")

    async def _take_lease(self) -> None:
        dead = ""
        while True:
            there = await self._api.find(self._lease)
            if there is None:
                body = {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {"name": f"ftrun-{self.rayservice}", "namespace": self.namespace},
                    "spec": self._spec(),
                }
                try:
                    await self._api.create(place("leases", self.namespace), self.owned(body))
                    return
                except Refused as error:
                    if error.status != 409:
                        raise
                    continue
            holder = there["spec"].get("holderIdentity") or ""
            if holder in ("", self.run, dead):
                break
            if await alive(self._api, self._lease, holder):
                raise CannotRun(
                    f"The run {holder} is using the RayService {self.rayservice} in namespace"
                    f" {self.namespace}: two at once would break each other's measurements.",
                    help="Wait for its end, or choose another namespace.",
                )
            dead = holder  # unless it is another's by now
        mine = self.owned({**there, "spec": {**there["spec"], **self._spec()}})
        try:
            await self._api.replace(self._lease, mine)
        except Refused as error:
            if error.status == 409:
                raise CannotRun(
                    f"Another run has just taken the RayService {self.rayservice} in {self.namespace}.",
                    help="Wait for its end, or choose another namespace.",
                ) from error
            raise

    def _spec(self) -> dict[str, Json]:
        now = datetime.fromtimestamp(clock.wall(), UTC).isoformat(timespec="microseconds")
        stamp = now.replace("+00:00", "Z")
        return {"holderIdentity": self.run, "leaseDurationSeconds": TERM, "renewTime": stamp}

    async def _renew(self) -> None:
        """Renew it until cancelled; note where it is another's meanwhile."""
        while True:
            await asyncio.sleep(RENEW)
            try:
                there = await self._api.get(self._lease)
                if there["spec"].get("holderIdentity") != self.run:
                    self.lost = f"the run {there['spec'].get('holderIdentity')} took the RayService over"
                    return
                await self._api.patch(self._lease, {"spec": {"renewTime": self._spec()["renewTime"]}})
            except FtrunError as error:
                if isinstance(error, Refused) and error.status == 404:
                    self.lost = "somebody deleted the Lease"
                    return


async def let_go(api: Api, namespace: str, name: str, rayservice: str) -> None:
    """Delete a run's Lease, if it holds it."""
    lease = place("leases", namespace, f"ftrun-{rayservice}")
    there = await api.find(lease)
    if there is not None and there["spec"].get("holderIdentity") == name.removeprefix("ftrun-"):
        await api.delete(lease, uid=there["metadata"]["uid"])


async def release(api: Api, namespace: str, name: str, rayservice: str) -> None:
    """Delete a run's Lease, and its ConfigMap; what that owns goes with it, and its pods' end is awaited."""
    await let_go(api, namespace, name, rayservice)
    await api.delete(place("configmaps", namespace, name))
    mine = {"labelSelector": f"{RUN}={name.removeprefix('ftrun-')}"}
    end = clock.monotonic() + GONE
    while clock.monotonic() < end and (await api.get(place("pods", namespace), **mine))["items"]:  # noqa: ASYNC110 (nobody tells)
        await asyncio.sleep(0.5)


async def claims(api: Api, namespace: str) -> list[Object]:
    """Give the ConfigMaps of all runs that have something left in a namespace."""
    selector = ",".join(f"{key}={value}" for key, value in MANAGED.items())
    found = await api.get(place("configmaps", namespace), labelSelector=f"{selector},{RUN},!{PART}")
    return list(found["items"])


def undos(configmap: Object) -> dict[str, Undo]:
    """Give the undos that a run's ConfigMap holds, by name, the latest first."""
    data = configmap.get("data") or {}
    names = [name for name in data if re.fullmatch(r"undo-\d+", name)]
    found = {}
    for name in sorted(names, key=lambda name: -int(name.partition("-")[2])):
        try:
            said = json.loads(data[name])
            found[name] = Undo(said["kind"], said["arguments"], said["says"])
        except (ValueError, KeyError, TypeError) as error:
            raise FtrunError(
                f"{configmap['metadata']['name']} holds an undo that nobody can read."
            ) from error
    return found


async def alive(api: Api, lease: str, run: str) -> bool:
    """Watch whether a run's Lease is renewed: clocks of two machines may differ by more than its term.

    Only the time in which the server answers counts.
    """
    seen: Json = None
    left = float(TERM)
    while left > 0:
        began = clock.monotonic()
        there = await api.find(lease)
        if there is None or there["spec"].get("holderIdentity") != run:
            return False
        renewed = there["spec"].get("renewTime")
        if seen is not None and renewed != seen:
            return True
        seen = renewed
        left -= LOOK if clock.monotonic() - began < RENEW else 0.0
        await asyncio.sleep(LOOK)
    return False
