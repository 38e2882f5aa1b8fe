"""`ftrun` and a Kubernetes that will not do: which sentence, and which exit code. The API server is a small one here."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runner.cli.main import main
from runner.clusters.kubernetes import claim

Json = Any

RAYSERVICES = "/apis/ray.io/v1/namespaces/ns/rayservices"
ROOM = "pods is forbidden: exceeded quota: small, requested: cpu=1, used: cpu=3, limited: cpu=3"

SCENARIO = """
name: small
app: app.yaml
probes: {users: {endpoint: service}}
steps:
  - deploy:
  - probe: {start: users, steady: 1s}
"""


def status(code: int, reason: str, message: str) -> tuple[int, Json]:
    return code, {"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason, "message": message}


@dataclass
class Server:
    """An API server that is there and empty, but for the answers that it is given: by method and path."""

    answers: dict[str, tuple[int, Json] | Callable[[], tuple[int, Json]]] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    """Resources that nobody has a right to, as `verb resource`."""
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, path: str, body: Json) -> tuple[int, Json]:
        """Give status and body."""
        self.asked.append(f"{method} {path}")
        for each, given in self.answers.items():
            if fnmatch(path, each) or fnmatch(f"{method} {path}", each):
                return given() if callable(given) else given
        if path.endswith("/selfsubjectaccessreviews"):
            asked = body["spec"]["resourceAttributes"]
            words = f"{asked['verb']} {asked['resource']}" + (
                f"/{asked['subresource']}" if asked["subresource"] else ""
            )
            return 201, {"status": {"allowed": words not in self.denied}}
        if path == "/version":
            return 200, {"gitVersion": "v1.34.4"}
        if path.startswith("/openapi/"):
            return 200, {"components": {"schemas": {}}}
        if method == "GET" and path.rpartition("/")[2] in (
            "rayservices",
            "rayclusters",
            "configmaps",
            "pods",
        ):
            return 200, {"items": [], "metadata": {"resourceVersion": "1"}}
        if path == "/api/v1/namespaces/ns":
            return 200, {"metadata": {"name": "ns"}}
        if method == "PATCH":
            return 200, {**body, "metadata": {**body["metadata"], "uid": "u"}}
        return status(404, "NotFound", f"{path} not found") if method == "GET" else (200, {})


class Listener(ThreadingHTTPServer):
    """Takes as many connections at once as there are rights to ask for."""

    request_queue_size = 256


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An API server, and files that lead to it: `inventory.yaml`, `scenario.yaml`."""
    there = Server()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = json.loads(self.rfile.read(length)) if length else None
            code, said = there.answer(self.command, self.path.partition("?")[0], sent)
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer

    listener = Listener(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    there.url = f"http://127.0.0.1:{listener.server_address[1]}"
    files(tmp_path, there.url)
    monkeypatch.chdir(tmp_path)
    yield there
    listener.shutdown()
    listener.server_close()
    thread.join()


def files(folder: Path, url: str) -> None:
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "staging", "context": {"cluster": "c", "user": "u"}}],
    }
    (folder / "config").write_text(json.dumps(kubeconfig))
    text = f"cluster: {{kind: kubernetes, kubeconfig: {folder / 'config'}, context: staging, namespaces: [ns]}}\n"
    (folder / "inventory.yaml").write_text(text)
    (folder / "scenario.yaml").write_text(SCENARIO)
    (folder / "app.yaml").write_text("import_path: app:app\n")
    (folder / "app.py").write_text("app = None\n")


def ftrun(*words: str) -> int:
    return main(list(words))


RUN = ("scenario.yaml", "-i", "inventory.yaml")

NOTHING = b"404 page not found\n"

REFUSALS: dict[str, tuple[dict[str, tuple[int, Json]], str]] = {
    "credentials that have run out": (
        {"*": status(401, "Unauthorized", "Unauthorized")},
        "The API server of context staging does not take the credentials: they are wrong, or have run out.",
    ),
    "no rights": (
        {RAYSERVICES: status(403, "Forbidden", 'rayservices.ray.io is forbidden: User "u" cannot list')},
        'That is not allowed here: rayservices.ray.io is forbidden: User "u" cannot list.',
    ),
    "no CRD": (
        {RAYSERVICES: (404, NOTHING)},
        "The API server of context staging knows no RayService: KubeRay's CRDs are not installed.",
    ),
    "no namespace": (
        {"/api/v1/namespaces/ns": status(404, "NotFound", 'namespaces "ns" not found')},
        "There is no namespace ns in the cluster of context staging.",
    ),
    "no API server": (
        {"/version": (200, b"<html>hello</html>")},
        "What answers GET /version at the API server of context staging speaks no JSON: it is none.",
    ),
    "no room for a ConfigMap": (
        {"PATCH /api/v1/namespaces/ns/configmaps/*": status(403, "Forbidden", ROOM)},
        f"The namespace's quota has no room: {ROOM}.",
    ),
    "a RayService of somebody else's": (
        {f"{RAYSERVICES}/ftrun": (200, {"metadata": {"name": "ftrun"}, "spec": {}})},
        "There is a RayService ftrun in namespace ns that ftrun did not make.",
    ),
    "a RayService that a run left": (
        {f"{RAYSERVICES}/ftrun": (200, {"metadata": {"name": "ftrun", "labels": {"ftrun/run": "old"}}})},
        "The RayService ftrun in namespace ns was left by the run old.",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_run_that_cannot_be_says_why_and_ends_with_3(
    case: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers, sentence = REFUSALS[case]
    assert ftrun(*RUN) == 3
    told = capsys.readouterr()
    assert sentence in " ".join((told.out + told.err).split())
    # Nothing but what says that this run was there, and that is gone again.
    made = [
        each for each in server.asked if each.startswith(("POST", "PUT", "PATCH")) and "reviews" not in each
    ]
    assert all("/configmaps/" in each or "/leases" in each for each in made)
    if made:
        assert (
            any(each.startswith("DELETE") and "/configmaps/" in each for each in server.asked)
            or "quota" in sentence
        )


def test_nobody_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files(tmp_path, "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    assert ftrun(*RUN) == 3
    told = capsys.readouterr()
    assert (
        "The API server of context staging cannot be reached: Cannot connect to host 127.0.0.1:9"
        in " ".join((told.out + told.err).split())
    )


def test_an_inventory_without_a_namespace_is_invalid_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files(tmp_path, "http://127.0.0.1:9")
    (tmp_path / "inventory.yaml").write_text("cluster: {kind: kubernetes, context: staging}\n")
    monkeypatch.chdir(tmp_path)
    assert ftrun(*RUN) == 4
    assert "namespaces" in capsys.readouterr().err
    (tmp_path / "inventory.yaml").write_text(
        "cluster: {kind: kubernetes, context: staging, namespaces: []}\n"
    )
    assert ftrun(*RUN) == 4


# doctor


def test_a_cluster_that_will_do(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers["/apis/apps/v1/namespaces/kuberay-operator/deployments/kuberay-operator"] = (
        200,
        {"spec": {"template": {"spec": {"containers": [{"image": "kuberay/operator:v1.7.0"}]}}}},
    )
    assert ftrun("doctor", "-i", "inventory.yaml") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "ok  Kubernetes v1.34.4 of context staging, namespace ns"
    assert lines[2] == "ok  KubeRay's operator: kuberay/operator:v1.7.0"
    assert lines[3].startswith("ok  all ")
    assert lines[-1] == "This machine can run scenarios against inventory.yaml."
    assert not [each for each in server.asked if not each.startswith("GET") and "reviews" not in each]


def test_rights_that_lack_are_named_with_what_they_are_for(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.denied = {"create pods/exec", "get pods/exec", "watch events", "list events", "get events"}
    assert ftrun("doctor", "-i", "inventory.yaml") == 3
    output = capsys.readouterr().out
    assert (
        "no  no right to get, create pods/exec in namespace ns (faults inside of containers, and the prober)\n"
        "      inventories/kubernetes-rbac.yaml grants it.\n"
    ) in output
    assert (
        "ok  no right to get, list, watch events in namespace ns (why it took so long): it will do without"
        in output
    )
    assert output.splitlines()[-1] == "This machine cannot run scenarios against inventory.yaml."
    server.denied = {"watch events"}
    assert ftrun("doctor", "-i", "inventory.yaml") == 0


def test_a_manifest_is_read_and_what_it_holds_is_asked_for(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    where = Path("inventory.yaml")
    where.write_text(where.read_text().replace("kubernetes,", "kubernetes, manifest: mine.yaml,", 1))
    assert ftrun("doctor", "-i", "inventory.yaml") == 3
    assert "no  The manifest mine.yaml cannot be read: No such file" in capsys.readouterr().out
    head = "headGroupSpec: {template: {spec: {containers: [{name: ray, image: ray}]}}}"
    Path("mine.yaml").write_text(
        f"{{kind: RayService, metadata: {{name: mine}}, spec: {{rayClusterConfig: {{{head}}}}}}}\n"
        "---\n{kind: PersistentVolumeClaim, metadata: {name: disk}}\n"
        "---\n{kind: Service, metadata: {name: redis}}\n"
    )
    assert ftrun("doctor", "-i", "inventory.yaml") == 0
    assert "ok  manifest mine.yaml: the RayService mine" in capsys.readouterr().out.splitlines()
    server.denied = {"create persistentvolumeclaims"}
    assert ftrun("doctor", "-i", "inventory.yaml") == 3
    assert (
        "no  no right to create persistentvolumeclaims in namespace ns (what the manifest holds)"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("case", ["credentials that have run out", "no CRD", "no namespace", "no API server"])
def test_what_keeps_doctor_from_looking_is_a_line_of_its(
    case: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers, sentence = REFUSALS[case]
    assert ftrun("doctor", "-i", "inventory.yaml") == 3
    assert f"no  {sentence}" in capsys.readouterr().out


# cleanup


def claimed(run: str, **data: str) -> Json:
    labels = {"app.kubernetes.io/managed-by": "ftrun", "ftrun/run": run}
    return {
        "metadata": {"name": f"ftrun-{run}", "uid": f"u-{run}", "labels": labels},
        "data": {"rayservice": "ftrun", **data},
    }


CONFIGMAPS = "/api/v1/namespaces/ns/configmaps"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/ftrun-ftrun"


def test_what_runs_left_is_healed_and_removed(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    undo = {"kind": "uncordon", "arguments": {"host": "n2"}, "says": "let pods stand on n2 again"}
    server.answers = {
        CONFIGMAPS: (200, {"items": [claimed("one", **{"undo-1": json.dumps(undo)}), claimed("two")]}),
        "/api/v1/nodes/n2": (200, {"metadata": {"name": "n2"}}),
        f"PATCH {CONFIGMAPS}/ftrun-one": (200, claimed("one")),
    }
    # Anybody might have written that there.
    assert ftrun("cleanup", "-i", "inventory.yaml", "one") == 3
    assert capsys.readouterr().out == (
        "one in ns: could not be removed: Could not let pods stand on n2 again:"
        " the inventory does not allow `node-faults`: do it yourself, if that is right.\n"
    )
    assert not [each for each in server.asked if not each.startswith("GET")]
    with Path("inventory.yaml").open("a") as inventory:
        inventory.write("allow: [node-faults]\n")
    assert ftrun("cleanup", "-i", "inventory.yaml") == 0
    assert capsys.readouterr().out == "one in ns: healed and removed\ntwo in ns: healed and removed\n"
    changed = [each for each in server.asked if not each.startswith("GET")]
    assert changed == [
        "PATCH /api/v1/nodes/n2",
        f"PATCH {CONFIGMAPS}/ftrun-one",
        f"DELETE {CONFIGMAPS}/ftrun-one",
        f"DELETE {CONFIGMAPS}/ftrun-two",
    ]
    assert ftrun("cleanup", "-i", "inventory.yaml", "two") == 0
    assert capsys.readouterr().out == "two in ns: healed and removed\n"


def lease(renewed: str) -> tuple[int, Json]:
    spec = {"holderIdentity": "one", "leaseDurationSeconds": 20, "renewTime": renewed}
    return 200, {"metadata": {"name": "ftrun-ftrun", "uid": "u"}, "spec": spec}


def test_what_still_runs_is_left_alone(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    seconds = itertools.count()
    # Its clock is years behind ours: it renews.
    server.answers = {
        CONFIGMAPS: (200, {"items": [claimed("one")]}),
        LEASE: lambda: lease(f"1999-01-01T00:00:{next(seconds):02}.000000Z"),
    }
    assert ftrun("cleanup", "-i", "inventory.yaml") == 0
    assert capsys.readouterr().out == "one in ns: left alone, it is still running\n"
    assert not [each for each in server.asked if not each.startswith("GET")]


def test_what_renews_its_lease_no_more_was_killed(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "TERM", 1)
    server.answers = {
        CONFIGMAPS: (200, {"items": [claimed("one")]}),
        LEASE: lease("2999-01-01T00:00:00.000000Z"),
    }
    assert ftrun("cleanup", "-i", "inventory.yaml") == 0
    assert capsys.readouterr().out == "one in ns: healed and removed\n"


def test_what_cannot_be_removed_is_said(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers = {
        CONFIGMAPS: (200, {"items": [claimed("one")]}),
        f"DELETE {CONFIGMAPS}/ftrun-one": status(403, "Forbidden", 'User "u" cannot delete'),
    }
    assert ftrun("cleanup", "-i", "inventory.yaml") == 3
    assert capsys.readouterr().out == (
        'one in ns: could not be removed: That is not allowed here: User "u" cannot delete.\n'
    )


def test_nothing_is_left(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert server.url
    assert ftrun("cleanup", "-i", "inventory.yaml") == 0
    assert capsys.readouterr().out == "Nothing is left of any run.\n"
    assert ftrun("cleanup", "-i", "local") == 3
    assert "only journals know what runs left there" in capsys.readouterr().err
