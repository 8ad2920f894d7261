#!/bin/sh
# What MXNet needs of Amazon Linux (of Debian, where the tests stand in for AWS's image), and what decommissioning asks for.
set -eu
if ! getent passwd hadoop >/dev/null || ! [ -d /usr/lib/spark/python/lib ]; then
    echo "EMR_BASE: the base image is none of EMR on EKS for Spark: it has no user hadoop, or no /usr/lib/spark" >&2
    exit 1
fi
if command -v dnf >/dev/null; then
    command -v python3.11 >/dev/null || dnf install --assumeyes --setopt=install_weak_deps=False python3.11
    # shellcheck disable=SC2046  # one word or none
    dnf install --assumeyes --setopt=install_weak_deps=False libgomp $([ "$(uname -m)" != x86_64 ] || echo libquadmath)
    dnf clean all
    rm -rf /var/cache/dnf
else
    apt-get update -qq
    # shellcheck disable=SC2046  # a list
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libgomp1 \
        $(if [ "$(uname -m)" = x86_64 ]; then echo libquadmath0; else echo liblapacke libopenblas0-pthread; fi)
    rm -rf /var/lib/apt/lists/* /var/cache/apt/*
fi
if [ -e /usr/bin/decom.sh ]; then chown hadoop:hadoop /usr/bin/decom.sh; fi
