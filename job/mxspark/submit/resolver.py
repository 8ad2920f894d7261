"""Finds a submitted job by its name, wherever it runs."""

import re

from mxspark.errors import UsageError
from mxspark.settings.kubernetes import SUBDOMAIN
from mxspark.submit.emr import job as emr
from mxspark.submit.kubernetes import job as kubernetes
from mxspark.submit.remote_job import JobFlags, RemoteJob

JOB_NAME = re.compile(SUBDOMAIN)
LONGEST_NAME = 253  # of an object in Kubernetes
# Each returns None for names and flags that can't mean one of its jobs; Kubernetes takes all others.
KINDS = (emr.resolve, kubernetes.resolve)


def find(name: str, flags: JobFlags) -> RemoteJob:
    """The job called `name`. Raises MxsparkError if there is none, or its cluster can't be reached."""
    if not JOB_NAME.match(name) or len(name) > LONGEST_NAME:
        raise UsageError(
            f"{name!r} can't be the name of a job",
            "Give the name or id that `mxspark submit` printed: small letters, digits, hyphens and dots.",
        )
    return next(job for resolve in KINDS if (job := resolve(name, flags)) is not None)
