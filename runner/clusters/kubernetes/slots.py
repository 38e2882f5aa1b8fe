"""Which pod is which member: a replacement takes the slot that has been vacant for longest. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from runner.clusters.kubernetes.pods import Pod, order


@dataclass(slots=True)
class Slot:
    """A place that one pod after the other takes."""

    name: str
    pod: Pod | None = None
    earlier: int = 0
    """How often containers of earlier pods were started here."""
    vacated: int = 0
    """When it fell vacant, as a count of changes; 0 for one that never was taken."""

    @property
    def starts(self) -> int:
        """How often Ray was started here."""
        if self.pod is None:
            return self.earlier
        # A container keeps its id while it waits to be started again.
        return self.earlier + self.pod.restarts + bool(self.pod.container_id)


@dataclass(slots=True)
class Slots:
    """The slots of a cluster: `head`, `worker-1`, ..."""

    every: dict[str, Slot] = field(default_factory=dict)
    _changes: int = 0

    @classmethod
    def of(cls, workers: int) -> Slots:
        """Give the vacant slots of a cluster with so many workers."""
        names = ["head", *(f"worker-{number + 1}" for number in range(workers))]
        return cls({name: Slot(name) for name in names})

    def seat(self, pods: Iterable[Pod], wanted: Mapping[str, str] | None = None) -> None:
        """Take in all Ray pods that there are of one cluster, in any order.

        `wanted` says by UID which slots new ones had elsewhere: they take those that are vacant here.
        """
        there = {pod.uid: pod for pod in pods if pod.role and not pod.over}
        self._changes += 1
        for slot in self.every.values():
            if slot.pod is None:
                continue
            if slot.pod.uid in there:
                slot.pod = there.pop(slot.pod.uid)
            else:
                slot.earlier = slot.starts
                slot.pod, slot.vacated = None, self._changes
        for pod in sorted((pod for pod in there.values() if not pod.deleting), key=order):
            slot = self._free(pod, (wanted or {}).get(pod.uid, ""))
            slot.earlier = slot.starts
            slot.pod = pod

    def renumber(self) -> None:
        """Give the workers that share the head's host the last numbers: the first one's host is hit alone.

        Of use before anything has happened to them: afterwards a name must stay what it is.
        """
        head = self.every["head"].pod
        workers = [slot for slot in self.every.values() if slot.name != "head"]
        pods = [slot.pod for slot in workers if slot.pod is not None]
        if head is None or len(pods) < len(workers) or any(slot.earlier for slot in workers):
            return
        pods.sort(key=lambda pod: (pod.host == head.host, order(pod)))
        for slot, pod in zip(workers, pods, strict=True):
            slot.pod = pod

    def taken(self) -> dict[str, Pod]:
        """Give the pods by their slots."""
        return {name: slot.pod for name, slot in self.every.items() if slot.pod is not None}

    def _free(self, pod: Pod, wanted: str) -> Slot:
        """Give the slot for a new pod: vacant, else one whose pod is going, else a new one."""
        mine = [slot for slot in self.every.values() if (slot.name == "head") == (pod.role == "head")]
        vacant = [slot for slot in mine if slot.pod is None]
        if vacant:
            return min(vacant, key=lambda slot: (slot.name != wanted, slot.vacated))
        going = [slot for slot in mine if slot.pod is not None and slot.pod.deleting]
        if going:
            return going[0]
        name = "head" if pod.role == "head" else f"worker-{len(mine) + 1}"
        if name in self.every:  # a second head: the one that is there stays until it is gone
            return Slot(name)
        self.every[name] = Slot(name)
        return self.every[name]
