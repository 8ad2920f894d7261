#!/usr/bin/env bash
# Makes all that a release consists of, in build/release, and tries it; uploads nothing, and says at its end what would.
# Usage: tools/release.sh VERSION [--untested] [--home URL]
#   --untested    without `make lint` and `make test-all`, which CI has run
#   --home URL    of the repository, where the packages' README then leads: an index has none of the files that its links name
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:?the version, as in pyproject.toml}
release=build/release source=build/release-source
fail() { printf 'release: %s\n' "$@" >&2; exit 1; }

check_versions() { # the same everywhere, and a dated section of the changelog
    grep -q "^version = \"$version\"$" pyproject.toml || fail "pyproject.toml has another version than $version."
    grep -q "^version: $version$" CITATION.cff || fail "CITATION.cff has another version than $version."
    [ "$(grep -Ec "^(version|appVersion): ${version//./\\.}$" helm/mxspark/Chart.yaml)" = 2 ] || fail "helm/mxspark/Chart.yaml has another version than $version."
    grep -Eq "^## ${version//./\\.}, [0-9]{4}-[0-9]{2}-[0-9]{2}$" CHANGELOG.md ||
        fail "CHANGELOG.md has no section '## $version, YYYY-MM-DD'."
}

check_tree() { # what is released is what a commit has
    [ -z "$(git status --porcelain)" ] || fail "There are changes that aren't committed: git status shows them."
    ! git rev-parse -q --verify "refs/tags/v$version" >/dev/null || fail "The tag v$version exists already."
}

copy_source() { # HOME: of the commit; README's links and pictures are those of the version's tag, where a home is given
    rm -rf $source
    mkdir -p $source
    git archive HEAD | tar -x -C $source
    [ -n "$1" ] || return 0
    sed -E -e "s#!\\[([^]]*)\\]\\(([^):]+)\\)#![\\1]($1/raw/v$version/\\2)#g" -e "s#\\]\\(([^):]+)\\)#]($1/blob/v$version/\\1)#g" README.md >$source/README.md
    printf '\n[project.urls]\nHomepage = "%s"\nChangelog = "%s"\n' "$1" "$1/blob/v$version/CHANGELOG.md" >>$source/pyproject.toml
}

build_packages() {
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
    export SOURCE_DATE_EPOCH
    .venv/bin/uv build $source --quiet --out-dir $release --build-constraint requirements/build.txt --require-hashes
    tools/venv.sh release
    .cache/release/bin/twine check --strict $release/*.whl $release/*.tar.gz
}

try_wheel() { # HOW OPTION ...: in an environment of its own, as a user installs it: Spark runs, and a table can be read
    local how=$1 venv=.cache/release-$1 wheel
    shift
    wheel=$(echo $release/*.whl)
    rm -rf "$venv" build/tried
    .venv/bin/uv venv --quiet --python .venv/bin/python "$venv"
    .venv/bin/uv pip install --quiet --python "$venv/bin/python" "$@" "${wheel}[cpu,spark,kubernetes,heif,onnx]"
    echo "release: trying the wheel with the $how versions that it allows" >&2
    "$venv/bin/mxspark" --version
    PATH=$PWD/$venv/bin:$PATH "$venv/bin/mxspark" run --input examples/digits/images --limit 40 --model examples/digits/bundle --output build/tried --master 'local[1]'
    "$venv/bin/python" -c 'import mxspark; assert len(mxspark.read("build/tried", "arrow")) == 40'
}

pack_chart() {
    local helm
    helm=$(tools/go-tools.sh helm4)
    "$helm" package --destination $release $source/helm/mxspark
}

main() {
    local untested='' home=''
    shift # the version
    while [ $# -gt 0 ]; do
        case $1 in
        --untested) untested=yes ;;
        --home)
            shift
            [ $# -gt 0 ] || fail "--home needs the repository's address."
            home=${1%/}
            ;;
        *) fail "There is no option $1." ;;
        esac
        shift
    done
    check_versions
    check_tree
    tools/setup.sh dev
    [ -n "$untested" ] || make lint test-all
    rm -rf $release
    mkdir -p $release
    .venv/bin/python examples/digits/build.py
    copy_source "$home"
    build_packages
    try_wheel newest
    try_wheel lowest --resolution lowest-direct
    pack_chart
    rm -f build/sbom-*.json
    tools/sbom.sh
    cp build/sbom-*.json $release/
    (cd $release && sha256sum -- * >SHA256SUMS)
    cat <<END

build/release has all of $version. What is left to do, by somebody who may:
  git tag --sign v$version && git push origin v$version
  .cache/release/bin/twine upload $release/*.whl $release/*.tar.gz
  make image image-gpu && docker push …    for each image and registry; docs/images.md has how they are signed
  helm push $release/mxspark-$version.tgz oci://…
END
    [ -n "$home" ] || echo "For an index, make them again with --home: without it the links of the packages' README lead nowhere there."
}
main "$@"
