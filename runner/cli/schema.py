"""`ftrun schema [scenario|inventory|application]`: print a file's JSON Schema, for editors."""

from __future__ import annotations

from argparse import ArgumentParser


def main(argv: list[str]) -> int:
    """Print the schema that the argument names."""
    import json

    from runner.cli.options import Settings
    from runner.language import schema
    from runner.steps.catalogue import catalogue

    parser = ArgumentParser(prog="ftrun schema", description=__doc__)
    parser.add_argument("of", nargs="?", default="scenario", choices=("scenario", "inventory", "application"))
    match parser.parse_args(argv).of:
        case "inventory":
            made = schema.inventory(Settings())
        case "application":
            made = schema.application()
        case _:
            made = schema.scenario(catalogue(), Settings())
    print(json.dumps(made, indent=2))
    return 0
