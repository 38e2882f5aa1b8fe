"""What the programs of Kubernetes are told: certificates, tokens, and the options of each."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import ssl
import urllib.request
from pathlib import Path
from typing import Any

from tests.kubernetes.ground import CGROUPS, STATE, run
from tests.kubernetes.images import PAUSE
from tests.kubernetes.machines import BUS, CONTROL, NODES, OWN, PODS, SERVICES, address, subnet

KUBECONFIG = STATE / "kubeconfig"
PKI = STATE / "pki"
SERVER = f"https://{BUS}:6443"
CERTIFICATES = f"""\
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = IP:{BUS}, IP:{SERVICES.removesuffix("0/16")}1, IP:127.0.0.1, DNS:kubernetes, \
DNS:kubernetes.default, DNS:kubernetes.default.svc, DNS:kubernetes.default.svc.cluster.local
"""


def write_secrets() -> None:
    """Make the certificates, the tokens, and a kubeconfig for each who calls the API server."""
    PKI.mkdir(parents=True)
    PKI.chmod(0o700)
    (PKI / "openssl.cnf").write_text(CERTIFICATES)
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "365"]
    request = ["openssl", "req", "-x509", "-config", PKI / "openssl.cnf", *new]
    authority = ["-subj", "/CN=ftrun-tests", "-extensions", "authority"]
    run(*request, *authority, "-keyout", PKI / "ca.key", "-out", PKI / "ca.crt")
    signed = [
        "-subj",
        "/CN=kube-apiserver",
        "-extensions",
        "server",
        "-CA",
        PKI / "ca.crt",
        "-CAkey",
        PKI / "ca.key",
    ]
    run(*request, *signed, "-keyout", PKI / "server.key", "-out", PKI / "server.crt")
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", PKI / "accounts.key")
    callers = {
        **dict.fromkeys(("admin", "controllers", "dns", "proxy", "scheduler"), "system:masters"),
        **dict.fromkeys(NODES, "system:nodes"),
    }
    rows = []
    for caller, group in callers.items():
        user, token = f"system:node:{caller}" if caller in NODES else caller, secrets.token_hex(16)
        rows.append(f"{token},{user},{user},{group}")
        _write_kubeconfig(KUBECONFIG if caller == "admin" else PKI / f"{caller}.kubeconfig", user, token)
    (PKI / "tokens.csv").write_text("\n".join(rows) + "\n")


def _write_kubeconfig(path: Path, user: str, token: str) -> None:
    authority = base64.b64encode((PKI / "ca.crt").read_bytes()).decode()
    name = "ftrun-tests"
    path.touch(mode=0o600)
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": name,
                "clusters": [
                    {"name": name, "cluster": {"server": SERVER, "certificate-authority-data": authority}}
                ],
                "users": [{"name": user, "user": {"token": token}}],
                "contexts": [
                    {"name": name, "context": {"cluster": name, "user": user, "namespace": "default"}}
                ],
            },
            indent=1,
        )
    )


def ask(path: str) -> Any:
    """Ask the API server as its admin, and give what it says; OSError if it says nothing or no."""
    trust = ssl.create_default_context(cafile=str(PKI / "ca.crt"))
    token = json.loads(KUBECONFIG.read_text())["users"][0]["user"]["token"]
    request = urllib.request.Request(f"{SERVER}{path}", headers={"Authorization": f"Bearer {token}"})
    direct = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
    )
    with direct.open(request, timeout=5) as answer:
        return json.load(answer)


def control(programs: Path) -> dict[str, Any]:
    """Describe the machine of the control plane."""
    folder = STATE / CONTROL
    (folder / "etcd").mkdir(parents=True, exist_ok=True)
    (folder / "etcd").chmod(0o700)
    (folder / "Corefile").write_text(
        f".:53 {{\n errors\n cache 5\n kubernetes cluster.local in-addr.arpa {{\n"
        f"  kubeconfig {PKI}/dns.kubeconfig\n  ttl 5\n }}\n}}\n"
    )
    etcd = "127.0.0.1:2379"
    api = [BUS, 6443]
    return {
        "binds": [(str(folder), "/run/machine")],
        "sysctl": {},
        "programs": [
            {
                "name": "etcd",
                "after": None,
                "command": [
                    "etcd",
                    f"--data-dir={folder}/etcd",
                    "--unsafe-no-fsync",
                    f"--listen-client-urls=http://{etcd}",
                    f"--advertise-client-urls=http://{etcd}",
                    "--listen-peer-urls=http://127.0.0.1:2380",
                    "--log-level=warn",
                ],
            },
            {
                "name": "kube-apiserver",
                "after": ["127.0.0.1", 2379],
                "command": [
                    f"{programs}/kube-apiserver",
                    f"--etcd-servers=http://{etcd}",
                    f"--advertise-address={BUS}",
                    f"--service-cluster-ip-range={SERVICES}",
                    f"--tls-cert-file={PKI}/server.crt",
                    f"--tls-private-key-file={PKI}/server.key",
                    f"--token-auth-file={PKI}/tokens.csv",
                    "--authorization-mode=Node,RBAC",
                    "--enable-admission-plugins=NodeRestriction",
                    "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                    f"--service-account-key-file={PKI}/accounts.key",
                    f"--service-account-signing-key-file={PKI}/accounts.key",
                    "--kubelet-preferred-address-types=InternalIP",
                    "--allow-privileged",
                    f"--cert-dir={folder}",
                ],
            },
            {
                "name": "kube-controller-manager",
                "after": api,
                "command": [
                    f"{programs}/kube-controller-manager",
                    f"--kubeconfig={PKI}/controllers.kubeconfig",
                    f"--authentication-kubeconfig={PKI}/controllers.kubeconfig",
                    f"--authorization-kubeconfig={PKI}/controllers.kubeconfig",
                    f"--root-ca-file={PKI}/ca.crt",
                    f"--service-account-private-key-file={PKI}/accounts.key",
                    "--leader-elect=false",
                    "--node-monitor-grace-period=12s",
                    "--node-monitor-period=2s",
                    f"--cert-dir={folder}",
                ],
            },
            {
                "name": "kube-scheduler",
                "after": api,
                "command": [
                    f"{programs}/kube-scheduler",
                    f"--kubeconfig={PKI}/scheduler.kubeconfig",
                    f"--authentication-kubeconfig={PKI}/scheduler.kubeconfig",
                    f"--authorization-kubeconfig={PKI}/scheduler.kubeconfig",
                    "--leader-elect=false",
                    f"--cert-dir={folder}",
                ],
            },
            {
                "name": "coredns",
                "after": api,
                "command": [f"{programs}/coredns", "-conf", f"{folder}/Corefile"],
            },
            # It makes the services' addresses reachable from here and from the API server; it takes the name of
            # a node, for it asks for its own node, and the control plane's machine is none.
            _proxy(programs, NODES[0]),
        ],
    }


def node(name: str, programs: Path, images: Path) -> dict[str, Any]:
    """Describe the machine of a node."""
    folder = STATE / name
    own = [(folder / outside.strip("/").replace("/", "-"), outside) for outside in OWN]
    for source, _ in own:
        source.mkdir(parents=True, exist_ok=True)
    _write_containerd(folder, name)
    _write_kubelet(folder, name)
    return {
        "binds": [
            (str(folder), "/run/machine"),
            *_share(images, folder / "containerd"),
            *((str(source), outside) for source, outside in own),
        ],
        # A kubelet sets these for the whole host, unless they say what it wants.
        "sysctl": {
            "kernel/keys/root_maxbytes": "25000000",
            "kernel/keys/root_maxkeys": "1000000",
            "kernel/panic": "10",
            "kernel/panic_on_oops": "1",
            "vm/overcommit_memory": "1",
            "vm/panic_on_oom": "0",
        },
        "programs": [
            {
                "name": "containerd",
                "after": None,
                "command": ["containerd", "--config", "/run/machine/containerd.toml"],
            },
            {
                "name": "kubelet",
                "after": [BUS, 6443],
                "command": [
                    f"{programs}/kubelet",
                    "--config=/run/machine/kubelet.json",
                    f"--kubeconfig={PKI}/{name}.kubeconfig",
                    f"--hostname-override={name}",
                    f"--node-ip={address(name)}",
                    "--root-dir=/var/lib/kubelet",
                    "--cert-dir=/run/machine/certificates",
                ],
            },
            _proxy(programs, name),
        ],
    }


def _proxy(programs: Path, name: str) -> dict[str, Any]:
    return {
        "name": "kube-proxy",
        "after": [BUS, 6443],
        "command": [
            f"{programs}/kube-proxy",
            f"--kubeconfig={PKI}/proxy.kubeconfig",
            f"--hostname-override={name}",
            f"--cluster-cidr={PODS}",
            "--proxy-mode=iptables",
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ],
    }


def _share(images: Path, root: Path) -> list[tuple[str, str]]:
    """Give a containerd the unpacked images: they are mounted where it looks, its records of them are copied.

    Each is mounted by itself: among them it puts its own, by renaming, which no mount may stand in the way of.
    """
    shared = []
    for pattern in (
        "io.containerd.content.v1.content/blobs/sha256/*",
        "io.containerd.snapshotter.v1.overlayfs/snapshots/*",
    ):
        for source in sorted(images.glob(pattern)):
            target = root / source.relative_to(images)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                target.mkdir(exist_ok=True)
            else:
                target.touch()
            shared.append((str(source), f"/run/machine/{target.relative_to(root.parent)}"))
    for record in (
        "io.containerd.metadata.v1.bolt/meta.db",
        "io.containerd.snapshotter.v1.overlayfs/metadata.db",
    ):
        if not (root / record).exists():
            (root / record).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(images / record, root / record)
    return shared


def _write_containerd(folder: Path, name: str) -> None:
    networks = folder / "networks"
    networks.mkdir(exist_ok=True)
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": subnet(name)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    text = json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": plugins}, indent=1)
    (networks / "10-pods.conflist").write_text(text)
    (folder / "containerd.toml").write_text(
        f"""\
version = 2
root = "/run/machine/containerd"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/{PAUSE}"
  # Not everyone who is root may lower these.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/run/machine/networks"
"""
    )


def _write_kubelet(folder: Path, name: str) -> None:
    (folder / "kubelet.json").write_text(
        json.dumps(
            {
                "apiVersion": "kubelet.config.k8s.io/v1beta1",
                "kind": "KubeletConfiguration",
                "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
                "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
                "authorization": {"mode": "AlwaysAllow"},
                "cgroupDriver": "cgroupfs",
                "cgroupRoot": f"/{CGROUPS}/{name}",
                "enforceNodeAllocatable": [],
                "failSwapOn": False,
                "oomScoreAdj": 0,
                "clusterDNS": [BUS],
                "clusterDomain": "cluster.local",
                "resolvConf": "",
                "nodeStatusUpdateFrequency": "2s",
                "nodeLeaseDurationSeconds": 8,
                "evictionHard": {
                    "memory.available": "100Mi",
                    "nodefs.available": "1%",
                    "imagefs.available": "1%",
                },
                "imageGCHighThresholdPercent": 100,
            },
            indent=1,
        )
    )
