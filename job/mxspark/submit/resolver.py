"""Finds a submitted job by its name, wherever it runs."""

from mxspark.submit.emr import job as emr
from mxspark.submit.kubernetes import job as kubernetes
from mxspark.submit.remote_job import JobFlags, RemoteJob

# Each returns None for names and flags that can't mean one of its jobs; Kubernetes takes all others.
KINDS = (emr.resolve, kubernetes.resolve)


def find(name: str, flags: JobFlags) -> RemoteJob:
    """The job called `name`. Raises MxsparkError if there is none, or its cluster can't be reached."""
    return next(job for resolve in KINDS if (job := resolve(name, flags)) is not None)
