#!/usr/bin/env bash
# Prints the image with Debian 12 that images are built on: BASE; else the Dockerfile's own, where it is here or can be pulled; else one that is
# made from Debian's packages, once.
# Environment: BASE, MADE_BASE (another name for the one that is made than mxspark-base), DOCKER
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -n "${BASE-}" ]; then
    echo "$BASE"
    exit
fi
docker=$(tools/docker.sh)
made=${MADE_BASE:-mxspark-base}
public=$(sed -n 's/^ARG BASE=//p' Dockerfile)
for image in "$public" "$made"; do
    if "$docker" image inspect "$image" >/dev/null 2>&1; then
        echo "$image"
        exit
    fi
done
if "$docker" pull --quiet "$public" >/dev/null 2>&1; then
    echo "$public"
else
    tools/base-image.sh "$made" >&2
    echo "$made"
fi
