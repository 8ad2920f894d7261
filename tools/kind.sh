#!/usr/bin/env bash
# A Kubernetes cluster on this machine, with kind: two nodes in containers, and an S3 server in it.
# Usage: tools/kind.sh up              makes the cluster, and waits until pods can start
#        tools/kind.sh s3              starts the S3 server in it: http://s3.s3:8333 for pods
#        tools/kind.sh load IMAGE ...  gives images of this machine's Docker to the nodes
#        tools/kind.sh down            removes the cluster
# Environment: KIND_CLUSTER (another name than mxspark), KIND_NODES (those that `load` is for, with commas between them; else all),
#              KIND_NODE_IMAGE (else kind's own; where that can't be pulled, one made from packages),
#              KUBECONFIG (else ~/.kube/config), BASE (see tools/base.sh), DOCKER
set -euo pipefail
cd "$(dirname "$0")/.."
cluster=${KIND_CLUSTER:-mxspark}
attempts=2 # a busy machine's first may miss one of kind's own time limits

fail() { printf 'kind: %s\n' "$@" >&2; exit 1; }

usage() {
    sed -n 's/^# Usage: /Usage: /p; s/^#        tools/       tools/p' tools/kind.sh >&2
    exit 2
}

find_programs() { # sets docker, kind, kubectl
    docker=$(tools/docker.sh)
    [[ ${docker##*/} != podman* ]] || export KIND_EXPERIMENTAL_PROVIDER=podman
    local programs
    mapfile -t programs < <(tools/go-tools.sh kind kubectl)
    [ ${#programs[@]} -eq 2 ] || exit 1 # it has said why
    kind=${programs[0]}
    kubectl=("${programs[1]}" --context "kind-$cluster")
}

# Without -q, with which grep leaves at the first match, and kind, writing other clusters' names, ends with an error.
exists() { "$kind" get clusters 2>/dev/null | grep -x "$cluster" >/dev/null; }

must_exist() { exists || fail "there is no cluster $cluster: tools/kind.sh up makes it."; }

node_image() { # prints it; nothing where it is kind's own choice
    local default
    if [ -n "${KIND_NODE_IMAGE-}" ]; then
        "$docker" image inspect "$KIND_NODE_IMAGE" >/dev/null 2>&1 || "$docker" pull --quiet "$KIND_NODE_IMAGE" >/dev/null ||
            fail "KIND_NODE_IMAGE: there is no image $KIND_NODE_IMAGE here, and it can't be pulled."
        echo "$KIND_NODE_IMAGE"
        return
    fi
    default=$(grep --text --only-matching --extended-regexp --max-count=1 'kindest/node:v[0-9.]+@sha256:[0-9a-f]{64}' "$kind" | head -n 1) || return 0
    ! "$docker" image inspect "$default" >/dev/null 2>&1 || return 0
    ! "$docker" pull --quiet "$default" >/dev/null 2>&1 || return 0
    [ "$(uname -s)" = Linux ] || fail "the image of kind's nodes can't be pulled: see \`docker pull $default\`, or give another as KIND_NODE_IMAGE."
    local base
    base=$(tools/base.sh)
    tests/kubernetes/node/build.sh "$base"
}

create() {
    local image attempt options=(--name "$cluster" --config examples/kind/cluster.yaml --wait 180s)
    image=$(node_image)
    [ -z "$image" ] || options+=(--image "$image")
    for attempt in $(seq $attempts); do
        ! "$kind" create cluster "${options[@]}" || return 0
        "$kind" delete cluster --name "$cluster" || true
        [ "$attempt" = $attempts ] || echo "kind: trying once more" >&2
    done
    fail "the cluster could not be made, see above."
}

wait_for_service_account() { # without it no pod is admitted; it comes some seconds after the nodes
    for _ in $(seq 120); do
        ! "${kubectl[@]}" --namespace default get serviceaccount default >/dev/null 2>&1 || return 0
        sleep 0.5
    done
    fail "the cluster $cluster has no ServiceAccount default after a minute: is its kube-controller-manager running?"
}

up() {
    find_programs
    if exists; then
        echo "The cluster $cluster is there already."
    else
        create
    fi
    # kind's --wait is for the control plane alone.
    "${kubectl[@]}" wait --for=condition=Ready nodes --all --timeout=180s >/dev/null
    "${kubectl[@]}" --namespace kube-system rollout status deployment/coredns --timeout=180s >/dev/null
    wait_for_service_account
    echo "kubectl --context kind-$cluster get nodes"
    "${kubectl[@]}" get nodes
}

load() {
    [ $# -gt 0 ] || usage
    find_programs
    must_exist
    local image
    for image in "$@"; do
        "$docker" image inspect "$image" >/dev/null 2>&1 || fail "Docker has no image $image: make image builds mxspark."
    done
    "$kind" load docker-image --name "$cluster" ${KIND_NODES:+--nodes "$KIND_NODES"} "$@"
}

s3_image() { # prints its name; builds it where it isn't there for these very inputs
    local name base
    name=mxspark-s3:$(cat examples/kind/s3.Dockerfile requirements/seaweedfs.txt image/build/pip.sh | cksum | cut -d' ' -f1)
    if ! "$docker" image inspect "$name" >/dev/null 2>&1; then
        base=$(tools/base.sh)
        DOCKER_BUILDKIT=1 "$docker" build --quiet --file examples/kind/s3.Dockerfile --build-arg "BASE=$base" --tag "$name" . >/dev/null
    fi
    echo "$name"
}

random() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; } # BYTES

s3() {
    find_programs
    must_exist
    local image
    image=$(s3_image)
    "$kind" load docker-image --name "$cluster" --nodes "$cluster-control-plane" "$image" # which it runs on
    sed '/^---$/q' examples/kind/s3.yaml | "${kubectl[@]}" apply --filename - >/dev/null # the namespace
    # By standard input: what is on a command line every process of the machine can read.
    "${kubectl[@]}" --namespace s3 get secret credentials >/dev/null 2>&1 ||
        printf 'AWS_ACCESS_KEY_ID=%s\nAWS_SECRET_ACCESS_KEY=%s\n' "$(random 8)" "$(random 16)" |
        "${kubectl[@]}" --namespace s3 create secret generic credentials --from-env-file=/dev/stdin >/dev/null
    sed "s#IMAGE#$image#" examples/kind/s3.yaml | "${kubectl[@]}" apply --filename - >/dev/null
    "${kubectl[@]}" --namespace s3 rollout status deployment/s3 --timeout=180s >/dev/null
    echo "The S3 server runs: http://s3.s3:8333 for pods, with the buckets images, models and results; keys: secret credentials in namespace s3."
}

down() {
    find_programs
    if exists; then
        "$kind" delete cluster --name "$cluster"
    else
        echo "There is no cluster $cluster."
    fi
}

command=${1-}
[ $# -eq 0 ] || shift
case $command in
up | s3 | load | down) "$command" "$@" ;;
*) usage ;;
esac
