#!/usr/bin/env bash
# Prints the name of an image of a kind node that is made from packages: Kubernetes, etcd and CoreDNS with Go, the rest from Debian. For machines
# that reach those but no image registry. Builds it where it isn't there for these very inputs.
# Usage: tests/kubernetes/node/build.sh BASE   an image with Debian 12
set -euo pipefail
base=${1:?"Usage: tests/kubernetes/node/build.sh BASE"}
cd "$(dirname "$0")"
tools=$PWD/../../../tools
docker=$("$tools/docker.sh")
inputs=$({ find . -type f | LC_ALL=C sort | xargs cat && grep sigs.k8s.io/kind "$tools/go/go.mod"; } | cksum | cut -d' ' -f1)
name=mxspark-kind-node:$inputs
if "$docker" image inspect "$name" >/dev/null 2>&1; then
    echo "$name"
    exit
fi
started=$SECONDS
mapfile -t programs < <("$tools/go-tools.sh" kube etcd coredns)
[ ${#programs[@]} -eq 3 ] || exit 1 # it has said why
kind=$("$tools/go-tools.sh" source:sigs.k8s.io/kind)
echo "node: building the image of a kind node, $name" >&2

context=$(mktemp -d "$(dirname "${programs[0]}")/node.XXXXXX") # beside the programs: links cost nothing
parts=()
trap 'rm -rf "$context"; [ ${#parts[@]} -eq 0 ] || "$docker" rmi --no-prune "${parts[@]}" >/dev/null' EXIT
cp -R Dockerfile prepare.sh overlay "$context"
for program in "${programs[@]}"; do ln -f "$program" "$context"; done
cp -R "$kind/images/base/files" "$context/kind"
chmod -R u+w "$context/kind"
build() { # TARGET TAG
    DOCKER_BUILDKIT=1 "$docker" build --quiet --target "$1" --build-arg "BASE=$base" --tag "$2" "$context" >/dev/null
}

kubeadm() { (exec -a kubeadm "${programs[0]}" "$@"); }
version=$(kubeadm version --output short)
for part in $(kubeadm config images list --kubernetes-version "$version"); do
    case $part in
    */coredns:*) build coredns "$part" ;;
    */pause:*)
        build pause "$part"
        sed -i "s#sandbox_image = .*#sandbox_image = \"$part\"#" "$context/kind/etc/containerd/config.toml"
        ;;
    *) build kube "$part" ;;
    esac
    parts+=("$part")
done
"$docker" save --output "$context/images.tar" "${parts[@]}"
printf %s "$version" >"$context/version"
build node "$name"
echo "node: built in $((SECONDS - started)) s" >&2
echo "$name"
