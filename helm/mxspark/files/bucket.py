"""Looks whether the job's images can be listed and its output be written, with the credentials of its pods; writes
nothing.

Usage: bucket.py SETTINGS
"""

import os
import sys
from itertools import islice
from pathlib import Path

from mxspark.dataset.source import Source
from mxspark.errors import MxsparkError
from mxspark.settings.document import read_yaml
from mxspark.settings.sources import effective, environment_layer, file_layer
from mxspark.storage import Access, open_store


def main(path: str) -> None:
    layers = [file_layer(read_yaml(Path(path).read_text(), path), path), environment_layer(os.environ)]
    settings = effective(layers).settings
    access = Access(settings.storage)
    first = next(islice(Source(settings.input, access).keys(), 1))
    print(f"ok: {settings.input.path} has images, the first is {first}", flush=True)
    open_store(settings.output.path, access).check_writable()
    print(f"ok: {settings.output.path} can be written", flush=True)


try:
    main(sys.argv[1])
except MxsparkError as error:
    sys.exit(f"{error.problem}\n{error.hint}".strip())
