"""The samples of an opened image, of any depth and kind, as 8-bit RGB, or RGBA where something is transparent.

Pillow's own conversions cut 16 and 32 bits off at 255, take signed samples for unsigned ones, and know a transparent
colour of 8 bits only. Together with preprocess.py and gaps.py the only place that imports PIL.
"""

import io
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, TiffImagePlugin
from PIL.ExifTags import Base as Tag
from PIL.TiffImagePlugin import COMPRESSION_INFO

from mxspark.decode import jpeg2000
from mxspark.errors import one_line

Grey = NDArray[np.uint8]
Samples = NDArray[Any]
Range = tuple[float, float]

UNSIGNED, SIGNED, FLOAT = 1, 2, 3  # TIFF's SampleFormat
# libtiff for all: Pillow's own reader mixes up the bytes of 16-bit samples in separate planes.
TiffImagePlugin.READ_LIBTIFF = True
_FORMAT_WORDS = {UNSIGNED: "unsigned", SIGNED: "signed", FLOAT: "float"}
_PHOTOMETRIC_WORDS = {
    0: "WhiteIsZero",
    1: "grey",
    2: "RGB",
    3: "palette",
    5: "CMYK",
    6: "YCbCr",
    8: "CIELab",
    9: "ICCLab",
    32803: "raw",
}
_WHITE_IS_ZERO = 0
_NOT_CMYK = 2  # of InkSet
_REDUCED = 1  # of NewSubfileType: this page is a smaller copy of another
_PACKBITS = 32773
_PLANES = 2  # of PlanarConfiguration
# libtiff gives samples in this machine's order of bytes, which Pillow minds for unsigned ones only.
_NATIVE = {"F;32BF": "F;32NF", "I;16BS": "I;16NS", "I;32BS": "I;32NS"}
# old JPEG, ThunderScan, SGI's two, WebP: for libtiff to be built with or not
_RARE_COMPRESSIONS = (6, 32809, 34676, 34677, 50001)
_DEEP_GREY = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
_DEPTH = re.compile(r";(\d+)")
_GREY_WITH_ALPHA = b"\x10\x04"  # a PNG's depth and type of colour
_TRANSPARENT = ("RGBA", "LA", "PA", "RGBa")


class UnsupportedPixelsError(Exception):
    """What the samples mean can't be known, or can't be computed: says what was found."""


class UnsupportedVariantError(Exception):
    """A kind of file that holds no picture for us, although Pillow opens it: says what it is."""


@dataclass(frozen=True)
class Layout:
    """How samples are stored, as far as the mode doesn't tell."""

    bits: int  # of one sample
    kind: int  # SampleFormat
    white_is_zero: bool = False
    stretch: float = 1  # what Pillow has multiplied them by
    # the part of it that the frame of a GIF covers, where the rest is transparent
    canvas: tuple[int, int, int, int] | None = None


def prepare(image: ImageFile.ImageFile, data: bytes) -> Layout:
    """How the samples of the image that was opened in `data` are stored. To be called before it is loaded, which goes
    wrong otherwise where Pillow has the order of bytes wrong.

    Raises UnsupportedVariantError and UnsupportedPixelsError for what Pillow would load as something else than it is.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _prepare_tiff(image)
    if image.format == "JPEG2000":
        return _prepare_jpeg2000(image, data)
    if image.mode == "F":  # PFM
        return Layout(32, FLOAT)
    if image.format == "GIF":
        box = image.tile[0].extents if image.tile else None
        return Layout(8, UNSIGNED, canvas=None if box == (0, 0, *image.size) or "transparency" in image.info else box)
    if image.format == "PPM" and image.tile and isinstance(arguments := image.tile[0].args, tuple):
        return _prepare_ppm(image, data, white=int(arguments[1]))
    # PNG's raw mode is like "L;4" or "RGB;16B".
    depth = _DEPTH.search(str(image.tile[0].args)) if image.format == "PNG" and image.tile else None
    return Layout(int(depth[1]) if depth else 16 if image.mode in _DEEP_GREY else 8, UNSIGNED)


def _prepare_tiff(image: TiffImagePlugin.TiffImageFile) -> Layout:
    tags = image.tag_v2
    if Tag.DNGVersion in tags or (Tag.SubIFDs in tags and tags.get(Tag.NewSubfileType, 0) & _REDUCED):
        raise UnsupportedVariantError("a camera's raw file (DNG, NEF, ARW …), whose first page is only a thumbnail")
    # Some programs apply it, libtiff doesn't.
    if tags.get(Tag.Compression) == _PACKBITS and tags.get(Tag.Predictor, 1) != 1:
        raise UnsupportedVariantError("TIFF with PackBits and a predictor, which programs read in two ways")
    if tags.get(Tag.PlanarConfiguration, 1) == _PLANES and image.mode in ("LA", "La", "PA", "LAB"):
        raise UnsupportedVariantError(
            f"TIFF in separate planes of {'CIELab' if image.mode == 'LAB' else 'grey and transparency'}"
        )
    if image.mode == "CMYK" and tags.get(Tag.InkSet, 1) == _NOT_CMYK:
        raise UnsupportedPixelsError("TIFF with four inks other than cyan, magenta, yellow and black (InkSet 2)")
    arguments = image.tile[0].args if image.tile else None
    if isinstance(arguments, tuple) and arguments[0] in _NATIVE:
        image.tile = [image.tile[0]._replace(args=(_NATIVE[arguments[0]], *arguments[1:]))]
    inverted = tags.get(Tag.PhotometricInterpretation, _WHITE_IS_ZERO) == _WHITE_IS_ZERO
    return Layout(tags.get(Tag.BitsPerSample, (1,))[0], tags.get(Tag.SampleFormat, (UNSIGNED,))[0], inverted)


def _prepare_ppm(image: ImageFile.ImageFile, data: bytes, white: int) -> Layout:
    decoder, offset = image.tile[0].codec_name, image.tile[0].offset
    if decoder == "ppm":  # of the plain ones Pillow refuses itself what is above white; of these it makes it white
        size = 1 if white < 256 else 2
        count = min(image.width * image.height * len(image.getbands()), (len(data) - offset) // size)
        if (highest := np.frombuffer(data, f">u{size}", count, offset).max(initial=0)) > white:
            raise UnsupportedPixelsError(
                f"samples of up to {highest} (PPM), although its header says that {white} is white"
            )
    return Layout(8, UNSIGNED) if white < 256 else Layout(16, UNSIGNED, stretch=65535 / white)


def _prepare_jpeg2000(image: ImageFile.ImageFile, data: bytes) -> Layout:
    if profile := jpeg2000.profile(data):
        image.info["icc_profile"] = profile
    found = jpeg2000.stored(data) or jpeg2000.Stored(components=1, bits=8, signed=False)
    if found.signed:
        raise UnsupportedPixelsError(f"{found.bits}-bit signed samples (JPEG 2000)")
    if found.bits < 8:
        raise UnsupportedPixelsError(f"{found.bits}-bit samples (JPEG 2000), which Pillow doesn't scale to 8 bits")
    if found.components > 1 and found.bits > 8:
        # Pillow rounds them to 8 bits without a limit at 255: what is white becomes black.
        raise UnsupportedPixelsError(
            f"{found.components} x {found.bits}-bit samples (JPEG 2000), of which only 8 bits can be decoded in colour"
        )
    return Layout(16, UNSIGNED, stretch=2.0 ** (16 - found.bits)) if image.mode in _DEEP_GREY else Layout(8, UNSIGNED)


# ---- TIFF's directory, of files that Pillow can't open or decode ----


def _tiff_directory(data: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    """The tags of the first page; raises what broken directories make Pillow raise."""
    tags = TiffImagePlugin.ImageFileDirectory_v2(data[:16] if data[2:3] == b"+" else data[:8])
    file = io.BytesIO(data)
    file.seek(tags.next)
    tags.load(file)
    return tags


def tiff_is_cut(data: bytes) -> bool:
    """Whether the pixels are to lie behind the end of the file."""
    with suppress(Exception):  # values may be of any type
        tags = _tiff_directory(data)
        for offsets, lengths in ((Tag.StripOffsets, Tag.StripByteCounts), (Tag.TileOffsets, Tag.TileByteCounts)):
            pairs = zip(tags.get(offsets, ()), tags.get(lengths, ()), strict=False)
            if any(start + length > len(data) for start, length in pairs):
                return True
    return False


def tiff_words(data: bytes, only_rare: bool = False) -> str | None:
    """What a TIFF holds, like "TIFF of 5 x 8-bit unsigned samples (RGB, uncompressed, little-endian)"; None where its
    directory can't be read, or, `only_rare`, where its compression is one of those that are always there."""
    with suppress(Exception):  # values may be of any type
        tags = _tiff_directory(data)
        compression = tags.get(Tag.Compression, 1)
        if not (tags.get(Tag.ImageWidth) and tags.get(Tag.ImageLength)) or (
            only_rare and compression not in _RARE_COMPRESSIONS
        ):
            return None
        bits = "-".join(str(depth) for depth in sorted(set(tags.get(Tag.BitsPerSample, (1,)))))
        kind = _FORMAT_WORDS.get(tags.get(Tag.SampleFormat, (UNSIGNED,))[0], "unknown")
        photometric = tags.get(Tag.PhotometricInterpretation, _WHITE_IS_ZERO)
        colour = _PHOTOMETRIC_WORDS.get(photometric, f"photometric interpretation {photometric}")
        packed = COMPRESSION_INFO.get(compression, f"compression {compression}").replace("raw", "uncompressed")
        order = "big-endian" if tags.prefix == b"MM" else "little-endian"
        return f"TIFF of {tags.get(Tag.SamplesPerPixel, 1)} x {bits}-bit {kind} samples ({colour}, {packed}, {order})"
    return None


# ---- to 8 bits ----


def plain(image: Image.Image, found: Layout, data: bytes, icc: str, sample_range: Range | None) -> Image.Image:
    """The loaded image as RGB, or as RGBA where there is transparency.

    `data` is the file, `sample_range` the values of black and white of grey samples that don't say so themselves. Where
    `icc` is "srgb", colours go from the profile in the file to sRGB. Raises UnsupportedPixelsError.
    """
    if found.canvas is not None:
        image = _on_canvas(image, found.canvas)
    transparent = image.info.get("transparency") if image.format == "PNG" else None
    is_grey_with_alpha = image.format == "PNG" and data[24:26] == _GREY_WITH_ALPHA  # which Pillow opens as RGBA
    if found.bits == 16 and image.mode in ("RGB", "RGBA") and not is_grey_with_alpha:
        _check_dark(image, data)
    # Of these Pillow drops the low bytes without saying so.
    if (
        image.format == "TIFF"
        and image.mode == "CMYK"
        and found.bits == 16
        and (sample_range or not np.asarray(image).any())
    ):
        raise UnsupportedPixelsError(
            f"16-bit unsigned samples, of which only the high bytes can be had ({image.format}, mode {image.mode}): "
            + (
                "preprocess.sample_range can't be applied"
                if sample_range
                else "all of them are 0, and which value is white can't be known"
            )
        )
    if image.format in ("BMP", "DIB", "TGA") and image.mode == "RGBA" and not np.asarray(image)[..., 3].any():
        image = image.convert("RGB")  # a fourth byte that nobody filled is no transparency
    if is_grey_with_alpha:
        shallow = _from_grey_with_alpha(image, found, data, sample_range)
    elif image.mode in _DEEP_GREY or found.kind != UNSIGNED:
        shallow = _from_deep(image, found, sample_range, transparent)
    elif image.mode == "RGB" and found.bits == 16 and isinstance(transparent, tuple):
        shallow = _without_colour(image, data, transparent)
    else:
        if image.mode in ("L", "1") and isinstance(transparent, int) and found.bits < 8:
            # Pillow scales samples of 2 and 4 bits, but not the one that is transparent.
            image.info["transparency"] = (transparent & (1 << found.bits) - 1) * 255 // ((1 << found.bits) - 1)
        if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
            raise UnsupportedPixelsError(
                "CMYK JPEG without an Adobe marker, so that nobody knows whether 0 or 255 is all ink"
            )
        if image.mode == "P" and isinstance(image, TiffImagePlugin.TiffImageFile):
            _set_palette(image)
        shallow = image.convert("LA") if image.mode == "La" else image  # La is converted to nothing but this
    if icc == "srgb" and "icc_profile" in image.info and image.mode != "LAB":
        return _in_srgb(shallow, image.info["icc_profile"])
    wanted = "RGBA" if _has_transparency(shallow) else "RGB"
    return shallow if shallow.mode == wanted else shallow.convert(wanted)


def _on_canvas(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """A GIF whose first frame leaves a part of the canvas free, which Pillow fills with any colour."""
    opacity = Image.new("L", image.size)
    opacity.paste(255, box)
    result = image.convert("RGB")
    result.putalpha(opacity)
    return result


def _has_transparency(image: Image.Image) -> bool:
    return image.mode in _TRANSPARENT or "transparency" in image.info


# ---- samples of other depths and kinds ----


def _from_deep(image: Image.Image, found: Layout, sample_range: Range | None, transparent: object) -> Image.Image:
    """Grey samples of any depth and kind as L, or as LA where one of them is transparent."""
    values = _values(image, found)
    grey = _grey(values, image, found, sample_range)
    if found.white_is_zero:
        grey = np.uint8(255) - grey
    result = Image.fromarray(grey)
    if isinstance(transparent, int):
        result.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return result


def _from_grey_with_alpha(image: Image.Image, found: Layout, data: bytes, sample_range: Range | None) -> Image.Image:
    """A PNG of 16 bits, grey and alpha, as LA. Told that a pixel has four colours, Pillow keeps the low bytes too."""
    again = Image.open(io.BytesIO(data), formats=("PNG",))
    again.tile = [again.tile[0]._replace(args="RGBA")]
    parts: Grey = np.asarray(again)
    values = parts[..., 0].astype(np.uint16) << 8 | parts[..., 1]
    return Image.merge(
        "LA", [Image.fromarray(grey) for grey in (_grey(values, image, found, sample_range), parts[..., 2])]
    )


def _grey(values: Samples, image: Image.Image, found: Layout, sample_range: Range | None) -> Grey:
    return (
        _scaled(values, *(end * found.stretch for end in sample_range))
        if sample_range
        else _by_depth(values, found, image)
    )


def _values(image: Image.Image, found: Layout) -> Samples:
    """The samples in their own type: Pillow has unsigned ones of 32 and signed ones of 8 bits in the other kind's."""
    values: Samples = np.asarray(image)
    if values.ndim != 2:
        raise UnsupportedPixelsError(
            f"{found.bits}-bit {_FORMAT_WORDS.get(found.kind, 'unknown')} samples in colour (mode {image.mode})"
        )
    if found.kind == UNSIGNED and found.bits == 32:
        return values.view(np.uint32)
    return values.view(np.int8) if found.kind == SIGNED and found.bits == 8 else values


def _by_depth(values: Samples, found: Layout, image: Image.Image) -> Grey:
    """Unsigned samples scaled by their depth. Refuses what says nothing about which value is white."""
    if found.kind == UNSIGNED:
        high: Grey = (values >> (found.bits - 8)).astype(np.uint8)
        if high.any() or not values.any():
            return high
    lowest, highest = (float(end) / found.stretch for end in (values.min(), values.max()))
    kind = _FORMAT_WORDS.get(found.kind, "unknown")
    raise UnsupportedPixelsError(
        f"{found.bits}-bit {kind} samples from {lowest:g} to {highest:g} ({image.format}, mode {image.mode}): which "
        "value is white can't be known. preprocess.sample_range of model.yaml can say it"
    )


def _scaled(values: Samples, black: float, white: float) -> Grey:
    scaled = values.astype(np.float32)  # a copy, changed in place: large images have hundreds of megabytes
    if not np.isfinite(scaled).all():
        raise UnsupportedPixelsError("samples that are not a number or infinite")
    scaled -= black
    scaled *= 255 / (white - black)
    np.rint(scaled.clip(0, 255, out=scaled), out=scaled)
    return scaled.astype(np.uint8)


def _set_palette(image: TiffImagePlugin.TiffImageFile) -> None:
    """Has a TIFF's palette of small numbers taken for one of 8 bits, as some programs write it, and libtiff does."""
    palette = image.tag_v2.get(Tag.ColorMap, ())
    if palette and max(palette) < 256:
        image.putpalette(bytes(palette), "RGB;L")


def _low_bytes(image: Image.Image, data: bytes) -> Grey:
    """The low bytes of an image of 16 bits a colour, which Pillow keeps if given the other order of bytes."""
    again = Image.open(io.BytesIO(data), formats=(image.format or "",))
    tile = again.tile[0]
    mode = tile.args[0] if isinstance(tile.args, tuple) else str(tile.args)
    swapped = mode[:-1] + ("L" if mode.endswith("B") else "B")  # a PNG's are "B"; libtiff's "N", which is "L" here
    again.tile = [tile._replace(args=(swapped, *tile.args[1:]) if isinstance(tile.args, tuple) else swapped)]
    return np.asarray(again)


def _check_dark(image: Image.Image, data: bytes) -> None:
    """Refuses what is black only because 8-bit values were written in 16 bits, as _by_depth does; and of separate
    planes, whose low bytes can't be had, all that is black."""
    is_ppm = image.format == "PPM"
    if (np.asarray(image)[..., :3] > (1 if is_ppm else 0)).any():  # of a PPM they are rounded
        return
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    in_planes = tags.get(Tag.PlanarConfiguration) == _PLANES
    if in_planes or (_ppm_has_light(data) if is_ppm else _low_bytes(image, data)[..., :3].any()):
        raise UnsupportedPixelsError(
            f"16-bit unsigned samples, none above 255 ({image.format}, mode {image.mode}): which value is white can't "
            "be known"
        )


def _ppm_has_light(data: bytes) -> bool:
    tile = Image.open(io.BytesIO(data), formats=("PPM",)).tile[0]
    return re.search(rb"[1-9]" if tile.codec_name == "ppm_plain" else rb"[^\0]", data[tile.offset :]) is not None


def _without_colour(image: Image.Image, data: bytes, transparent: tuple[int, ...]) -> Image.Image:
    """A PNG of 16 bits a colour, one of which is transparent, as RGBA."""
    high, low = [value >> 8 for value in transparent], [value & 255 for value in transparent]
    hidden = np.equal(np.asarray(image), high).all(axis=2) & np.equal(_low_bytes(image, data), low).all(axis=2)
    result = image.copy()
    result.info.pop("transparency")
    result.putalpha(Image.fromarray(np.where(hidden, 0, 255).astype(np.uint8)))
    return result


# ---- colour profiles ----

_MODE_OF_SPACE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_GREY = ("1", "L", "LA")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    alpha = image.convert("RGBA").getchannel("A") if _has_transparency(image) else None
    try:
        transform, mode = _transform(profile or b"")
        # A profile of RGB on a grey image says how its three equal colours look.
        if (mode == "CMYK") != (image.mode == "CMYK") or (mode == "L" and image.mode not in _GREY):
            raise UnsupportedPixelsError(f"its ICC profile is for {mode}, the image is {image.mode}")
        result = ImageCms.applyTransform(image if image.mode == mode else image.convert(mode), transform)
    except (ImageCms.PyCMSError, OSError, ValueError, KeyError) as error:
        raise UnsupportedPixelsError(f"its ICC profile can't be used: {one_line(error)}") from None
    if result is None:
        raise AssertionError("not in place")
    if alpha is not None:
        result.putalpha(alpha)
    return result


@lru_cache(maxsize=16)
def _transform(profile: bytes) -> tuple[ImageCms.ImageCmsTransform, str]:
    """From a profile to sRGB, and the mode that it is for; a run has few different ones."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = _MODE_OF_SPACE[source.profile.xcolor_space.strip()]
    # Optimised, curves of grey lose their dark end (by 10 of 255), and save no time; those of colours are exact, and
    # take a tenth of it.
    flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB", flags=flags), mode
