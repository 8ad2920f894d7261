"""Samples of every depth, kind and colour that can be written: the pixels of the picture that was saved, or a status
that says why not.

The files come from tifffile, imagecodecs, OpenCV and from by hand; what is right comes from the picture alone.
"""

import io
import struct
import zlib
from contextlib import suppress
from itertools import product
from typing import Any, Literal

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from mxspark.decode import preprocess
from mxspark.decode.preprocess import BadImageError, ImageLimits, load_array
from mxspark.settings.job import FORMATS
from mxspark.settings.model_spec import ModelInput, Preprocessing
from tests.unit.pictures import Bytes, heic_encoded, noise, pillow_encoded, png_chunk, smooth

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL.*")  # pytest undoes what preprocess.py says of them
Order = Literal["<", ">"]  # of bytes
LIMITS = ImageLimits(max_pixels=100_000, max_frames=100, formats=FORMATS)
HEIGHT, WIDTH = 35, 67
BACKGROUND = (200, 100, 0)


def _colours() -> Bytes:
    pixels = noise(HEIGHT, WIDTH)
    pixels[0], pixels[1] = 0, 255  # what overflows does so there
    return pixels


def _opacity() -> Bytes:
    opacity = noise(HEIGHT, WIDTH, 1)[..., 0]
    opacity[:, 0], opacity[:, 1] = 0, 255
    return opacity


COLOURS, OPACITY = _colours(), _opacity()
GREY: Bytes = COLOURS[..., 0]
TRIPLE = np.repeat(GREY[..., None], 3, axis=2)


def loaded(data: bytes, limits: ImageLimits = LIMITS, **steps: Any) -> NDArray[np.float32]:
    model_input = ModelInput(height=HEIGHT, width=WIDTH, layout="NHWC")
    return load_array(data, limits, model_input, Preprocessing(background=BACKGROUND, **steps))


def distance(data: bytes, expected: NDArray[Any], **steps: Any) -> float:
    """How far the pixels are from what is right."""
    return float(np.abs(loaded(data, **steps) - expected.astype(np.float64)).max())


def refusal(data: bytes, **steps: Any) -> tuple[str, str]:
    """The status and the error of a file that has to be refused."""
    with pytest.raises(BadImageError) as refused:
        loaded(data, **steps)
    return refused.value.status, refused.value.problem


def over_background(colours: NDArray[Any]) -> NDArray[np.float64]:
    opacity = OPACITY[..., None] / 255
    return np.asarray(colours * opacity + np.asarray(BACKGROUND) * (1 - opacity))


def as_deep(pixels: Bytes, kind: str) -> NDArray[Any]:
    """8-bit pixels in another type of numbers, over all of its range; of floats from 0 to 1."""
    dtype = np.dtype(kind)
    if dtype.kind == "f":
        return (pixels / 255).astype(dtype)
    values = pixels.astype(np.int64) * max(1, np.iinfo(dtype).max // 255)
    return values.clip(max=np.iinfo(dtype).max).astype(dtype)


def tiff(pixels: NDArray[Any], order: Order = "<", **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels.astype(pixels.dtype.newbyteorder(order)), byteorder=order, metadata=None, **options)
    return buffer.getvalue()


# ---- TIFF ----

ORDERS: tuple[Order, ...] = ("<", ">")
WORDS = {"u": "unsigned", "i": "signed", "f": "float"}
PACKINGS: tuple[dict[str, Any], ...] = (
    {},
    {"tile": (16, 16)},
    {"rowsperstrip": 4, "compression": "packbits"},
    {"compression": "zlib", "predictor": True},
    {"compression": "lzw", "tile": (32, 16)},
    {"compression": "zstd"},
)


@pytest.mark.parametrize("packing", PACKINGS, ids=str)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"])
def test_grey_tiff(kind: str, photometric: str, order: Order, packing: dict[str, Any]) -> None:
    deep = as_deep(GREY, kind)
    stored = deep if photometric == "minisblack" else (np.iinfo(kind).max if deep.dtype.kind != "f" else 1) - deep
    data = tiff(stored, order, photometric=photometric, **packing)

    if (
        kind == "u1"
        or (kind == "u2" and (photometric, order) != ("miniswhite", ">"))
        or (kind + photometric + order) == "u4minisblack<"
    ):
        assert distance(data, TRIPLE) == 0
    else:
        status, error = refusal(data)
        assert status in ("unsupported_pixels", "unsupported_format")
        assert f"{8 * int(kind[1])}-bit {WORDS[kind[0]]} samples" in error


@pytest.mark.parametrize("packing", PACKINGS, ids=str)
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_colour_tiff(kind: str, planes: str, packing: dict[str, Any]) -> None:
    premultiplied = COLOURS.astype(np.uint16) * OPACITY[..., None] // 255
    layers: dict[str | None, tuple[Bytes, NDArray[Any]]] = {
        None: (COLOURS, COLOURS),
        "unspecified": (np.dstack([COLOURS, OPACITY]), COLOURS),
        "unassalpha": (np.dstack([COLOURS, OPACITY]), over_background(COLOURS)),
        "assocalpha": (
            np.dstack([premultiplied, OPACITY]).astype(np.uint8),
            premultiplied + over_background(np.zeros_like(COLOURS)),
        ),
    }
    for order, (extra, (pixels, expected)) in product(ORDERS, layers.items()):
        deep = as_deep(pixels, kind)
        stored = deep if planes == "contig" else np.ascontiguousarray(deep.transpose(2, 0, 1))
        data = tiff(stored, order, photometric="rgb", planarconfig=planes, extrasamples=extra and [extra], **packing)

        assert distance(data, expected) <= (2 if extra else 0), (order, extra)


@pytest.mark.parametrize("kind", ["u4", "i1", "i2", "f2", "f4"])
@pytest.mark.parametrize("order", ORDERS)
def test_colour_tiffs_of_other_samples_are_called_by_name(kind: str, order: Order) -> None:
    status, error = refusal(tiff(as_deep(COLOURS, kind), order, photometric="rgb"))

    assert status == "unsupported_format"
    endian = {"<": "little", ">": "big"}[order]
    samples = f"3 x {8 * int(kind[1])}-bit {WORDS[kind[0]]} samples"
    assert error == f"TIFF of {samples} (RGB, uncompressed, {endian}-endian), which can't be decoded"


@pytest.mark.parametrize("packing", [{}, {"compression": "lzw"}], ids=str)
@pytest.mark.parametrize("order", ORDERS)
def test_tiffs_of_other_colours(order: Order, packing: dict[str, Any]) -> None:
    palette = np.random.default_rng(3).integers(0, 256, (256, 3), dtype=np.uint16)
    inks = np.asarray(Image.fromarray(COLOURS).convert("CMYK"))  # without black ink: 255 minus the colour
    with_opacity = over_background(TRIPLE)
    colourmap = {"photometric": "palette", "colormap": palette.T * 257}
    alpha: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unassalpha"]}
    files: dict[str, tuple[bytes, NDArray[Any], float]] = {
        "palette": (tiff(GREY, order, **colourmap, **packing), palette[GREY], 0),
        "palette of 8 bits": (
            tiff(GREY, order, photometric="palette", colormap=palette.T, **packing), palette[GREY], 0,
        ),
        "colours and more": (tiff(np.dstack([COLOURS, GREY, GREY]), order, photometric="rgb", **packing), COLOURS, 0),
        "grey and opacity": (tiff(np.dstack([GREY, OPACITY]), order, **alpha, **packing), with_opacity, 1),
        "CMYK": (tiff(inks, order, photometric="separated", **packing), COLOURS, 1),
        "deep CMYK": (tiff(as_deep(inks, "u2"), order, photometric="separated", **packing), COLOURS, 1),
        "deep CMYK in planes": (
            tiff(
                as_deep(inks, "u2").transpose(2, 0, 1),
                order, photometric="separated", planarconfig="separate", **packing,
            ),
            COLOURS, 1,
        ),
        "black and white": (
            tiff(GREY > 99, order, photometric="minisblack", **packing), np.where(TRIPLE > 99, 255, 0), 0,
        ),
        "white and black": (
            tiff(GREY > 99, order, photometric="miniswhite", **packing), np.where(TRIPLE > 99, 0, 255), 0,
        ),
    }  # fmt: skip
    for name, (data, expected, within) in files.items():
        assert distance(data, expected) <= within, name
    refused = {
        "five kinds of grey": tiff(
            np.dstack([COLOURS, GREY, GREY]), order, photometric="minisblack", planarconfig="contig", **packing
        ),
        "opacity in a plane": tiff(
            np.stack([GREY, OPACITY]), order, **{**alpha, "planarconfig": "separate"}, **packing
        ),
        "deep grey and opacity": tiff(as_deep(np.dstack([GREY, OPACITY]), "u2"), order, **alpha, **packing),
        "deep palette": tiff(
            GREY.astype(np.uint16),
            order,
            photometric="palette",
            colormap=np.repeat(palette.T * 257, 256, axis=1),
            **packing,
        ),
    }
    for name, data in refused.items():
        status, error = refusal(data)
        assert (status, error[:4]) == ("unsupported_format", "TIFF"), name


def packed(values: NDArray[Any], bits: int) -> list[bytes]:
    """Rows of samples of any number of bits, one behind the other."""
    flat = values.reshape(values.shape[0], -1).astype(np.int64)
    return [np.packbits((row[:, None] >> np.arange(bits - 1, -1, -1)) & 1).tobytes() for row in flat]


def tiff_by_hand(rows: list[bytes], bits: int, photometric: int, *more: tuple[int, int]) -> bytes:
    """A grey TIFF in one strip, low byte first; `more` are tags of one short."""
    pixels = b"".join(rows)
    tags = {
        256: WIDTH,
        257: HEIGHT,
        258: bits,
        259: 1,
        262: photometric,
        273: 8,
        277: 1,
        278: HEIGHT,
        279: len(pixels),
        **dict(more),
    }
    entries = b"".join(
        struct.pack("<HHII", tag, 4 if tag == 279 else 3, 1, value) for tag, value in sorted(tags.items())
    )
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("bits", [2, 4, 12])
def test_tiffs_of_few_bits(bits: int) -> None:
    values = GREY.astype(np.int64) * 16 + 9 if bits == 12 else GREY.astype(np.int64) >> (8 - bits)
    expected = TRIPLE if bits == 12 else np.repeat((values * 255 // (2**bits - 1))[..., None], 3, axis=2)

    assert distance(tiff_by_hand(packed(values, bits), bits, 1), expected) == 0
    inverted = tiff_by_hand(packed(2**bits - 1 - values, bits), bits, 0)
    if bits == 12:
        assert refusal(inverted)[0] == "unsupported_format"
    else:
        assert distance(inverted, expected) == 0


@pytest.mark.parametrize(("kind", "white"), [("u2", 255), ("u2", 1), ("u4", 255), ("u4", 65_535), ("u4", 2**24 - 1)])
def test_values_that_would_all_be_black_are_refused(kind: str, white: int) -> None:
    values = (GREY.astype(np.float64) * white / 255).astype(kind)

    status, error = refusal(tiff(values))

    assert status == "unsupported_pixels"
    assert f"-bit unsigned samples from 0 to {white:g} (TIFF, mode I" in error
    assert "preprocess.sample_range" in error
    assert distance(tiff(np.zeros_like(values)), np.zeros_like(COLOURS)) == 0  # black is black


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("order", ORDERS)
def test_colours_that_would_all_be_black_are_refused(order: Order, planes: str) -> None:
    stored = COLOURS if planes == "contig" else COLOURS.transpose(2, 0, 1)
    files = {
        "TIFF": tiff(stored.astype(np.uint16), order, photometric="rgb", planarconfig=planes),
        "PNG": png(COLOURS.astype(np.uint16), 16, 2),
    }
    for name, data in files.items():
        assert refusal(data) == (
            "unsupported_pixels", f"16-bit unsigned samples, none above 255 ({name}, mode RGB): which value is white "
            "can't be known"
        )  # fmt: skip
    assert distance(tiff(np.zeros_like(COLOURS, np.uint16), order, photometric="rgb"), np.zeros_like(COLOURS)) == 0
    with_opacity = png(np.dstack([np.zeros_like(COLOURS), OPACITY]).astype(np.uint16) * 257, 16, 6)
    assert distance(with_opacity, over_background(np.zeros_like(COLOURS))) <= 1
    assert (
        distance(
            png(np.dstack([0 * GREY, OPACITY]).astype(np.uint16) * 257, 16, 4), over_background(np.zeros_like(COLOURS))
        )
        <= 1
    )


@pytest.mark.parametrize("packing", [{}, {"compression": "zlib"}], ids=str)
@pytest.mark.parametrize("order", ORDERS)
def test_the_range_of_samples_can_be_said(order: Order, packing: dict[str, Any]) -> None:
    steps: dict[str, tuple[NDArray[Any], tuple[float, float]]] = {
        "0 to 1": (as_deep(GREY, "f4"), (0, 1)),
        "-1 to 1": ((GREY / 127.5 - 1).astype(np.float32), (-1, 1)),
        "0 to 255": (GREY.astype(np.float32), (0, 255)),
        "12 bits": (GREY.astype(np.uint16) * 16, (0, 4080)),
        "signed": (GREY.astype(np.int16) * 100 - 1024, (-1024, 25_500 - 1024)),
        "signed bytes": ((GREY.astype(np.int16) - 128).astype(np.int8), (-128, 127)),
        "32 bits": (GREY.astype(np.int32), (0, 255)),
    }
    for name, (values, sample_range) in steps.items():
        assert (
            distance(tiff(values, order, photometric="minisblack", **packing), TRIPLE, sample_range=sample_range) <= 1
        ), name
    window = tiff(as_deep(GREY, "f4"), order, **packing)
    assert distance(window, np.where(TRIPLE > 127, 255, 0), sample_range=(0.4999, 0.5)) == 0
    # sample_range has no effect on images of 8 bits.
    assert distance(pillow_encoded(Image.fromarray(GREY), "PNG"), TRIPLE, sample_range=(0, 1)) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_no_pixel(value: float) -> None:
    data = tiff(np.full((HEIGHT, WIDTH), value, np.float32))

    assert refusal(data)[0] == "unsupported_pixels"
    assert refusal(data, sample_range=(0, 1)) == ("unsupported_pixels", "samples that are not a number or infinite")


def test_a_tiff_with_inks_of_its_own_is_refused() -> None:
    inks = tiff(np.dstack([COLOURS, GREY]), photometric="separated", extratags=[(332, "H", 1, 2, True)])

    assert refusal(inks)[0] == "unsupported_pixels"


@pytest.mark.parametrize("compression", ["webp", "jpegxl", "jpeg2000", "lerc", "png", "jpegxr"])
def test_a_tiff_of_a_compression_that_is_not_there_says_so(compression: str) -> None:
    status, error = refusal(tiff(COLOURS, photometric="rgb", compression=compression))

    assert status == "unsupported_format"
    assert error.startswith("TIFF of 3 x 8-bit unsigned samples (RGB, ")


def test_differences_of_pixels_that_not_all_programs_undo_are_no_pixels() -> None:
    data = tiff(COLOURS, photometric="rgb", compression="packbits", predictor=True)

    assert refusal(data) == (
        "unsupported_format",
        "TIFF with PackBits and a predictor, which programs read in two ways",
    )


def test_the_thumbnail_in_a_raw_file_is_not_taken_for_the_photograph() -> None:
    thumbnail = tiff(COLOURS, photometric="rgb", extratags=[(50706, "B", 4, (1, 4, 0, 0), True)])

    assert refusal(thumbnail) == (
        "unsupported_format",
        "a camera's raw file (DNG, NEF, ARW …), whose first page is only a thumbnail",
    )


# ---- PNG ----


def png(values: NDArray[Any], bits: int, colour: int, *chunks: bytes) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, colour, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in packed(values, bits))))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_png_and_its_transparent_colour(bits: int) -> None:
    deep = GREY.astype(np.uint16) << 8 | OPACITY
    values = deep >> (16 - bits)
    shown = np.repeat(
        (values >> 8 if bits == 16 else values.astype(np.int64) * 255 // (2**bits - 1))[..., None], 3, axis=2
    )
    hidden = values == values[5, 5]
    transparent = png_chunk(b"tRNS", struct.pack(">H", values[5, 5]))

    assert distance(png(values, bits, 0), shown) == 0
    assert distance(png(values, bits, 0, transparent), np.where(hidden[..., None], BACKGROUND, shown)) == 0


def test_deep_grey_with_transparency_has_all_its_bits() -> None:
    """Pillow opens it as 8-bit colours."""
    dark = png(np.dstack([GREY, OPACITY.astype(np.uint16) * 257]), 16, 4)
    twelve_bits = png(np.dstack([GREY.astype(np.uint16) * 16, OPACITY.astype(np.uint16) * 257]), 16, 4)

    assert refusal(dark) == (
        "unsupported_pixels",
        f"16-bit unsigned samples from {GREY.min()} to {GREY.max()} (PNG, mode RGBA): which value is white can't be "
        "known. preprocess.sample_range of model.yaml can say it",
    )
    assert distance(dark, over_background(TRIPLE), sample_range=(0, 255)) <= 1
    assert distance(twelve_bits, over_background(TRIPLE), sample_range=(0, 4080)) <= 1


@pytest.mark.parametrize("bits", [8, 16])
def test_colour_png_and_its_transparency(bits: int) -> None:
    values = (COLOURS.astype(np.uint16) << 8 | OPACITY[..., None]) >> (16 - bits)
    colour = values[5, 5]
    near = colour ^ np.asarray([0, 1, 0], np.uint16)  # of 16 bits, what the high byte doesn't show
    deep = {
        channels: as_deep(np.dstack(layers), f"u{bits // 8}")
        for channels, layers in ((4, [GREY, OPACITY]), (6, [COLOURS, OPACITY]))
    }

    assert distance(png(values, bits, 2), COLOURS) == 0
    hidden = (values == colour).all(axis=2, keepdims=True)
    assert (
        distance(
            png(values, bits, 2, png_chunk(b"tRNS", colour.astype(">u2").tobytes())),
            np.where(hidden, BACKGROUND, COLOURS),
        )
        == 0
    )
    assert distance(png(values, bits, 2, png_chunk(b"tRNS", near.astype(">u2").tobytes())), COLOURS) == 0
    assert distance(png(deep[4], bits, 4), over_background(TRIPLE)) <= 1
    assert distance(png(deep[6], bits, 6), over_background(COLOURS)) <= 1


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_png_of_a_palette_and_its_transparency(bits: int) -> None:
    random = np.random.default_rng(bits)
    palette, opacity = (
        random.integers(0, 256, (2**bits, 3), dtype=np.uint8),
        random.integers(0, 256, (2**bits, 1), dtype=np.uint8),
    )
    values = GREY >> (8 - bits)
    blended = palette[values] * (opacity[values] / 255) + np.asarray(BACKGROUND) * (1 - opacity[values] / 255)
    colours = png_chunk(b"PLTE", palette.tobytes())

    assert distance(png(values, bits, 3, colours), palette[values]) == 0
    assert distance(png(values, bits, 3, colours, png_chunk(b"tRNS", opacity.tobytes())), blended) <= 1


# ---- PPM, which has to be asked for ----

WITH_PPM = ImageLimits(LIMITS.max_pixels, LIMITS.max_frames, (*FORMATS, "PPM"))


def ppm(values: NDArray[Any], white: int, plain: bool = False) -> bytes:
    kind = {(2, False): 5, (3, False): 6, (2, True): 2, (3, True): 3}[values.ndim, plain]
    stored = (
        " ".join(map(str, values.ravel())).encode()
        if plain
        else values.astype("u1" if white < 256 else ">u2").tobytes()
    )
    return f"P{kind}\n# by hand\n{WIDTH} {HEIGHT}\n{white}\n".encode() + stored


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("white", [15, 255, 4095, 65_535])
def test_a_ppm_is_as_deep_as_it_says(white: int, plain: bool) -> None:
    values = np.rint(COLOURS / 255 * white).astype(np.int64)
    for pixels in (values, values[..., 0]):
        expected = np.atleast_3d(np.rint(pixels * 255 / white))
        assert np.abs(loaded(ppm(pixels, white, plain), WITH_PPM) - expected).max() <= 1
    if white > 255:
        found = loaded(ppm(values[..., 0], white, plain), WITH_PPM, sample_range=(0, white // 2))
        assert np.abs(found - np.atleast_3d(np.rint(values[..., 0] * 255 / (white // 2)).clip(0, 255))).max() <= 1


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("white", [4095, 65_535])
def test_a_ppm_that_would_all_be_black_is_refused(white: int, plain: bool) -> None:
    values = np.full((HEIGHT, WIDTH, 3), white // 300)
    for pixels in (values, values[..., 0]):
        with pytest.raises(
            BadImageError, match=r"16-bit unsigned samples.*PPM.*which value is white can't be known"
        ) as refused:
            loaded(ppm(pixels, white, plain), WITH_PPM)
        assert refused.value.status == "unsupported_pixels"
        assert (loaded(ppm(pixels * 0, white, plain), WITH_PPM) == 0).all()


def test_a_ppm_with_samples_above_its_white_is_refused() -> None:
    with pytest.raises(
        BadImageError, match="samples of up to 255 \\(PPM\\), although its header says that 100 is white"
    ):
        loaded(ppm(COLOURS, 100), WITH_PPM)


# ---- JPEG 2000, AVIF, HEIC, JPEG ----


@pytest.mark.parametrize("codec", ["jp2", "j2k"])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_jpeg_2000(bits: int, codec: str) -> None:
    def encoded(pixels: Bytes) -> bytes:
        values = as_deep(pixels, "u2") >> (16 - bits)
        dtype = np.uint8 if bits == 8 else np.uint16
        return bytes(
            imagecodecs.jpeg2k_encode(
                values.astype(dtype), bitspersample=bits, codecformat=codec, level=0, reversible=True
            )
        )

    assert distance(encoded(GREY), TRIPLE) == 0
    if bits > 8:  # samples as they are in the file
        assert distance(encoded(GREY), TRIPLE, sample_range=(0, 2**bits - 1)) <= 1
    for pixels, expected in ((COLOURS, COLOURS), (np.dstack([COLOURS, OPACITY]), over_background(COLOURS))):
        if bits == 8:
            assert distance(encoded(pixels), expected) <= 1
        else:
            assert refusal(encoded(pixels))[0] == "unsupported_pixels"


def test_signed_jpeg_2000_is_refused() -> None:
    data = imagecodecs.jpeg2k_encode(GREY.astype(np.int16), level=0, reversible=True)

    assert refusal(bytes(data)) == ("unsupported_pixels", "16-bit signed samples (JPEG 2000)")


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_avif(bits: int) -> None:
    for pixels, expected in (
        (GREY, TRIPLE),
        (COLOURS, COLOURS),
        (np.dstack([COLOURS, OPACITY]), over_background(COLOURS)),
    ):
        values = (as_deep(pixels, "u2") >> (16 - bits)).astype(np.uint8 if bits == 8 else np.uint16)
        assert distance(bytes(imagecodecs.avif_encode(values, bitspersample=bits, level=100, speed=10)), expected) <= 1


def test_heic() -> None:
    pixels = smooth(HEIGHT, WIDTH)
    for image in (
        Image.fromarray(pixels),
        Image.fromarray(pixels).convert("L"),
        Image.fromarray(as_deep(pixels, "u2")[..., 0]),
    ):
        expected = (
            pixels
            if image.mode == "RGB"
            else np.repeat(
                np.asarray(image.convert("L") if image.mode == "L" else pixels[..., 0])[..., None], 3, axis=2
            )
        )
        assert distance(heic_encoded(image, quality=-1, chroma=444), expected) <= 4


def test_heic_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic_encoded(Image.fromarray(COLOURS))
    monkeypatch.setattr(preprocess, "_registers_heif", lambda: False)

    assert refusal(data) == (
        "unsupported_format",
        "HEIC, for which pillow-heif is not installed: pip install pillow-heif",
    )


def test_cmyk_jpegs_are_as_their_adobe_marker_says() -> None:
    pixels = smooth(HEIGHT, WIDTH)
    data = pillow_encoded(Image.fromarray(pixels).convert("CMYK"), "JPEG", quality=100)
    marker = data.index(b"\xff\xee")

    assert distance(data, pixels) <= 4
    status, error = refusal(data[:marker] + data[marker + 16 :])
    assert (status, error[:33]) == ("unsupported_pixels", "CMYK JPEG without an Adobe marker")


# ---- another decoder's pixels ----

MODES = ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I;16", "I", "F")
# OpenCV blends the transparency of TIFFs in, takes another white for Lab, and sYCC's limits for those of its own.
OTHERWISE = {("TIFF", "LA"), ("TIFF", "PA"), ("TIFF", "RGBA"), ("TIFF", "LAB"), ("JPEG2000", "YCbCr")}


def in_mode(pixels: Bytes, mode: str) -> Image.Image:
    image = Image.fromarray(pixels)
    if mode == "I;16":
        return Image.fromarray(as_deep(pixels[..., 0], "u2"))
    if mode in ("LA", "PA", "RGBA"):
        image.putalpha(Image.fromarray(OPACITY))
    return image.convert("P").convert(mode) if mode == "PA" else image.convert(mode)


def by_another(data: bytes, image_format: str) -> NDArray[np.float64] | None:
    """The file over the background as imagecodecs (AVIF, GIF) or OpenCV decodes it; None where that can't."""
    if image_format in ("AVIF", "GIF"):
        pixels = imagecodecs.avif_decode(data) if image_format == "AVIF" else imagecodecs.gif_decode(data)
    else:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if found is None:
            return None
        pixels = found if found.ndim == 2 else found[..., [2, 1, 0, 3][: found.shape[2]]]
    pixels = np.atleast_3d(pixels >> 8 if pixels.dtype == np.uint16 else pixels).astype(np.float64)
    colours = (
        np.broadcast_to(pixels[..., :3], (HEIGHT, WIDTH, 3))
        if pixels.shape[2] != 2
        else np.repeat(pixels[..., :1], 3, axis=2)
    )
    opacity = pixels[..., -1:] / 255 if pixels.shape[2] in (2, 4) else np.ones((HEIGHT, WIDTH, 1))
    return np.asarray(colours * opacity + np.asarray(BACKGROUND) * (1 - opacity))


@pytest.mark.parametrize("mode", MODES)
# HEIC's other decoders are not to be had
@pytest.mark.parametrize("image_format", [name for name in FORMATS if name != "HEIF"])
def test_what_pillow_writes_is_seen_as_by_another_library(image_format: str, mode: str) -> None:
    try:
        data = pillow_encoded(in_mode(smooth(HEIGHT, WIDTH), mode), image_format)
    except (OSError, ValueError):
        return  # it doesn't write this mode so
    if image_format == "TIFF" and mode in ("I", "F"):
        assert refusal(data)[0] == "unsupported_pixels"
    elif (image_format, mode) in OTHERWISE:
        assert loaded(data).shape == (HEIGHT, WIDTH, 3)  # right as the tests above say
    elif (expected := by_another(data, image_format)) is not None:
        assert distance(data, expected) <= 1


# ---- colour profiles ----


def swapped_profile() -> bytes:
    """sRGB's profile with red and blue in each other's places."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"?XYZ").replace(b"bXYZ", b"rXYZ").replace(b"?XYZ", b"bXYZ")


def grey_profile(gamma: float) -> bytes:
    """A profile of one tone curve (ICC.1, `desc`, `wtpt` and `kTRC` only)."""
    tags = {
        b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">iii", 63190, 65536, 54061),
        b"kTRC": b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(gamma * 256)),
    }
    start = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content
    header = (
        struct.pack(">I4xI4s4s4s", start + len(body), 0x02400000, b"mntr", b"GRAY", b"XYZ ")
        + bytes(12)
        + b"acsp"
        + bytes(28)
    )
    return (header + struct.pack(">iii", 63190, 65536, 54061)).ljust(128, b"\0") + table + body


def jpeg2000_with(profile: bytes, data: bytes) -> bytes:
    """Pillow's file with a profile in the place of its colour space's number."""
    by_number = b"\0\0\0\x0fcolr\1\0\0\0\0\0\x10"
    box = struct.pack(">I", 11 + len(profile)) + b"colr\2\0\0" + profile
    header = data.index(b"jp2h") - 4
    length = struct.unpack_from(">I", data, header)[0] + len(box) - len(by_number)
    return data[:header] + (struct.pack(">I", length) + data[header + 4 :]).replace(by_number, box)


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF", "JPEG2000", "HEIF"])
def test_a_profile_counts_where_it_is_asked_for(image_format: str) -> None:
    pixels = smooth(HEIGHT, WIDTH)
    ways: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 100, "subsampling": 0},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    }
    options = ways.get(image_format, {})
    image = Image.fromarray(pixels)
    if image_format == "HEIF":
        image.info["icc_profile"] = swapped_profile()
        data = heic_encoded(image, quality=-1, chroma=444)
    elif image_format == "JPEG2000":
        data = jpeg2000_with(swapped_profile(), pillow_encoded(image, image_format))
    else:
        data = pillow_encoded(image, image_format, icc_profile=swapped_profile(), **options)

    assert distance(data, pixels) <= 5
    assert distance(data, pixels[..., ::-1], icc="srgb") <= 8


def test_a_profile_leaves_transparency_and_what_has_none_alone() -> None:
    image = Image.fromarray(np.dstack([COLOURS, OPACITY]))

    assert (
        distance(
            pillow_encoded(image, "PNG", icc_profile=swapped_profile()), over_background(COLOURS[..., ::-1]), icc="srgb"
        )
        <= 2
    )
    assert distance(pillow_encoded(image, "PNG"), over_background(COLOURS), icc="srgb") <= 1


def test_profiles_of_grey_and_on_grey() -> None:
    image = Image.fromarray(GREY)
    linear = GREY / 255  # a profile of gamma 1: sRGB's curve makes it brighter
    expected = 255 * np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055
    )

    assert (
        distance(
            pillow_encoded(image, "PNG", icc_profile=grey_profile(1)),
            np.repeat(expected[..., None], 3, axis=2),
            icc="srgb",
        )
        <= 2
    )
    assert distance(pillow_encoded(image, "PNG", icc_profile=swapped_profile()), TRIPLE, icc="srgb") <= 2


@pytest.mark.parametrize(
    "profile", [b"nothing of the kind", swapped_profile()[:200], grey_profile(1)], ids=["no profile", "cut", "of grey"]
)
def test_a_profile_that_does_not_fit_costs_the_row_where_it_is_asked_for(profile: bytes) -> None:
    data = pillow_encoded(Image.fromarray(COLOURS), "PNG", icc_profile=profile)

    assert distance(data, COLOURS) == 0
    status, error = refusal(data, icc="srgb")
    assert (status, error[:15]) == ("unsupported_pixels", "its ICC profile")


@pytest.mark.parametrize(
    "content",
    [b"k\0\0" + zlib.compress(bytes(5_000_000)), b"k\0\x09of no method that there is"],
    ids=["large", "broken"],
)
def test_a_profile_that_cannot_be_read_costs_the_row_where_it_is_asked_for(content: bytes) -> None:
    data = png(COLOURS, 8, 2, png_chunk(b"iCCP", content))

    assert distance(data, COLOURS) == 0
    assert refusal(data, icc="srgb") == ("unsupported_pixels", "its ICC profile can't be read")
    text = png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(5_000_000)))
    good = png_chunk(b"iCCP", b"k\0\0" + zlib.compress(swapped_profile()))
    assert distance(png(COLOURS, 8, 2, text, good), COLOURS[..., ::-1], icc="srgb") <= 2
    assert refusal(png(COLOURS, 8, 2, text, good)[:-900], icc="srgb")[0] == "truncated"


@pytest.mark.parametrize("tag", [254, 258, 259, 262, 273, 277, 278, 279, 284, 320, 332, 339])
@pytest.mark.parametrize("kind", [1, 2, 3, 5, 7, 11])
def test_a_tag_of_another_type_is_a_bad_image_at_worst(tag: int, kind: int) -> None:
    data = tiff_by_hand(packed(GREY, 8), 8, 1)
    start = 8 + GREY.size + 2
    entries = [data[at : at + 12] for at in range(start, len(data) - 4, 12)]
    odd = [entry for entry in entries if entry[:2] != struct.pack("<H", tag)] + [
        struct.pack("<HHI", tag, kind, 1) + b"a\0\0\0"
    ]
    directory = struct.pack("<H", len(odd)) + b"".join(sorted(odd)) + bytes(4)

    for file in (data[: start - 2] + directory, data[: start - 2] + directory[:-4]):
        with suppress(BadImageError):
            assert loaded(file).shape == (HEIGHT, WIDTH, 3)
