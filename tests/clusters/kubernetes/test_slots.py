"""Which pod is which member, whatever the order in which pods come and go."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runner.clusters.kubernetes.pods import read
from runner.clusters.kubernetes.slots import Slots
from tests.clusters.kubernetes.documents import pod


def seated(slots: Slots, *documents: Any) -> dict[str, str | None]:
    slots.seat(map(read, documents))
    return {name: slot.pod.name if slot.pod else None for name, slot in slots.every.items()}


def test_workers_are_numbered_as_kuberay_numbers_them() -> None:
    index = "ray.io/worker-group-replica-index"
    found = seated(Slots.of(2), pod("h", "head"), pod("b", **{index: "1"}), pod("c", **{index: "0"}))
    assert found == {"head": "h", "worker-1": "c", "worker-2": "b"}


def test_workers_beside_the_head_are_numbered_last_before_anything_has_happened() -> None:
    slots = Slots.of(2)
    there = (pod("h", "head", host="1"), pod("a", host="1"), pod("b", host="2"))
    seated(slots, *there)
    slots.renumber()
    assert seated(slots, *there) == {"head": "h", "worker-1": "b", "worker-2": "a"}
    seated(slots, pod("h", "head", host="1"), pod("a", host="1"))
    moved = (pod("h", "head", host="2"), pod("a", host="1"), pod("c", host="2"))
    seated(slots, *moved)
    slots.renumber()
    assert seated(slots, *moved) == {"head": "h", "worker-1": "c", "worker-2": "a"}


def test_a_replacement_takes_the_slot_that_was_vacant_for_longest() -> None:
    slots = Slots.of(3)
    seated(slots, pod("a"), pod("b"), pod("c"))
    seated(slots, pod("a"), pod("c"))
    seated(slots, pod("c"))
    assert seated(slots, pod("c"), pod("d"))["worker-2"] == "d"
    assert seated(slots, pod("c"), pod("d"), pod("e")) == {
        "head": None,
        "worker-1": "e",
        "worker-2": "d",
        "worker-3": "c",
    }


def test_a_pod_that_is_going_keeps_its_slot_until_it_is_gone_or_replaced() -> None:
    slots = Slots.of(1)
    seated(slots, pod("a"))
    assert seated(slots, pod("a", deleting=True))["worker-1"] == "a"
    assert seated(slots, pod("a", deleting=True), pod("b"))["worker-1"] == "b"
    # What is going takes no seat again.
    assert list(seated(slots, pod("a", deleting=True), pod("b"))) == ["head", "worker-1"]


def test_a_pod_of_the_same_name_is_another_one() -> None:
    slots = Slots.of(1)
    seated(slots, pod("a", uid="1"))
    assert slots.every["worker-1"].starts == 1
    seated(slots, pod("a", uid="2"))
    assert slots.every["worker-1"].starts == 2


def test_starts_only_grow() -> None:
    slots = Slots.of(1)
    counts = []
    for documents in (
        [pod("a", state={"waiting": {"reason": "ContainerCreating"}})],
        [pod("a")],
        [pod("a", state={"waiting": {"reason": "CrashLoopBackOff"}}, restarts=1)],
        [pod("a", restarts=2)],
        [],
        [pod("b", state=None, host=None)],
        [pod("b")],
    ):
        seated(slots, *documents)
        counts.append(slots.every["worker-1"].starts)
    assert counts == [0, 1, 2, 3, 3, 3, 4]


def test_what_has_failed_for_good_is_no_member() -> None:
    slots = Slots.of(1)
    seated(slots, pod("a"))
    assert seated(slots, pod("a", phase="Failed"), pod("b"))["worker-1"] == "b"


def test_a_second_head_waits_for_the_end_of_the_first() -> None:
    slots = Slots.of(0)
    seated(slots, pod("h", "head"))
    assert seated(slots, pod("h", "head"), pod("i", "head")) == {"head": "h"}
    assert seated(slots, pod("i", "head")) == {"head": "i"}


NAMES = st.sets(st.sampled_from("abcdefgh"), max_size=5)


@given(st.lists(NAMES, min_size=1, max_size=12))
def test_no_pod_has_two_slots_and_who_stays_keeps_its_own(looks: list[set[str]]) -> None:
    slots = Slots.of(2)
    before: dict[str, str] = {}
    for names in looks:
        found = seated(slots, *(pod(name) for name in sorted(names)))
        now = {name: slot for slot, name in found.items() if name is not None}
        assert set(now) == names
        assert all(now[name] == before[name] for name in now.keys() & before.keys())
        before = now
