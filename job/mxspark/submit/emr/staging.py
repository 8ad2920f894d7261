"""Where a submission's objects lie in S3."""

import hashlib
import re

from mxspark.errors import UsageError
from mxspark.settings.job import Settings
from mxspark.storage import join

STAGING = "_submissions"  # in the output: readers of tables pass over it, and so does --overwrite

# Spark takes a pod template's place for an address (java.net.URI, then Hadoop's Path): it refuses these, cuts at ? and #, and reads %
# and doubled slashes as something else.
NO_ADDRESS = re.compile(r"""[\s"#%<>?\[\\\]^`{|}]|//|/\.{1,2}(?=/|$)""")


def check(settings: Settings) -> None:
    """Raises UsageError where Spark would not find pod templates."""
    key, place = ("emr.staging", settings.emr.staging) if settings.emr.staging else ("output.path", settings.output.path)
    if found := NO_ADDRESS.search(place.removeprefix("s3://").rstrip("/")):
        raise UsageError(
            f"{key} is {place!r}: Spark finds no pod templates where {found[0]!r} is in the name",
            "Take that out of it"
            + ("." if key == "emr.staging" else ", or give pod templates another place: --set emr.staging=s3://bucket/prefix."),
        )


def staged(settings: Settings, file: str, content: bytes) -> str:
    """Where a submission's object goes: a place of its own for each content, so that nothing is ever replaced under a running job."""
    place = settings.emr.staging or join(settings.output.path, STAGING)
    return join(join(place, hashlib.sha256(content).hexdigest()[:16]), file)
