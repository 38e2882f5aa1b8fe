"""The exception tree of ftrun.

- `FtrunError`            a sentence for the user; exit code 3
  - `InvalidInput`        files, options or values that are wrong on every path; exit code 4
  - `CannotRun`           the world does not let the run happen (no cluster, no right, no disk); exit code 3
    - `ClusterError`      what a cluster could not do
      - `Unreachable`     nobody answered: says nothing about what holds, only that it is unknown
    - `Lost`              somebody else took away what a scenario runs on: it ends there
  - `Unmet`               a wait ended without its condition; carries the last mismatch

Every message is a sentence that says what was wrong and where; `help` says what to do.
"""

from __future__ import annotations


class FtrunError(Exception):
    """A failure that is told to the user as one sentence, never as a traceback."""

    exit_code = 3

    def __init__(self, message: str, *, help: str | None = None) -> None:  # noqa: A002 (the field's word)
        super().__init__(message)
        self.message = message
        self.help = help


class Problem:
    """One mistake in one file: where, what, and what to do about it.

    `line` and `column` count from 1; 0 means "the file as a whole". `excerpt` holds the lines shown
    under the message, already with the caret.
    """

    __slots__ = ("code", "column", "excerpt", "file", "help", "line", "message")

    def __init__(
        self,
        code: str,
        message: str,
        *,
        file: str = "",
        line: int = 0,
        column: int = 0,
        excerpt: str = "",
        help: str | None = None,  # noqa: A002
    ) -> None:
        self.code = code
        self.message = message
        self.file = file
        self.line = line
        self.column = column
        self.excerpt = excerpt
        self.help = help

    def render(self) -> str:
        """Give the problem as it is shown: `file:line:col: error[code]: message`, excerpt, help."""
        where = (
            f"{self.file}:{self.line}:{self.column}: "
            if self.line
            else (f"{self.file}: " if self.file else "")
        )
        parts = [f"{where}error[{self.code}]: {self.message}"]
        if self.excerpt:
            parts.append(self.excerpt)
        if self.help:
            parts.append(f"  help: {self.help}")
        return "\n".join(parts)


class InvalidInput(FtrunError):
    """What the user wrote is wrong on every path. Nothing has been touched. Holds all problems found."""

    exit_code = 4

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n\n".join(problem.render() for problem in problems))
        self.problems = problems


class CannotRun(FtrunError):
    """The world does not allow the run: the verdict is unknown, not failed."""


class ClusterError(CannotRun):
    """A cluster could not do what it was asked to do."""


class Unreachable(ClusterError):
    """Nobody answered. What holds there is unknown."""


class Lost(CannotRun):
    """Somebody else took away what a scenario runs on: whatever holds from then on says nothing."""


class Unmet(FtrunError):
    """A wait ended without its condition; the message holds the last mismatch seen."""
