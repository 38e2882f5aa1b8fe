"""Steps and blocks as they stand in a file, compiled to nodes of the plan."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import BaseModel

from runner.language.models import IncludeText, ModifiersText
from runner.language.plan import Block, Catalogue, Kind, Modifiers, Position, Retry, Step
from runner.language.plan import Node as PlanNode
from runner.language.refusal import nearest
from runner.language.text import Json, Node, Path, Text, node_of, plain
from runner.language.types import Scope
from runner.language.validation import validate
from runner.language.variables import Variables

MODIFIERS = tuple(field.alias or name for name, field in ModifiersText.model_fields.items())
BLOCK = ("block", "rescue", "always")
HOLDERS = ("block", "parallel")
"""Kinds of steps that hold steps."""
LATE = ("name", "loop", "vars")
"""Modifiers that may hold templates which only the run can render."""
MOST_STEPS = 2000
MOST_INCLUDES = 20

Read = Callable[[str], tuple[Text, Node | None]]
"""Reads a file of the scenario once, however often it is included."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a list of steps stands: its file, its path in the plan, and what holds there."""

    text: Text
    path: str
    variables: Variables
    tags: frozenset[str] = frozenset()
    files: tuple[str, ...] = ()
    """The files that include each other down to here."""
    straight: bool = True
    """Whether a step here is reached once and surely, if all goes well."""


@dataclass(slots=True)
class Steps:
    """Compiles the steps of one scenario, in order; remembers what the steps so far have registered."""

    catalogue: Catalogue
    read: Read
    scope: Scope
    """What the scenario and the inventory declare, for references."""
    tags: Collection[str] = ()
    skip_tags: Collection[str] = ()
    registered: dict[str, Position | None] = field(default_factory=dict)
    """Where each name was surely registered; None if perhaps."""
    defined: set[str] = field(default_factory=set)
    """Names that `set` gives, among the registered ones."""
    faults: set[str] = field(default_factory=set)
    count: int = 0

    def compile(self, nodes: Sequence[Node], place: Place) -> tuple[PlanNode, ...]:
        """Give the plan nodes of a list of steps, without those that the tags leave out."""
        made = (
            self._node(node, replace(place, path=f"{place.path}[{index}]"))
            for index, node in enumerate(nodes)
        )
        return tuple(node for node in made if node is not None)

    def _node(self, node: Node, place: Place) -> PlanNode | None:
        text = place.text
        self.count += 1
        if self.count > MOST_STEPS:
            if self.count == MOST_STEPS + 1:
                text.refuse("too-many", f"More than {MOST_STEPS} steps, includes written out.", node)
            return None
        if not isinstance(node.value, dict):
            text.refuse("step", "A step is a mapping, such as `- deploy: {wait: 180s}`.", node)
            return None
        kind = self._kind(node, text)
        if kind is None:
            return None
        said = self._modifiers(node, place)
        if said is None:
            return None
        modifiers, variables = said
        below = replace(
            place,
            variables=variables,
            tags=place.tags | set(modifiers.tags),
            straight=place.straight
            and not modifiers.when
            and modifiers.loop is None
            and modifiers.retry is None,
        )
        made: PlanNode | None
        if kind == "block":
            made = self._block(node, modifiers, below)
        elif kind == "parallel":
            made = self._parallel(node, modifiers, below)
        elif kind == "include":
            made = self._include(node, modifiers, below)
        else:
            made = self._step(node, self.catalogue[kind], modifiers, below)
        if modifiers.register is not None:
            self._register(modifiers.register, node, below)
        return made

    def _kind(self, node: Node, text: Text) -> str | None:
        """Find what kind of step it is: exactly one key besides the modifiers says so."""
        kinds = [key for key in node.value if key in self.catalogue or key in (*HOLDERS, "include")]
        known = (*self.catalogue, "include", "parallel", *BLOCK, *MODIFIERS)
        strange = [key for key in node.value if key not in known]
        for key in strange:
            kinds_here = ", ".join([*sorted(self.catalogue), "include", *HOLDERS])
            hint = nearest(key, known) or f"Step kinds: {kinds_here}."
            text.refuse(
                "unknown-step", f"`{key}` is neither a step kind nor a modifier.", node.keys[key], hint
            )
        if len(kinds) > 1:
            message = f"A step is of one kind, and this is {' and '.join(f'`{kind}`' for kind in kinds)}."
            text.refuse("step", message, node.keys[kinds[1]], "Write two steps, each with its own dash.")
        elif not kinds and not strange:
            text.refuse("step", "The step does nothing: it has no step kind.", node)
        for key in ("rescue", "always"):
            if key in node.value and "block" not in node.value:
                text.refuse("step", f"`{key}` goes with `block`.", node.keys[key])
                return None
        return kinds[0] if len(kinds) == 1 and not strange else None

    def _modifiers(self, node: Node, place: Place) -> tuple[Modifiers, Variables] | None:
        """Give the modifiers, and the variables below them."""
        text, fixed = place.text, place.variables.fixed
        written = {key: child for key, child in node.value.items() if key in MODIFIERS}
        item = frozenset({"item"}) if "loop" in written else frozenset()
        here = place.variables.knowing({}, frozenset(self.registered)).knowing({}, item)
        conditions = {key: child for key, child in written.items() if key in ("when", "until")}
        rest = {key: child for key, child in written.items() if key not in conditions}
        settled, deferred = here.settle(replace(node, value=rest), text)
        late = {str(path[0]) for path in deferred}
        for key in sorted(late - set(LATE)):
            message = f"`{key}` has to be known before the run; a result of a step is not."
            text.refuse("template", message, written[key])
        prompt = replace(
            settled,
            value=conditions | {key: child for key, child in settled.value.items() if key not in late},
        )
        own = written["register"].value if "register" in written else None
        names = here.known | ({own} if isinstance(own, str) else set())
        said = validate(ModifiersText, prompt, text, scope=replace(self.scope, variables=names))
        if said is None or late - set(LATE):
            return None
        held = {key: plain(settled.value[key]) for key in late}
        given: Mapping[str, Json] = held.get("vars", said.vars) or {}
        given = {name: value for name, value in given.items() if name not in fixed}
        runtime = frozenset(str(path[1]) for path in deferred if path[0] == "vars" and len(path) > 1)
        modifiers = Modifiers(
            name=held.get("name", said.name),
            when=said.when,
            register=said.register_,
            loop=held.get("loop", said.loop),
            retry=None
            if said.until is None
            else Retry(said.until, said.retries or 3, _default(said.delay, 1.0)),
            timeout=said.timeout,
            ignore_errors=said.ignore_errors,
            tags=said.tags,
            vars=given,
            no_log=said.no_log,
            background=said.background,
        )
        known = {name: value for name, value in given.items() if name not in runtime}
        return modifiers, here.knowing(known, runtime)

    def _block(self, node: Node, modifiers: Modifiers, place: Place) -> Block | None:
        """Compile block, rescue and always; what a rescue may follow is not sure to have happened."""
        parts: dict[str, tuple[PlanNode, ...]] = {}
        for key in BLOCK:
            if key not in node.value:
                continue
            steps = node.value[key].value
            if not isinstance(steps, list) or not steps:
                place.text.refuse("step", f"`{key}` holds a list of steps.", node.value[key])
                continue
            sure = place.straight and (key == "always" or "rescue" not in node.value)
            parts[key] = self.compile(steps, replace(place, path=f"{place.path}.{key}", straight=sure))
        if not any(parts.values()):
            return None
        position = place.text.position(node)
        block, rescue, always = (parts.get(key, ()) for key in BLOCK)
        return Block(place.path, modifiers, position, block, rescue, always)

    def _parallel(self, node: Node, modifiers: Modifiers, place: Place) -> Block | None:
        """Compile steps that run side by side: none of them can read what another one registers."""
        text, steps = place.text, node.value["parallel"].value
        if not isinstance(steps, list) or not steps:
            text.refuse("step", "`parallel` holds a list of steps.", node.value["parallel"])
            return None
        made: list[PlanNode | None] = []
        before, faults = self.registered, self.faults
        after, hit = dict(before), set(faults)
        for index, each in enumerate(steps):
            self.registered, self.faults = dict(before), set(faults)
            made.append(self._node(each, replace(place, path=f"{place.path}.parallel[{index}]")))
            for name in self.registered.keys() - before.keys():
                if name in after:
                    message = f"`{name}` is registered by another step of this `parallel`, too."
                    text.refuse("register", message, each)
            after |= self.registered
            hit |= self.faults
        self.registered, self.faults = after, hit
        kept = tuple(each for each in made if each is not None)
        return Block(place.path, modifiers, text.position(node), kept, parallel=True) if kept else None

    def _include(self, node: Node, modifiers: Modifiers, place: Place) -> Block | None:
        """Compile the steps of another file, as a block that holds them."""
        text, written = place.text, node.value["include"]
        if not isinstance(written.value, dict):
            written = Node(
                {"file": written}, written.line, written.column, {"file": (written.line, written.column)}
            )
        settled, deferred = place.variables.settle(written, text)
        said = validate(IncludeText, settled, text)
        if said is None:
            return None
        if deferred:
            text.refuse("template", "What an include says has to be known before the run.", written)
            return None
        path = os.path.normpath(os.path.join(os.path.dirname(text.file), said.file))
        files = (*place.files, path)
        if path in place.files or len(files) > MOST_INCLUDES:
            chain = " -> ".join(files[-5:])
            text.refuse("include-loop", f"The includes do not end: {chain}.", written)
            return None
        other, root = self.read(path)
        if root is None:
            if other.unread:
                text.blame(other, written)
            return None
        if not isinstance(root.value, list):
            other.refuse("include", "An included file holds a list of steps.", root)
            return None
        given = {name: value for name, value in said.vars.items() if name not in place.variables.fixed}
        inside = replace(
            place,
            text=other,
            path=f"{place.path}.block",
            variables=place.variables.knowing(given),
            files=files,
        )
        steps = self.compile(root.value, inside)
        modifiers = replace(modifiers, vars={**modifiers.vars, **given})
        return Block(place.path, modifiers, text.position(node), steps) if steps else None

    def _step(self, node: Node, kind: Kind, modifiers: Modifiers, place: Place) -> Step | None:
        text = place.text
        written = _expanded(kind, node.value[kind.name])
        if not isinstance(written.value, dict):
            text.refuse("type", f"`{kind.name}` takes a mapping.", written)
            return None
        settled, deferred = place.variables.settle(written, text)
        scope = replace(self.scope, variables=place.variables.known, faults=frozenset(self.faults))
        arguments: BaseModel | None = validate(kind.model, settled, text, scope=scope, deferred=deferred)
        if not self._selected(place.tags):
            return None
        if kind.defines:
            self._define(written, place)
        if kind.is_fault and modifiers.register is not None:
            self.faults.add(modifiers.register)
        return Step(
            path=place.path,
            kind=kind.name,
            is_fault=kind.is_fault,
            modifiers=modifiers,
            position=text.position(node),
            raw=plain(written),
            arguments=None if deferred else arguments,
            positions=dict(_positions(written, text)),
        )

    def _define(self, written: Node, place: Place) -> None:
        """Note the variables that a step sets: again and again, but not over a result nor a fixed one."""
        for name, at in written.value.items():
            if name in place.variables.static:
                message = f"`{name}` is a variable that is known before the run: setting it would hide that."
                place.text.refuse("set", message, at, "Choose another name.")
            elif name in self.registered and name not in self.defined:
                place.text.refuse(
                    "set", f"`{name}` holds the result of a step: setting it would hide that.", at
                )
            self.registered.setdefault(name, place.text.position(at) if place.straight else None)
            self.defined.add(name)

    def _selected(self, tags: frozenset[str]) -> bool:
        """Say whether the tags of a step, with those it inherits, are wanted."""
        wanted = not self.tags or "always" in tags or not tags.isdisjoint(self.tags)
        return wanted and tags.isdisjoint(self.skip_tags)

    def _register(self, name: str, node: Node, place: Place) -> None:
        """Note a registered name; on a straight path one name holds one result."""
        text, at = place.text, node.value["register"]
        if name in place.variables.static:
            text.refuse("register", f"`{name}` is a variable already: the result would hide it.", at)
        elif place.straight and (first := self.registered.get(name)) is not None:
            text.refuse(
                "register", f"`{name}` is registered already, in {first.file}, line {first.line}.", at
            )
        if place.straight or name not in self.registered:
            self.registered[name] = text.position(at) if place.straight else None


def _default(value: float | None, default: float) -> float:
    return default if value is None else value


def _expanded(kind: Kind, node: Node) -> Node:
    """Expand a short form; what it is made of keeps its place, what is new takes that of the whole."""
    if kind.expand is None:
        return node
    known: dict[int, Node] = {}
    given = _noted(node, known)
    return _placed(kind.expand(given), node, known)


def _noted(node: Node, known: dict[int, Node]) -> Json:
    """Give the plain value, and note which of its mappings and lists is which node."""
    value: Json = node.value
    if isinstance(value, dict):
        value = {key: _noted(child, known) for key, child in value.items()}
    elif isinstance(value, list):
        value = [_noted(child, known) for child in value]
    else:
        return value
    known[id(value)] = node
    return value


def _placed(value: Json, whole: Node, known: Mapping[int, Node]) -> Node:
    if id(value) in known:
        return known[id(value)]
    if isinstance(value, dict):
        children = {key: _placed(child, whole, known) for key, child in value.items()}
        return Node(children, whole.line, whole.column, dict.fromkeys(children, (whole.line, whole.column)))
    if isinstance(value, list):
        return Node([_placed(child, whole, known) for child in value], whole.line, whole.column)
    return node_of(value, whole.line, whole.column)


def _positions(node: Node, text: Text, path: Path = ()) -> list[tuple[Path, Position]]:
    """Give where each value inside of a node stands."""
    found = [(path, text.position(node))]
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            found += _positions(child, text, (*path, key))
    elif isinstance(node.value, list):
        for index, child in enumerate(node.value):
            found += _positions(child, text, (*path, index))
    return found
