"""What a step receives: its scenario, the cluster, the journal and what it says so far."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.errors import FtrunError, Unmet
from runner.language.types import duration

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from runner.clusters.contract import Cluster, Endpoint, Facts
    from runner.journal.journal import Journal
    from runner.language.plan import Inventory, Scenario, Step
    from runner.probes.session import Session
    from runner.steps.scene import Scene
    from runner.timeline.clocks import Axis

Json = Any
Check = Callable[[], Awaitable[str | None]]
"""Gives what is still missing, or None."""

TICK = 0.1
"""Seconds between two looks at what no event announces: samples, endpoints."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The scenario's part is shared by all steps; from `step` on it is this step's own."""

    number: int
    """Index of the scenario in the run."""
    scenario: Scenario
    inventory: Inventory
    cluster: Cluster
    facts: Facts
    journal: Journal
    folder: Path
    """The run folder."""
    scene: Scene
    probing: Callable[[str], Awaitable[Session]]
    """Gives the scenario's prober in the `cluster`, or `here`, started when it is first asked for."""
    heal: Callable[[int], Awaitable[Sequence[str]]]
    """Puts back what the fault of a number broke; gives a sentence for each thing that could not be."""
    jobs: dict[str, asyncio.Task[FtrunError | None]]
    """Background steps by the name they register."""
    registered: dict[str, Json]
    """What steps have registered or set so far, by name."""
    step: Step | None = None
    path: str = ""
    """Of this instance of the step."""
    variables: Mapping[str, Json] = field(default_factory=dict)
    abreast: Callable[[], Awaitable[None]] | None = None
    """Given to a fault that stands in a `parallel`: returns once all faults there are armed."""
    forgiven: bool = False
    """An unmet wait of this instance counts for nothing: it is tried again, or its errors are ignored."""

    @property
    def axis(self) -> Axis:
        """How the clock of the prober in the cluster stands to the run's now."""
        from runner.timeline.clocks import Axis, pinged

        return Axis(round(self.journal.zero * 1e9), pinged(self.scene.pings, self.journal.zero) or None)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Give the endpoints where they stand now."""
        from dataclasses import replace

        places = self.scene.places
        return tuple(replace(each, url=places.get(each.slot, each.url)) for each in self.facts.endpoints)

    async def until(
        self,
        check: Check,
        *,
        timeout: float,
        waited: str,
        tick: float | None = None,
        known: Mapping[str, Json] | None = None,
    ) -> None:
        """Wait until `check` misses nothing; it is asked after every event, and every `tick` seconds.

        Journals how the wait ended, and why that is known. Raises Unmet with the last mismatch; a check may
        raise it itself, where waiting longer is in vain.
        """
        deadline = self.journal.now() + timeout
        try:
            while (mismatch := await check()) is not None:
                left = deadline - self.journal.now()
                if left <= 0:
                    raise Unmet(mismatch)
                await self.scene.changed(min(left, tick or left))
        except Unmet as error:
            if not self.forgiven:
                self._ended(waited, met=False, mismatch=error.message, known=known)
            raise Unmet(
                f"Waited for {waited}, {duration(timeout)} at most, and saw last: {error.message}"
            ) from error
        self._ended(waited, met=True, known=known)

    def _ended(self, waited: str, *, met: bool, known: Mapping[str, Json] | None, mismatch: str = "") -> None:
        from runner.journal.events import WaitEnd

        self.journal.append(
            WaitEnd(
                scenario=self.number,
                path=self.path,
                met=met,
                waited=waited,
                mismatch=mismatch,
                after_fault=bool(self.scene.faults),
                known=known,
            )
        )
