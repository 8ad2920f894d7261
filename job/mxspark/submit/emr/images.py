"""What an image in ECR is, checked before pods pull it: its labels are read without pulling it."""

import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mxspark.errors import MxsparkError, UsageError
from mxspark.settings.job import Settings
from mxspark.storage import Access, download
from mxspark.submit.emr.aws import Aws, NotThereError

IN_ECR = re.compile(
    r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)(?::([^@]+))?(?:@(sha256:[0-9a-f]{64}))?"
)


LONGEST = 2**20  # of an image's configuration [bytes]


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
        base = re.search(r"emr-\d+\.\d+\.\d+", labels.get("org.opencontainers.image.base.name", ""))
        return cls(title, base[0] if base else None) if title.startswith("mxspark") else None

    @property
    def has_cuda(self) -> bool:
        return self.title == "mxspark-gpu"


def fetched(url: str) -> bytes:
    """The content of a small file at an address. Raises MxsparkError."""
    target = io.BytesIO()
    download(url, Access(), target, limit=LONGEST)
    return target.getvalue()


def read(aws: Aws, image: str, fetch: Callable[[str], bytes] = fetched) -> ImageFacts | None:
    """What the labels of an image in ECR say; None of others, and of images that aren't mxspark's. `fetch` reads an
    address. Raises MxsparkError.
    """
    found = IN_ECR.fullmatch(image)
    if found is None:
        return None
    try:
        return _read(aws, found, fetch)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):  # ECR keeps other things too
        raise MxsparkError(
            f"the image {image}: its manifest can't be read", "Is it a container image? Check --image (docs/images.md)."
        ) from None


def _read(aws: Aws, found: re.Match[str], fetch: Callable[[str], bytes]) -> ImageFacts | None:
    """Raises, besides MxsparkError, what taking apart JSON raises that is not an image's."""
    image = found[0]
    account, region, repository, tag, digest = found.groups()
    ecr, doing = aws.in_region(region), f"reading the image {image}"
    where = {"registryId": account, "repositoryName": repository}
    wanted = {"imageDigest": digest} if digest else {"imageTag": tag or "latest"}
    for _ in range(2):  # an index of several processors' images, and then one of those
        answer = ecr.call("ecr", "batch_get_image", doing, **where, imageIds=[wanted])
        if not answer.get("images"):
            why = (answer.get("failures") or [{}])[0].get("failureReason", "not found")
            raise NotThereError(f"ECR has no image {image} ({why})", "Push it (docs/images.md), or correct --image.")
        manifest = json.loads(answer["images"][0]["imageManifest"])
        if "config" in manifest:
            break
        wanted = {"imageDigest": manifest["manifests"][0]["digest"]}
    layer = ecr.call("ecr", "get_download_url_for_layer", doing, **where, layerDigest=manifest["config"]["digest"])
    return ImageFacts.of(json.loads(fetch(layer["downloadUrl"])))


def check(settings: Settings, facts: ImageFacts | None) -> None:
    """Raises UsageError if the image is known not to fit the job."""
    if facts is None:
        return
    image, release = settings.kubernetes.image, settings.emr.release
    if (settings.context == "gpu" or settings.spark.executor_gpus) and not facts.has_cuda:
        raise UsageError(
            f"the job wants GPUs, but {image} has MXNet's CPU build",
            "Use the image that `make image-gpu TARGET=emr` builds, or request no GPU.",
        )
    if facts.release is not None and not release.startswith(f"{facts.release}-"):
        raise UsageError(
            f"--release is {release}, but {image} is based on {facts.release}: its Spark would differ from that of "
            "EMR's job runner",
            f"Use --release {facts.release}-latest, or build the image on that release: EMR_BASE.",
        )
