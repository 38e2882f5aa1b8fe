"""What the journal says so far of one scenario, kept up to date event by event. Steps decide on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.journal.events import (
    ClockPing,
    ClusterEvent,
    Event,
    FaultConfirmed,
    FaultHealed,
    FaultInjected,
    FaultIntent,
    FaultRecovered,
    Observation,
    ProbeStart,
    ProbeSteady,
    ProbeStop,
)
from runner.language.plan import Application

if TYPE_CHECKING:
    import asyncio

Json = Any
Document = Mapping[str, Json]

PINGS = 60
"""So many of the last pings are enough to know another clock now."""


def _signal() -> asyncio.Event:
    # Imported late: `ftrun check` reads the models of steps and has no loop.
    import asyncio

    return asyncio.Event()


@dataclass(slots=True)
class Fault:
    """A fault so far; `before` is the state document that held when it was about to hit."""

    number: int
    name: str
    target: str
    hits: tuple[Mapping[str, Json], ...]
    well: Document | None
    """What has to come back: the state document from before the first of the faults that still last."""
    before: Document | None
    intent: float
    ends: bool = True
    """What it hit is gone for good."""
    lasts: bool = False
    """It lasts until somebody heals it."""
    injected: float | None = None
    confirmed: bool | None = None
    healed: float | None = None
    missing: float | None = None
    """When the cluster was last known not to be as before yet."""
    recovered: float | None = None


@dataclass(slots=True)
class Scene:
    """The scenario so far. Times are seconds since the run's zero."""

    observation: Observation | None = None
    """The last observation."""
    document: Document | None = None
    """The state document that it gave, or referred to."""
    faults: list[Fault] = field(default_factory=list)
    probes: dict[str, ProbeStart] = field(default_factory=dict)
    """Those that run."""
    steady: dict[str, float] = field(default_factory=dict)
    happenings: list[ClusterEvent] = field(default_factory=list)
    pings: deque[ClockPing] = field(default_factory=lambda: deque(maxlen=PINGS))
    """The last ones; none where the prober reads this machine's clock."""
    applications: tuple[Application, ...] = ()
    """What Serve was last told to have."""
    deployed: float = 0.0
    """When that was."""
    floor: float = 0.0
    """Only observations asked from here on count: the last fault, its healing, or the last deployment."""
    places: dict[str, str] = field(default_factory=dict)
    """Where the endpoint of a slot stands now, as far as that was said: it may move."""
    withheld: str = ""
    """Why no fault may be injected any more; empty as long as they may."""
    _known: dict[str, tuple[Document | None, float]] = field(default_factory=dict)
    """By list of the state document the last one in which it was known, and when that was asked for."""
    _changed: asyncio.Event = field(default_factory=_signal)

    def hear(self, event: Event) -> None:
        """Take in one event, and wake whoever waits."""
        match event:
            case Observation():
                self.observation = event
                if event.document is not None:
                    self.document = event.document
                self._learn(event)
            case ClockPing():
                self.pings.append(event)
            case ClusterEvent():
                self.happenings.append(event)
                if event.data.get("event") == "moved":
                    self.places[event.slot] = event.data["url"]
            case ProbeStart():
                self.probes[event.probe] = event
            case ProbeSteady():
                self.steady[event.probe] = event.at
            case ProbeStop():
                self.probes.pop(event.probe, None)
            case FaultIntent():
                # While an earlier fault lasts, what is seen is not what has to come back.
                lasting = self.faults[-1] if self.faults and self.faults[-1].recovered is None else None
                well, before = lasting.well if lasting else self.document, self.document
                self.faults.append(
                    Fault(
                        event.fault,
                        event.name,
                        event.target,
                        event.hits,
                        well,
                        before,
                        event.t,
                        event.ends,
                        event.lasts,
                    )
                )
                self.floor = event.t
            case FaultInjected() | FaultConfirmed() | FaultHealed() | FaultRecovered():
                self._progress(event)
            case _:
                pass
        self._changed.set()
        self._changed = _signal()

    def _learn(self, event: Observation) -> None:
        for name, value in (self.document or {}).items():
            if isinstance(value, list) and name not in (self.document or {}).get("unknown", ()):
                self._known[name] = (self.document, event.asked)

    def _progress(self, event: FaultInjected | FaultConfirmed | FaultHealed | FaultRecovered) -> None:
        for fault in self.faults:
            if fault.number != event.fault:
                continue
            match event:
                case FaultInjected():
                    fault.injected = event.at
                    self.floor = max(self.floor, event.at)
                case FaultConfirmed():
                    fault.confirmed = event.confirmed
                case FaultHealed():
                    fault.healed = event.at
                    if fault.lasts:
                        # What was seen while it lasted says nothing of what holds without it.
                        self.floor = max(self.floor, event.at)
                case FaultRecovered():
                    fault.recovered = event.at

    def fault(self, name: str) -> Fault | None:
        """Give the last fault of that name."""
        return next((fault for fault in reversed(self.faults) if fault.name == name), None)

    @property
    def fresh(self) -> Document | None:
        """The state document, if it was asked for after the last fault and the last deployment."""
        if self.observation is None or self.observation.asked < self.floor:
            return None
        return self.document

    def known(self, name: str, *, since: float = 0.0) -> Document | None:
        """Give the last state document, asked for from `since` on, in which a list is known."""
        document, asked = self._known.get(name, (None, 0.0))
        return document if asked >= since else None

    async def changed(self, within: float) -> None:
        """Return at the next event, or after `within` seconds."""
        import asyncio

        heard = self._changed
        try:
            async with asyncio.timeout(within):
                await heard.wait()
        except TimeoutError:
            pass
