from __future__ import annotations

from pathlib import Path

import pytest

from runner.journal.redaction import Secrets
from runner.journal.sources import code, keep, placed

PACK = Path("/lib/ftrun/pack")


@pytest.mark.parametrize(
    ("paths", "here", "places", "there"),
    [
        (
            ["a.yaml", "apps/b.yaml", "/some/c/d.yaml"],
            "/some/c",
            ["a.yaml", "apps/b.yaml", "d.yaml"],
            ".",
        ),
        (
            ["a.yaml", "/lib/ftrun/pack/inventories/local.yaml"],
            "/some/c",
            ["a.yaml", "pack/inventories/local.yaml"],
            ".",
        ),
        (["/lib/ftrun/pack/scenarios/x.yaml"], "/work", ["pack/scenarios/x.yaml"], "."),
        (["a.yaml", "../e/f.yaml"], "/some/c", ["c/a.yaml", "e/f.yaml"], "c"),
        (["/other/a/x.yaml", "/other/b/y.yaml"], "/some/c", ["a/x.yaml", "b/y.yaml"], "."),
    ],
)
def test_files_stand_to_each_other_as_they_did(paths, here, places, there) -> None:
    assert placed(paths, here=Path(here), pack=PACK) == (dict(zip(paths, places, strict=True)), there)


def test_in_a_checkout_the_pack_s_files_stand_where_they_are() -> None:
    places, _ = placed(["scenarios/x.yaml"], here=Path("/repo"), pack=Path("/repo"))
    assert places == {"scenarios/x.yaml": "scenarios/x.yaml"}


def test_they_are_written_without_secrets(tmp_path: Path) -> None:
    files = {"s.yaml": b"vars: {db_password: abc}\n", "apps/x.py": b"KEY_TOKEN = 'abc'\ntoken = f(x)\n"}
    said = keep(files, tmp_path, Secrets(), here=Path("/work"), pack=PACK)
    assert said == {"here": ".", "files": {"s.yaml": "s.yaml", "apps/x.py": "apps/x.py"}}
    assert (tmp_path / "sources/s.yaml").read_text() == "vars: {db_password: (hidden)}\n"
    assert (tmp_path / "sources/apps/x.py").read_text() == "KEY_TOKEN = '(hidden)'\ntoken = f(x)\n"


def test_code_is_a_module_and_what_it_imports_from_its_folder(tmp_path: Path) -> None:
    for name, text in {
        "main.py": "import os, other\nfrom inner.deep import thing\n",
        "other.py": "import main\n",
        "unused.py": "",
        "inner/__init__.py": "from . import beside\n",
        "inner/beside.py": "from .deep import thing\nfrom ray import serve\n",
        "inner/deep.py": "def f(:\n",
        "inner/unused.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = {Path(each).relative_to(tmp_path).as_posix() for each in code(tmp_path, "main")}
    assert found == {"main.py", "other.py", "inner/__init__.py", "inner/beside.py", "inner/deep.py"}
    assert list(code(tmp_path, "installed.elsewhere")) == []
