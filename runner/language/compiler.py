"""The compiler: scenario and inventory files to a Plan, offline, with every mistake of every file at once."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import BaseModel
from pydantic_core import PydanticCustomError

from runner.errors import InvalidInput, Problem
from runner.language import pack
from runner.language.applications import application, named
from runner.language.inventories import Home, inventory, own_variables
from runner.language.models import ScenarioText
from runner.language.plan import (
    Abort,
    Application,
    Block,
    Catalogue,
    Json,
    Plan,
    ProbeSpec,
    Scenario,
    Source,
    Step,
)
from runner.language.plan import Node as PlanNode
from runner.language.probes import SLOTS, check_endpoint, spec
from runner.language.refusal import nearest
from runner.language.rules import check_probes
from runner.language.steps import Place, Steps
from runner.language.templates import is_template
from runner.language.text import Node, Text, plain, read, scalar
from runner.language.types import Scope
from runner.language.validation import validate
from runner.language.variables import Variables

LATER = ("steps", "vars")
"""Keys of a scenario that are not rendered with the rest of it."""
LONGEST_SCRIPT = 100_000
"""Bytes: it is handed to its interpreter as one argument, of which Linux takes 128 KiB."""


def compile_files(
    files: Sequence[str],
    *,
    source: Source,
    catalogue: Catalogue,
    clusters: Mapping[str, type[BaseModel]],
    inventory: str,
    extra_vars: Sequence[str] | Mapping[str, Json] = (),
    app: str | None = None,
    path: str | None = None,
    seed: int = 0,
    tags: Collection[str] = (),
    skip_tags: Collection[str] = (),
    repeat: int | None = None,
) -> Plan:
    """Compile what the command line names to a plan.

    Each of `files` is a file, a folder (every scenario directly in it) or a built-in scenario's name.
    `inventory` is a file or a built-in inventory's name; `clusters` has the model of settings of each kind.
    `extra_vars` are variables that win over all others: a mapping, or texts as `-e` takes them.
    `app` (`module:name`, or an application's file) takes the place of every scenario's application; probes
    then lose an identity that they only have by default, since nobody knows what that application answers.
    `path` is asked for in every probe, `repeat` is how often every scenario runs. `tags` and `skip_tags`
    choose steps, which inherit the tags of their blocks and scenario. Raises InvalidInput with all problems.
    """
    reading = Remembering(source)
    compilation = Compilation(
        reading, catalogue, clusters, tags=tags, skip_tags=skip_tags, path=path, repeat=repeat
    )
    compilation.take_variables(extra_vars)
    compilation.take_application(app)
    compilation.take_inventory(inventory)
    scenarios = [made for file in files for made in compilation.scenarios(file)]
    compilation.check_whole(scenarios)
    problems = compilation.problems()
    if problems:
        raise InvalidInput(problems)
    assert compilation.home is not None
    return Plan(tuple(scenarios), compilation.home.inventory, seed, compilation.fixed, reading.known)


@dataclass(slots=True)
class Remembering:
    """A Source that knows afterwards what was read."""

    source: Source
    known: dict[str, bytes] = field(default_factory=dict)

    def read(self, path: str) -> bytes:
        """Read as the source does."""
        self.known[path] = self.source.read(path)
        return self.known[path]


@dataclass(slots=True)
class Compilation:
    """One compilation: every file read so far, and what the command line says for all of them."""

    source: Source
    catalogue: Catalogue
    clusters: Mapping[str, type[BaseModel]]
    tags: Collection[str]
    skip_tags: Collection[str]
    path: str | None
    repeat: int | None = None
    fixed: dict[str, Json] = field(default_factory=dict)
    typed: set[str] = field(default_factory=set)
    """Those of `fixed` that the user has just written, so that one that nothing reads is a mistake."""
    app: Application | None = None
    home: Home | None = None
    texts: dict[str, tuple[Text, Node | None]] = field(default_factory=dict)
    options: Text = field(default_factory=lambda: Text(""))
    """Problems of the command line itself."""
    compiled: set[str] = field(default_factory=set)
    declared: set[str] = field(default_factory=set)
    """Names that some file gives a variable."""

    def read(self, path: str) -> tuple[Text, Node | None]:
        """Read a file once."""
        if path not in self.texts:
            self.texts[path] = read(path, self.source)
        return self.texts[path]

    def problems(self) -> list[Problem]:
        """Give every problem once: those of the command line, then file by file, from top to bottom."""
        found: list[Problem] = []
        for text in (self.options, *(text for text, _ in self.texts.values())):
            unique = {(each.line, each.column, each.code, each.message): each for each in text.problems}
            found += [unique[key] for key in sorted(unique, key=lambda key: key[:2])]
        return found

    def take_variables(self, given: Sequence[str] | Mapping[str, Json]) -> None:
        """Take the variables of the command line: `key=value`, or `@file` with a mapping."""
        if isinstance(given, Mapping):
            self.fixed.update(given)
            return
        for each in given:
            name, equals, value = each.partition("=")
            if each.startswith("@"):
                text, root = self.read(each[1:])
                if root is not None and isinstance(root.value, dict):
                    self.fixed.update(plain(root))
                    self.typed.update(root.value)
                elif root is not None:
                    text.refuse("option", "A file of variables holds a mapping.", root)
            elif not equals or not re.fullmatch(r"[A-Za-z_]\w*", name):
                self.options.refuse("option", f"`-e {each}` is neither key=value nor @file.")
            else:
                self.typed.add(name)
                try:
                    self.fixed[name] = scalar(value)
                except PydanticCustomError:
                    self.fixed[name] = value  # what only YAML could misread is the text it looks like

    def take_application(self, app: str | None) -> None:
        """Take the application that replaces every scenario's."""
        if app is None:
            return
        if app.endswith(pack.SUFFIXES):
            self.app = self.application(app, Variables(fixed=self.fixed), self.options, (0, 0))
            return
        try:
            self.app = named(app)
        except InvalidInput as error:
            self.options.problems += error.problems

    def take_inventory(self, name: str) -> None:
        """Read the inventory; without one nothing can be compiled to its end."""
        path = pack.find(name, "inventories")
        text, root = self.read(path)
        if root is not None:
            self.home = inventory(root, text, self.clusters, self.fixed)
            if isinstance(root.value, dict):
                self._declare(root)
        elif text.unread and path == name:
            text.problems[0].help = pack.suggestion(name, "inventories")

    def application(
        self, path: str, variables: Variables, text: Text, place: Node | tuple[int, int]
    ) -> Application | None:
        """Read the application's file that is named at a place of a text."""
        other, root = self.read(path)
        if other.unread:
            text.blame(other, place)
        return None if root is None else application(root, other, variables)

    def scenarios(self, name: str) -> Iterator[Scenario]:
        """Compile the scenarios that a file, a folder or a built-in name stands for."""
        path = pack.find(name, "scenarios")
        if not os.path.isdir(path):
            yield from self._file(path, name)
            return
        try:
            paths = pack.contents(path)
        except OSError as error:
            self.options.refuse("file", f"The folder {path} cannot be read: {error.strerror}.")
            return
        before = len(self.compiled)
        for each in paths:
            if looks_like_scenario(self.read(each)[1]):
                yield from self._file(each, each)
        if len(self.compiled) == before and not self.problems():
            self.options.refuse("file", f"The folder {path} holds no scenario.")

    def _file(self, path: str, name: str) -> Iterator[Scenario]:
        text, root = self.read(path)
        if root is None:
            if text.unread and path == name and not os.path.lexists(path):
                text.problems[0].help = pack.suggestion(name, "scenarios")
            return
        if path in self.compiled:
            return
        self.compiled.add(path)
        for node in root.value if isinstance(root.value, list) else [root]:
            made = self._scenario(node, text)
            if made is not None:
                yield made

    def _declare(self, root: Node) -> None:
        own = root.value.get("vars")
        if own is not None and isinstance(own.value, dict):
            self.declared.update(own.value)

    def _scenario(self, root: Node, text: Text) -> Scenario | None:
        if not isinstance(root.value, dict):
            text.refuse("scenario", "A scenario is a mapping with `name` and `steps`.", root)
            return None
        self._declare(root)
        around = Variables(self.home.inventory.vars if self.home else {}, frozenset(), self.fixed)
        variables = own_variables(root, text, around.knowing(self.fixed))
        prompt = replace(root, value={key: child for key, child in root.value.items() if key not in LATER})
        settled, _ = variables.settle(prompt, text)
        late = {key: child for key, child in root.value.items() if key in LATER}
        said = validate(ScenarioText, replace(settled, value={**settled.value, **late}), text)
        if said is None and not isinstance(settled.value.get("probes", Node({}, 0, 0)).value, dict):
            return None
        cluster = settled.value.get("cluster", Node({}, root.line, root.column))
        endpoints = self._endpoints(cluster, text)
        probes = settled.value.get("probes")
        declared = list(probes.value) if probes else []
        if probes and endpoints is not None:
            _check_endpoints(probes, text, endpoints)
        steps = Steps(
            self.catalogue,
            self.read,
            Scope(
                probes=declared,
                commands=self.home.inventory.commands.keys() if self.home else None,
                endpoints=endpoints,
            ),
            tags=self.tags,
            skip_tags=self.skip_tags,
        )
        written = root.value.get("steps")
        if written is None or not isinstance(written.value, list):
            return None
        own_tags = frozenset(said.tags) if said else frozenset()
        place = Place(text, "steps", variables, own_tags, (os.path.normpath(text.file),))
        nodes = steps.compile(written.value, place)
        for finding in check_probes(nodes, declared):
            where = self.read(finding.position.file)[0] if finding.position.file != text.file else text
            where.refuse(finding.code, finding.message, (finding.position.line, finding.position.column))
        folder = os.path.dirname(text.file)
        app = self._own_application(settled, text, variables, folder)
        apps = self._other_applications(nodes, variables, folder)
        if said is None or not nodes:
            return None
        return Scenario(
            name=said.name,
            file=text.file,
            position=text.position(root),
            description=said.description,
            tags=said.tags,
            requires=said.requires,
            cluster=said.cluster,
            app=app,
            apps=apps,
            scripts=self._scripts(nodes, folder),
            probes=self._probes(said, settled, text),
            vars=variables.static,
            steps=nodes,
            timeout=said.timeout,
            repeat=said.repeat if self.repeat is None else self.repeat,
            abort_when=Abort(**said.abort_when.model_dump()) if said.abort_when is not None else None,
        )

    def _probes(self, said: ScenarioText, settled: Node, text: Text) -> dict[str, ProbeSpec]:
        places = settled.value["probes"].value if said.probes else {}
        return {
            name: spec(
                name,
                probe,
                said.probe_defaults,
                text.position(places[name]),
                path=self.path,
                foreign=self.app is not None,
            )
            for name, probe in said.probes.items()
        }

    def _endpoints(self, cluster: Node, text: Text) -> Collection[str] | None:
        """Validate the inventory's settings overlaid by the scenario's; give the slots there will be."""
        if self.home is None or not isinstance(cluster.value, dict):
            return None
        if "kind" in cluster.value:
            message = "The kind of cluster is the inventory's to say: scenarios run on any."
            text.refuse("cluster", message, cluster.keys["kind"])
            return None
        merged = replace(
            cluster,
            value={**self.home.cluster.value, **cluster.value},
            keys={**self.home.cluster.keys, **cluster.keys},
        )
        settings = validate(self.home.settings, merged, text)
        if settings is None:
            return None
        if self.home.inventory.kind == "external":
            return self.home.inventory.endpoints.keys()
        workers = getattr(settings, "workers", 0)
        return {
            *SLOTS,
            *(f"worker-{number + 1}" for number in range(workers)),
            *self.home.inventory.endpoints,
        }

    def _own_application(
        self, node: Node, text: Text, variables: Variables, folder: str
    ) -> Application | None:
        """Give the command line's application, else the scenario's own."""
        if self.app is not None:
            return self.app
        written = node.value.get("app")
        if written is None or not isinstance(written.value, str):
            return None
        path = os.path.join(folder, written.value)
        return self.application(path, variables, text, written)

    def _other_applications(
        self, nodes: Sequence[PlanNode], variables: Variables, folder: str
    ) -> dict[str, Application]:
        """Read the applications that deploy steps name; their paths begin at the scenario's folder."""
        found: dict[str, Application] = {}
        for name, text, place in self._named(nodes, "deploy", "app"):
            if name not in found:
                made = self.application(os.path.join(folder, name), variables, text, place)
                if made is not None:
                    found[name] = made
        return found

    def _scripts(self, nodes: Sequence[PlanNode], folder: str) -> dict[str, str]:
        """Read the scripts that steps run; their paths begin at the scenario's folder."""
        found: dict[str, str] = {}
        for name, text, place in self._named(nodes, "script", "file"):
            path = os.path.join(folder, name)
            try:
                raw = self.source.read(path)
                found[name] = raw.decode()
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
                text.refuse("file", f"{path}: The script cannot be read: {why}.", place)
                continue
            if len(raw) > LONGEST_SCRIPT:
                text.refuse("too-large", f"{path}: A script has at most {LONGEST_SCRIPT} bytes.", place)
        return found

    def _named(
        self, nodes: Sequence[PlanNode], kind: str, key: str
    ) -> Iterator[tuple[str, Text, tuple[int, int]]]:
        """Give the files that steps of a kind name, and where; they are read before the run.

        So nothing missing is found out with a cluster half set up.
        """
        for step in walk(nodes):
            if step.kind != kind:
                continue
            names = getattr(step.arguments, key, None) if step.arguments else step.raw.get(key)
            for index, name in enumerate(names if isinstance(names, list | tuple) else [names]):
                at = step.positions.get((key, index)) or step.positions.get((key,), step.position)
                text, place = self.read(at.file)[0], (at.line, at.column)
                if is_template(name):
                    text.refuse("template", f"The `{key}` of `{kind}` has to be known before the run.", place)
                elif isinstance(name, str):
                    yield name, text, place

    def check_whole(self, scenarios: Sequence[Scenario]) -> None:
        """Find what is wrong with all the scenarios taken together."""
        seen: dict[str, Scenario] = {}
        for scenario in scenarios:
            if scenario.name in seen:
                other = seen[scenario.name]
                message = (
                    f"A scenario `{scenario.name}` stands in {other.file}, line {other.position.line}, too."
                )
                place = (scenario.position.line, scenario.position.column)
                self.read(scenario.file)[0].refuse("same-name", message, place, "Histories join on names.")
            seen.setdefault(scenario.name, scenario)
        if not scenarios and not self.problems() and (self.tags or self.skip_tags):
            self.options.refuse("tags", "The tags leave no step to run.")
        lines = [line for text, _ in self.texts.values() for line in text.lines]
        for name in sorted(self.typed) if not self.problems() else ():
            if not any(re.search(rf"\b{re.escape(name)}\b", line) for line in lines):
                known = f"Variables here: {', '.join(sorted(self.declared)) or 'none'}."
                message = f"`-e {name}`: no file reads a variable of that name."
                self.options.refuse("option", message, help=nearest(name, self.declared) or known)


def _check_endpoints(probes: Node, text: Text, slots: Collection[str]) -> None:
    for probe in probes.value.values() if isinstance(probes.value, dict) else ():
        endpoint = probe.value.get("endpoint") if isinstance(probe.value, dict) else None
        if endpoint is None or not isinstance(endpoint.value, str):
            continue
        try:
            check_endpoint(endpoint.value, slots)
        except PydanticCustomError as error:
            text.refuse(error.type, error.message(), endpoint, (error.context or {}).get("help"))


def walk(nodes: Sequence[PlanNode]) -> Iterator[Step]:
    """Give every step, in order, those of blocks included."""
    for node in nodes:
        if isinstance(node, Block):
            yield from walk((*node.block, *node.rescue, *node.always))
        else:
            yield node


def looks_like_scenario(root: Node | None) -> bool:
    """Say whether a file of a folder is meant to be a scenario; one that cannot be read may be."""
    if root is None:
        return True
    first = root.value[0] if isinstance(root.value, list) and root.value else root
    return isinstance(first.value, dict) and "steps" in first.value
