"""Gaps: pixels that a file doesn't hold, or can't hold where it says. Pillow makes them up: black, grey, or from
another part of the file.

Together with preprocess.py and samples.py the only place that imports PIL.
"""

import io
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import IcoImagePlugin, Image, ImageChops, ImageFile, TiffImagePlugin
from PIL.ExifTags import Base as Tag

from mxspark.decode import avif, jpeg, jpeg2000, png
from mxspark.decode.file_kind import gif_has_palette

# Bytes of a palette colour; all other palettes have three.
_COLOUR_BYTES = {"BGRX": 4, "BGRA": 4, "BGR;15": 2, "BGR;16": 2, "BGRA;15": 2, "BGRA;15Z": 2}
_GREY = range(124, 133)  # what libjpeg fills with is 128, or 127 where it is inverted
_UNCOMPRESSED, _JPEG = 1, 7  # TIFF's Compression
_PLANES = 2  # of PlanarConfiguration
_YCBCR = 6  # of PhotometricInterpretation
_TIFF_HEADER_BYTES = 8


class CutError(Exception):
    """Pixels are missing: says which."""


class DamageError(Exception):
    """What the pixels depend on is broken: says what."""


def check_header(image: ImageFile.ImageFile, data: bytes) -> int:
    """Raises CutError or DamageError where the headers show that the image that was opened in `data` can't be whole.

    Returns how many colours its palette has, which is not to be known any more once it is loaded.
    """
    if image.mode == "P" and image.palette is None:
        raise DamageError("it has no palette")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_tiff(image, data)
    elif image.format == "PNG":
        if image.tile and image.tile[0].extents != (0, 0, *image.size):
            raise DamageError("its first frame is smaller than the image")
    elif image.format == "GIF":
        if image.mode == "L" and not gif_has_palette(data):  # L where its colours are grey
            raise DamageError("it has no palette")
    elif image.format == "BMP" and data[:2] == b"BM":
        if 0 < int.from_bytes(data[10:14], "little") < 14 + int.from_bytes(data[14:18], "little"):
            raise DamageError("its pixels are said to begin within its header")
    elif image.format == "JPEG2000":
        missing, tiles = jpeg2000.missing_tiles(data)
        if missing > 0:
            raise CutError(f"tiles are missing ({missing:,} of {tiles:,})")
    elif image.format == "AVIF" and (lie := avif.wrong_size(data)):
        raise DamageError(lie)
    palette = image.palette if image.mode == "P" else None
    return len(palette.palette) // _COLOUR_BYTES.get(palette.rawmode or "", 3) if palette else 256


def check_pixels(image: ImageFile.ImageFile, data: bytes, colours: int) -> None:
    """Raises CutError or DamageError for pixels that are not from `data`; `colours` are those of check_header."""
    if image.format in ("JPEG", "MPO"):
        if gap := jpeg.gap(data) or _grey_end(image, data):
            raise CutError(gap)
    elif image.format == "PNG":
        # Rows come from top to bottom: where the last one isn't blank, none is missing. Of interlaced ones it tells
        # nothing.
        last = image.crop((0, image.height - 1, image.width, image.height))
        _check_png(data, may_end=bool(image.info.get("interlace")) or not np.asarray(last).any())
    elif isinstance(image, IcoImagePlugin.IcoImageFile):
        entry = image.ico.entry[image.ico.getentryindex(image.size)]
        if (content := data[entry.offset : entry.offset + entry.size]).startswith(png.SIGNATURE):
            _check_png(content, may_end=True)
    if image.mode == "P" and colours < 256:
        transparent = image.info.get("transparency")
        beyond = (
            index
            for index, count in enumerate(image.histogram())
            if count and index >= colours and index != transparent
        )
        if (index := next(beyond, None)) is not None:
            raise DamageError(f"it has pixels of colour {index}, but its palette has {colours} (from 0)")


def _check_png(data: bytes, may_end: bool) -> None:
    """`may_end`: whether its rows have to be counted."""
    if damage := png.damage(data):
        raise DamageError(damage)
    if png.is_cut(data):
        raise CutError("the file ends before the image does")
    if may_end and (gap := png.missing_rows(data)):
        raise CutError(gap)


def _grey_end(image: ImageFile.ImageFile, data: bytes) -> str | None:
    """What is wrong with a JPEG whose data end early: from there on it is grey, in the last pixel too."""
    last = image.getpixel((image.width - 1, image.height - 1))
    is_lossless = jpeg.variant(data) is not None
    if not is_lossless and not all(value in _GREY for value in (last if isinstance(last, tuple) else (last,))):
        return None
    # The grey may be a picture's own: then it doesn't depend on what follows. Small copies take less time and memory.
    found, noisy = (Image.open(io.BytesIO(copy), formats=("JPEG",)) for copy in (data, jpeg.with_noise(data)))
    if not is_lossless:
        for copy in (found, noisy):
            copy.draft(None, (1, 1))
    is_same = ImageChops.difference(found, noisy).getbbox() is None
    return None if is_same else "its pixels end before the image does"


# ---- TIFF ----


class _Segment(NamedTuple):
    """A strip or a tile: where it lies in the file, and how many pixels it is to hold."""

    name: str
    offset: int
    length: int | None  # None where the file doesn't say
    height: int
    width: int


def _check_tiff(image: TiffImagePlugin.TiffImageFile, data: bytes) -> None:
    tags = image.tag_v2
    directory = _directory(data)
    packed, in_planes = tags.get(Tag.Compression, _UNCOMPRESSED), tags.get(Tag.PlanarConfiguration, 1) == _PLANES
    # These may store fewer colour samples.
    has_own_size = packed == _UNCOMPRESSED and tags.get(Tag.PhotometricInterpretation) != _YCBCR
    pixel_bits = tags.get(Tag.BitsPerSample, (1,))[0] * (1 if in_planes else tags.get(Tag.SamplesPerPixel, 1))
    for segment in _segments(tags, in_planes):
        own_size = segment.height * ((segment.width * pixel_bits + 7) // 8)
        length = own_size if has_own_size else segment.length
        surely = own_size if has_own_size else 1  # counts of packed bytes may be too large
        if segment.offset == 0 or (segment.length == 0 and packed == _JPEG):
            raise CutError(f"{segment.name} of its pixels is not in the file")
        if segment.offset < _TIFF_HEADER_BYTES or (
            segment.offset < directory.stop and segment.offset + surely > directory.start
        ):
            raise DamageError(
                f"{segment.name} of its pixels (from byte {segment.offset:,}) overlaps the file's directory or header"
            )
        if segment.offset + (length or 1) > len(data):
            raise CutError(f"the file ends before {segment.name} of its pixels does")
        if packed == _JPEG and segment.length and not in_planes:  # in planes, those of colours may be smaller
            _check_jpeg(segment, data[segment.offset : segment.offset + segment.length])


def _directory(data: bytes) -> range:
    """Where the first page's directory lies."""
    order = "little" if data[:2] == b"II" else "big"
    is_big = 43 in data[2:4]
    width, entry = (8, 20) if is_big else (4, 12)
    start = int.from_bytes(data[width : 2 * width], order)  # type: ignore[arg-type]
    count_bytes = 8 if is_big else 2
    entries = int.from_bytes(data[start : start + count_bytes], order)  # type: ignore[arg-type]
    return range(start, start + count_bytes + entry * entries + width)


def _segments(tags: TiffImagePlugin.ImageFileDirectory_v2, in_planes: bool) -> Iterator[_Segment]:
    height, width = tags[Tag.ImageLength], tags[Tag.ImageWidth]
    planes = tags.get(Tag.SamplesPerPixel, 1) if in_planes else 1
    if Tag.TileOffsets in tags:
        kind, offsets, lengths = "tile", tags[Tag.TileOffsets], tags.get(Tag.TileByteCounts, ())
        rows, columns = tags[Tag.TileLength], tags[Tag.TileWidth]
    else:
        kind, offsets, lengths = "strip", tags.get(Tag.StripOffsets, ()), tags.get(Tag.StripByteCounts, ())
        rows, columns = min(tags.get(Tag.RowsPerStrip, height), height) or height, width
    down = -(-height // rows)
    wanted = -(-width // columns) * down * planes
    for number in range(wanted):
        if number >= len(offsets):
            raise CutError(f"its directory has {len(offsets):,} of {wanted:,} {kind}s")
        own_height = rows if kind == "tile" else min(rows, height - number % down * rows)
        length = lengths[number] if number < len(lengths) else None
        yield _Segment(f"{kind} {number + 1:,}", offsets[number], length, own_height, columns)


def _check_jpeg(segment: _Segment, data: bytes) -> None:
    gap, size = jpeg.gap(data), jpeg.size(data)
    if gap:
        raise CutError(f"{segment.name} of its pixels, a JPEG: {gap}")
    if size is not None and (size[0] < segment.height or size[1] < segment.width):
        raise CutError(
            f"{segment.name} of its pixels is a JPEG of {size[1]} x {size[0]} instead of {segment.width} x "
            f"{segment.height}"
        )
