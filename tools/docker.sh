#!/usr/bin/env bash
# Prints the program that builds and runs images on this machine: DOCKER, or the first Docker or Podman on PATH that can build the Dockerfiles.
set -euo pipefail

fault= # of the last program that was looked at

works() { # PROGRAM
    local version
    if ! command -v "$1" >/dev/null; then
        fault="there is no program $1."
    elif [[ ${1##*/} == podman* ]]; then
        "$1" info >/dev/null 2>&1 && return
        fault="$1: \`podman info\` fails; see what it says."
    elif ! version=$("$1" version --format '{{.Server.Version}} {{.Client.Version}}' 2>/dev/null); then
        fault="$1 can't reach its daemon: start Docker (Debian: service docker start; elsewhere Docker Desktop), or let your user use it."
    elif ! [[ $version =~ ^[0-9].*\ ([0-9]+) ]]; then
        fault="$1 is neither Docker nor Podman."
    elif ! "$1" buildx version >/dev/null 2>&1 && ((BASH_REMATCH[1] >= 23)); then
        # Older clients have BuildKit in themselves.
        fault="$1 lacks its component buildx, which the Dockerfiles need: install it (package docker-buildx or docker-buildx-plugin)."
    else
        return 0
    fi
    return 1
}

if [ -n "${DOCKER-}" ]; then candidates=("$DOCKER"); else mapfile -t candidates < <(type -aP docker podman | awk '!seen[$0]++'); fi
for program in "${candidates[@]}"; do
    if works "$program"; then
        echo "$program"
        exit
    fi
    faults="${faults-}${faults+$'\n'}docker: $fault"
done
echo "${faults:-docker: neither Docker nor Podman is on PATH: install one (Debian: apt-get install docker.io; macOS, Windows: Docker Desktop).}" >&2
exit 1
