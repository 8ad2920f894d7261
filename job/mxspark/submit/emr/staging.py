"""Where a submission's objects lie in S3."""

import hashlib

from mxspark.settings import Settings
from mxspark.storage import join

STAGING = "_submissions"  # in the output: readers of tables pass over it, and so does --overwrite


def staged(settings: Settings, file: str, content: bytes) -> str:
    """Where a submission's object goes: a place of its own for each content, so that nothing is ever replaced under a running job."""
    place = settings.emr.staging or join(settings.output.path, STAGING)
    return join(join(place, hashlib.sha256(content).hexdigest()[:16]), file)
