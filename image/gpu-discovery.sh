#!/bin/sh
# Prints this machine's NVIDIA GPUs as Spark asks for them (spark.executor.resource.gpu.discoveryScript): {"name":"gpu","addresses":["0","1"]}.
# The addresses are nvidia-smi's numbers of the cards; mxspark makes CUDA number them in the same order.
set -eu

fail() {
    echo "gpu-discovery: $1" >&2
    # Of an executor that ends so, Spark deletes the pod and with it the log; this Kubernetes shows with the container's end.
    [ ! -w /dev/termination-log ] || echo "gpu-discovery: $1" >/dev/termination-log
    exit 1
}

command -v nvidia-smi >/dev/null ||
    fail "nvidia-smi is not there: give the container its GPU (docker run --gpus all; on Kubernetes request nvidia.com/gpu), and NVIDIA_DRIVER_CAPABILITIES=compute,utility"
said=$(nvidia-smi --query-gpu=index --format=csv,noheader) || fail "nvidia-smi failed: $said"
addresses=
for index in $said; do
    case $index in
    *[!0-9]*) fail "nvidia-smi lists no GPU: $said" ;; # "No devices were found", as a rule
    esac
    addresses=$addresses${addresses:+,}\"$index\"
done
[ -n "$addresses" ] || fail "nvidia-smi lists no GPU"
echo "{\"name\":\"gpu\",\"addresses\":[$addresses]}"
