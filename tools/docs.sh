#!/usr/bin/env bash
# Builds the site of the documentation into build/site; mkdocs is installed into .cache/docs when it isn't there.
# Usage: tools/docs.sh build|serve   serve: on 127.0.0.1, as files are after the last start of this script
set -euo pipefail
cd "$(dirname "$0")/.."
command=${1:?build or serve}
tools/venv.sh docs
export NO_MKDOCS_2_WARNING=1 # of the end of life of Material, in 2027
rm -rf build/docs
mkdir -p build/docs
# At their own paths, so that their links to each other work; what they link to besides is copied as it is.
git ls-files -z --cached --others --exclude-standard '*.md' 'docs/*' 'examples/*.ipynb' 'examples/*.py' 'examples/*.yaml' 'helm/mxspark/files/*' image/gpu-discovery.sh |
    grep -zv '^tests/\|^tools/\|^\.' | xargs -0 cp --parents --target-directory build/docs
case $command in
build) .cache/docs/bin/mkdocs build --strict --quiet && echo build/site/index.html ;;
serve) exec .cache/docs/bin/mkdocs serve ;;
*) echo "docs: build or serve, not '$command'" >&2 && exit 2 ;;
esac
