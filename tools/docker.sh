#!/usr/bin/env bash
# Prints the program that builds and runs images on this machine: DOCKER, or the first Docker or Podman on PATH that can build the Dockerfiles.
set -euo pipefail

fault= # of the last program that was looked at, and what helps

works() { # PROGRAM
    local version
    if ! command -v "$1" >/dev/null; then
        fault="there is no program $1: DOCKER names it; unset that, or let it name Docker or Podman."
        return 1
    fi
    version=$("$1" --version 2>/dev/null) || version=
    case $version in
    podman*)
        [[ ${1##*/} == podman* ]] || { fault="$1 is Podman under Docker's name: set DOCKER=podman." && return 1; }
        version=$("$1" info 2>&1 >/dev/null) || { fault="\`$1 info\` fails: $(last_line "$version")" && return 1; }
        ;;
    [Dd]ocker*)
        version=$("$1" version --format '{{.Server.Version}} {{.Client.Version}}' 2>&1) || { fault=$(unreachable "$1" "$version") && return 1; }
        # Older clients have BuildKit in themselves.
        if [[ $version =~ \ ([0-9]+)[^\ ]*$ ]] && ((BASH_REMATCH[1] >= 23)) && ! "$1" buildx version >/dev/null 2>&1; then
            fault="$1 lacks its component buildx, which the Dockerfiles need: install it (package docker-buildx or docker-buildx-plugin)."
            return 1
        fi
        ;;
    *)
        fault="$1 is neither Docker nor Podman."
        return 1
        ;;
    esac
}

last_line() { sed '/^[[:space:]]*$/d' <<<"$1" | tail -n 1; } # TEXT

unreachable() { # PROGRAM WORDS: prints why its daemon can't be reached, and what helps
    case $2 in
    *"permission denied"*)
        echo "$1: your user may not use Docker: sudo usermod -aG docker $(id -un), then log in again; or take rootless Docker or Podman."
        ;;
    *"daemon running"* | *"onnection refused"* | *"no such file"* | *"no such host"* | *"failed to connect"*)
        if [ -n "${DOCKER_HOST-}" ]; then
            echo "$1: nothing answers at DOCKER_HOST=$DOCKER_HOST: start Docker there, or unset DOCKER_HOST."
        elif [ "$(uname -s)" = Darwin ]; then
            echo "$1: its daemon does not run: start Docker Desktop (open -a Docker) or Colima (colima start)."
        else
            echo "$1: its daemon does not run: sudo systemctl start docker (without systemd: sudo service docker start; Windows: Docker Desktop)."
        fi
        ;;
    *) echo "\`$1 version\` fails: $(last_line "$2")" ;;
    esac
}

# One file under two names (/bin is /usr/bin) is one program.
on_path() { type -aP docker podman | while read -r program; do echo "$(readlink -f "$program") $program"; done | awk '!seen[$1]++ { print substr($0, length($1) + 2) }'; }

if [ -n "${DOCKER-}" ]; then candidates=("$DOCKER"); else mapfile -t candidates < <(on_path); fi
for program in "${candidates[@]}"; do
    if works "$program"; then
        echo "$program"
        exit
    fi
    faults="${faults-}${faults+$'\n'}docker: $fault"
done
echo "${faults:-docker: neither Docker nor Podman is on PATH: install one (Debian: apt-get install docker.io; macOS, Windows: Docker Desktop).}" >&2
exit 1
