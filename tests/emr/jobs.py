"""Settings of jobs for EMR on EKS, as a person gives them."""

from typing import Any

from mxspark.settings import sources
from mxspark.settings.job import Settings
from mxspark.submit.emr import start_job_run
from mxspark.submit.emr.start_job_run import Submission

CLUSTER = "0b0qvauoy3ch1nqodkk4hkw2t"
ACCOUNT = "123456789012"
REGION = "eu-central-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/mxspark"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/mxspark:emr"
FLAGS: dict[str, Any] = {
    "input.path": "s3://images/photos",
    "output.path": "s3://results/predictions",
    "model.path": "s3://models/lite0",
    "kubernetes.image": IMAGE,
    "emr.execution_role": ROLE,
    "emr.virtual_cluster": CLUSTER,
}


def settings(*assignments: str, **flags: Any) -> Settings:
    """A job's settings; `assignments` are --set's, a double underscore in a flag's name is a dot."""
    given = FLAGS | {key.replace("__", "."): value for key, value in flags.items()}
    return sources.effective([sources.flag_layer(given, list(assignments))]).settings


def submission(*assignments: str, name: str = "photos", job_template: str | None = None, **flags: Any) -> Submission:
    """What is asked of AWS for it."""
    completed = start_job_run.completed(settings(*assignments, **flags), job_template or name, "submission-1")
    return start_job_run.build(completed, name, CLUSTER, job_template)


def arguments(found: Submission) -> list[str]:
    """infer_main.py's."""
    words: list[str] = found.request["jobDriver"]["sparkSubmitJobDriver"]["entryPointArguments"]
    return words


def classification(found: Submission, name: str) -> dict[str, str]:
    """The properties of a classification, none where it isn't there."""
    listed = found.request["configurationOverrides"]["applicationConfiguration"]
    return next((entry["properties"] for entry in listed if entry["classification"] == name), {})


def all_properties(found: Submission) -> dict[str, str]:
    """Spark's, of spark-defaults and sparkSubmitParameters."""
    words = found.request["jobDriver"]["sparkSubmitJobDriver"]["sparkSubmitParameters"].split(" ")
    assert set(words[::2]) == {"--conf"}
    parameters = dict(word.split("=", 1) for word in words[1::2])
    defaults = classification(found, "spark-defaults")
    assert not defaults.keys() & parameters.keys()
    return defaults | parameters
