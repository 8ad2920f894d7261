#!/usr/bin/env bash
# Builds an image, and says how long that took, how large it is and what is in it.
# Usage: tools/image.sh cpu|gpu kubernetes|emr
# Environment: BASE, EMR_BASE (other bases than the Dockerfile's), EMR_DIGEST (what EMR_BASE must be), IMAGE (another name than mxspark), DOCKER, BUILD_OPTIONS (e.g. --network=host)
set -euo pipefail
cd "$(dirname "$0")/.."
usage="Usage: tools/image.sh cpu|gpu kubernetes|emr"
processor=${1:?"$usage"} target=${2:?"$usage"}
name=${IMAGE:-mxspark}
if ! [[ $name =~ ^[a-z0-9]+([._/:-]+[a-z0-9]+)*$ ]] || [[ ${name##*/} == *:* ]]; then
    echo "image: IMAGE: '$name' is no image's name: small letters, digits, and . _ - / between them; without a tag." >&2
    exit 2
fi
case $processor-$target in
cpu-kubernetes) file=Dockerfile suffix= ;;
cpu-emr) file=Dockerfile suffix=emr ;;
gpu-kubernetes) file=Dockerfile.gpu suffix=gpu ;;
gpu-emr) file=Dockerfile.gpu suffix=gpu-emr ;;
*) echo "image: no such image: '$processor' for '$target'. TARGET is kubernetes (the default) or emr." >&2 && exit 2 ;;
esac
if [ -n "${EMR_DIGEST-}" ] && ! [[ $EMR_DIGEST =~ ^sha256:[0-9a-f]{64}$ ]]; then
    echo "image: EMR_DIGEST: '$EMR_DIGEST' is no digest: sha256: and 64 digits of 0-9a-f." >&2
    exit 2
fi
docker=$(tools/docker.sh)
version=$(sed -n '/^\[project\]$/,/^\[/s/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
# Only an address that others can follow, and without a password in it.
source=$(git remote get-url origin 2>/dev/null | sed -n 's#^\(https://\)\([^@/]*@\)\?#\1#p' || true)

arguments=(--build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "SOURCE=${source:-unknown}")
for base in BASE EMR_BASE; do
    [ -z "${!base-}" ] || arguments+=(--build-arg "$base=${!base}")
done
emr_base=${EMR_BASE:-$(sed -n 's/^ARG EMR_BASE=//p' "$file")}
if [ "$target" = emr ] && [ -n "${EMR_DIGEST-}" ]; then
    emr_base=${emr_base%@*}@$EMR_DIGEST
    arguments+=(--build-arg "EMR_BASE=$emr_base")
fi
started=$SECONDS
# shellcheck disable=SC2086  # options, separated by spaces
DOCKER_BUILDKIT=1 "$docker" build --file "$file" --target "$target" "${arguments[@]}" --tag "$name:${suffix:-latest}" \
    --tag "$name:$version${suffix:+-$suffix}" ${BUILD_OPTIONS-} . || {
    code=$?
    echo "image: the build failed, see above. Where it can't pull a base image: make one from Debian's packages, tools/base-image.sh NAME, and" >&2
    echo "image: make image BASE=NAME (for TARGET=emr both BASE and EMR_BASE)." >&2
    exit $code
}

if [ "$target" = emr ] && [[ $emr_base != *@sha256:* ]]; then # a tag is what somebody else says that it is
    digest=$("$docker" image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$emr_base" 2>/dev/null | sed -n 's/.*@//p;q') || true
    echo "image: built on $emr_base, a tag, which others can move. ${digest:+Now it is $digest. }To build on the same again: EMR_DIGEST=${digest:-sha256:…}" >&2
fi
size=$("$docker" image inspect --format '{{.Size}}' "$name:${suffix:-latest}")
echo
echo "$name:${suffix:-latest} (also $name:$version${suffix:+-$suffix}): built in $((SECONDS - started)) s; $((size / 1000000)) MB unpacked, of which:"
# shellcheck disable=SC2016  # for the shell in the image
"$docker" run --rm --network none --user 0 --entrypoint /bin/sh "$name:${suffix:-latest}" -c '
    places="/usr /opt/cuda/lib /opt/java /opt/mxspark/examples /opt/spark/jars"
    for place in $places /opt/mxspark/venv/lib/python3.11/site-packages/*; do
        [ ! -e "$place" ] || [ -L "$place" ] || du --block-size=1000000 --summarize "$place"
    done' | sort --numeric-sort --reverse | sed -n '1,12s/^\([0-9]*\)\t/  \1 MB\t/p' | expand -t 12
