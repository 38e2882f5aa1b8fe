"""What the prober costs and how late it sends: `python -m tests.benchmarks.prober`.

Against a small asyncio server on uvloop in a process of its own. CPU a request is also given as a multiple
of what that server spends on it, since machines differ; wall-clock tails on a shared machine are mostly
other work.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from runner.journal.samples import Outcome, read_samples
from tests.truth.outages import PROBER, Settings, process, specification

SERVER = """
import asyncio, sys, uvloop
class Protocol(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data):
        last = b"Connection: close" in data
        self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n%b\\r\\ntruth" % (b"Connection: close\\r\\n" * last))
        if last: self.transport.close()
async def main():
    server = await asyncio.get_running_loop().create_server(Protocol, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
uvloop.run(main())
"""


def cpu(child: subprocess.Popen[str]) -> float:
    """Give the CPU seconds that a process has used."""
    fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure each rate over each kind of connection."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    print(
        f"{'connection':<12}{'rate':>6}{'sent':>7}{'ok':>7}{'late p50/p99 us':>18}{'cpu us':>8}{'x server':>10}"
    )
    for connection in ("new", "reused"):
        for rate in (100, 500, 1000):
            with (
                tempfile.TemporaryDirectory() as folder,
                process(sys.executable, "-c", SERVER) as server,
                process(sys.executable, "-I", str(PROBER), folder) as prober,
            ):
                assert server.stdout is not None
                assert prober.stdin is not None
                assert prober.stdout is not None
                series = specification(int(server.stdout.readline()), connection, Settings(rate))
                prober.stdout.readline()
                before = cpu(prober), cpu(server)
                for command in (
                    {"command": "start", "probe": "truth", "series": [series]},
                    {"command": "stop", "probe": "truth"},
                ):
                    prober.stdin.write(json.dumps(command) + "\n")
                    prober.stdin.flush()
                    prober.stdout.readline()
                    if command["command"] == "start":
                        time.sleep(options.seconds)
                spent, theirs = cpu(prober) - before[0], cpu(server) - before[1]
                samples = read_samples(Path(folder) / f"{connection}.samples")
            late = np.percentile((samples.sent - samples.due) / 1000, [50, 99])
            ok = int(np.count_nonzero(samples.outcome == Outcome.OK))
            print(
                f"{connection:<12}{rate:>6}{len(samples.n):>7}{ok:>7}{f'{late[0]:.0f}/{late[1]:.0f}':>18}"
                f"{spent / len(samples.n) * 1e6:>8.0f}{spent / max(theirs, 0.01):>10.1f}"
            )


if __name__ == "__main__":
    main()
