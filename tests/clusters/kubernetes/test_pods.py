"""What is read off a pod, and why one does not come up."""

from __future__ import annotations

from typing import Any

import pytest

from runner.clusters.kubernetes.pods import read, stuck
from tests.clusters.kubernetes.documents import pod

WAITING = {"waiting": {"reason": "ContainerCreating"}}


@pytest.mark.parametrize(
    ("document", "doing"),
    [
        (pod("a"), "up"),
        (pod("a", ready=False), "up"),
        (pod("a", state=WAITING, ready=False), "starting"),
        (pod("a", state=None, ready=False), "starting"),
        (pod("a", state=None, host=None, ready=False), "waiting"),
        (pod("a", state={"terminated": {"exitCode": 1}}, ready=False), "waiting"),
        (pod("a", state={"waiting": {"reason": "CrashLoopBackOff"}}, restarts=3), "waiting"),
        (pod("a", phase="Failed"), "waiting"),
    ],
)
def test_a_pod_is_doing_what_its_ray_container_does(document: Any, doing: str) -> None:
    assert read(document).doing == doing


def test_a_node_that_was_never_said_anything_of_is_read() -> None:
    document = pod("a")
    del document["status"]
    assert (read(document).state, read(document).address, read(document).ready) == ("absent", None, False)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (pod("a", state=WAITING), None),
        (pod("a"), None),
        (
            pod("a", state={"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}),
            "the image of a cannot be pulled (ImagePullBackOff): no such image",
        ),
        (
            pod("a", state=WAITING, init={"waiting": {"reason": "ErrImagePull", "message": "denied"}}),
            "the image of a cannot be pulled (ErrImagePull): denied",
        ),
        (
            pod(
                "a",
                state=None,
                host=None,
                conditions=(
                    {"type": "PodScheduled", "status": "False", "message": "0/2 nodes: Insufficient cpu"},
                ),
            ),
            "no host has room for a: 0/2 nodes: Insufficient cpu",
        ),
        (
            pod(
                "a",
                state={
                    "waiting": {"reason": "CreateContainerConfigError", "message": 'secret "x" not found'}
                },
            ),
            'the container of a cannot be made (CreateContainerConfigError): secret "x" not found',
        ),
    ],
)
def test_what_stands_in_the_way_of_a_pod_is_said(document: Any, says: str | None) -> None:
    assert stuck(read(document)) == says
