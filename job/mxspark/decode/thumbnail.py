"""A small picture for a page, from pixels that were decoded already."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

QUALITY = 80


def encode(pixels: NDArray[np.float32]) -> bytes:
    """A JPEG of RGB pixels (3, H, W), 0 to 255."""
    buffer = io.BytesIO()
    levels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0))).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
