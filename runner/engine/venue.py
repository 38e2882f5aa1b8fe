"""The cluster that scenarios run on: made when first needed, kept while it fits, removed at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from runner.clusters.contract import Cluster, Context
from runner.engine.undo import Undos
from runner.errors import FtrunError
from runner.journal.journal import Journal
from runner.journal.redaction import Secrets
from runner.language.plan import Plan, Scenario


def settings(plan: Plan, scenario: Scenario) -> BaseModel:
    """Give the settings of a scenario's cluster: the inventory's, overlaid by the scenario's."""
    model: type[BaseModel] = import_module(f"runner.clusters.{plan.inventory.kind}.settings").Settings
    said: Mapping[str, Any] = {**plan.inventory.cluster, **scenario.cluster}
    try:
        return model.model_validate(said)
    except ValidationError as error:
        why = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise FtrunError(f"The settings of the cluster of {scenario.name} are wrong: {why}.") from error


def in_order(plan: Plan) -> Plan:
    """Let scenarios that want the same cluster follow each other, those that came first first.

    A cluster takes longer to come up than most faults last.
    """
    groups: list[tuple[BaseModel | None, list[Scenario]]] = []
    for scenario in plan.scenarios:
        try:
            wanted = settings(plan, scenario)
        except FtrunError:
            wanted = None  # said when its turn comes
        same = next((group for chosen, group in groups if chosen is not None and chosen == wanted), None)
        if same is None:
            groups.append((wanted, [scenario]))
        else:
            same.append(scenario)
    return replace(plan, scenarios=tuple(scenario for _, group in groups for scenario in group))


def opened(plan: Plan, chosen: BaseModel, run: str, folder: Path, secrets: Secrets | None = None) -> Cluster:
    """Give the cluster of these settings; nothing is started yet."""
    inventory = plan.inventory
    context = Context(
        run=run,
        folder=folder,
        seed=plan.seed,
        endpoints=inventory.endpoints,
        commands=inventory.commands,
        allow=frozenset(inventory.allow),
        hosts=inventory.hosts,
        beside=Path(inventory.file).parent,
        secrets=secrets or Secrets(),
    )
    cluster: Cluster = import_module(f"runner.clusters.{inventory.kind}.cluster").open_cluster(
        chosen, context
    )
    return cluster


class Venue:
    """Hands a cluster to one scenario after the other."""

    def __init__(self, plan: Plan, journal: Journal, run: str, folder: Path) -> None:
        self._plan = plan
        self._journal = journal
        self._run = run
        self._folder = folder
        self._settings: BaseModel | None = None
        self._cluster: Cluster | None = None
        self._undos = Undos(journal)
        self._announced = False

    def fits(self, scenario: Scenario) -> bool:
        """Whether the cluster that runs is one that the scenario would make."""
        return self._cluster is not None and settings(self._plan, scenario) == self._settings

    async def cluster(self, scenario: Scenario) -> Cluster:
        """Give the cluster that runs, where it fits; else remove it and make another.

        Raises CannotRun with the tail of the right log where it does not come up.
        """
        if self._cluster is not None and self.fits(scenario):
            return self._cluster
        await self.leave()
        chosen = settings(self._plan, scenario)
        cluster = opened(self._plan, chosen, self._run, self._folder, self._journal.secrets)
        closing = cluster.closing()
        if closing is not None:
            self._undos.push(closing, cluster.close)
        self._announced = closing is not None
        self._cluster, self._settings = cluster, chosen
        await cluster.start()
        return cluster

    async def leave(self) -> list[str]:
        """Remove the cluster, if there is one; give what went wrong."""
        cluster, self._cluster = self._cluster, None
        if cluster is None:
            return []
        if self._announced:
            return await self._undos.unwind()
        await cluster.close()
        return []
