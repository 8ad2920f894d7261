"""What an image in ECR is, checked before pods pull it: its labels are read without pulling it."""

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from mxspark.errors import UsageError
from mxspark.settings.job import Settings
from mxspark.storage import Access, download
from mxspark.submit.emr.aws import Aws, NotThereError

IN_ECR = re.compile(
    r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)(?::([^:@]+))?(?:@(sha256:[0-9a-f]{64}))?"
)
LONGEST = 2**20  # of an image's configuration [bytes]


@dataclass(frozen=True)
class ImageFacts:
    """What an image's labels say: whether it has MXNet's CUDA build, and the EMR release that it is based on."""

    has_cuda: bool
    release: str | None


def fetched(url: str) -> bytes:
    """The content of a small file at an address. Raises MxsparkError."""
    target = io.BytesIO()
    download(url, Access(), target, limit=LONGEST)
    return target.getvalue()


def read(aws: Aws, image: str, fetch: Callable[[str], bytes] = fetched) -> ImageFacts | None:
    """What the labels of an image in ECR say; None of others, and of images that aren't mxspark's. Raises
    MxsparkError.
    """
    if (found := IN_ECR.fullmatch(image)) is None:
        return None
    account, region, repository, tag, digest = found.groups()
    ecr, doing = aws if region == aws.region else Aws.connect(region), f"reading the image {image}"
    where = {"registryId": account, "repositoryName": repository}
    wanted = {"imageDigest": digest} if digest else {"imageTag": tag or "latest"}
    try:
        while True:
            answer = ecr.call("ecr", "batch_get_image", doing, **where, imageIds=[wanted])
            if not answer["images"]:
                raise NotThereError(f"ECR has no image {image}")
            manifest = json.loads(answer["images"][0]["imageManifest"])
            if "manifests" not in manifest:
                break
            wanted = {"imageDigest": manifest["manifests"][0]["digest"]}  # of several processors' images one
        config = manifest["config"]["digest"]
        layer = ecr.call("ecr", "get_download_url_for_layer", doing, **where, layerDigest=config)
        labels = json.loads(fetch(layer["downloadUrl"]))["config"].get("Labels") or {}
        title = labels.get("org.opencontainers.image.title", "")
        base = re.search(r"emr-\d+\.\d+\.\d+", labels.get("org.opencontainers.image.base.name", ""))
    except NotThereError as error:
        raise UsageError(error.problem, "Push it (docs/images.md), or correct --image.") from None
    except (ValueError, LookupError, TypeError, AttributeError):  # ECR keeps other things too
        hint = "Is it a container image? Check --image (docs/images.md)."
        raise UsageError(f"the image {image}: its manifest can't be read", hint) from None
    return ImageFacts(title == "mxspark-gpu", base and base[0]) if title.startswith("mxspark") else None


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
