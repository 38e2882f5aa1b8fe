"""`ftrun check FILE...`: read files and report every mistake. Touches nothing, opens no socket."""

from __future__ import annotations

import gc
import sys
from argparse import ArgumentParser, HelpFormatter
from functools import partial
from types import ModuleType


def main(argv: list[str]) -> int:
    """Compile what the options select and name each scenario that is right; raises InvalidInput otherwise."""
    _leave_out_plugins()
    gc.disable()  # a tenth of the time would go into looking for garbage among what was just imported
    try:
        return _check(argv)
    finally:
        gc.enable()


def _check(argv: list[str]) -> int:
    from runner.cli.options import add_selection, plan_of

    # Without a width, argparse asks for the terminal's at each option, and imports shutil for that.
    layout = partial(HelpFormatter, width=98)
    parser = ArgumentParser(prog="ftrun check", description=__doc__, formatter_class=layout)
    add_selection(parser)
    plan = plan_of(parser.parse_args(argv))
    for scenario in plan.scenarios:
        print(f"{scenario.file}: {scenario.name}: ok")
    return 0


def _leave_out_plugins() -> None:
    """Spare pydantic the search for plugins in all that is installed, which takes longer than the files do.

    Its own switch, PYDANTIC_DISABLE_PLUGINS, still imports what searches. Where pydantic keeps that elsewhere
    one day, this does nothing.
    """
    none = ModuleType("pydantic.plugin._loader")
    vars(none)["get_plugins"] = tuple
    sys.modules.setdefault(none.__name__, none)
