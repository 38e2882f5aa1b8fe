"""Runs a verb and turns whatever ends it into a sentence and an exit code: no traceback reaches a user."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module

from runner.errors import FtrunError, InvalidInput


def guarded(verb: str, argv: list[str]) -> int:
    """Call `runner.cli.<verb>.main(argv)`; give its exit code, or that of the error that ended it."""
    try:
        main: Callable[[list[str]], int] = import_module(f"runner.cli.{verb}").main
        code = main(argv)
        sys.stdout.flush()
        return code
    except SystemExit as ended:
        # argparse ends with 2 for an option it does not know; here that means invalid input.
        return 4 if ended.code else 0
    except InvalidInput as error:
        count = len(error.problems)
        sys.stderr.write(
            f"{error.message}\n\n{count} problem{'s' if count != 1 else ''}; nothing was started.\n"
        )
        return error.exit_code
    except FtrunError as error:
        sys.stderr.write(f"ftrun: {error.message}\n" + (f"  help: {error.help}\n" if error.help else ""))
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("ftrun: interrupted\n")
        return 2
    except BrokenPipeError:
        hush()
        return 3
    except OSError as error:
        sys.stderr.write(f"ftrun: the system refused: {error}\n")
        return 3
    except Exception as error:
        if os.environ.get("FTRUN_TRACEBACK"):
            raise
        sys.stderr.write(
            f"ftrun: this is a bug of ftrun, not of your files: {type(error).__name__}: {error}\n"
            "  help: run again with FTRUN_TRACEBACK=1 and attach what it prints to an issue.\n"
        )
        return 3


def hush() -> None:
    """Let what is still written to stdout go nowhere: nobody reads it any more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
