"""REPRODUCE.md: how a run is played again from what a bundle holds."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from runner.reports import phrases
from runner.reports.markdown import escaped, fenced
from runner.timeline.replay import command
from runner.timeline.run import Run

Json = Any

CONTENTS = (
    ("summary.md, report.html, run.json, junit.xml", "what was found: for people, and for machines"),
    ("journal.jsonl, samples/", "what was recorded: the reports are made of these alone (`ftrun report .`)"),
    ("logs/", "the ends of the logs of Ray's side and of the machines"),
    ("run.log, prober.log", "diagnostics of ftrun itself"),
    ("sources/", "scenarios, inventory, applications and scripts as they were"),
    ("versions.txt", "every package that was installed beside ftrun"),
)


def render(run: Run, sources: Mapping[str, Json], names: Sequence[str]) -> str:
    """Give the text; `sources` is what the journal says of them, `names` are the files that there are."""
    ray = next((known for each in run.scenarios if (known := phrases.ray(each.cluster))), None)
    packages = [f"ftrun=={run.ftrun}", *([f"ray[serve]=={ray['version']}"] if ray else [])]
    there = [
        f"| {name} | {says} |"
        for name, says in CONTENTS
        if any(each.startswith(part) for part in name.split(", ") for each in names)
    ]
    commit = f" (commit {ray['commit']})" if ray and ray.get("commit") else ""
    return "\n".join(
        [
            f"# Run {escaped(run.run)}",
            "",
            escaped(phrases.say_run(run)),
            "",
            *([f"It ran with Ray {escaped(ray['version'])}{commit}."] if ray else []),
            f"The machine: {escaped(_machine(run.machine))}.",
            "",
            "To run it again with the same seed, in this folder:",
            "",
            *fenced("\n".join([shlex.join(("pip", "install", *packages)), *_commands(run, sources)]), "sh"),
            "",
            "| here | is |",
            "|---|---|",
            *there,
            "",
            "Secrets stand as (hidden), the home folder as ~, the machine's name as `machine`.",
            "",
        ]
    )


def _machine(facts: Mapping[str, Json]) -> str:
    said = phrases.machine(facts)
    said += [f"{facts['memory_bytes'] / 1e9:.1f} GB of memory"] if facts.get("memory_bytes") else []
    return ", ".join(said) or "unknown"


def _commands(run: Run, sources: Mapping[str, Json]) -> list[str]:
    """Give the commands that run the kept files; without them the one that was given."""
    places: Mapping[str, str] = sources.get("files", {})
    here = sources.get("here", ".")

    def place(path: str) -> str:
        return os.path.relpath(places[path], here) if path in places else path

    files = list(dict.fromkeys(place(scenario.file) for scenario in run.scenarios))
    if not files:
        return [shlex.join(("ftrun", *run.argv))]
    options = dict(run.options)
    if options.get("inventory", "local") != "local":
        options["inventory"] = place(str(run.inventory.get("file", options["inventory"])))
    options["given"] = [
        f"@{place(each[1:])}" if each.startswith("@") else each for each in options.get("given", ())
    ]
    if options.get("app"):
        options["app"] = place(options["app"])
    enter = [f"cd {shlex.quote(os.path.normpath(os.path.join('sources', here)))}"] if places else []
    return [*enter, command(options, files, run.seed, repeat=options.get("repeat"))]
