"""Image bytes to the array that a model expects, under limits on pixels and formats.

The only place that imports pillow_heif, and with samples.py and gaps.py PIL.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image, ImageFile, UnidentifiedImageError

from mxspark.decode import gaps, jpeg, png, samples
from mxspark.decode.file_kind import FileKind, boxes_are_cut, file_kind
from mxspark.errors import MxsparkError, one_line
from mxspark.row_status import RowStatus
from mxspark.settings.model_spec import ModelInput, Preprocessing

Pixels = NDArray[np.float32]

LEAST_REDUCTION = 2  # by which a JPEG that was decoded smaller is still resized

ImageFile.LOAD_TRUNCATED_IMAGES = False
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # images are decoded side by side already
# Broken EXIF and the like: what matters becomes a row.
warnings.filterwarnings("ignore", module="PIL")


class BadImageError(MxsparkError):
    """The bytes are not an image that can be used; `status` is what its row says."""

    def __init__(self, status: RowStatus, problem: str) -> None:
        super().__init__(problem)
        self.status = status
        self.args = (status, problem)


@dataclass(frozen=True)
class ImageLimits:
    """At most `max_pixels` (width x height) in `max_frames` frames, only `formats` (Pillow's names), are decoded."""

    max_pixels: int
    max_frames: int
    formats: tuple[str, ...]


def load_array(
    data: bytes, limits: ImageLimits, model_input: ModelInput, steps: Preprocessing, is_exact: bool = True
) -> Pixels:
    """The image in `data` as float32 of shape (C, H, W), or (H, W, C) where the layout is NHWC; C is 3, or 1 for grey
    (ITU-R 601 luma).

    Where it is not to be exact, a large JPEG is decoded at a half, a quarter or an eighth of its size (`_draft`).

    Raises BadImageError for what is empty, no image of the formats allowed, too large, truncated, broken, or of samples
    whose meaning can't be known; MemoryError where memory runs out, which says as much about the process as about the
    image.
    """
    if not data:
        raise BadImageError(RowStatus.EMPTY, "the object has no bytes")
    kind = file_kind(data)
    formats = _formats(kind, limits)
    # Pillow's own limit, which it refuses twice of: WebP takes memory for its canvas before `_check_size` can see it.
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    with _pillow_errors(data, kind, limits):
        side = 0 if is_exact or steps.filter == "nearest" else _side(model_input, steps)
        image = _decoded(data, kind, formats, limits, steps, side)
        # What is transparent is blended when it is small: four layers of a large image would take most of a worker's
        # memory.
        image = _resized(image, model_input.height, model_input.width, steps)
        image = _opaque(image, steps.background)
    return _to_array(image, model_input, steps)


def _formats(kind: FileKind | None, limits: ImageLimits) -> tuple[str, ...]:
    """Pillow's names of the formats to try: that of the content, or all where it has no signature (some TGA)."""
    if kind is None:
        return tuple(sorted(set(limits.formats) - {"HEIF", "PPM"}))  # which have a signature always
    if kind.format is None:
        raise BadImageError(RowStatus.UNSUPPORTED_FORMAT, f"{kind.name}, which can't be decoded")
    if kind.format not in limits.formats:
        raise BadImageError(
            RowStatus.UNSUPPORTED_FORMAT, f"{kind.name}, which is not among input.formats: {', '.join(limits.formats)}"
        )
    if kind.format == "HEIF" and not _registers_heif():
        raise BadImageError(
            RowStatus.UNSUPPORTED_FORMAT,
            f"{kind.name}, for which pillow-heif is not installed: pip install pillow-heif",
        )
    return (kind.format,)


@cache
def _registers_heif() -> bool:
    """Whether Pillow can be taught HEIF; once for a process, and only where there is such an image."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.options.DECODE_THREADS = 1
    pillow_heif.register_heif_opener(thumbnails=False)
    return True


def prepare(limits: ImageLimits) -> None:
    """Imports what decoding imports when it needs it: for processes that can't open files later."""
    Image.init()
    if "HEIF" in limits.formats:
        _registers_heif()
    for codec in ("ascii", "latin-1", "utf-8", "utf-16", "utf-16-be", "utf-32", "cp1252"):
        "".encode(codec)


_STATUSES: dict[type[Exception], RowStatus] = {
    samples.UnsupportedPixelsError: RowStatus.UNSUPPORTED_PIXELS,
    samples.UnsupportedVariantError: RowStatus.UNSUPPORTED_FORMAT,
    gaps.CutError: RowStatus.TRUNCATED,
    gaps.DamageError: RowStatus.DECODE_ERROR,
}
# What another attempt would not change.
_FINAL: tuple[type[Exception], ...] = (MemoryError, BadImageError, Image.DecompressionBombError, *_STATUSES)


def _decoded(
    data: bytes, kind: FileKind | None, formats: tuple[str, ...], limits: ImageLimits, steps: Preprocessing, side: int
) -> Image.Image:
    """The image as RGB or RGBA; a JPEG perhaps smaller, where it is large for `side` (0 where it must not be)."""
    try:
        return _decoded_as_it_is(data, formats, limits, steps, side)
    except _FINAL:
        raise
    except Exception:
        # Pixels don't depend on the texts of a PNG, which Pillow stumbles over where they are broken or larger than 1
        # MB, or other chunks.
        if kind is None or kind.format != "PNG" or len(png.without_texts(data, b"iCCP")) == len(data):
            raise
    if steps.icc == "ignore":
        return _decoded_as_it_is(png.without_texts(data, b"iCCP"), formats, limits, steps)
    try:
        return _decoded_as_it_is(png.without_texts(data), formats, limits, steps)
    except _FINAL:
        raise
    except Exception:  # noqa: BLE001  # as in _pillow_errors
        _decoded_as_it_is(png.without_texts(data, b"iCCP"), formats, limits, steps)  # tells what else is wrong
        raise samples.UnsupportedPixelsError("its ICC profile can't be read") from None


def _decoded_as_it_is(
    data: bytes, formats: tuple[str, ...], limits: ImageLimits, steps: Preprocessing, side: int = 0
) -> Image.Image:
    file = Image.open(io.BytesIO(data), formats=formats)
    _check_size(file, limits)
    stored = orientation(file) if file.format == "TIFF" else None
    layout = samples.prepare(file, data)
    colours = gaps.check_header(file, data)
    if side and file.format in ("JPEG", "MPO"):
        _draft(file, side)
    file.load()
    gaps.check_pixels(file, data, colours)
    turn = _turn(file, stored, steps.exif_orientation)
    image = samples.plain(file, layout, data, steps.icc, steps.sample_range)
    return image if turn is None else image.transpose(turn)


def _side(model_input: ModelInput, steps: Preprocessing) -> int:
    """What the shorter side of an image becomes at most, whichever way it is turned [pixels]."""
    return steps.shorter_side or max(model_input.height, model_input.width)


def _draft(file: ImageFile.ImageFile, side: int) -> None:
    """Has libjpeg decode a JPEG at a half, a quarter or an eighth of its size, by leaving out the high frequencies of
    its blocks: by as much as leaves its shorter side `LEAST_REDUCTION` times `side`, and its sides whole.

    Resizing then averages what is left; how little that changes, docs/measurements.md says.
    """
    for scale in (8, 4, 2):
        width, height = (length // scale for length in file.size)
        if (width * scale, height * scale) == file.size and min(width, height) >= LEAST_REDUCTION * side:
            file.draft(None, (width, height))
            return


@contextmanager
def _pillow_errors(data: bytes, kind: FileKind | None, limits: ImageLimits) -> Iterator[None]:
    try:
        yield
    except Image.DecompressionBombError:
        raise BadImageError(RowStatus.TOO_MANY_PIXELS, f"more than the {limits.max_pixels:,} pixels allowed") from None
    except tuple(_STATUSES) as error:
        raise BadImageError(_STATUSES[type(error)], one_line(error)) from None
    except (BadImageError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  # on broken files Pillow's decoders raise nearly everything there is
        raise _bad_image(data, kind, limits, error) from None


def _bad_image(data: bytes, kind: FileKind | None, limits: ImageLimits, error: Exception) -> BadImageError:
    """What is wrong with a file that Pillow opens or decodes with an error."""
    is_unknown, text = isinstance(error, UnidentifiedImageError), one_line(error)
    if _is_cut(data, kind):
        return BadImageError(RowStatus.TRUNCATED, "the file ends before the image does" if is_unknown else text)
    if kind is not None and kind.format == "PNG" and (damage := png.damage(data)):
        return BadImageError(RowStatus.DECODE_ERROR, damage)
    if "truncated" in text.lower() or "not enough image data" in text or isinstance(error, EOFError):
        return BadImageError(RowStatus.TRUNCATED, text)
    variant = _variant(data, kind, error)
    if variant is not None:
        return BadImageError(RowStatus.UNSUPPORTED_FORMAT, f"{variant}, which can't be decoded")
    if kind is not None and kind.format == "JPEG" and (gap := jpeg.gap(data)):
        return BadImageError(RowStatus.TRUNCATED, gap)
    if is_unknown:
        begins = (
            f"begins as {kind.name} does, but holds no image"
            if kind
            else f"not an image of the formats {', '.join(limits.formats)}"
        )
        return BadImageError(RowStatus.NOT_AN_IMAGE, begins)
    return BadImageError(RowStatus.DECODE_ERROR, text)


def _variant(data: bytes, kind: FileKind | None, error: Exception) -> str | None:
    """The variant of a format that has no decoder; None where it is the image that is broken."""
    if kind is None:
        return None
    if kind.format == "JPEG":
        return jpeg.variant(data)
    if kind.format == "TIFF":
        return samples.tiff_words(data, only_rare=not isinstance(error, UnidentifiedImageError | KeyError))
    return f"{kind.name} ({one_line(error)})" if "unsupported" in one_line(error).lower() else None


def _is_cut(data: bytes, kind: FileKind | None) -> bool:
    """Whether the file is shorter than it says: RIFF's length, boxes' lengths, the places of a TIFF's pixels."""
    if data[:4] == b"RIFF":
        return len(data) < int.from_bytes(data[4:8], "little") + 8
    if data[:4] in (b"II*\0", b"MM\0*"):
        return len(data) < int.from_bytes(data[4:8], "little" if data[:2] == b"II" else "big") or samples.tiff_is_cut(
            data
        )
    return kind is not None and kind.format in ("AVIF", "HEIF", "JPEG2000") and boxes_are_cut(data)


# EXIF 2.32, tag 0x0112: how the stored image has to be turned to stand upright. Pillow's own exif_transpose does this
# too, but writes all of the EXIF anew, which odd tags make it fail at.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _turn(image: Image.Image, stored: int | None, upright: bool) -> Image.Transpose | None:
    """How the loaded image has to be turned: as its EXIF says, or, where nobody asks for that, back to how it is
    stored.

    `stored` is the orientation of a TIFF before it was loaded: Pillow turns TIFFs when it loads them, whoever asks. Of
    a PNG, asking for EXIF before it is loaded would load it, and hide what is wrong with it.
    """
    if stored is not None:
        return None if upright else _TURNS.get({6: 8, 8: 6}.get(stored, stored))
    return _TURNS.get(orientation(image)) if upright else None


def orientation(image: Image.Image) -> int:
    """What an image's EXIF says of how it stands; 1, upright, where that can't be read."""
    try:
        found = image.getexif().get(0x0112)
        return found if isinstance(found, int) else 1
    except Exception:  # noqa: BLE001  # EXIF that can't be read turns nothing
        return 1


def _check_size(image: Image.Image, limits: ImageLimits) -> None:
    if image.width * image.height > limits.max_pixels:
        raise BadImageError(
            RowStatus.TOO_MANY_PIXELS,
            f"{image.width} x {image.height} pixels, more than the {limits.max_pixels:,} allowed",
        )
    if (frames := _frames(image)) > limits.max_frames:
        raise BadImageError(
            RowStatus.TOO_MANY_FRAMES, f"{frames:,} frames, more than the {limits.max_frames:,} allowed"
        )


def _frames(image: Image.Image) -> int:
    """How many frames there are. What Pillow can't count is not decoded either: the first one is."""
    try:
        return int(getattr(image, "n_frames", 1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  # as in _pillow_errors
        return 1
    finally:
        image.seek(0)


def _opaque(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """The image over `background`: dropping alpha would show whatever colours transparent pixels have."""
    if image.mode == "RGB":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, (*background, 255)), image).convert("RGB")


def _resized(image: Image.Image, height: int, width: int, steps: Preprocessing) -> Image.Image:
    resampling = Image.Resampling[steps.filter.upper()]
    if steps.resize == "squash" or steps.shorter_side is None:
        return image.resize((width, height), resampling)
    # The longer side to the nearest pixel (torchvision cuts it, which distorts a little more), the centre as
    # torchvision rounds it.
    shorter, longer = sorted(image.size) if steps.resize == "shorter_and_crop" else (1, 1)
    length = round(steps.shorter_side * longer / shorter)  # in this order: half a pixel is exactly that
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
    # (pixel * scale - mean) / std as one multiplication and one subtraction, channel by channel: along the last axis,
    # which has but three values, it would take ten times as long.
    channels = model_input.channels or 3
    # A single number applies to all channels.
    mean, std = np.resize(steps.mean, channels), np.resize(steps.std, channels)
    factor = (steps.scale / std).astype(np.float32)
    offset = (mean / std).astype(np.float32)
    array: Pixels = np.multiply(
        pixels.transpose(2, 0, 1), factor[:, np.newaxis, np.newaxis], order="C", dtype=np.float32
    )
    array -= offset[:, np.newaxis, np.newaxis]
    return array if model_input.layout == "NCHW" else np.ascontiguousarray(array.transpose(1, 2, 0))
