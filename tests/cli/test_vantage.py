"""Two places that requests come from: where the cluster puts its prober, and here."""

from __future__ import annotations

import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


class Handler(BaseHTTPRequestHandler):
    """Answers whatever is asked."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_each_place_has_a_prober_of_its_own(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    probes = {
        "users": {"endpoint": "service"},
        "admin": {"endpoint": "service", "from": "here"},
        "ingress": {"endpoint": url, "from": "here"},
    }
    asserts = [{"name": name, "probe": name, "failed": {"max": 0}} for name in probes]
    scenario = {
        "name": "vantage",
        # A moment without a processor is nothing that is judged here.
        "probe_defaults": {"timeout": "20s", "blind_after": "20s"},
        "probes": probes,
        "steps": [{"probe": {"start": "all", "steady": "500ms"}}, {"pause": "1s"}, {"assert": asserts}],
    }
    (tmp_path / "scenario.yaml").write_text(json.dumps(scenario))
    inventory = {"cluster": {"kind": "external"}, "endpoints": {"service": url}}
    (tmp_path / "inventory.yaml").write_text(json.dumps(inventory))
    command = (sys.executable, "-m", "runner.cli.main", "scenario.yaml", "-i", "inventory.yaml")
    done = subprocess.run(
        (*command, "--report-dir", "out"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    server.shutdown()
    server.server_close()
    assert done.returncode == 0, done.stdout + done.stderr
    folder = (tmp_path / "out" / "latest").resolve()
    run = json.loads((folder / "run.json").read_text())
    (played,) = run["scenarios"]
    assert {each["name"]: each["verdict"] for each in played["assertions"]} == dict.fromkeys(probes, "pass")
    samples = folder / "samples" / "0"
    assert {each.name.partition(".")[0] for each in samples.glob("*.samples")} == {"users"}
    assert {each.name.partition(".")[0] for each in (samples / "here").glob("*.samples")} == {
        "admin",
        "ingress",
    }
    for log in (samples / "prober.jsonl", samples / "here" / "prober.jsonl"):
        assert [json.loads(line)["why"] for line in log.read_text().splitlines() if '"bye"' in line] == [
            "quit"
        ]
