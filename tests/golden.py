"""Golden files: what a command or a report prints, kept beside its test.

`make golden` (FTRUN_GOLDEN=write) writes them again; look at the difference before you commit it.
"""

from __future__ import annotations

import os
from pathlib import Path


def check(path: Path, text: str) -> None:
    """Compare with the golden file, or write it where FTRUN_GOLDEN says so."""
    if os.environ.get("FTRUN_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path.name} is missing; make golden writes it"
    assert text == path.read_text(encoding="utf-8")
