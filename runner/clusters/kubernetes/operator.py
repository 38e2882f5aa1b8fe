"""The log of KubeRay's operator: followed as it grows, as far as it may be read.

It is everybody's operator: lines about other RayServices are nobody's business here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from runner import clock
from runner.clusters.kubernetes.api import Api, Refused, place
from runner.clusters.kubernetes.pods import Pod
from runner.clusters.listening import Listening, Log
from runner.errors import ClusterError
from runner.rayserve.logs import OPERATOR, concerns

AGAIN = 1.0
"""Seconds until a stream that ended is asked for again."""

LONGEST = 4096
"""Bytes of a line that are looked at."""


class OperatorLog:
    """What the operator says, from now on. `pod` gives the one that stands now."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        pod: Callable[[], Pod | None],
        listening: Listening,
        *,
        about: tuple[str, str],
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._pod = pod
        self._listening = listening
        self._about = about
        """Namespace and name of the RayService."""
        self._began = clock.monotonic()
        self._container = ""
        self._stamp = ""
        """Of the last line that was heard, by the kubelet's clock."""

    async def refusal(self) -> str:
        """Give why the log may not be read; empty where it may, or where nobody knows yet."""
        pod = self._pod()
        if pod is None:
            return ""
        try:
            async with aclosing(
                self._api.follow(self._path(pod), container=pod.container, tailLines="1")
            ) as lines:
                await anext(lines)
        except Refused as error:
            return error.message if error.status in (403, 404) else ""
        except (ClusterError, StopAsyncIteration):
            pass
        return ""

    async def run(self) -> None:
        """Follow the log of whichever pod runs, until cancelled; say once that it may not be read."""
        log = Log(OPERATOR, OPERATOR, self._began)
        while True:
            pod = self._pod()
            if pod is not None and pod.state == "running":
                try:
                    await self._follow(pod, log)
                except Refused as error:
                    if error.status == 403:
                        text = f"the operator's log may not be read: {error.message}"
                        self._listening.say(OPERATOR, OPERATOR, text, event="unread")
                        return
                except ClusterError:
                    pass  # it is followed again
            await asyncio.sleep(AGAIN)

    async def _follow(self, pod: Pod, log: Log) -> None:
        query = {"container": pod.container, "follow": "true", "timestamps": "true"}
        if pod.container_id == self._container:
            query["sinceTime"] = f"{self._stamp[:19]}Z"
        elif not self._container:
            query["sinceSeconds"] = "1"
        # What another container wrote is heard from its beginning.
        async with aclosing(self._api.follow(self._path(pod), **query)) as lines:
            async for line in lines:
                if line is not None:
                    self._take(pod, log, line[:LONGEST].decode(errors="replace").rstrip("\n"))

    def _take(self, pod: Pod, log: Log, line: str) -> None:
        stamp, _, text = line.partition(" ")
        # The kubelet leaves out zeros at the end of a time.
        if pod.container_id == self._container and stamp.rstrip("Z") <= self._stamp.rstrip("Z"):
            return  # heard before the stream was cut
        self._container, self._stamp = pod.container_id, stamp
        now = clock.monotonic()
        if concerns(text, *self._about):
            self._listening.take(log, text, now, clock.wall())
            self._listening.own_up(log, now)
        log.since = now

    def _path(self, pod: Pod) -> str:
        return f"{place('pods', self._namespace, pod.name)}/log"
