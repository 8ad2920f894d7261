"""Image bytes to the array that a model expects, under limits on pixels and formats.

The only place that imports PIL.
"""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from mxspark.errors import MxsparkError, one_line
from mxspark.model_spec import ModelInput, Preprocessing

Pixels = NDArray[np.float32]

# Limits are checked here, per image and before decoding; Pillow's own, global one would only warn.
Image.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False


class BadImageError(MxsparkError):
    """The bytes are not an image that can be used; `status` is what its row says."""

    def __init__(self, status: str, problem: str) -> None:
        super().__init__(problem)
        self.status = status
        self.args = (status, problem)


@dataclass(frozen=True)
class ImageLimits:
    """What is decoded: at most `max_pixels` (width x height), only `formats` (Pillow's names)."""

    max_pixels: int
    formats: tuple[str, ...]


def load_array(data: bytes, limits: ImageLimits, model_input: ModelInput, steps: Preprocessing) -> Pixels:
    """The image in `data` as float32 of shape (3, H, W), or (H, W, 3) where the layout is NHWC.

    Raises BadImageError for what is empty, no image of the formats allowed, too large, truncated or broken.
    """
    image = to_rgb(_decoded(data, limits, steps), steps.background)
    image = _resized(image, model_input.height, model_input.width, steps)
    return _to_array(image, model_input, steps)


def _decoded(data: bytes, limits: ImageLimits, steps: Preprocessing) -> Image.Image:
    if not data:
        raise BadImageError("empty", "the object has no bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # broken EXIF and the like: what matters becomes a row
            image = Image.open(io.BytesIO(data), formats=limits.formats)
            _check_pixels(image, limits.max_pixels)
            image.load()
            return ImageOps.exif_transpose(image) if steps.exif_orientation else image
    except UnidentifiedImageError:
        raise BadImageError("not_an_image", f"not an image of the formats {', '.join(limits.formats)}") from None
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        KeyError,
        IndexError,
        TypeError,
        ZeroDivisionError,
        OverflowError,
        MemoryError,
    ) as error:
        # Pillow's decoders raise all of these on broken files.
        text = one_line(error)
        status = "truncated" if "truncated" in text.lower() or isinstance(error, EOFError) else "decode_error"
        raise BadImageError(status, text) from None


def _check_pixels(image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise BadImageError("too_many_pixels", f"{image.width} x {image.height} pixels, more than the {max_pixels:,} allowed")


def to_rgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Any mode as RGB: transparency over `background`, 16 bits scaled to 8, the rest as Pillow converts it.

    Pillow itself would drop alpha (showing whatever colours transparent pixels have) and clip 16-bit values at 255.
    """
    if image.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I"):
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray(np.clip(values >> 8, 0, 255).astype(np.uint8), "L").convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layers = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layers.size, (*background, 255)), layers).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _resized(image: Image.Image, height: int, width: int, steps: Preprocessing) -> Image.Image:
    resampling = Image.Resampling[steps.filter.upper()]
    if steps.resize == "squash" or steps.shorter_side is None:
        return image.resize((width, height), resampling)
    # The longer side to the nearest pixel (torchvision cuts it, which distorts a little more), the centre as torchvision rounds it.
    shorter, longer = sorted(image.size)
    length = round(steps.shorter_side * longer / shorter)
    size = (steps.shorter_side, length) if image.width <= image.height else (length, steps.shorter_side)
    left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
    # Only the pixels that are kept are computed: a panorama of 10,000 x 100 would blow up to 25,600 x 256.
    horizontal, vertical = image.width / size[0], image.height / size[1]
    box = (left * horizontal, top * vertical, (left + width) * horizontal, (top + height) * vertical)
    return image.resize((width, height), resampling, box=box)


def _to_array(image: Image.Image, model_input: ModelInput, steps: Preprocessing) -> Pixels:
    pixels = np.asarray(image)
    if steps.channels == "BGR":
        pixels = pixels[:, :, ::-1]
    # (pixel * scale - mean) / std as one multiplication and one addition.
    factor = (steps.scale / np.asarray(steps.std)).astype(np.float32)
    offset = (np.asarray(steps.mean) / np.asarray(steps.std)).astype(np.float32)
    array: Pixels = np.multiply(pixels, factor, dtype=np.float32)
    array -= offset
    return array if model_input.layout == "NHWC" else np.ascontiguousarray(array.transpose(2, 0, 1))
