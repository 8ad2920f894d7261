"""The images: small PNGs, and photographs as JPEGs, cut at random out of the example photographs."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from bench.fixtures import REPOSITORY

Kind = Literal["png", "jpeg"]
SIZES: dict[Kind, tuple[int, int]] = {"png": (32, 32), "jpeg": (500, 375)}
FOLDER = REPOSITORY / "examples" / "imagenet" / "images"
LEAST_PART = 0.35  # of a photograph's sides, that is cut out


def images(kind: Kind, count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of `count` images of one of every two photographs: PNGs of 32 x 32, as large as the article's, or
    JPEGs of 500 x 375, as large as most of ImageNet's.
    """
    return _cut(kind, count, _photographs()[1::2], seed)


def calibration(count: int) -> Iterator[tuple[str, bytes]]:
    """Images of both kinds of the other photographs: no system is calibrated on what it is measured with."""
    yield from _cut("png", count // 2, _photographs()[::2], seed=1)
    yield from _cut("jpeg", count - count // 2, _photographs()[::2], seed=2)


def _photographs() -> list[Path]:
    return sorted(FOLDER.glob("*.[jp][pn]g"))


def _cut(kind: Kind, count: int, paths: list[Path], seed: int) -> Iterator[tuple[str, bytes]]:
    random = np.random.default_rng(seed)
    originals = [Image.open(path).convert("RGB") for path in paths]
    width, height = SIZES[kind]
    for number in range(count):
        whole = originals[number % len(originals)]
        scale = random.uniform(LEAST_PART, 1) * min(whole.width / width, whole.height / height)
        w, h = int(width * scale), int(height * scale)
        left, top = random.integers(0, whole.width - w + 1), random.integers(0, whole.height - h + 1)
        cut = whole.crop((left, top, left + w, top + h)).resize((width, height), Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        if kind == "png":
            cut.save(buffer, "PNG")
        else:
            cut.save(buffer, "JPEG", quality=90)
        yield f"{number:06d}.{kind}", buffer.getvalue()
