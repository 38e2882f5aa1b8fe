"""The options that `run` and `check` share: what to run, where, and with which values."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

    from runner.language.plan import Inventory, Plan


class Settings(Mapping[str, "type[BaseModel]"]):
    """The model of each cluster kind's settings, imported when a file names the kind."""

    KINDS = ("external", "fake", "kubernetes", "local")

    def __getitem__(self, kind: str) -> type[BaseModel]:
        if kind not in self.KINDS:
            raise KeyError(kind)
        model: type[BaseModel] = import_module(f"runner.clusters.{kind}.settings").Settings
        return model

    def __iter__(self) -> Any:
        return iter(self.KINDS)

    def __len__(self) -> int:
        return len(self.KINDS)


def add_selection(parser: ArgumentParser) -> None:
    """Add FILE... and every option that decides what the plan is."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a scenario file, a folder of them, or a built-in scenario's name",
    )
    parser.add_argument(
        "-i",
        "--inventory",
        default="local",
        metavar="FILE",
        help="where to run: an inventory file or a built-in name",
    )
    add_variables(parser)
    parser.add_argument(
        "--app",
        metavar="MODULE:NAME",
        help="deploy this application of the current folder instead of the scenario's",
    )
    parser.add_argument("--path", metavar="PATH", help="ask for this path in every probe")
    parser.add_argument(
        "--tags", action="append", default=[], metavar="TAG,...", help="only what has one of these tags"
    )
    parser.add_argument(
        "--skip-tags", action="append", default=[], metavar="TAG,...", help="nothing that has one of these"
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="the seed of everything random (default: a new one)"
    )
    parser.add_argument(
        "--repeat",
        type=positive,
        metavar="N",
        help="run each scenario N times, its first fault delayed by up to 10 s",
    )


def add_variables(parser: ArgumentParser) -> None:
    """Add -e."""
    parser.add_argument(
        "-e",
        "--extra-vars",
        action="append",
        default=[],
        metavar="KEY=VALUE|@FILE",
        help="a variable that wins over those of the files; may be repeated",
    )


def inventory_of(args: Namespace) -> Inventory:
    """Compile the inventory alone; raises InvalidInput with every problem of it."""
    from runner.language.compiler import compile_files
    from runner.language.pack import Disk
    from runner.language.text import LIMIT

    return compile_files(
        (),
        source=Disk(LIMIT),
        catalogue={},
        clusters=Settings(),
        inventory=args.inventory,
        extra_vars=args.extra_vars,
    ).inventory


def plan_of(args: Namespace) -> Plan:
    """Compile what the options select; raises InvalidInput with every problem of every file."""
    from runner.language.compiler import compile_files
    from runner.language.pack import Disk
    from runner.language.text import LIMIT
    from runner.steps.catalogue import catalogue

    seed = args.seed if args.seed is not None else int.from_bytes(os.urandom(4), "big")
    return compile_files(
        args.files,
        source=Disk(LIMIT),
        catalogue=catalogue(),
        clusters=Settings(),
        inventory=args.inventory,
        extra_vars=args.extra_vars,
        app=args.app,
        path=args.path,
        seed=seed,
        tags=split(args.tags),
        skip_tags=split(args.skip_tags),
        repeat=args.repeat,
    )


def chosen(args: Namespace) -> dict[str, Any]:
    """Give what the options choose, but for files and seed, as the journal holds it."""
    return {
        "inventory": args.inventory,
        "given": list(args.extra_vars),
        "app": args.app,
        "path": args.path,
        "tags": list(split(args.tags)),
        "skip_tags": list(split(args.skip_tags)),
        "repeat": args.repeat,
    }


def positive(text: str) -> int:
    """Read a number of times; raises ArgumentTypeError."""
    from argparse import ArgumentTypeError

    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise ArgumentTypeError(f"`{text}` is not a number from 1 to 1000")
    return int(text)


def split(given: list[str]) -> tuple[str, ...]:
    """Give the tags of `--tags a,b --tags c`, in order."""
    return tuple(tag.strip() for each in given for tag in each.split(",") if tag.strip())
