"""Compiling texts that stand in the test itself."""

from collections.abc import Mapping

from runner.cli.options import Settings
from runner.errors import InvalidInput, Problem
from runner.language.compiler import compile_files
from runner.language.plan import Plan
from runner.steps.catalogue import catalogue

LOCAL = "cluster: {kind: local}\n"
HEAD = "name: one\n"


class Files(dict[str, bytes]):
    """A Source that holds its files itself."""

    def read(self, path: str) -> bytes:
        if path not in self:
            raise FileNotFoundError(path)
        return self[path]


def compiled(text: str | bytes, others: Mapping[str, str] | None = None, **options) -> Plan:
    """Compile `s.yaml`, which holds the text, among other files."""
    files = Files({name: other.encode() for name, other in {"i.yaml": LOCAL, **(others or {})}.items()})
    files["s.yaml"] = text.encode() if isinstance(text, str) else text
    return compile_files(
        options.pop("files", ["s.yaml"]),
        source=files,
        catalogue=catalogue(),
        clusters=Settings(),
        inventory=options.pop("inventory", "i.yaml"),
        **options,
    )


def problems(text: str | bytes, others: Mapping[str, str] | None = None, **options) -> list[Problem]:
    """Give the problems of a compilation that has to find some."""
    try:
        compiled(text, others, **options)
    except InvalidInput as error:
        return error.problems
    raise AssertionError("compiled without a problem")


def problem(text: str | bytes, others: Mapping[str, str] | None = None, **options) -> Problem:
    """Give the only problem of a compilation."""
    [found] = problems(text, others, **options)
    return found


def where(found: Problem) -> tuple[str, int, int, str]:
    return found.file, found.line, found.column, found.code


def steps(text: str) -> str:
    """Give a scenario with these steps and two probes."""
    body = "\n".join(f"  {line}" for line in text.strip("\n").splitlines())
    return f"{HEAD}probes: {{users: {{endpoint: service}}, head: {{endpoint: head}}}}\nsteps:\n{body}\n"
