"""A small picture for a page: of pixels that were decoded already, or of what can be had of a broken file."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from mxspark.decode.preprocess import BadImageError, ImageLimits
from mxspark.errors import one_line
from mxspark.row_status import RowStatus

QUALITY = 80


def encode(pixels: NDArray[np.float32]) -> bytes:
    """A JPEG of RGB pixels (3, H, W), 0 to 255."""
    buffer = io.BytesIO()
    levels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0))).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def partly(data: bytes, limits: ImageLimits, side: int) -> NDArray[np.float32]:
    """What there is of a truncated or broken image: its centre as RGB pixels (3, side, side), 0 to 255, black or grey
    where it has none. For a process that decodes nothing else, as Pillow accepts truncated files from then on.

    Raises BadImageError where there is nothing, or more than the limit on pixels.
    """
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    try:
        image = Image.open(io.BytesIO(data), formats=limits.formats)
        if image.width * image.height > limits.max_pixels:
            raise BadImageError(RowStatus.TOO_MANY_PIXELS, f"more than the {limits.max_pixels:,} pixels allowed")
        image.draft("RGB", (side, side))
        shown = ImageOps.fit(image.convert("RGB"), (side, side))
    except (BadImageError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  # on broken files Pillow's decoders raise nearly everything there is
        raise BadImageError(RowStatus.DECODE_ERROR, one_line(error)) from None
    return np.asarray(shown, np.float32).transpose(2, 0, 1)
