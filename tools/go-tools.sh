#!/usr/bin/env bash
# Prints the paths of programs: kind, kubectl and helm from PATH where they are there, all others built with Go, once on a machine.
# tools/go, tools/crds and tests/kubernetes/node/go pin them, and all that they are built from.
# Usage: tools/go-tools.sh NAME ...   kind kubectl helm (PATH's, else helm4) helm3 helm4 kubeconform helm-unittest; kube coredns etcd (a node's);
#                                     source:MODULE, the folder with the source of a module that is pinned there
# They are kept in ${XDG_CACHE_HOME:-~/.cache}/mxspark/tools.
set -euo pipefail
cd "$(dirname "$0")/.."
retry=$PWD/tools/retry.sh
newer=1.26.8 # the Go that is fetched where the machine's is too old for a module

fail() { printf 'go-tools: %s\n' "$@" >&2; exit 1; }

older() { # VERSION THAN: as numbers, whatever the machine's sort can do
    awk -v one="$1" -v other="$2" 'BEGIN { split(one, a, "."); split(other, b, "."); for (i = 1; i <= 3; i++) if (a[i] + 0 != b[i] + 0) exit !(a[i] + 0 < b[i] + 0); exit 1 }'
}

find_go() { # MODULE: sets go
    local needed has platform folder
    command -v go >/dev/null || fail "Go is missing, which builds $name." "Install it (Debian, Ubuntu: apt-get install golang-go; macOS: brew install go) and try again."
    go=go
    needed=$(sed -n 's/^go //p' "$1/go.mod")
    has=$(GOTOOLCHAIN=local go env GOVERSION)
    [ -n "$has" ] || has=$(go version | awk '{ print $3 }') # before Go 1.16
    ! older "${has#go}" "$needed" || {
        # As Go 1.21 and later do it by themselves, where they aren't told not to; an older one can download all the same.
        platform=$(go env GOOS)-$(go env GOARCH)
        folder=$(cd / && GOFLAGS='' GOTOOLCHAIN=local "$retry" go mod download -json "golang.org/toolchain@v0.0.1-go$newer.$platform" | sed -n 's/^.*"Dir": "\(.*\)".*/\1/p') && [ -n "$folder" ] ||
            fail "$name needs Go $needed or newer; this machine's is ${has#go}, and a newer one can't be downloaded." "Install one from https://go.dev/dl and try again."
        find "$folder/bin" "$folder/pkg/tool" -type f -exec chmod u+x {} +
        go=$folder/bin/go
    }
}

build() { # MODULE PACKAGE PROGRAM [-X definitions]: PROGRAM is the file to write
    local building
    find_go "$1"
    echo "go-tools: building ${3##*/} (once on this machine; some take minutes)" >&2
    mkdir -p "$(dirname "$3")"
    # A folder of its own until it is whole: a build that is interrupted leaves nothing that looks finished.
    building=$(mktemp -d "$(dirname "$3")/building.XXXXXX")
    (cd "$1" && CGO_ENABLED=0 GOFLAGS='' GOWORK=off GOTOOLCHAIN=local "$retry" nice "$go" build -trimpath -buildvcs=false -ldflags "-s -w ${4-}" -o "$building/program" "$2" 2>&1 | sed '/^go: downloading /d' >&2) ||
        { rm -rf "$building"; fail "building ${3##*/} failed, see above."; }
    mv "$building/program" "$3"
    rm -r "$building"
}

version() { sed -n "s#^\s*$2 \(v[^ ]*\).*#\1#p" "$1/go.mod"; } # MODULE REQUIRED: the version of a required module

source_of() { # MODULE: prints the folder with its source, which is downloaded where it isn't there yet
    local module
    for module in tools/go tests/kubernetes/node/go tools/crds; do
        [ -n "$(version $module "$1")" ] || continue
        find_go $module
        (cd $module && GOFLAGS='' GOWORK=off GOTOOLCHAIN=local "$retry" "$go" mod download -json "$1") | sed -n 's/^.*"Dir": "\(.*\)".*/\1/p'
        return
    done
    fail "no module that is pinned: '$1'."
}

tool() { # NAME: prints its path
    local name=$1 module=tools/go package definitions='' folder
    case $name in
    kind | kubectl | helm) ! command -v "$name" || return 0 ;;
    esac
    case $name in
    source:*)
        source_of "${name#source:}"
        return
        ;;
    kind) package=sigs.k8s.io/kind ;;
    kubeconform) package=github.com/yannh/kubeconform/cmd/kubeconform ;;
    helm-unittest) package=github.com/helm-unittest/helm-unittest/cmd/helm-unittest ;;
    helm | helm4)
        name=helm4 package=helm.sh/helm/v4/cmd/helm
        definitions="-X helm.sh/helm/v4/internal/version.version=$(version $module helm.sh/helm/v4)"
        ;;
    helm3)
        package=helm.sh/helm/v3/cmd/helm
        # The version of Kubernetes that charts are checked against where no cluster is asked; 1.20 otherwise.
        local minor
        minor=$(version $module k8s.io/client-go | cut -d. -f2)
        definitions="-X helm.sh/helm/v3/internal/version.version=$(version $module helm.sh/helm/v3)"
        definitions+=" -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=$minor -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=$minor"
        ;;
    kube | kubectl)
        # One program, which does what it is called by.
        module=tests/kubernetes/node/go package=./kube
        local kubernetes into=k8s.io/component-base/version
        kubernetes=$(version $module k8s.io/kubernetes)
        definitions="-X $into.gitVersion=$kubernetes -X $into.gitMajor=1 -X $into.gitMinor=$(cut -d. -f2 <<<"$kubernetes") -X $into.gitTreeState=clean"
        ;;
    coredns) module=tests/kubernetes/node/go package=./coredns ;;
    etcd) module=tests/kubernetes/node/go package=go.etcd.io/etcd/server/v3 ;;
    *) fail "no such program: '$name'; see the beginning of tools/go-tools.sh." ;;
    esac
    folder=${XDG_CACHE_HOME:-$HOME/.cache}/mxspark/tools/$(find $module -type f | LC_ALL=C sort | xargs cat | cksum | cut -d' ' -f1)
    if [ "$name" = kubectl ]; then
        tool kube >/dev/null
        ln -sf kube "$folder/kubectl"
    elif [ ! -x "$folder/$name" ]; then
        build $module $package "$folder/$name" "$definitions"
    fi
    echo "$folder/$name"
}

[ $# -gt 0 ] || fail "Usage: tools/go-tools.sh NAME ..."
for each in "$@"; do tool "$each"; done
