"""What is measured on: ResNet-18 at 224 x 224 with random weights, and images as small PNGs or as photographs."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
CACHE = REPOSITORY / ".cache" / "bench"
BUNDLE = CACHE / "resnet18"

SPEC = """name: resnet-18 with random weights
input: {name: data, height: 224, width: 224}
preprocess: {resize: squash, filter: bilinear}
output: {kind: logits}
"""


def bundle() -> Path:
    """The ResNet-18 bundle; made once. Speed does not depend on the weights."""
    if not (BUNDLE / "model.yaml").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        (CACHE / "spec.yaml").write_text(SPEC)
        subprocess.run(
            [sys.executable, "-c", "from bench.fixtures import save_network; save_network()"],
            check=True,
            cwd=REPOSITORY,
        )
        files = ["--symbol", f"{CACHE}/resnet18-symbol.json", "--params", f"{CACHE}/resnet18-0000.params"]
        pack = [
            sys.executable,
            "-m",
            "mxspark",
            "model",
            "pack",
            *files,
            "--spec",
            f"{CACHE}/spec.yaml",
            "--output",
            str(BUNDLE),
            "--yes",
        ]
        subprocess.run(pack, check=True, stdout=subprocess.DEVNULL)
    return BUNDLE


def save_network() -> None:
    """Writes the symbol and the parameters. In a process of its own, for the sake of MXNet's memory."""
    np.bool = bool  # type: ignore[attr-defined]
    import mxnet as mx

    network = mx.gluon.model_zoo.vision.resnet18_v1(classes=1000)
    mx.random.seed(0)
    network.initialize(mx.init.Xavier())
    network.hybridize()
    network(mx.nd.zeros((1, 3, 224, 224)))
    network.export(str(CACHE / "resnet18"))


def small_pngs(count: int) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of 32 x 32 PNGs of 3 kB, as large as CIFAR-10's in the article."""
    random = np.random.default_rng(0)
    for number in range(count):
        yield f"{number:06d}.png", _encoded(Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)), "PNG")


def photographs(count: int) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of 500 x 375 JPEGs, the size of most of ImageNet, cut out of the example photographs."""
    random = np.random.default_rng(0)
    originals = [
        Image.open(path).convert("RGB") for path in sorted((REPOSITORY / "examples/imagenet/images").iterdir())
    ]
    originals = [image for image in originals if image.width >= 500 and image.height >= 375]
    for number in range(count):
        image = originals[number % len(originals)]
        left, top = random.integers(0, image.width - 500 + 1), random.integers(0, image.height - 375 + 1)
        yield f"{number:06d}.jpg", _encoded(image.crop((left, top, left + 500, top + 375)), "JPEG", quality=90)


def _encoded(image: Image.Image, name: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()
