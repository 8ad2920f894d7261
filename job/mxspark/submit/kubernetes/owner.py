"""Which tool manages a Job that mxspark did not submit, by the labels and annotations that each tool writes, and how
the job is ended there.

If it were deleted directly, Argo CD and Flux would create it again, and Helm would still count on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mxspark.spark.pods import Manifest

RELEASE_ANNOTATION = "meta.helm.sh/release-name"  # Helm's own, on each object of a release
CHARTS_ANNOTATION = "mxspark/release"  # the chart's, also on what its CronJobs create
ARGO_ANNOTATION, ARGO_LABEL = "argocd.argoproj.io/tracking-id", "argocd.argoproj.io/instance"
ARGO_MANAGER = "argocd"  # how managedFields name it: argocd-controller, …
FLUX_LABELS = {"HelmRelease": "helm.toolkit.fluxcd.io", "Kustomization": "kustomize.toolkit.fluxcd.io"}
INSTANCE_LABEL = "app.kubernetes.io/instance"


@dataclass(frozen=True)
class Owner:
    """`what` it is, and how to `end` its job: by `command`, if there is one."""

    what: str
    end: str
    command: str | None = None


def find(job: Manifest, flags: str) -> Owner | None:
    """The owner of a Job; None for a submission, or one run of a schedule. `flags` select the cluster on a command
    line.
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
    """The name of the Argo CD application that tracks a Job: by an annotation, by a label of its own, or by our
    instance label, which it overwrites, perhaps with the same name.
    """
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
    """The instance label of a job's pods, from their template: a tool may have overwritten that of the Job itself."""
    metadata = job["metadata"]
    template = job["spec"].get("template", {}).get("metadata", {}).get("labels") or {}
    found: str = template.get(INSTANCE_LABEL) or (metadata.get("labels") or {}).get(INSTANCE_LABEL) or metadata["name"]
    return found
