"""`ftrun VERB ...`: finds the verb's file and calls it; `run` is the verb when none is named.

Nothing heavy is imported here: `ftrun --help` must cost little more than an empty Python.
"""

from __future__ import annotations

import sys

VERBS = {
    "run": "run scenarios against a cluster (the default: `ftrun FILE` runs)",
    "check": "read files and report every mistake; touches nothing, opens no socket",
    "report": "make the reports of a finished run again, from its journal and samples alone",
    "bundle": "pack a run into one file without secrets, to attach to an issue",
    "schema": "print the JSON Schema of scenario or inventory files, for editors",
    "doctor": "say whether this machine can run scenarios, and what to do if not",
    "cleanup": "heal and remove what a killed run left behind",
}
"""The verbs, and the line `--help` has for each. A verb is the module `runner.cli.<verb>`, which has
`main(argv: list[str]) -> int` and parses its own arguments."""

USAGE = "usage: ftrun [VERB] [OPTION ...] FILE ...\n"


def describe() -> str:
    """Give the text of `ftrun --help`."""
    lines = [
        USAGE,
        "Breaks a Ray Serve application on purpose and tells, with error bars, how long its users were",
        "down and why.",
        "",
        "verbs:",
        *(f"  {verb:<9} {text}" for verb, text in VERBS.items()),
        "",
        "`ftrun VERB --help` shows a verb's options. FILE is a scenario file, a folder of them, or the",
        "name of a built-in scenario such as head_node.",
        "",
        "exit codes: 0 passed, 1 failed, 2 interrupted, 3 unknown or could not run, 4 invalid input",
        "",
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run the command and give its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments and arguments[0] in ("-h", "--help", "help"):
        return _say(describe())
    if arguments and arguments[0] == "--version":
        from importlib.metadata import version

        return _say(f"ftrun {version('ftrun')}\n")
    if not arguments:
        sys.stderr.write(describe())
        return 4
    verb, rest = (arguments[0], arguments[1:]) if arguments[0] in VERBS else ("run", arguments)
    from runner.cli.guard import guarded

    return guarded(verb, rest)


def _say(text: str) -> int:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        from runner.cli.guard import hush

        hush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
