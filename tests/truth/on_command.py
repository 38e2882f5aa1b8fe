"""The server that goes down at known times, told when by whoever writes to its standard input.

    python -m tests.truth.on_command PORT < FIFO

A line is `{"kind", "lasts": seconds}`; `{}` ends an outage of kind http_503 early. It answers as
tests/truth/server.py does, and ends with its input.
"""

from __future__ import annotations

import json
import selectors
import sys
import time

from tests.truth.server import Server, say


def asked() -> dict[str, object]:
    """Give the next line of the input; EOFError at its end."""
    line = sys.stdin.buffer.raw.readline()  # type: ignore[attr-defined]  # unbuffered: select sees every line
    if not line:
        raise EOFError
    parsed: dict[str, object] = json.loads(line)
    return parsed


def main() -> None:
    """Serve; break when told."""
    server = Server(int(sys.argv[1]))
    server.selector.register(sys.stdin, selectors.EVENT_READ)
    say(ready=server.port)
    while True:
        try:
            server.serve(1 << 63)
        except EOFError:  # what `serve` says of a readable input
            outage = asked()
        if not outage:
            continue
        down = time.monotonic_ns()
        try:
            server.fail(str(outage["kind"]), float(str(outage["lasts"])))
        except EOFError:
            asked()
            say(kind=outage["kind"], down=down, up=time.monotonic_ns())
            server.mode = "up"


if __name__ == "__main__":
    try:
        main()
    except EOFError:
        pass
