"""What a file may say: the models of scenarios, probes, modifiers, inventories and applications.

They hold what one place of a file says, with templates that are known at load time already rendered. The
compiler makes the Plan of them. The JSON Schema that editors use is generated from the same models.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from runner.language.plan import Expectation, Identity
from runner.language.refusal import mistake, nearest
from runner.language.types import Duration, Model, Rate, RegexText, TemplateText

Json = Any

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RANGE = re.compile(r"(?P<first>[1-5]\d\d)\s*-\s*(?P<last>[1-5]\d\d)|(?P<hundred>[1-5])xx")


def identifier(value: str) -> str:
    """Refuse a name that templates could not read."""
    if not _IDENTIFIER.fullmatch(value):
        raise mistake(
            "name",
            f"`{value}` cannot be used as a variable.",
            "Use letters, digits and _, not a digit first.",
        )
    if value == "item":
        raise mistake("name", "`item` is what a loop calls its current value.", "Choose another name.")
    return value


def _listed(value: Any) -> Any:
    """Read one value as a list of one."""
    return value if isinstance(value, list | tuple) else [value]


def _conditions(value: Any) -> Any:
    """Read a condition as a list of one; a boolean is a condition, too."""
    return [str(each).lower() if isinstance(each, bool) else each for each in _listed(value)]


def _url(value: str) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        good = False
    if not good:
        raise mistake("url", f"`{value}` is not a URL that can be asked.", "Write it as http://host:port.")
    return value


def _printable(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not name or not f"{name}{value}".isprintable() or not name.isascii() or ":" in name or " " in name:
            raise mistake("header", f"`{name}: {value}` is not a header.")
    return headers


def _statuses(value: Any) -> tuple[tuple[int, int], ...]:
    """Give the ranges of `200`, `2xx`, `200-299`, or a list of these."""
    ranges: list[tuple[int, int]] = []
    for each in _listed(value):
        match = _RANGE.fullmatch(each) if isinstance(each, str) else None
        if isinstance(each, int) and not isinstance(each, bool) and 100 <= each <= 599:
            ranges.append((each, each))
        elif match and match["hundred"]:
            ranges.append((int(match["hundred"]) * 100, int(match["hundred"]) * 100 + 99))
        elif match and match["first"] <= match["last"]:
            ranges.append((int(match["first"]), int(match["last"])))
        else:
            raise mistake(
                "status", f"{each!r} is not an HTTP status.", "Write 200, 2xx, 200-299, or a list of these."
            )
    return tuple(ranges)


Name = Annotated[
    str, AfterValidator(identifier), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z_]\\w*$"})
]
"""A name that templates can read."""

Tags = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(_listed, json_schema_input_type=str | list[str]),
]
Conditions = Annotated[
    tuple[TemplateText, ...],
    BeforeValidator(_conditions, json_schema_input_type=bool | str | list[str | bool]),
]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
Headers = Annotated[dict[str, str], AfterValidator(_printable)]
Url = Annotated[str, AfterValidator(_url)]
Variables = dict[Name, Json]
Connections = Annotated[
    tuple[Literal["new", "reused"], ...],
    BeforeValidator(
        _listed, json_schema_input_type=Literal["new", "reused"] | list[Literal["new", "reused"]]
    ),
]


class Expect(Model):
    """What a right answer is."""

    status: Annotated[
        tuple[tuple[int, int], ...],
        BeforeValidator(_statuses, json_schema_input_type=int | str | list[int | str]),
    ] = ((200, 299),)
    body: RegexText | None = Field(
        default=None, description="A regular expression that the body has to hold."
    )

    def settled(self) -> Expectation:
        """Give it as the plan holds it."""
        return Expectation(self.status, self.body)


def _expect(value: Any) -> Any:
    """Read a status alone as an expectation."""
    return value if isinstance(value, dict | Expect) else {"status": value}


Expected = Annotated[
    Expect, BeforeValidator(_expect, json_schema_input_type=int | str | list[int | str] | Expect)
]


class By(Model):
    """Where in an answer it stands who gave it."""

    json_: tuple[str | int, ...] | None = Field(
        default=None,
        alias="json",
        min_length=1,
        description="Keys and indexes that lead there in a JSON body.",
    )
    header: str | None = Field(default=None, min_length=1, description="The name of a header.")
    regex: RegexText | None = Field(
        default=None, description="Group 1 of its match in the body, or the whole match."
    )

    @model_validator(mode="after")
    def _one_way(self) -> By:
        if sum(way is not None for way in (self.json_, self.header, self.regex)) != 1:
            raise mistake("identity", "An identity is read in one way: json, header or regex.")
        return self

    def settled(self) -> Identity:
        """Give it as the plan holds it."""
        if self.json_ is not None:
            return Identity("json", list(self.json_))
        return Identity("header", self.header) if self.header is not None else Identity("regex", self.regex)


class ProbeDefaults(Model):
    """What all probes of a scenario share, unless they say otherwise."""

    connection: Connections = ("new",)
    path: str = Field(default="/", pattern="^/", description="What is asked for, such as /predict.")
    method: Method = "GET"
    headers: Headers = Field(default_factory=dict)
    body: str | None = Field(default=None, description="What is sent with each request.")
    rate: Rate = 20.0
    timeout: Duration = Field(default=2.0, gt=0, description="Silence for this long is a failed request.")
    slow: Duration | None = Field(
        default=None, gt=0, description="Later answers are bad; a quarter of the timeout."
    )
    blind_after: Duration | None = Field(default=None, gt=0, description="A longer gap of evidence is blind.")
    recover_after: Duration = Field(default=1.0, description="How long good answers take to close a window.")
    max_in_flight: int | None = Field(default=None, ge=1, description="Requests open at once, per series.")
    expect: Expected = Expect.model_construct()  # not validated: that would build the model now
    identity: Literal["body"] | By | None = Field(
        default=None, description="Where an answer says who gave it."
    )
    from_: Literal["cluster", "here"] = Field(
        default="cluster",
        alias="from",
        description="Where requests come from: where users of the cluster are, or beside ftrun.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> ProbeDefaults:
        if self.slow is not None and self.slow > self.timeout:
            raise mistake("probe", "`slow` is above the timeout: no answer could ever be slow.")
        return self


class ProbeText(ProbeDefaults):
    """A probe: requests at a fixed rate, whatever becomes of the earlier ones."""

    endpoint: str = Field(
        description="service, each-worker, each-node, head, worker-1, one that the inventory gives, or a URL."
    )


class AbortText(Model):
    """Limits on a probe that end the scenario as soon as one of them is exceeded."""

    probe: str
    longest: Duration | None = Field(default=None, description="The longest downtime window.")
    total: Duration | None = Field(default=None, description="All downtime together.")
    failed: int | None = Field(default=None, ge=0, description="Number of failed requests.")

    @model_validator(mode="after")
    def _something(self) -> AbortText:
        if self.longest is None and self.total is None and self.failed is None:
            raise mistake("limit", "`abort_when` needs a limit: longest, total or failed.")
        return self


Capability = Literal[
    "deploy", "observe", "exec", "node", "actor", "process", "redis", "power_off", "freeze", "partition",
    "drain", "command", "evict", "host", "operator", "upgrade", "incremental_upgrade",
]  # fmt: skip
"""What a cluster may be able to do."""


class ScenarioText(Model):
    """A scenario: what it claims, what it runs on, and its steps."""

    name: str = Field(min_length=1, description="Histories join on it.")
    description: str = ""
    tags: Tags = ()
    requires: tuple[Capability, ...] = Field(
        default=(), description="What a cluster must be able to do; elsewhere the scenario is skipped."
    )
    vars: Variables = Field(default_factory=dict)
    cluster: dict[str, Json] = Field(
        default_factory=dict,
        description="What the scenario is about: made so locally, compared when attached.",
    )
    app: str | None = Field(default=None, description="The application's file, beside this one.")
    probe_defaults: ProbeDefaults = ProbeDefaults.model_construct()
    probes: dict[Annotated[str, Field(min_length=1)], ProbeText] = Field(default_factory=dict)
    steps: tuple[Json, ...] = Field(min_length=1)
    timeout: Duration | None = Field(
        default=None, gt=0, description="The longest the whole scenario may take."
    )
    repeat: int | None = Field(
        default=None, ge=1, le=1000, description="How often it runs; each time its first fault is delayed."
    )
    abort_when: AbortText | None = Field(
        default=None, description="It is given up where a probe exceeds this."
    )

    @field_validator("probes")
    @classmethod
    def _none_is_all(cls, probes: dict[str, ProbeText]) -> dict[str, ProbeText]:
        for name in probes:
            if name == "all" or not re.fullmatch(r"[\w.-]+", name):
                raise mistake(
                    "name", f"`{name}` cannot name a probe.", "Use letters, digits, - and _; not `all`."
                )
        return probes

    @model_validator(mode="after")
    def _watched(self) -> ScenarioText:
        watched = self.abort_when.probe if self.abort_when is not None else None
        if watched is not None and watched not in self.probes:
            there = f"There are: {', '.join(sorted(self.probes))}." if self.probes else "There is none."
            raise mistake(
                "unknown-probe",
                f"`abort_when`: there is no probe `{watched}`.",
                nearest(watched, self.probes) or there,
            )
        return self


class ModifiersText(Model):
    """What every step and block may carry."""

    name: str | None = Field(default=None, description="What the step is for, in words.")
    when: Conditions = Field(default=(), description="Conditions without braces, all of which must hold.")
    register_: Name | None = Field(
        default=None, alias="register", description="The name that holds the step's result."
    )
    loop: list[Json] | None = Field(
        default=None, description="Run once for each value, which is called `item`."
    )
    until: TemplateText | None = Field(default=None, description="Run again until this holds.")
    retries: int | None = Field(default=None, ge=1, description="How often again, at most; with `until`, 3.")
    delay: Duration | None = Field(default=None, description="Between two tries; with `until`, 1s.")
    timeout: Duration | None = Field(default=None, gt=0)
    ignore_errors: bool = False
    tags: Tags = ()
    vars: Variables = Field(default_factory=dict)
    no_log: bool = Field(default=False, description="Write neither arguments nor result down.")
    background: bool = Field(default=False, description="Go on at once; `wait_for: {job: NAME}` awaits it.")

    @model_validator(mode="after")
    def _with_until(self) -> ModifiersText:
        if self.until is None and (self.retries is not None or self.delay is not None):
            raise mistake(
                "modifier", "`retries` and `delay` go with `until`, the condition that ends the tries."
            )
        return self


class IncludeText(Model):
    """Steps that stand in another file."""

    file: str = Field(min_length=1, description="A file that holds a list of steps, beside this one.")
    vars: Variables = Field(default_factory=dict)


class CommandText(Model):
    """A command that breaks something, and the one that heals it."""

    act: str = Field(min_length=1, description="A line for the shell.")
    undo: str | None = Field(default=None, min_length=1, description="A line for the shell that heals it.")


class PowerText(Model):
    """Commands that switch a host off and on; HOST in their environment is its name."""

    off: str = Field(min_length=1, description="A line for the shell.")
    on: str = Field(min_length=1, description="A line for the shell.")


class LinkText(Model):
    """Commands that cut a host off the network and join it again; HOST is its name."""

    cut: str = Field(min_length=1, description="A line for the shell.")
    join: str = Field(min_length=1, description="A line for the shell.")


class HostsText(Model):
    """What can be done to the machines of a Kubernetes cluster, with `allow: [node-faults]`."""

    power: PowerText | None = None
    link: LinkText | None = None
    restore: str | None = Field(
        default=None,
        min_length=1,
        description="Has a node that was deleted register again: a kubelet does not do so by itself.",
    )
    network_policy: bool = Field(
        default=False,
        description="NetworkPolicies are enforced: without `link`, `partition` cuts a pod off by one.",
    )
    timeout: Duration = Field(default=120.0, description="How long such a command may take.")


class InventoryText(Model):
    """Where scenarios run."""

    cluster: dict[str, Json]
    endpoints: dict[str, Url] = Field(default_factory=dict)
    commands: dict[str, CommandText] = Field(default_factory=dict)
    hosts: HostsText | None = Field(
        default=None, description="What can be done to the machines of a Kubernetes cluster."
    )
    allow: tuple[Literal["exec", "node-faults", "operator-faults", "shared-redis"], ...] = Field(
        default=(), description="What scenarios may reach beyond the cluster, one word a reach."
    )
    vars: Variables = Field(default_factory=dict)


class DeploymentText(Model):
    """A deployment of an application, with the options that Serve has for it."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(min_length=1)


class ApplicationText(Model):
    """A Serve application, as an entry of `applications:` in Serve's own configuration."""

    name: str = Field(default="", description="Without one, the file's name.")
    import_path: str = Field(pattern=r"^[\w.]+[:.]\w+$", description="Such as main:app.")
    route_prefix: str | None = Field(default="/", pattern="^/")
    args: dict[str, Json] = Field(default_factory=dict)
    runtime_env: dict[str, Json] = Field(default_factory=dict)
    deployments: tuple[DeploymentText, ...] = ()
    logging_config: dict[str, Json] | None = None
    autoscaling_policy: dict[str, Json] | None = None
    external_scaler_enabled: bool = False
