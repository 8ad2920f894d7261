"""`mxspark submit`, and `mxspark submit kubernetes`."""

import secrets
from datetime import UTC, datetime
from typing import Annotated

import typer

from mxspark import __version__
from mxspark.cli import console, emr, remote
from mxspark.cli.app import EXIT_CODES, app, short_help
from mxspark.cli.flags import (
    DebugFlag,
    Given,
    ImageFlag,
    KubeconfigFlag,
    KubeContextFlag,
    NamespaceFlag,
    YesFlag,
    takes_job,
)
from mxspark.settings import document, sources
from mxspark.settings.job import Settings
from mxspark.submit import reach
from mxspark.submit.kubernetes import job as kubernetes
from mxspark.submit.kubernetes import manifests
from mxspark.submit.kubernetes.cluster import Cluster
from mxspark.submit.kubernetes.job import KubernetesJob

submit_app = typer.Typer(help=short_help("submit"), rich_markup_mode=None)
app.add_typer(submit_app, name="submit")
submit_app.command("emr", short_help="Run a job on EMR on EKS, and follow it to its end.", epilog=EXIT_CODES)(
    emr.submit_emr
)


@submit_app.callback(invoke_without_command=True)
def _submit(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        console.show(context.get_help())


@submit_app.command("kubernetes", short_help="Run a job on Kubernetes, and follow it to its end.", epilog=EXIT_CODES)
@takes_job(without=("master",))
def submit_kubernetes(
    given: Given,
    image: ImageFlag = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="The job's name. Default: mxspark-DATE-TIME-….")
    ] = None,
    namespace: NamespaceFlag = None,
    kube_context: KubeContextFlag = None,
    kubeconfig: KubeconfigFlag = None,
    logs: remote.LogsFlag = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Start the job and exit; `mxspark status NAME` shows its status.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the manifests, and create nothing.")] = False,
    start_timeout: Annotated[
        float,
        typer.Option(
            "--start-timeout",
            metavar="SECONDS",
            min=1,
            help="Give up, and delete the job, if its driver has not started by then.",
        ),
    ] = 600,
    yes: YesFlag = False,
    _debug: DebugFlag = False,
) -> None:
    """Run a job on Kubernetes: create a Job whose pod is the driver, and follow it; the exit code is the job's.

    Takes the settings and flags of `mxspark run`. Ctrl-C asks whether to leave the job running or to cancel it.
    """
    name = kubernetes.check_name(name or f"mxspark-{datetime.now(UTC):%m%d-%H%M}-{secrets.token_hex(2)}")
    given_settings = sources.effective(
        given.layers({"kubernetes.image": image, "kubernetes.namespace": namespace})
    ).settings
    settings = manifests.completed(given_settings, name)
    for doubt in reach.doubts(settings):
        console.show_warning(doubt)
    if dry_run and settings.kubernetes.namespace:  # then no cluster is needed
        _show_manifests(settings, name)
        return
    cluster = Cluster.connect(kubeconfig, kube_context, settings.kubernetes.namespace)
    settings = manifests.in_namespace(settings, cluster.namespace)
    if dry_run:
        _show_manifests(settings, name)
        return
    remote.confirm_overwriting(settings.output, yes)
    listener = console.JobListener()
    found = kubernetes.submit(settings, cluster, name, listener)
    job = KubernetesJob(cluster, found, settings, start_timeout)
    listener.note(f"Job {name} in namespace {cluster.namespace} of {cluster.context}")
    if detach:
        console.show(name)
        listener.note(remote.what_next(job))
        return
    remote.follow_job(job, logs)


def _show_manifests(settings: Settings, name: str) -> None:
    console.show(document.to_yaml(*manifests.objects(settings, name, __version__)))
