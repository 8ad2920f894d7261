"""Who made a Job that is no submission, by what each tool writes on its objects, and how it is ended there.

Deleted behind their back, Argo CD and Flux would make it again, and Helm would not know of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mxspark.spark.pods import Manifest

RELEASE_ANNOTATION = "meta.helm.sh/release-name"  # Helm's own, on each object of a release
CHARTS_ANNOTATION = "mxspark/release"  # the chart's, on what its CronJobs make as well
ARGO_ANNOTATION, ARGO_LABEL = "argocd.argoproj.io/tracking-id", "argocd.argoproj.io/instance"
ARGO_MANAGER = "argocd"  # how Kubernetes' own record names who wrote an object: argocd-controller, …
FLUX_LABELS = {"HelmRelease": "helm.toolkit.fluxcd.io", "Kustomization": "kustomize.toolkit.fluxcd.io"}
INSTANCE_LABEL = "app.kubernetes.io/instance"


@dataclass(frozen=True)
class Owner:
    """`what` it is in words, and what to do to end its job; the command where there is one."""

    what: str
    end: str
    command: str | None = None


def find(job: Manifest, flags: str) -> Owner | None:
    """Of a Job; None where it is a submission, or one run of a schedule. `flags` are those that find the cluster on
    a command line.
    """
    metadata = job["metadata"]
    annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    if application := _argos_application(job, annotations, labels):
        return Owner(
            f"Argo CD's application {application}", "Remove it in the application's source, or delete the application"
        )
    for kind, domain in FLUX_LABELS.items():
        if name := labels.get(f"{domain}/name"):
            namespace = labels.get(f"{domain}/namespace", "")
            return Owner(f"Flux's {kind} {namespace}/{name}", f"Remove it in its source, or delete that {kind}")
    if release := annotations.get(RELEASE_ANNOTATION):
        command = f"helm uninstall {release} {flags}"
        return Owner(f"Helm's release {release}", f"{command} removes it", command)
    return None


def _argos_application(job: Manifest, annotations: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """The name of the application that tracks a Job by an annotation, by a label of Argo's, or by its name written over
    our label, which may be the same."""
    if tracking := annotations.get(ARGO_ANNOTATION):
        return tracking.partition(":")[0]
    if application := labels.get(ARGO_LABEL):
        return application
    ours = instance(job)
    written: str = labels.get(INSTANCE_LABEL, ours)
    is_argos = any(
        str(each.get("manager")).startswith(ARGO_MANAGER) for each in job["metadata"].get("managedFields") or ()
    )
    return written if is_argos or (written != ours and CHARTS_ANNOTATION in annotations) else ""


def instance(job: Manifest) -> str:
    """What a job's pods are called by, from their template: the Job's own label may be a tool's."""
    metadata = job["metadata"]
    template = job["spec"].get("template", {}).get("metadata", {}).get("labels") or {}
    found: str = template.get(INSTANCE_LABEL) or (metadata.get("labels") or {}).get(INSTANCE_LABEL) or metadata["name"]
    return found
