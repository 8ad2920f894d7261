#!/usr/bin/env bash
# Builds the proxy that makes a network's faults for tests/faults, as .cache/bin/toxiproxy-server; does nothing when it is there already.
# Its module needs Go 1.17 or newer: Debian's golang-go will do.
set -euo pipefail
cd "$(dirname "$0")/.."
version=v2.5.0
programs=$PWD/.cache/bin
[ ! -x "$programs/toxiproxy-server" ] || exit 0
if ! command -v go >/dev/null; then
    echo "toxiproxy: Go is missing, which builds it: the tests in tests/faults need it." >&2
    echo "toxiproxy: Install it (Debian, Ubuntu: apt-get install golang-go; macOS: brew install go) and try again." >&2
    exit 1
fi
echo "toxiproxy: building $version into .cache/bin (once, about a minute)" >&2
mkdir -p "$programs"
# A folder of its own until it is whole: a build that is interrupted leaves nothing that looks finished.
building=$(mktemp -d "$programs/building.XXXXXX")
trap 'rm -rf "$building"' EXIT
GOBIN=$building tools/retry.sh go install "github.com/Shopify/toxiproxy/v2/cmd/server@$version"
mv "$building/server" "$programs/toxiproxy-server"
