#!/bin/sh
# Makes /build, a virtual environment whose pip installs into the image; neither it nor binutils go there themselves.
# Usage: pip.sh LOCK   with what builds the packages that PyPI has as source only
set -eu
if command -v dnf >/dev/null; then
    dnf install --assumeyes --setopt=install_weak_deps=False binutils findutils
else
    packages=binutils
    # Debian's own Python has these modules in a package apart.
    python3.11 -c 'import ensurepip, venv' 2>/dev/null || packages="$packages python3.11-venv"
    apt-get update -qq
    # shellcheck disable=SC2086  # a list
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages
fi
python3.11 -m venv /build
/build/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement "$1"
