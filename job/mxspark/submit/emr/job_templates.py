"""The request that makes a job template, and the values of its parameters for one run."""

import json

from mxspark.errors import UsageError
from mxspark.settings.emr import LONGEST_VALUE
from mxspark.settings.job import Settings
from mxspark.submit.emr.arguments import PARAMETERS, SUBMISSION_PARAMETER, TEMPLATE_WORDS, is_argument, submission_argument
from mxspark.submit.emr.request import Request, token


def request(settings: Settings, name: str, what: Request) -> Request:
    """The request that makes the job template `name`."""
    told = json.dumps({**what, "jobDriver": {}})
    words = what["jobDriver"]["sparkSubmitJobDriver"]["entryPointArguments"]
    parameters = what["jobDriver"]["sparkSubmitJobDriver"]["sparkSubmitParameters"]
    if "${" in told + parameters or any("${" in word for word in words if word not in TEMPLATE_WORDS):
        raise UsageError("a setting has ${ in it, which a job template takes for a parameter", "Leave --job-template out.")
    if settings.emr.staging is None:
        raise UsageError(
            "a job template is for many outputs, but its pod templates would lie in this one's",
            "Give a place for them: --set emr.staging=s3://…",
        )
    # Without defaults, which would make it another template for each run.
    data: Request = {**what, "parameterConfiguration": {name: {"type": "STRING"} for name in values(settings)}}
    if settings.emr.tags:
        data["jobTags"] = dict(settings.emr.tags)
    found: Request = {"name": name, "jobTemplateData": data}
    return found | {"clientToken": token(found)}


def values(settings: Settings) -> dict[str, str]:
    """What one run gives for the template's parameters."""
    if not isinstance(settings.input.path, str):
        raise UsageError("a job template's input is one place, but input.path has several", "Leave --job-template out.")
    given = {"Input": settings.input.path, "Output": settings.output.path, "Model": settings.model.path}
    for parameter, value in given.items():
        if value is not None and (len(value) > LONGEST_VALUE or not is_argument(value)):
            raise UsageError(
                f"{PARAMETERS[parameter]} has {len(value):,} characters, or such as can't be printed",
                f"A job template takes {LONGEST_VALUE:,} at most: leave --job-template out.",
            )
    found = {parameter: value for parameter, value in given.items() if value is not None}
    return found | {SUBMISSION_PARAMETER: submission_argument(settings)}
