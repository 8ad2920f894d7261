"""Images that are in memory already, as the files that decoding takes: what becomes of them is then the same."""

import io
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mxspark.decode.preprocess import BadImageError, orientation
from mxspark.errors import UsageError
from mxspark.row_status import RowStatus

PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
FASTEST = 1  # of zlib: these files are read once


def is_image(value: object) -> bool:
    """Whether it is a PIL image or an array of one image, and no list of images."""
    return isinstance(value, Image.Image) or (isinstance(value, np.ndarray) and value.ndim in (2, 3) and _is_one(value))


def _is_one(array: NDArray[Any]) -> bool:
    return array.ndim == 2 or array.shape[2] in (1, 3, 4)


def place_of(image: object) -> str | None:
    """The place by which an image is named; None where it is passed itself. Raises UsageError for other things."""
    if isinstance(image, str):
        return image
    if isinstance(image, os.PathLike):
        return str(os.fspath(image))
    if image is None or isinstance(image, bytes | bytearray | memoryview | np.ndarray | Image.Image):
        return None
    raise UsageError(
        f"mxspark: a {type(image).__name__} is no image",
        "Pass bytes of a file, its path or address, a PIL image, or an array of uint8 (height, width[, channels]).",
    )


def as_file(image: Any) -> bytes:
    """The bytes of a file with the same pixels. Raises BadImageError where no file can hold them."""
    if image is None:
        raise BadImageError(RowStatus.MISSING, "there is no image: the value is null")
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    picture: Image.Image = _from_array(image) if isinstance(image, np.ndarray) else image  # as place_of has seen
    file = io.BytesIO()
    try:
        picture.load()
        if picture.mode in PNG_MODES:
            picture.save(file, "PNG", compress_level=FASTEST, exif=_exif(picture))
        elif picture.mode == "CMYK":
            picture.save(file, "TIFF", exif=_exif(picture))
        else:
            problem = f"a PIL image of mode {picture.mode}: convert it, as by image.convert('RGB')"
            raise BadImageError(RowStatus.UNSUPPORTED_PIXELS, problem)
    except (OSError, ValueError, SyntaxError) as error:  # Pillow reads a file when its pixels are asked for
        raise BadImageError(RowStatus.DECODE_ERROR, f"Pillow can't read it: {error}") from None
    return file.getvalue()


def _exif(picture: Image.Image) -> Image.Exif:
    """How it stands, and nothing else of its EXIF: that may be broken, which spoils no file either."""
    exif = Image.Exif()
    exif[0x0112] = orientation(picture) if orientation(picture) in range(1, 9) else 1
    return exif


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or not _is_one(array) or 0 in array.shape:
        raise BadImageError(
            RowStatus.UNSUPPORTED_PIXELS,
            f"an array of {array.dtype} {array.shape}, where uint8 (height, width) or (height, width, 1, 3 or 4) "
            "is an image",
        )
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array))
