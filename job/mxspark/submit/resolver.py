"""Finds a submitted job by its name, wherever it runs."""

from mxspark.submit.emr import job as emr
from mxspark.submit.kubernetes import job as kubernetes
from mxspark.submit.remote_job import JobFlags, RemoteJob

# A kind gives None for names and flags that can't mean a job of its own; Kubernetes takes all that are left.
KINDS = (emr.resolve, kubernetes.resolve)


def find(name: str, flags: JobFlags) -> RemoteJob:
    """The job called `name`. Raises MxsparkError where there is none, or where it would run can't be asked."""
    return next(job for resolve in KINDS if (job := resolve(name, flags)) is not None)
