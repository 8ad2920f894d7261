"""Image bytes to the array that a model expects, under limits on pixels and formats.

The only place that imports PIL.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from mxspark.errors import MxsparkError, one_line
from mxspark.model_spec import ModelInput, Preprocessing

Pixels = NDArray[np.float32]

ImageFile.LOAD_TRUNCATED_IMAGES = False
# Broken EXIF and the like: what matters becomes a row.
warnings.filterwarnings("ignore", module="PIL")


class BadImageError(MxsparkError):
    """The bytes are not an image that can be used; `status` is what its row says."""

    def __init__(self, status: str, problem: str) -> None:
        super().__init__(problem)
        self.status = status
        self.args = (status, problem)


@dataclass(frozen=True)
class ImageLimits:
    """What is decoded: at most `max_pixels` (width x height) in `max_frames` frames, only `formats` (Pillow's names)."""

    max_pixels: int
    max_frames: int
    formats: tuple[str, ...]


def load_array(data: bytes, limits: ImageLimits, model_input: ModelInput, steps: Preprocessing) -> Pixels:
    """The image in `data` as float32 of shape (C, H, W), or (H, W, C) where the layout is NHWC; C is 3, or 1 for grey (ITU-R 601 luma).

    Raises BadImageError for what is empty, no image of the formats allowed, too large, truncated or broken; MemoryError where memory
    runs out, which says as much about the process as about the image.
    """
    if not data:
        raise BadImageError("empty", "the object has no bytes")
    # Pillow's own limit, which it refuses twice of: WebP takes memory for its canvas before `_check_size` can see it.
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    with _pillow_errors(data, limits):
        image: Image.Image = Image.open(io.BytesIO(data), formats=limits.formats)
        _check_size(image, limits)
        image = _upright(image, steps.exif_orientation)
        # What is transparent is blended when it is small: four layers of a large image would take most of a worker's memory.
        image = _resized(_plain(image), model_input.height, model_input.width, steps)
        image = _opaque(image, steps.background)
    return _to_array(image, model_input, steps)


@contextmanager
def _pillow_errors(data: bytes, limits: ImageLimits) -> Iterator[None]:
    try:
        yield
    except Image.DecompressionBombError:
        raise BadImageError("too_many_pixels", f"more than the {limits.max_pixels:,} pixels allowed") from None
    except UnidentifiedImageError:
        if _is_cut(data):
            raise BadImageError("truncated", "the file ends before the image does") from None
        raise BadImageError("not_an_image", f"not an image of the formats {', '.join(limits.formats)}") from None
    except (BadImageError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  # on broken files Pillow's decoders raise nearly everything there is
        text = one_line(error)
        is_cut = "truncated" in text.lower() or isinstance(error, EOFError) or _is_cut(data)
        raise BadImageError("truncated" if is_cut else "decode_error", text) from None


def _is_cut(data: bytes) -> bool:
    """Whether the file is shorter than its own header says (RIFF's length, the place of a TIFF's directory)."""
    if data[:4] == b"RIFF":
        return len(data) < int.from_bytes(data[4:8], "little") + 8
    if data[:4] in (b"II*\0", b"MM\0*"):
        return len(data) < int.from_bytes(data[4:8], "little" if data[:2] == b"II" else "big")
    return False


# EXIF 2.32, tag 0x0112: how the stored image has to be turned to stand upright. Pillow's own exif_transpose does this too, but writes
# all of the EXIF anew, which odd tags make it fail at.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _upright(image: Image.Image, turned: bool) -> Image.Image:
    """The image loaded, turned as its EXIF says or as it is stored. Pillow turns TIFFs when it loads them, whoever asks."""
    if image.format == "TIFF":
        stored = _orientation(image)
        image.load()
        turn = None if turned else _TURNS.get({6: 8, 8: 6}.get(stored, stored))
    else:
        image.load()  # of a PNG, asking for EXIF first would load it, and hide what is wrong with it
        turn = _TURNS.get(_orientation(image)) if turned else None
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(0x0112)
        return found if isinstance(found, int) else 1
    except Exception:  # noqa: BLE001  # EXIF that can't be read turns nothing
        return 1


def _check_size(image: Image.Image, limits: ImageLimits) -> None:
    if image.width * image.height > limits.max_pixels:
        raise BadImageError("too_many_pixels", f"{image.width} x {image.height} pixels, more than the {limits.max_pixels:,} allowed")
    if (frames := _frames(image)) > limits.max_frames:
        raise BadImageError("too_many_frames", f"{frames:,} frames, more than the {limits.max_frames:,} allowed")


def _frames(image: Image.Image) -> int:
    """How many frames there are; Pillow finds them without decoding. What can't be counted is not decoded either: the first one is."""
    try:
        return int(getattr(image, "n_frames", 1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  # as in _pillow_errors
        return 1
    finally:
        image.seek(0)


def _plain(image: Image.Image) -> Image.Image:
    """Any mode as RGB, or as RGBA where there is transparency; 16 bits scaled to 8, which Pillow itself would clip at 255."""
    if image.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I"):
        values = np.asarray(image)
        high = values >> 8 if values.dtype.itemsize == 2 else np.clip(values >> 8, 0, 255)
        return Image.fromarray(high.astype(np.uint8), "L").convert("RGB")
    if image.mode == "La":  # which Pillow converts to nothing but this
        image = image.convert("LA")
    wanted = "RGBA" if image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info else "RGB"
    return image if image.mode == wanted else image.convert(wanted)


def _opaque(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """The image over `background`. Pillow itself would drop alpha, and show whatever colours transparent pixels have."""
    if image.mode == "RGB":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, (*background, 255)), image).convert("RGB")


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
    if model_input.channels == 1:
        pixels = np.asarray(image.convert("L"))[:, :, np.newaxis]
    else:
        pixels = np.asarray(image)[:, :, :: -1 if steps.channels == "BGR" else 1]
    # (pixel * scale - mean) / std as one multiplication and one subtraction, channel by channel: along the last axis, which has but
    # three values, it would take ten times as long.
    channels = model_input.channels or 3
    mean, std = np.resize(steps.mean, channels), np.resize(steps.std, channels)  # a single number is that of all channels
    factor = (steps.scale / std).astype(np.float32)
    offset = (mean / std).astype(np.float32)
    array: Pixels = np.multiply(pixels.transpose(2, 0, 1), factor[:, np.newaxis, np.newaxis], order="C", dtype=np.float32)
    array -= offset[:, np.newaxis, np.newaxis]
    return array if model_input.layout == "NCHW" else np.ascontiguousarray(array.transpose(1, 2, 0))
