#!/bin/sh
# unpack.sh FOLDER ARCHIVE...: in namespaces of its own, imports images with a containerd that has its root in FOLDER.
set -eu
root=$1
shift
mount -t tmpfs tmpfs /run
printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' >/run/containerd.toml
containerd --config /run/containerd.toml --root "$root" --state /run/containerd --log-level warn &
tries=0
until ctr version >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || exit 1
    sleep 0.1
done
for archive in "$@"; do
    ctr --namespace k8s.io images import "$archive" >/dev/null
done
kill $!
wait || true
