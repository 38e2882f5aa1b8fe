"""Writes the reports of a run into its folder; each file appears whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from runner.timeline.run import Run


def write(run: Run, folder: Path) -> None:
    """Write run.json, junit.xml, report.html and summary.md; raises OSError as the disk does."""
    from runner.reports import html, junit, markdown, run_json

    for name, text in (
        ("run.json", run_json.render(run)),
        ("junit.xml", junit.render(run)),
        ("report.html", html.render(run)),
        ("summary.md", markdown.render(run)),
    ):
        draft = folder / f".{name}.draft"
        # A lone surrogate, which JSON can carry and UTF-8 cannot, becomes a question mark.
        draft.write_bytes(text.encode("utf-8", "replace"))
        os.replace(draft, folder / name)
