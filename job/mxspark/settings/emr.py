"""Where and how a job runs on EMR on EKS. Its pods are as `kubernetes` says, its executors as `spark` says."""

import re
from typing import Annotated, Self

from mxspark.settings.document import Document, Field, field_validator, model_validator

# What AWS's model of the API allows (tests/emr walks it), as far as a person writes it.
NAME = r"^[.\-_/#A-Za-z0-9]{1,64}$"
ROLE = re.compile(r"arn:aws[a-zA-Z0-9-]*:iam::[0-9]{12}:role/([!-~]+/)?[A-Za-z0-9_+=,.@-]+")
# With what stands between, such as java17; those of Flink and of notebooks run no Spark jobs.
RELEASE = re.compile(r"emr-(\d+)\.(\d+)\.\d+(-(?!flink|notebook|livy)[a-z0-9]+)*-(latest|\d{8})", re.ASCII)
OLDEST_RELEASE = (7, 10)  # the first whose image has Python 3.11
MOST_TAGS, MOST_PROPERTIES, LONGEST_VALUE = 50, 100, 1024

Count = Annotated[int, Field(ge=0, le=100, strict=True)]


class EmrSettings(Document):
    """The job run on a virtual cluster of EMR on EKS. The image is kubernetes.image."""

    virtual_cluster: str | None = Field(None, pattern=NAME, description="The virtual cluster's id or name.")
    region: str | None = Field(
        None,
        pattern=r"^[a-z]{2,4}(-[a-z]+)+-[0-9]+$",  # eusc-de-east-1 too
        description="Region of the virtual cluster, e.g. eu-central-1. Default: AWS_REGION, or the profile's.",
    )
    execution_role: str | None = Field(
        None,
        max_length=2048,
        description="ARN of the role that the job runs as, e.g. arn:aws:iam::123456789012:role/mxspark.",
    )
    release: str = Field(
        "emr-7.13.0-latest",
        max_length=64,
        description="EMR's release, that of the image's base: emr-7.13.0-latest, emr-7.12.0-20260101.",
    )
    s3_logs: str | None = Field(
        None,
        pattern=r"^s3://[A-Za-z0-9._-]+(/[!-~]*)?$",
        max_length=1000,
        description="Where EMR puts the pods' logs: s3://bucket/prefix. Default: nowhere in S3.",
    )
    log_group: str | None = Field(
        None,
        pattern=r"^[.\-_/#A-Za-z0-9]{1,512}$",
        description="CloudWatch's log group for the pods' logs. Default: none.",
    )
    log_prefix: str | None = Field(
        None,
        pattern=r"^[!-)+-9;-~]{1,256}$",
        description="What the names of the log streams start with, neither : nor * in it; goes with emr.log_group.",
    )
    persistent_ui: bool = Field(
        True, description="Whether EMR keeps Spark's web UI for thirty days after the job's end."
    )
    retries: Count = Field(
        2, description="How many times EMR restarts a driver that failed or was lost; it resumes the run."
    )
    start_seconds: Annotated[int, Field(ge=60, le=86_400, strict=True)] | None = Field(
        None,
        description="How long the job may wait for nodes before EMR gives it up [seconds]. Default: EMR's own, 15 "
        "minutes.",
    )
    staging: str | None = Field(
        None,
        pattern=r"^s3://[A-Za-z0-9._-]+(/[!$&-;=@-Z_a-z~]*)?$",  # what an address may have
        max_length=500,
        description='Where a submission puts pod templates and settings: s3://bucket/prefix, none of "#%<>?[\\]^`{'
        "|} in it; the "
        "execution role reads them. Default: _submissions in the output.",
    )
    submitter: dict[str, str] = Field(
        {},
        description="More properties of the pod that submits the job (classification emr-job-submitter). By "
        "default it is placed on the driver's nodes.",
    )
    tags: dict[str, str] = Field({}, description="Tags of the job run.")

    @field_validator("execution_role")
    @classmethod
    def _is_a_role(cls, arn: str | None) -> str | None:
        if arn is not None and not ROLE.fullmatch(arn):
            raise ValueError(
                "it is not the ARN of a role. It must look like arn:aws:iam::123456789012:role/mxspark; `aws iam "
                "list-roles` has them"
            )
        return arn

    @field_validator("release")
    @classmethod
    def _is_a_release(cls, release: str) -> str:
        found = RELEASE.fullmatch(release)
        if not found:
            raise ValueError("it is not a release of EMR on EKS for Spark. It must look like emr-7.13.0-latest")
        if (int(found[1]), int(found[2])) < OLDEST_RELEASE:
            raise ValueError(
                "it is older than emr-7.10.0, the first with Python 3.11, which the image needs. Take emr-7.13.0-latest"
            )
        return release

    @field_validator("submitter")
    @classmethod
    def _fits(cls, properties: dict[str, str]) -> dict[str, str]:
        for key, value in properties.items():
            if not key.startswith("jobsubmitter."):
                raise ValueError(f"{key!r} is none of the submitter's properties, which start with jobsubmitter.")
            if not value.strip() or not value.isprintable() or max(len(key), len(value)) > LONGEST_VALUE:
                raise ValueError(f"{key}: AWS takes 1 to {LONGEST_VALUE} characters, on one line")
        return properties

    @field_validator("tags")
    @classmethod
    def _are_tags(cls, tags: dict[str, str]) -> dict[str, str]:
        if len(tags) > MOST_TAGS:
            raise ValueError(f"AWS takes {MOST_TAGS} tags at most, these are {len(tags)}")
        for key, value in tags.items():
            if not re.fullmatch(r"[^\x00-\x1f\x7f]{1,128}", key) or not key.strip() or key.lower().startswith("aws:"):
                raise ValueError(f"the tag {key!r} must have 1 to 128 characters and not begin with aws:")
            if not re.fullmatch(r"[^\x00-\x1f\x7f]{1,256}", value) or not value.strip():
                raise ValueError(f"the tag {key} must have a value of 1 to 256 characters")
        return tags

    @model_validator(mode="after")
    def _a_prefix_goes_with_a_group(self) -> Self:
        if self.log_prefix is not None and self.log_group is None:
            raise ValueError("emr.log_prefix names log streams, but emr.log_group is not set: give it too")
        return self
