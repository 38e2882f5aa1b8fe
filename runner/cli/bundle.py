"""`ftrun bundle RUN`: pack what a run recorded into one file, without secrets, to attach to an issue."""

from __future__ import annotations

import io
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from runner.cli.report import JOURNAL, find
from runner.errors import CannotRun

MADE = ("run.json", "junit.xml", "report.html", "summary.md", "REPRODUCE.md")
"""What is made again from the rest, so that it holds no more than that."""
BINARY = (".samples",)


def main(argv: list[str]) -> int:
    """Write the bundle; two of one run are the same, byte for byte."""
    parser = ArgumentParser(
        prog="ftrun bundle",
        description="Pack a run into one file: logs, journal, samples, scenarios and applications as they "
        "were, reports, versions, and REPRODUCE.md with the command that runs it again. Secrets are hidden.",
    )
    parser.add_argument("run", metavar="RUN", help="a run's folder, its id, or `latest`")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where it goes (default: <run>.tar.gz, right here)"
    )
    parser.add_argument(
        "--report-dir", default="reports", metavar="DIR", help="where runs are (default: reports)"
    )
    args = parser.parse_args(argv)
    folder = find(args.run, Path(args.report_dir)).resolve()
    output = args.output or Path(f"{folder.name}.tar.gz")
    packed, when = pack(folder)
    try:
        output.write_bytes(archive(packed, folder.name, when))
    except OSError as error:
        raise CannotRun(f"The bundle {output} cannot be written: {error.strerror or error}.") from error
    size = output.stat().st_size
    sys.stdout.write(
        f"{output}: {len(packed)} files, {size / 1e6:.1f} MB. Look through it before you share it.\n"
    )
    return 0


def pack(folder: Path) -> tuple[dict[str, bytes], int]:
    """Give what the bundle of a run's folder holds, by name, and when the run began, in whole seconds."""
    from tempfile import TemporaryDirectory

    from runner.journal.events import RunStart
    from runner.journal.journal import read
    from runner.journal.samples import Recordings
    from runner.reports import reproduce
    from runner.reports.write import write
    from runner.timeline.fold import fold

    clean = cleaner(os.environ, Path.home())
    packed = {name: clean(name, content) for name, content in contents(folder)}
    with TemporaryDirectory() as place:
        copy = Path(place)
        for name, content in packed.items():
            if name == JOURNAL or name.startswith("samples/"):
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                (copy / name).write_bytes(content)
        events = read(copy / JOURNAL)
        run = fold(events, Recordings(copy))
        write(run, copy)
        packed |= {name: (copy / name).read_bytes() for name in MADE if (copy / name).exists()}
    start = events[0]
    assert isinstance(start, RunStart)
    packed["REPRODUCE.md"] = reproduce.render(run, start.sources, sorted(packed)).encode("utf-8", "replace")
    return packed, int(run.wall)


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Give the files of a run's folder that reports are not made of anew, in order."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not path.is_symlink() and name not in MADE and not path.name.startswith("."):
            yield name, path.read_bytes()


def cleaner(environment: Mapping[str, str], home: Path) -> Callable[[str, bytes], bytes]:
    """Give what takes secrets, the home folder and the names of user and machine out of a file's content."""
    import platform

    from runner.journal.redaction import Secrets, hidden_lines, of_environment, without

    known = Secrets(of_environment(environment))
    words = [(str(home), "~")]
    if len(platform.node()) > 2:
        words.append((platform.node(), "machine"))

    def clean(name: str, content: bytes) -> bytes:
        if name.endswith(BINARY):
            return content
        text = content.decode("utf-8", "surrogateescape")
        text = known.hide(text)
        code = name.endswith((".py", ".sh"))
        text = hidden_lines(text, code=code)
        return without(text, words).encode("utf-8", "surrogateescape")

    return clean


def archive(packed: Mapping[str, bytes], top: str, when: int) -> bytes:
    """Give a .tar.gz of the files, in a folder `top`: sorted, all of one time and of nobody."""
    import gzip
    import tarfile

    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(packed):
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size, entry.mtime, entry.mode = len(packed[name]), when, 0o644
            tar.addfile(entry, io.BytesIO(packed[name]))
    return gzip.compress(plain.getvalue(), mtime=0)
