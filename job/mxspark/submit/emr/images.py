"""What an image in ECR is, checked before pods pull it: its labels are read without pulling it."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mxspark.errors import UsageError
from mxspark.settings.job import Settings
from mxspark.submit.emr.aws import Aws, NotThereError


@dataclass(frozen=True)
class ImageFacts:
    """What an image's labels say: whether it has MXNet's CUDA build, and the EMR release that it is based on."""

    title: str
    release: str | None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "ImageFacts | None":
        """From the image's configuration; None if it isn't mxspark's."""
        labels = (config.get("config") or {}).get("Labels") or {}
        title = labels.get("org.opencontainers.image.title", "")
        if not title.startswith("mxspark"):
            return None
        base = re.search(r"emr-\d+\.\d+\.\d+", labels.get("org.opencontainers.image.base.name", ""))
        return cls(title, base[0] if base else None)

    @property
    def has_cuda(self) -> bool:
        return self.title == "mxspark-gpu"


def read(aws: Aws, image: str, fetch: Callable[[str], bytes]) -> ImageFacts | None:
    """The facts of an image in ECR, None if it isn't mxspark's; `fetch` reads an address. Raises MxsparkError."""
    found = re.fullmatch(
        r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?/([^:@]+)(?::([^@]+))?(?:@(sha256:[0-9a-f]{64}))?",
        image,
    )
    if found is None:
        raise UsageError(f"{image} is not in ECR, and can't be checked", "")
    account, region, _, repository, tag, digest = found.groups()
    ecr = aws.in_region(region)
    where = {"registryId": account, "repositoryName": repository}
    doing = f"reading the image {image}"
    wanted = {"imageDigest": digest} if digest else {"imageTag": tag or "latest"}
    for _ in range(2):  # an index of several processors' images, and then one of those
        answer = ecr.call("ecr", "batch_get_image", doing, **where, imageIds=[wanted])
        if not answer.get("images"):
            failures = answer.get("failures") or [{}]
            raise NotThereError(
                f"ECR has no image {image} ({failures[0].get('failureReason', 'not found')})",
                "Push it (docs/images.md), or correct --image.",
            )
        manifest = json.loads(answer["images"][0]["imageManifest"])
        if "config" in manifest:
            break
        wanted = {"imageDigest": manifest["manifests"][0]["digest"]}
    layer = ecr.call("ecr", "get_download_url_for_layer", doing, **where, layerDigest=manifest["config"]["digest"])
    return ImageFacts.of(json.loads(fetch(layer["downloadUrl"])))


def troubles(settings: Settings, facts: ImageFacts | None) -> Iterator[tuple[str, str]]:
    """How an image doesn't fit the job, each with a hint."""
    if facts is None:
        return
    image, release = settings.kubernetes.image, settings.emr.release
    if (settings.context == "gpu" or settings.spark.executor_gpus) and not facts.has_cuda:
        yield (
            f"the job wants GPUs, but {image} has MXNet's CPU build",
            "Use the image that `make image-gpu TARGET=emr` builds, or request no GPU.",
        )
    if facts.release is not None and not release.startswith(f"{facts.release}-"):
        yield (
            f"--release is {release}, but {image} is based on {facts.release}: its Spark would differ from that of "
            "EMR's job runner",
            f"Use --release {facts.release}-latest, or build the image on that release: EMR_BASE.",
        )


def check(settings: Settings, facts: ImageFacts | None) -> None:
    """Raises UsageError if the image is known not to fit the job."""
    for wrong, hint in troubles(settings, facts):
        raise UsageError(wrong, hint)
