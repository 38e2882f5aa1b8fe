"""What is run inside of containers: plain shell, since a Python started there starves replicas. Texts only.

Each waits behind a gate, a line on its standard input, and ends unused where that ends before.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from runner.rayserve.processes import part

LIST = r"""
for each in /proc/[0-9]*; do
  stat=$(cat "$each/stat" 2>/dev/null) || continue
  printf '%s\t%s\t%s\t' "${each#/proc/}" "$(readlink "$each/exe" 2>/dev/null)" "${stat##*) }"
  tr '\000\011\012' '\037  ' <"$each/cmdline" 2>/dev/null
  echo
done
"""
"""Lists all processes: number, program, state and what follows in `stat`, words."""

GATE = "read -r go || exit 0\n"

_UNTIL = r"""
echo acted
turn=0
while [ $turn -lt {turns} ]; do{again}
  left=
  for pid in {pids}; do
    stat=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
    case "${stat##*) }" in {done}) ;; *) left="$left $pid" ;; esac
  done
  [ -z "$left" ] && { echo gone; exit 0; }
  turn=$((turn + 1))
  sleep 0.1
done
echo "{what}$left"
"""
"""Looks until all processes are in one of the states `done`; before each look it does something `again`."""


def fill(script: str, **words: str) -> str:
    """Put words into a script."""
    for name, word in words.items():
        script = script.replace("{" + name + "}", word)
    return script


KILL = (
    GATE + "\nkill -KILL {pids} || { echo failed; exit 1; }" + fill(_UNTIL, again="", done="Z*", what="left")
)
"""Kills processes and looks until they are gone."""

KILL_ALL = GATE + "kill -KILL -1\necho acted\nkill -KILL -1\nsleep 0.1\nkill -KILL -1\necho gone\n"
"""Kills all but the first process of a container, which ends then, too; its own shell `kill` spares."""

DRAINED = (
    GATE
    + r"""
(while [ -d /proc/{raylet} ]; do sleep 0.5; done; kill -KILL -1) </dev/null >/dev/null 2>&1 &
echo acted
"""
)
"""Ends what is left in a container once its raylet has ended, also where nobody is connected any more.

`ray start --block` goes on where a raylet ended by itself, and KubeRay lets the pod stand for ten minutes
more, until its liveness probe has failed 120 times.
"""

FREEZE = (
    GATE
    + "\nkill -STOP {stop} || { echo failed; exit 1; }"
    + fill(_UNTIL, again="\n  kill -STOP {stop} 2>/dev/null", done="T* | Z*", what="not stopped")
)
"""Stops processes and looks until they stand still: each stops when a processor takes it up next."""

THAW = r"""
for each in {each}; do
  pid=${each%:*}
  stat=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
  set -- ${stat##*) }
  [ "${20}" = "${each#*:}" ] && kill -CONT "$pid"
done
exit 0
"""
"""Lets processes go on that are still those which were stopped: each is its number, and when it began."""

LOADER = "import sys; text = sys.stdin.read(int(sys.argv.pop(1))); exec(compile(text, 'script', 'exec'))"
"""A Python that reads its script from its standard input, and leaves the rest of that to it."""

PYTHON = 'python=$(command -v python || command -v python3) && exec nice -n 19 "$python" -c "$0" "$@"'


def shell(script: str) -> list[str]:
    """Give the command that runs a script."""
    return ["/bin/sh", "-c", script]


def python(source: str, words: Sequence[str]) -> list[str]:
    """Give the command that reads a Python script of this length from its standard input, and runs it."""
    return ["/bin/sh", "-c", PYTHON, LOADER, str(len(source)), *words]


def limited(command: Sequence[str] | str, seconds: float) -> list[str]:
    """Give a command that ends by itself in time; a string goes to the shell."""
    words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
    said = shlex.join(words)
    return shell(f"command -v timeout >/dev/null || exec {said}; exec timeout -k 1 {seconds:g} {said}")


class Process:
    """A process of a container, as LIST tells of it."""

    def __init__(self, line: str) -> None:
        number, program, stat, words = line.split("\t", 3)
        fields = stat.split()
        self.pid = int(number)
        self.state = fields[0]
        self.parent = int(fields[1])
        self.ticks = sum(map(int, fields[11:15]))
        """Time of processors, its own and that of children it has waited for, in TICKS."""
        self.started = fields[19]
        self.part = part(program, words.rstrip("\n").split("\x1f"))
        self.title = words.replace("\x1f", " ").strip()

    @property
    def dead(self) -> bool:
        """Whether it has ended, and nobody has taken note yet."""
        return self.state == "Z"


TICKS = 100
"""How many of them a second has: Linux shows users no other."""


def brought_in(found: Sequence[Process]) -> list[Process]:
    """Give the processes that somebody started from outside of their container, and all that come of them.

    Their parent is none that could be seen there; nor is that of the first process, which is its own.
    """
    children: dict[int, list[Process]] = {}
    for each in found:
        children.setdefault(each.parent, []).append(each)
    todo, seen = [each for each in children.get(0, ()) if each.pid != 1], []
    while todo:
        seen.append(todo.pop())
        todo += children.get(seen[-1].pid, ())
    return seen


def processes(listed: str) -> list[Process]:
    """Read what LIST writes."""
    return [Process(line) for line in listed.splitlines() if line.count("\t") == 3]
