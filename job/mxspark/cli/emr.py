"""`mxspark submit emr` and `mxspark doctor emr`."""

import json
import secrets
import shlex
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from mxspark.cli import console, remote
from mxspark.cli.app import INTERRUPTED, TERMINATED, Detached, doctor_app, show_findings
from mxspark.cli.flags import DebugFlag, Given, ImageFlag, YesFlag, help_of, takes_job
from mxspark.cli.run import needed
from mxspark.errors import PassingError, Terminated, UsageError
from mxspark.settings import sources
from mxspark.settings.job import Settings
from mxspark.storage import Access, StorageError
from mxspark.submit.emr import images, job, job_runs, start_job_run, virtual_clusters
from mxspark.submit.emr.aws import Aws, NotAllowedError
from mxspark.submit.emr.job import SAME_AGAIN, EmrJob


def _setting(key: str, metavar: str, kind: Any = str) -> tuple[Any, None, str]:
    """A flag that sets emr.`key`."""
    name = f"--{key.replace('_', '-')}"
    flag = typer.Option(name, metavar=metavar, help=help_of("emr", key), show_default=False)
    return Annotated[kind | None, flag], None, f"emr.{key}"


# What a job run has besides the job; `submit emr` and `doctor emr` take it.
_FLAGS: dict[str, tuple[Any, Any, str]] = {
    "virtual_cluster": _setting("virtual_cluster", "ID|NAME"),
    "region": _setting("region", "REGION"),
    "execution_role": _setting("execution_role", "ARN"),
    "release": _setting("release", "LABEL"),
    "image": (ImageFlag, None, "kubernetes.image"),
    "log_group": _setting("log_group", "NAME"),
    "log_prefix": _setting("log_prefix", "PREFIX"),
    "s3_logs": _setting("s3_logs", "PLACE"),
    "retries": _setting("retries", "N", int),
}
TagFlag = Annotated[
    list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="A tag of the job run. Can be given many times.")
]
NameFlag = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="NAME", help="The job run's name. Default: mxspark-DATE-TIME-…, or by output.submission."
    ),
]
TemplateFlag = Annotated[
    str | None,
    typer.Option(
        "--job-template",
        metavar="NAME",
        help="Start the job run from the job template NAME, which is created if it doesn't exist.",
    ),
]


def _layers(given: Given, tags: list[str] | None) -> list[sources.Layer]:
    found = {}
    for tag in tags or ():
        key, _, value = tag.partition("=")
        if not (key.strip() and value.strip()):
            raise UsageError(f"--tag {tag} lacks a key or a value", "Write --tag KEY=VALUE.")
        found[f"emr.tags.{key}"] = value
    return given.layers(found, dict.fromkeys(found, "--tag"))


def _check_names(name: str | None, job_template: str | None) -> None:
    for flag, given in (("--name", name), ("--job-template", job_template)):
        if given is not None:
            start_job_run.check_name(given, flag)


@takes_job(without=("master",), more=_FLAGS)
def submit_emr(
    given: Given,
    tag: TagFlag = None,
    name: NameFlag = None,
    job_template: TemplateFlag = None,
    logs: Annotated[
        bool, typer.Option("--logs", help="Show the driver's whole log as EMR delivers it, not only the progress.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Start the job run and exit; `mxspark status ID` shows its status.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the request for `aws emr-containers start-job-run --cli-input-json`, and start nothing. With "
            "--job-template its jobTemplateId must be filled in.",
        ),
    ] = False,
    upload: Annotated[
        bool, typer.Option("--upload", help="With --dry-run: upload to S3 what the request names.")
    ] = False,
    yes: YesFlag = False,
    _debug: DebugFlag = False,
) -> None:
    """Run a job on EMR on EKS: start a job run on a virtual cluster, and follow it; the exit code is the job's.

    Takes the settings and flags of `mxspark run`. Ctrl-C asks whether to leave the job running or to cancel it.
    """
    _check_names(name, job_template)
    if upload and not dry_run:
        raise UsageError("--upload goes with --dry-run", "Without --dry-run the job starts, and uploads what it needs.")
    settings, listener = sources.effective(_layers(given, tag)).settings, console.JobListener()
    named, unique = settings.output.submission, f"{datetime.now(UTC):%m%d-%H%M%S}-{secrets.token_hex(3)}"
    name = name or start_job_run.default_name(named or unique)
    for note in start_job_run.notes(settings):
        listener.note(note)
    settings = start_job_run.completed(settings, job_template or name, f"{name}-{secrets.token_hex(8)}")
    if dry_run:
        _show_request(settings, name, job_template, upload, listener)
        return
    started = _start(settings, name, job_template, yes)
    if detach:
        console.show(started.run.id)  # before anything else can go wrong
    started.announce(listener)
    if named and started.is_over:
        listener.note(SAME_AGAIN)
    if detach:
        listener.note(remote.what_next(started))
    else:
        remote.follow_job(started, logs)


def _start(settings: Settings, name: str, job_template: str | None, yes: bool) -> EmrJob:
    """Starts the job run, after all that can be checked before."""
    aws = Aws.connect(settings.emr.region)
    cluster = virtual_clusters.check_running(virtual_clusters.find(aws, str(settings.emr.virtual_cluster)))
    submission = start_job_run.build(settings, name, cluster.id, job_template)
    with suppress(NotAllowedError, PassingError, StorageError):  # which `mxspark doctor emr` reports
        images.check(settings, images.read(aws, settings.kubernetes.image or ""))
    remote.confirm_overwriting(settings.output, yes)
    job.put_objects(submission, Access(settings.storage))
    try:
        return EmrJob(aws, job.start(aws, submission), settings)
    except (KeyboardInterrupt, Terminated) as signal:
        look = job_runs.list_command(cluster.id, name, aws.region)
        console.show_warning(f"it is unknown whether the job run {name} was started: {look}")
        raise Detached(TERMINATED if isinstance(signal, Terminated) else INTERRUPTED) from None


def _show_request(
    settings: Settings, name: str, job_template: str | None, upload: bool, listener: console.JobListener
) -> None:
    """Without requests to AWS, except for the id of a virtual cluster that was given by its name."""
    cluster = str(settings.emr.virtual_cluster)
    if not virtual_clusters.ID.fullmatch(cluster):
        found = virtual_clusters.find(Aws.connect(settings.emr.region), cluster)
        cluster = virtual_clusters.check_running(found).id
    submission = start_job_run.build(settings, name, cluster, job_template)
    if upload:
        job.put_objects(submission, Access(settings.storage))
    how, where = "were uploaded" if upload else "--upload uploads", "\n  ".join(submission.objects)
    listener.note(f"The request names these objects, which {how}:\n  {where}")
    request = submission.request
    if submission.template is not None:
        request = {**request, "jobTemplateId": "TEMPLATE"}
        listener.note(
            "Replace TEMPLATE with the id that this prints: aws emr-containers create-job-template --cli-input-json "
            f"{shlex.quote(json.dumps(submission.template))}"
        )
    console.show(json.dumps(request, indent=2, ensure_ascii=False))


@doctor_app.command("emr", epilog="Exit codes: 0 nothing is a problem; 1 something is.")
@takes_job(without=("master",), more=_FLAGS)
def examine_emr(
    given: Given,
    tag: TagFlag = None,
    name: NameFlag = None,
    job_template: TemplateFlag = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    _debug: DebugFlag = False,
) -> None:
    """Check whether AWS has what a job run needs, before money is spent; change nothing.

    Takes the settings and flags of `mxspark submit emr`.
    """
    from mxspark.submit.emr import checks

    _check_names(name, job_template)
    found = _layers(given, tag)
    lacking = needed(found)
    settings = sources.effective([lacking, *found]).settings
    name = name or start_job_run.default_name(settings.output.submission or "DATE")
    named = [".".join(path) for path in lacking.values]
    show_findings(checks.examine(settings, name, job_template, named), as_json)
