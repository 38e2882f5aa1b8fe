"""`ftrun check FILE...`: read files and report every mistake. Touches nothing, opens no socket."""

from __future__ import annotations

from argparse import ArgumentParser


def main(argv: list[str]) -> int:
    """Compile what the options select and name each scenario that is right; raises InvalidInput otherwise."""
    from runner.cli.options import add_selection, plan_of

    parser = ArgumentParser(prog="ftrun check", description=__doc__)
    add_selection(parser)
    plan = plan_of(parser.parse_args(argv))
    for scenario in plan.scenarios:
        print(f"{scenario.file}: {scenario.name}: ok")
    return 0
