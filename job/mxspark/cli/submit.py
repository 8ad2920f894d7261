"""`mxspark submit`, and what is done with a job afterwards: `mxspark logs`, `mxspark cancel`."""

import secrets
from datetime import UTC, datetime
from typing import Annotated

import typer

from mxspark import __version__
from mxspark.cli import console, emr, remote
from mxspark.cli.app import EXIT_CODES, app
from mxspark.cli.flags import DebugFlag, Given, ImageFlag, KubeconfigFlag, KubeContextFlag, NamespaceFlag, YesFlag, takes_job
from mxspark.settings import document, sources
from mxspark.settings.job import Settings
from mxspark.submit import reach
from mxspark.submit.kubernetes import job as kubernetes
from mxspark.submit.kubernetes import manifests
from mxspark.submit.kubernetes.cluster import Cluster
from mxspark.submit.kubernetes.follower import Follower, Found

submit_app = typer.Typer(help="Start a job elsewhere, and follow it to its end.", rich_markup_mode=None)
app.add_typer(submit_app, name="submit")
submit_app.command("emr", short_help="Run a job on EMR on EKS, and follow it to its end.", epilog=EXIT_CODES)(emr.submit_emr)

NameArgument = Annotated[
    str,
    typer.Argument(metavar="NAME", help="The job's name (of EMR's job runs the id), as `mxspark submit` said it, or the chart's release."),
]
LogsFlag = Annotated[bool, typer.Option("--logs", help="Show the whole log of the driver, not only how far it is.")]


@submit_app.callback(invoke_without_command=True)
def _submit(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        console.show(context.get_help())


@submit_app.command("kubernetes", short_help="Run a job on Kubernetes, and follow it to its end.", epilog=EXIT_CODES)
@takes_job(without=("master",))
def submit_kubernetes(
    given: Given,
    image: ImageFlag = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="The job's name. Default: mxspark-DATE-TIME-….")] = None,
    namespace: NamespaceFlag = None,
    kube_context: KubeContextFlag = None,
    kubeconfig: KubeconfigFlag = None,
    logs: LogsFlag = False,
    detach: Annotated[bool, typer.Option("--detach", help="Start the job and end; `mxspark status NAME` says how it is.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the manifests, and make nothing.")] = False,
    start_timeout: Annotated[
        float, typer.Option("--start-timeout", metavar="SECONDS", min=1, help="Give up, and delete the job, when its driver has not begun.")
    ] = 600,
    yes: YesFlag = False,
    _debug: DebugFlag = False,
) -> None:
    """Run a job on Kubernetes: make a Job whose pod is the driver, and follow it; the exit code is the job's.

    Takes the settings and flags of `mxspark run`. Ctrl-C asks whether to leave the job running or to cancel it.
    """
    name = kubernetes.check_name(name or f"mxspark-{datetime.now(UTC):%m%d-%H%M}-{secrets.token_hex(2)}")
    given_settings = sources.effective(given.layers({"kubernetes.image": image, "kubernetes.namespace": namespace})).settings
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
    listener.note(f"Job {name} in namespace {cluster.namespace} of {cluster.context}")
    if detach:
        console.show(name)
        listener.note(remote.what_next(f"{name} {cluster.flags}"))
        return
    _follow(Follower(cluster, found, listener, logs=logs, start_seconds=start_timeout, settings=settings), cluster, found)


def _show_manifests(settings: Settings, name: str) -> None:
    console.show(document.to_yaml(*manifests.objects(settings, name, __version__)))


def _follow(follower: Follower, cluster: Cluster, found: Found) -> None:
    owner = found.owner
    cancel = None if owner else lambda: kubernetes.cancel(cluster, found)
    end = (owner.command or owner.end) if owner else None
    remote.follow(f"job {found.job}", f"{found.job} {cluster.flags}", follower.follow, cancel, end)


@app.command("follow", short_help="Follow a submitted job to its end.", epilog=EXIT_CODES)
def follow(
    name: NameArgument,
    logs: LogsFlag = False,
    namespace: NamespaceFlag = None,
    kube_context: KubeContextFlag = None,
    kubeconfig: KubeconfigFlag = None,
    virtual_cluster: emr.JobRunClusterFlag = None,
    region: emr.JobRunRegionFlag = None,
    _debug: DebugFlag = False,
) -> None:
    """Follow a submitted job, or the chart's, to its end; the exit code is the job's."""
    if run := emr.job_run(name, virtual_cluster, region, namespace, kube_context, kubeconfig):
        emr.follow(*run, logs)
        return
    cluster = Cluster.connect(kubeconfig, kube_context, namespace)
    found = kubernetes.find(cluster, name)
    _follow(Follower(cluster, found, console.JobListener(), logs=logs), cluster, found)


@app.command("logs", epilog=EXIT_CODES)
def show_logs(
    name: NameArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the driver ends.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", metavar="N", min=1, help="Only the last N lines.")] = None,
    namespace: NamespaceFlag = None,
    kube_context: KubeContextFlag = None,
    kubeconfig: KubeconfigFlag = None,
    virtual_cluster: emr.JobRunClusterFlag = None,
    region: emr.JobRunRegionFlag = None,
    _debug: DebugFlag = False,
) -> None:
    """Show the log of a submitted job's driver."""
    if run := emr.job_run(name, virtual_cluster, region, namespace, kube_context, kubeconfig):
        emr.show_logs(*run, follow, tail)
        return
    for line in kubernetes.log(Cluster.connect(kubeconfig, kube_context, namespace), name, follow, tail):
        console.show(line)


@app.command("cancel", short_help="End a submitted job; what it has finished stays.", epilog=EXIT_CODES)
def cancel(
    name: NameArgument,
    namespace: NamespaceFlag = None,
    kube_context: KubeContextFlag = None,
    kubeconfig: KubeconfigFlag = None,
    virtual_cluster: emr.JobRunClusterFlag = None,
    region: emr.JobRunRegionFlag = None,
    yes: YesFlag = False,
    _debug: DebugFlag = False,
) -> None:
    """End a submitted job, and delete its pods and all that was made for it; what it has finished stays in its output."""
    if run := emr.job_run(name, virtual_cluster, region, namespace, kube_context, kubeconfig):
        emr.cancel(*run, yes)
        return
    cluster = Cluster.connect(kubeconfig, kube_context, namespace)
    if kubernetes.confirm_and_cancel(cluster, name, lambda question: console.confirm(question, yes)):
        console.show(f"Job {name} is deleted.")
