"""What is measured on: networks at 224 x 224 with random weights, and images as small PNGs or as photographs."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
CACHE = REPOSITORY / ".cache" / "bench"

SPEC = """name: {name} with random weights
input: {{name: data, height: 224, width: 224}}
preprocess: {{resize: squash, filter: bilinear}}
output: {{kind: logits}}
"""


def bundle(name: str = "resnet18_v1") -> Path:
    """The bundle of a network of Gluon's zoo with random weights, on which speed does not depend; made once."""
    folder = CACHE / name
    if not (folder / "model.yaml").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        spec = CACHE / f"{name}.yaml"
        spec.write_text(SPEC.format(name=name))
        saving = "import sys; from bench.fixtures import save_network; save_network(sys.argv[1])"
        subprocess.run([sys.executable, "-c", saving, name], check=True, cwd=REPOSITORY)
        pack = [sys.executable, "-m", "mxspark", "model", "pack", "--spec", str(spec), "--output", str(folder), "--yes"]
        pack += ["--symbol", f"{CACHE}/{name}-symbol.json", "--params", f"{CACHE}/{name}-0000.params"]
        subprocess.run(pack, check=True, stdout=subprocess.DEVNULL)
    return folder


def save_network(name: str) -> None:
    """Writes the symbol and the parameters. In a process of its own, for the sake of MXNet's memory."""
    np.bool = bool  # type: ignore[attr-defined]
    import mxnet as mx

    network = mx.gluon.model_zoo.vision.get_model(name, classes=1000)
    mx.random.seed(0)
    network.initialize(mx.init.Xavier())
    network.hybridize()
    network(mx.nd.zeros((1, 3, 224, 224)))
    network.export(str(CACHE / name))


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
