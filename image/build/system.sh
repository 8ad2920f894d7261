#!/bin/sh
# What the image for Kubernetes needs of Debian; Spark's user; no file that gives its starter another's rights.
set -eu
if ! command -v apt-get >/dev/null || ! grep -q '^VERSION_CODENAME=bookworm' /etc/os-release; then
    echo "BASE: the base image is no Debian 12 (bookworm), whose packages the image is made of" >&2
    exit 1
fi
# libgomp1 and libquadmath0 are MXNet's; its aarch64 wheel needs LAPACKE instead (packages.sh).
packages="ca-certificates libgomp1 tini"
case $(dpkg --print-architecture) in
amd64) packages="$packages libquadmath0" ;;
arm64) packages="$packages liblapacke libopenblas0-pthread" ;;
esac
command -v python3.11 >/dev/null || packages="$packages python3.11" # python:3.11-slim has its own
apt-get update -qq
# shellcheck disable=SC2086  # a list
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages
# One library of a package that would bring 50 MB of Perl for its tools; listed where scanners look for such packages.
cd /tmp
apt-get download -qq libnss-wrapper
dpkg-deb --extract libnss-wrapper_*.deb wrapper
cp wrapper/usr/lib/*/libnss_wrapper.so /usr/lib/
mkdir -p /var/lib/dpkg/status.d /usr/share/doc/libnss-wrapper
cp wrapper/usr/share/doc/libnss-wrapper/copyright /usr/share/doc/libnss-wrapper/
dpkg-deb --field libnss-wrapper_*.deb >/var/lib/dpkg/status.d/libnss-wrapper
rm -r wrapper libnss-wrapper_*.deb
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/cache/ldconfig/* /var/log/*
groupadd --system --gid 185 spark
useradd --system --uid 185 --gid spark --no-create-home --home-dir /opt/spark/work-dir --comment "Spark" spark
find / -xdev -type f -perm /6000 -exec chmod a-s {} +
