"""Probes as the plan has them: what the scenario says of each, its defaults, and the built-in ones."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Any

from runner.language.models import ProbeDefaults, ProbeText
from runner.language.plan import Identity, Position, ProbeSpec
from runner.language.refusal import mistake, nearest

GROUPS = ("each-worker", "each-node")
"""Endpoints that stand for several slots."""
OWN_PATHS = "/-/"
"""What a proxy of Serve answers by itself starts so, such as `/-/healthz`: no application is asked."""
SLOTS = ("service", "head")
"""Slots that every Ray cluster has, besides its workers."""


def spec(
    name: str,
    probe: ProbeText,
    defaults: ProbeDefaults,
    position: Position,
    *,
    path: str | None,
    foreign: bool,
) -> ProbeSpec:
    """Give the specification of a probe.

    `path` is asked for instead of the probe's own, unless that is one of Serve itself. With a `foreign`
    application in place of the scenario's, an identity that comes from the defaults is dropped: what is in
    that application's body, nobody knows.
    """

    def said(field: str) -> Any:
        return getattr(probe if field in probe.model_fields_set else defaults, field)

    rate, timeout, slow, blind = said("rate"), said("timeout"), said("slow"), said("blind_after")
    most = said("max_in_flight")
    identity = probe.identity if foreign or "identity" in probe.model_fields_set else defaults.identity
    return ProbeSpec(
        name=name,
        endpoint=probe.endpoint,
        connections=tuple(dict.fromkeys(said("connection"))),
        path=said("path") if path is None or said("path").startswith(OWN_PATHS) else path,
        method=said("method"),
        headers={**defaults.headers, **probe.headers},
        body=said("body"),
        rate=rate,
        timeout=timeout,
        slow_after=timeout / 4 if slow is None else slow,
        blind_after=max(2 / rate, 0.1) if blind is None else blind,
        recover_after=said("recover_after"),
        # Twice what a steady rate can have open: reached only by a prober that was stopped for a while.
        max_in_flight=max(64, math.ceil(2 * rate * timeout)) if most is None else most,
        expect=said("expect").settled(),
        identity=Identity("body") if identity == "body" else identity.settled() if identity else None,
        position=position,
        origin=said("from_"),
    )


def check_endpoint(endpoint: str, slots: Collection[str]) -> None:
    """Refuse an endpoint that the cluster will not have (a `mistake`)."""
    if endpoint in slots or endpoint in GROUPS or re.match(r"https?://", endpoint):
        return
    there = f"There are: {', '.join(sorted({*slots, *GROUPS}))}; or a URL."
    hint = nearest(endpoint, {*slots, *GROUPS}) or there
    raise mistake("unknown-endpoint", f"There is no endpoint `{endpoint}`.", hint)
