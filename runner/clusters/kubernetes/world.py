"""What the API server said so far, folded: who stands where, and what happened meanwhile. Pure.

Fed with lists and changes of each kind, in the order in which they were heard. Each gives the happenings
that it tells of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.clusters.kubernetes import pods
from runner.clusters.kubernetes.pods import Pod
from runner.clusters.kubernetes.slots import Slot, Slots

Json = Any
Object = Mapping[str, Json]

SOURCE = "kubernetes"
PORT = 8000
"""Where Serve's proxies listen."""

SHORT = 300
"""Characters of a text that are passed on."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened, as `contract.Saying` has it."""

    slot: str
    text: str
    data: Mapping[str, Json]
    source: str = SOURCE


@dataclass(slots=True)
class World:
    """All that was heard. `name` is the RayService's; `redis` are the labels of its Redis's pods."""

    name: str
    slots: Slots
    redis: Mapping[str, str] = field(default_factory=dict)
    operator: str = ""
    """The operator's Deployment, where it may be looked at."""
    kinds: dict[str, dict[str, Object]] = field(default_factory=dict)
    """By kind, the objects by namespace and name."""
    frozen: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By slot, in which container ftrun has stopped processes, and how many."""
    cut: set[str] = field(default_factory=set)
    """Slots whose host ftrun has cut off."""
    addresses: dict[str, str] = field(default_factory=dict)
    """Which slot each address was last seen to belong to."""
    seats: dict[str, str] = field(default_factory=dict)
    """Which slot each pod has, or had, by its name; of a RayCluster that does not serve `head of NAME`."""
    urls: dict[str, str] = field(default_factory=dict)
    """Where each slot's endpoint is, or last was."""
    served: str = ""
    """The RayCluster whose pods are the members."""
    aside: dict[str, Slots] = field(default_factory=dict)
    """Slots of the RayClusters that do not serve: one that is to, one that did. By its name."""

    # -- reading

    def known(self, *kinds: str) -> bool:
        """Whether each of the kinds was listed."""
        return all(kind in self.kinds for kind in kinds)

    def objects(self, kind: str) -> list[Object]:
        """Give the objects of a kind."""
        return list(self.kinds.get(kind, {}).values())

    @property
    def rayservice(self) -> Object | None:
        """The RayService, as far as it is there."""
        return next(
            (each for each in self.objects("rayservices") if each["metadata"]["name"] == self.name), None
        )

    @property
    def cluster(self) -> str | None:
        """The RayCluster that serves, or will be the first to; None where there is none."""
        for which in ("active", "pending"):
            if name := self.status(which).get("rayClusterName"):
                return str(name)
        return None

    def status(self, which: str) -> Object:
        """Give what the RayService says of its `active`, or of its `pending` cluster."""
        return _status(self.rayservice, which)

    def clusters(self) -> list[dict[str, Json]] | None:
        """Give the rows `clusters` of the state document; None where they are not known."""
        if not self.known("rayservices", "rayclusters", "pods"):
            return None
        serving = self.status("active").get("rayClusterName")
        counts = {name: len(slots.taken()) for name, slots in self.aside.items()}
        if self.served and self.cluster is not None:
            counts = {self.served: len(self.slots.taken()), **counts}
        return [{"name": name, "serves": name == serving, "pods": pods} for name, pods in counts.items()]

    def pods(self) -> list[Pod]:
        """Give all pods of the RayService's namespace."""
        return [pods.read(each) for each in self.objects("pods")]

    def pod(self, slot: str) -> Pod | None:
        """Give the pod that is a member now, or Redis's."""
        if slot == "redis":
            # Without labels any pod would be Redis's.
            return self._newest(self.pods(), self.redis) if self.redis else None
        if slot == "operator":
            found = [pods.read(each) for each in self.objects("operator")]
            return self._newest(found, {})
        there = self.slots.every.get(slot)
        return there.pod if there is not None else None

    @staticmethod
    def _newest(found: Iterable[Pod], labels: Mapping[str, str]) -> Pod | None:
        mine = [each for each in found if not each.over and labels.items() <= each.labels.items()]
        return max(mine, key=lambda each: (not each.deleting, each.created), default=None)

    def hosts_down(self) -> set[str]:
        """Give the hosts that are known not to be Ready."""
        return {each["metadata"]["name"] for each in self.objects("nodes") if not _host_ready(each)}

    def rows(self) -> list[dict[str, Json]] | None:
        """Give the rows `processes` of the state document; None where pods are not known."""
        if not self.known("pods"):
            return None
        down = self.hosts_down()
        rows = [self._row(name, "node", slot.pod, down) for name, slot in self.slots.every.items()]
        if self.redis:
            rows.append(self._row("redis", "service", self.pod("redis"), down))
        if self.known("operator"):
            rows.append(self._row("operator", "service", self.pod("operator"), down))
        return rows

    def starts(self, slot: str) -> int:
        """Give how often containers were started in a slot; beside the Ray nodes, in the pod of now."""
        if (there := self.slots.every.get(slot)) is not None:
            return there.starts
        pod = self.pod(slot)
        return 0 if pod is None else pod.restarts + bool(pod.container_id)

    def _row(self, slot: str, role: str, pod: Pod | None, down: set[str]) -> dict[str, Json]:
        state = "waiting" if pod is None else "down" if pod.host in down else pod.doing
        container, frozen = self.frozen.get(slot, ("", 0))
        if pod is None or container != pod.container_id:
            frozen = 0  # what was stopped there has ended
        return {
            "slot": slot,
            "role": role,
            "state": state,
            "count": None,
            "starts": self.starts(slot),
            "frozen": frozen,
            "cut_off": slot in self.cut,
            "ready": pod is not None and pod.ready and not pod.deleting,
            "pod": pod.name if pod is not None else None,
            "uid": pod.uid if pod is not None else None,
            "host": pod.host if pod is not None else None,
            "cluster": pod.labels.get(pods.CLUSTER) if pod is not None else None,
        }

    # -- hearing

    def listed(self, kind: str, items: Iterable[Object]) -> list[Happening]:
        """Take in all objects of a kind, as they are now."""
        first = kind not in self.kinds
        before = self.kinds.get(kind, {})
        after = {_key(each): each for each in items}
        self.kinds[kind] = after
        if first:  # what is there already happened earlier
            return self._settle()
        gone = [each for key, each in before.items() if key not in after]
        said = [happening for each in gone for happening in self._compare(kind, each, None)]
        said += self._settle()
        for key, each in after.items():
            if before.get(key) != each:
                said += self._compare(kind, before.get(key), each)
        return said

    def changed(self, kind: str, what: str, document: Object) -> list[Happening]:
        """Take in a change: ADDED, MODIFIED or DELETED."""
        there = self.kinds.setdefault(kind, {})
        before = there.get(_key(document))
        if what == "DELETED":
            there.pop(_key(document), None)
            return self._compare(kind, before, None) + self._settle()
        there[_key(document)] = document
        # A pod is seated before what happened to it is told, and unseated after.
        seated = self._settle()
        return self._compare(kind, before, document) + seated

    def renumber(self) -> list[Happening]:
        """Renumber the workers by where they stand, and say which slots' endpoints have moved by that."""
        self.slots.renumber()
        return self._settle()

    def _settle(self) -> list[Happening]:
        """Seat the pods, and say which slot's endpoint has moved."""
        if not self.known("pods"):
            return []
        if (cluster := self.cluster) is not None:
            self._seat(cluster)
        said = []
        for name, slot in self.slots.every.items():
            if slot.pod is not None:
                self.seats[slot.pod.name] = name
            if slot.pod is not None and slot.pod.address:
                self.addresses[slot.pod.address] = name
                said += self._moved(name, slot.pod.address, PORT, slot.pod.name)
        service = next(iter(self.objects("services")), None)
        if service is not None and (address := service["spec"].get("clusterIP")) not in (None, "", "None"):
            ports = service["spec"].get("ports") or [{}]
            port = next((each for each in ports if each.get("name") == "serve"), ports[0]).get("port", PORT)
            said += self._moved("service", address, port, service["metadata"]["name"])
        return said

    def _seat(self, cluster: str) -> None:
        """Seat the pods of the RayCluster that serves, and those of others beside it.

        Where another one serves now its pods take the members' slots, and those before keep theirs aside.
        """
        there: dict[str, list[Pod]] = {}
        for pod in self.pods():
            there.setdefault(pod.labels.get(pods.CLUSTER, ""), []).append(pod)
        coming = self.aside.pop(cluster, Slots()).taken()
        if self.served not in ("", cluster):
            self.aside[self.served] = Slots(
                {name: Slot(name, pod) for name, pod in self.slots.taken().items()}
            )
        self.served = cluster
        self.slots.seat(there.get(cluster, ()), {pod.uid: name for name, pod in coming.items()})
        made = {each["metadata"]["name"] for each in self.objects("rayclusters")}
        if pending := self.status("pending").get("rayClusterName"):
            made.add(pending)
        for name in sorted((made | self.aside.keys()) - {cluster}):
            if name not in made and name not in there:
                del self.aside[name]
                continue
            slots = self.aside.setdefault(name, Slots())
            slots.seat(there.get(name, ()))
            self.seats |= {pod.name: f"{slot} of {name}" for slot, pod in slots.taken().items()}

    def _moved(self, slot: str, address: str, port: int, name: str) -> list[Happening]:
        url = f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
        if self.urls.get(slot) == url:
            return []
        self.urls[slot] = url
        return [Happening(slot, f"{slot} is {name} at {url}", {"event": "moved", "url": url, "name": name})]

    def _compare(self, kind: str, before: Object | None, after: Object | None) -> list[Happening]:
        if before is None and after is None:
            return []
        match kind:
            case "pods" | "operator":
                return self._pod(kind, before, after)
            case "endpointslices":
                return list(self._endpoints(before, after))
            case "rayservices" | "rayclusters" | "nodes":
                return list(self._conditions(kind, before, after))
            case "events":
                return [] if after is None or not self._ours(after) else [self._event(after)]
        return []

    def _pod(self, kind: str, before: Object | None, after: Object | None) -> list[Happening]:
        one, two = (None if each is None else pods.read(each) for each in (before, after))
        pod = two or one
        assert pod is not None
        if one is not None and two is not None and one.uid != two.uid:
            return self._pod(kind, before, None) + self._pod(kind, None, after)
        slot = self._slot(kind, pod)
        if not slot:
            return []
        return [
            Happening(
                slot,
                text,
                {"event": event, "pod": pod.name, "uid": pod.uid, "host": pod.host, **more},
            )
            for event, text, more in _told(one, two)
        ]

    def _slot(self, kind: str, pod: Pod) -> str:
        if kind == "operator":
            return "operator"
        if self.redis and self.redis.items() <= pod.labels.items():
            return "redis"
        return self.seats.get(pod.name, "")

    def _endpoints(self, before: Object | None, after: Object | None) -> Iterator[Happening]:
        """Say which members the service began or ceased to pass requests on to."""
        was, now = _serving(before), _serving(after)
        for pod in sorted(was.keys() | now.keys()):
            old, new = was.get(pod, False), now.get(pod, False)
            if old != new:
                slot = self.seats.get(pod, "")
                text = f"{pod} is {'' if new else 'no longer '}an endpoint of the service"
                yield Happening(slot, text, {"event": "endpoint", "healthy": new, "pod": pod})

    def _conditions(self, kind: str, before: Object | None, after: Object | None) -> Iterator[Happening]:
        noun = {"rayservices": "RayService", "rayclusters": "RayCluster", "nodes": "host"}[kind]
        said = after or before
        assert said is not None
        name = said["metadata"]["name"]
        about = {"kind": noun, "name": name}
        if before is None or after is None:
            gone = after is None
            word = "is gone" if gone else "was made"
            yield Happening("", f"{noun} {name} {word}", {"event": "gone" if gone else "made", **about})
            return
        if "deletionTimestamp" in after["metadata"] and "deletionTimestamp" not in before["metadata"]:
            yield Happening("", f"{noun} {name} is being deleted", {"event": "deleting", **about})
        was, now = _conditions_of(before), _conditions_of(after)
        for kind_of, (status, reason) in now.items():
            if kind == "nodes" and kind_of != "Ready":
                continue
            if was.get(kind_of) != (status, reason):
                text = f"{noun} {name}: {kind_of} is {status}" + (f" ({reason})" if reason else "")
                data = {"event": "condition", **about, "type": kind_of, "status": status, "reason": reason}
                yield Happening("", text, data)
        if kind == "rayservices":
            yield from self._upgrades(name, before, after)

    def _upgrades(self, name: str, before: Object, after: Object) -> Iterator[Happening]:
        """Say how far another RayCluster is, and that it serves."""
        data: dict[str, Json]
        old, new = (_status(each, "active").get("rayClusterName") for each in (before, after))
        was, now = _applications(before), _applications(after)
        for (cluster, app), status in now.items():
            if cluster != old and was.get((cluster, app)) != status:
                text = f"application {app} is {status} on {cluster}"
                data = {"event": "application", "cluster": cluster, "app": app, "status": status}
                yield Happening("", text, data)
        coming = _status(after, "pending")
        routed, there = coming.get("trafficRoutedPercent"), coming.get("rayClusterName")
        if routed is not None and routed != _status(before, "pending").get("trafficRoutedPercent"):
            data = {"event": "routed", "cluster": there, "percent": routed}
            yield Happening("", f"{routed} % of the requests go to {there}", data)
        if old != new:
            data = {"event": "switched", "kind": "RayService", "name": name, "cluster": new, "from": old}
            yield Happening("", f"RayService {name} serves from {new}", data)

    def _ours(self, event: Object) -> bool:
        name = str(event["involvedObject"].get("name") or "")
        return name == self.name or name.startswith(f"{self.name}-")

    def _event(self, after: Object) -> Happening:
        about = after["involvedObject"]
        reporter = str(after.get("reportingComponent") or (after.get("source") or {}).get("component") or "")
        said = " ".join(str(after.get("message") or after.get("reason")).split())
        text = f"{about.get('kind')} {about.get('name')}: {said}"
        reason = str(after.get("reason") or "")
        data = {
            "event": reason.lower() if reason in ("Pulling", "Pulled") else "event",
            "reason": reason,
            "type": after.get("type"),
            "kind": about.get("kind"),
            "name": about.get("name"),
            "reporter": reporter,
            "count": after.get("count") or (after.get("series") or {}).get("count"),
        }
        slot = self.seats.get(str(about.get("name")), "")
        return Happening(slot, text[:SHORT], data)


def _status(rayservice: Object | None, which: str) -> Object:
    """Give what a RayService says of its `active`, or of its `pending` cluster."""
    said: Object = ((rayservice or {}).get("status") or {}).get(f"{which}ServiceStatus") or {}
    return said


def _applications(rayservice: Object) -> dict[tuple[str, str], str]:
    """Give the status of each application on each RayCluster, as KubeRay read it last."""
    return {
        (str(said.get("rayClusterName")), app): str(row.get("status"))
        for said in (_status(rayservice, "active"), _status(rayservice, "pending"))
        for app, row in (said.get("applicationStatuses") or {}).items()
    }


def _key(document: Object) -> str:
    meta = document["metadata"]
    return f"{meta.get('namespace', '')}/{meta['name']}"


def _host_ready(node: Object) -> bool:
    return _conditions_of(node).get("Ready", ("",))[0] == "True"


def _conditions_of(document: Object) -> dict[str, tuple[str, str]]:
    rows = (document.get("status") or {}).get("conditions") or ()
    return {each["type"]: (str(each.get("status")), str(each.get("reason") or "")) for each in rows}


def _serving(slice_: Object | None) -> dict[str, bool]:
    """Give the pods of an EndpointSlice, and whether each gets requests."""
    found = {}
    for each in (slice_ or {}).get("endpoints") or ():
        target = each.get("targetRef") or {}
        if target.get("kind") == "Pod":
            found[str(target["name"])] = (each.get("conditions") or {}).get("ready") is not False
    return found


def _told(one: Pod | None, two: Pod | None) -> Iterator[tuple[str, str, dict[str, Json]]]:
    """Give what happened to a pod between two looks: event, text, what else is known."""
    if two is None:
        assert one is not None
        if one.state == "running":
            yield "ended", f"{one.name} ended with its pod", {}
        yield "gone", f"{one.name} is gone", {}
        return
    if one is None:
        yield "made", f"{two.name} was made", {}
    if two.deleting and not (one is not None and one.deleting):
        yield "deleting", f"{two.name} is being deleted", {}
    if two.host and not (one is not None and one.host):
        yield "scheduled", f"{two.name} was given to {two.host}", {}
    if two.unscheduled and (one is None or one.unscheduled != two.unscheduled):
        yield "unschedulable", f"no host for {two.name}: {two.unscheduled}"[:SHORT], {}
    if two.initialized and one is not None and not one.initialized:
        yield "initialized", f"{two.name} has run its init containers", {}
    ran, runs = _running(one), _running(two)
    if ran and ran != runs:
        code = f" with exit code {two.exit_code}" if two.exit_code is not None else ""
        yield "ended", f"the container of {two.name} ended{code}", {"code": two.exit_code}
    if runs and ran != runs:
        again = f" again ({two.restarts} restarts)" if two.restarts else ""
        yield "started", f"the container of {two.name} started{again}", {"restarts": two.restarts}
    if two.reason and two.state != "running" and (one is None or one.reason != two.reason):
        yield "reason", f"{two.name}: {two.reason} {two.message}"[:SHORT].rstrip(), {"reason": two.reason}
    if two.ready != (one is not None and one.ready):
        if two.ready:
            yield "up", f"{two.name} is Ready", {"restarts": two.restarts}
        else:
            yield "unready", f"{two.name} is not Ready any more", {}


def _running(pod: Pod | None) -> str:
    """Give the id of the container that runs."""
    return pod.container_id if pod is not None and pod.state == "running" else ""
