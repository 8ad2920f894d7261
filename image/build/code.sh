#!/bin/sh
# Makes /code, what the project itself puts into the image: the package and what spark-submit is pointed at. Runs in the project's folder.
set -eu
/build/bin/pip --python /opt/mxspark/venv/bin/python install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-compile \
    --no-warn-script-location --root /code .
cp job/infer_main.py LICENSE /code/opt/mxspark/
/opt/mxspark/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash -s /code /code/opt/mxspark/venv/lib
