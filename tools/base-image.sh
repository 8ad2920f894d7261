#!/usr/bin/env bash
# Makes a base image from Debian's packages, for machines that reach those but no image registry: then `make image BASE=NAME`.
# It is Debian 12's minimum, as debian:bookworm-slim, and trusts what this machine trusts. Needs Debian, root and mmdebstrap.
# Usage: tools/base-image.sh NAME
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin # where Debian has the programs of root, which not every shell looks for there
cd "$(dirname "$0")/.."
name=${1:?Usage: tools/base-image.sh NAME}
docker=$(tools/docker.sh)
if [ "$(id -u)" != 0 ] || ! command -v mmdebstrap >/dev/null; then
    echo "base-image: this needs root, on Debian with mmdebstrap (apt-get install mmdebstrap)." >&2
    exit 1
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# usrmerge, and Perl with it, come only because the smallest set of packages is chosen before usr-is-merged; Docker's image has neither.
# shellcheck disable=SC2016  # "$1" is for the shells that mmdebstrap starts
mmdebstrap --quiet --variant=minbase --include=ca-certificates,usr-is-merged \
    --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --customize-hook='find /usr/local/share/ca-certificates -name "*.crt" -exec cp {} "$1/usr/local/share/ca-certificates/" \;' \
    --customize-hook='chroot "$1" update-ca-certificates >/dev/null 2>&1' \
    --customize-hook='chroot "$1" apt-get purge -qq --yes --auto-remove usrmerge perl perl-modules-5.36 libperl5.36 >/dev/null' \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/var/log/*' \
    bookworm "$folder/base.tar"
"$docker" import --change 'CMD ["bash"]' "$folder/base.tar" "$name" >/dev/null
echo "$name: made from Debian's packages"
