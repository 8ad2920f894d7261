#!/usr/bin/env bash
# `make run` inside the image: classifies the photographs that are in it, into output/imagenet-docker.
# Environment: IMAGE (another name than mxspark), OUTPUT (another folder than output), DOCKER
set -euo pipefail
cd "$(dirname "$0")/.."
docker=$(tools/docker.sh)
image=${IMAGE:-mxspark}
"$docker" image inspect "$image" >/dev/null 2>&1 || tools/image.sh cpu kubernetes
mkdir -p "${OUTPUT:=output}"
example=/opt/mxspark/examples/imagenet
options=(--rm --init --user "$(id -u):$(id -g)" --volume "$(realpath "$OUTPUT"):/output")
[[ $(basename "$docker") != podman* ]] || options+=(--userns keep-id) # else Podman's users are not this machine's
[ ! -t 1 ] || options+=(--interactive --tty)
"$docker" run "${options[@]}" "$image" run --input $example/images --model $example/bundle --output /output/imagenet-docker "$@"
echo "On this machine that is $OUTPUT/imagenet-docker"
