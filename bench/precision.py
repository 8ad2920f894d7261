"""Each precision against fp32: agreement on held-out images, and the time of a forward pass on one core.

EfficientNet-Lite0 and ResNet-18 (random weights: only its speed says something) see crops of photographs, calibrated
on half of the photographs and compared on the others; the digits network sees digits.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench import fixtures
from mxspark import host
from mxspark.inference import bundle, mxnet_process, optimize
from mxspark.inference.optimize import Precision, Trial
from mxspark.settings.job import ModelSettings, Settings
from mxspark.settings.model_spec import ModelSpec
from mxspark.storage import Access

EXAMPLES = fixtures.REPOSITORY / "examples"
CALIBRATION = 128
HELD_OUT = int(os.environ.get("IMAGES", "512"))
BATCH = 16
MIN_AGREEMENT = Settings.model_fields["min_agreement"].default


def main() -> None:
    precisions: tuple[Precision, ...] = ("bf16", "int8") if host.has_avx512() else ("int8",)
    photographs = sorted((EXAMPLES / "imagenet" / "images").glob("*.[jp][pn]g"))
    digits = sorted((EXAMPLES / "digits" / "images").glob("*.png"))
    print("| network | precision | CPU-ms an image | agreement | mean and largest change | method | layers at fp32 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, place, images in (
        ("digits", EXAMPLES / "digits" / "bundle", digits),
        ("EfficientNet-Lite0", EXAMPLES / "imagenet" / "bundle", photographs),
        ("ResNet-18", fixtures.bundle(), photographs),
    ):
        _measure(name, place, images, precisions)


def _measure(name: str, place: Path, images: list[Path], precisions: tuple[Precision, ...]) -> None:
    access = Access()
    model = bundle.fetch(bundle.find(ModelSettings(path=str(place)), access), bundle.default_cache_dir(), access)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "images.float32")
        shown = np.stack([*_arrays(images[::2], CALIBRATION, model.spec), *_arrays(images[1::2], HELD_OUT, model.spec)])
        shown.tofile(file)
        trial = Trial(file, shown.shape[1:], CALIBRATION, [None] * len(shown))
        made = mxnet_process.call(3600, optimize.make, model, precisions, trial, MIN_AGREEMENT, Path(folder))
        found = [candidate for candidate in made if candidate.figures is not None]
        models = [model]
        models += [
            bundle.fetch(bundle.find(ModelSettings(path=str(one.folder)), access), Path(folder), access)
            for one in found
        ]
        fp32, *times = mxnet_process.call_with({"OMP_NUM_THREADS": "1"}, 3600, optimize.measure, models, trial, BATCH)
        print(f"| {name} | fp32 | {fp32:.2f} | | | | |")
        for one, time in zip(found, times, strict=True):
            figures = one.figures
            if figures is not None:
                print(
                    f"| {name} | {one.precision} | {time:.2f} ({fp32 / time:.2f}×) | {figures.agreement:.4f} "
                    f"| {figures.mean_change:.4f}, {figures.largest_change:.4f} | {figures.method} "
                    f"| {figures.wide_layers} of {figures.layers} |",
                    flush=True,
                )


def _arrays(images: list[Path], count: int, spec: ModelSpec) -> Iterator[NDArray[np.float32]]:
    """As many images as the network takes them: whole small ones, random crops of photographs."""
    random = np.random.default_rng(0)
    steps, side = spec.preprocess, spec.input.height
    for number in range(count):
        with Image.open(images[number % len(images)]) as image:
            pixels = image.convert("RGB")
        if min(pixels.size) > side:
            size = int(random.uniform(0.35, 1) * min(pixels.size))
            left, top = (int(random.uniform(0, length - size)) for length in pixels.size)
            pixels = pixels.crop((left, top, left + size, top + size))
        numbers = np.asarray(pixels.resize((side, side), Image.Resampling.BICUBIC), np.float32) * steps.scale
        yield ((numbers - np.array(steps.mean)) / np.array(steps.std)).transpose(2, 0, 1).astype(np.float32)
