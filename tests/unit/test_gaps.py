"""An image of which pixels are missing or damaged becomes a row that says what is wrong, never one with pixels that
Pillow makes up.
"""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from mxspark.decode import avif
from mxspark.decode.preprocess import BadImageError, ImageLimits, load_array
from mxspark.settings.job import FORMATS
from mxspark.settings.model_spec import ModelInput, Preprocessing
from tests.unit.pictures import Bytes, noise, pillow_encoded, png_chunk, smooth

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL.*")  # pytest undoes what preprocess.py says of them
LIMITS = ImageLimits(max_pixels=100_000, max_frames=100, formats=FORMATS)
HEIGHT, WIDTH = 64, 48
PIXELS: Bytes = np.clip(noise(HEIGHT, WIDTH), 60, 250)  # nothing black in them
PICTURE = Image.fromarray(PIXELS)
PALETTE = PICTURE.quantize(64)
SMOOTH = Image.fromarray(smooth(HEIGHT, WIDTH))


def loaded(data: bytes, **steps: Any) -> NDArray[np.float32]:
    return load_array(data, LIMITS, ModelInput(height=HEIGHT, width=WIDTH, layout="NHWC"), Preprocessing(**steps))


def refusal(data: bytes, **steps: Any) -> tuple[str, str]:
    with pytest.raises(BadImageError) as refused:
        loaded(data, **steps)
    return refused.value.status, refused.value.problem


def check_refusal(data: bytes, status: str, error: str | None) -> None:
    found = refusal(data)

    assert found[0] == status
    assert error in (found[1], None)


# ---- PNG ----


def rows(pixels: Bytes) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def adam7(pixels: Bytes) -> bytes:
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    return b"".join(rows(pixels[top::down, left::right]) for left, top, right, down in passes)


def damaged(name: bytes, content: bytes) -> bytes:
    """A chunk with a wrong checksum."""
    return png_chunk(name, content)[:-4] + b"abcd"


def png(
    content: bytes,
    colour: int = 2,
    chunks: bytes = b"",
    behind: bytes = b"",
    interlaced: int = 0,
    checksum: bytes = b"",
) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, colour, 0, 0, interlaced))
    pixels = png_chunk(b"IDAT", zlib.compress(content))
    pixels = pixels[: len(pixels) - len(checksum)] + checksum
    return b"\x89PNG\r\n\x1a\n" + header + chunks + pixels + behind + png_chunk(b"IEND", b"")


WHOLE = rows(PIXELS)
INDEXES = rows(np.asarray(PALETTE))
COLOURS = bytes(PALETTE.getpalette() or b"")[: 64 * 3]
SHOWN = np.asarray(PALETTE.convert("RGB"))

# What is wrong, to (the file, its status, its error); None where that is in Pillow's words.
Refused = dict[str, tuple[bytes, str, str | None]]
PNGS: Refused = {
    "half of the rows": (png(WHOLE[: len(WHOLE) // 2]), "truncated", "its pixels end after 50 % of what its header "
    "says (48 x 64)"),
    "a row short": (png(WHOLE[: -1 - 3 * WIDTH]), "truncated", "its pixels end after 98 % of what its header says (48 "
    "x 64)"),
    "a byte short": (png(WHOLE[:-1]), "truncated", None),
    "no row": (png(b""), "truncated", None),
    "a pass short": (png(adam7(PIXELS)[: -32 * (1 + 3 * WIDTH)], interlaced=1), "truncated", None),
    "cut": (png(WHOLE)[:-20], "truncated", None),
    "cut before the checksum": (png(WHOLE)[:-14], "truncated", "the file ends before the image does"),
    "pixels": (png(WHOLE, checksum=b"abcd"), "decode_error", "the checksum of its chunk IDAT is wrong"),
    "no palette": (png(INDEXES, 3), "decode_error", "it has no palette"),
    "late palette": (png(INDEXES, 3, behind=png_chunk(b"PLTE", COLOURS)), "decode_error", "it has no palette"),
    "small palette": (
        png(INDEXES, 3, png_chunk(b"PLTE", COLOURS[:30])), "decode_error", "it has pixels of colour 10, but its "
        "palette has 10 (from 0)",
    ),
    "odd palette": (
        png(INDEXES, 3, png_chunk(b"PLTE", COLOURS[:-1])), "decode_error",
        "its palette (PLTE) has no whole number of colours from 1 to 256",
    ),
    "damaged palette": (png(INDEXES, 3, damaged(b"PLTE", COLOURS)), "decode_error", "the checksum of its chunk PLTE is "
    "wrong"),
    "damaged transparency": (png(WHOLE, chunks=damaged(b"tRNS", bytes(6))), "decode_error", "the checksum of its chunk "
    "tRNS is wrong"),
    "unknown chunk": (
        png(WHOLE, chunks=png_chunk(b"ABCd", b"")), "decode_error",
        "it has a chunk ABCd, which is unknown, and without which it can't be understood",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PNGS)
def test_a_png_without_all_of_its_pixels_is_refused(name: str) -> None:
    check_refusal(*PNGS[name])


@pytest.mark.parametrize("name", [b"tEXt", b"gAMA", b"pHYs", b"eXIf", b"iCCP", b"sRGB", b"abCd"])
def test_a_damaged_chunk_on_which_no_pixel_depends_costs_nothing(name: bytes) -> None:
    data = png(WHOLE, chunks=damaged(name, b"\0\0\0\1"))

    assert (loaded(data, exif_orientation=True) == PIXELS).all()


def test_a_damaged_profile_costs_the_row_where_profiles_count() -> None:
    data = png(WHOLE, chunks=damaged(b"iCCP", b"a\0\0" + zlib.compress(b"b")))

    assert refusal(data, icc="srgb") == ("unsupported_pixels", "its ICC profile can't be read")


@pytest.mark.parametrize("interlaced", [0, 1])
def test_a_png_that_ends_in_black_is_whole(interlaced: int) -> None:
    pixels = PIXELS.copy()
    pixels[-9:] = 0

    assert (loaded(png(adam7(pixels) if interlaced else rows(pixels), interlaced=interlaced)) == pixels).all()
    assert (loaded(png(INDEXES, 3, png_chunk(b"PLTE", COLOURS))) == SHOWN).all()


def test_a_png_in_an_icon_is_looked_at_alike() -> None:
    def icon(content: bytes) -> bytes:
        return struct.pack("<HHHBBBBHHII", 0, 1, 1, WIDTH, HEIGHT, 0, 0, 1, 32, len(content), 22) + content

    limits = ImageLimits(LIMITS.max_pixels, LIMITS.max_frames, ("ICO",))
    model_input = ModelInput(height=HEIGHT, width=WIDTH, layout="NHWC")
    assert (load_array(icon(png(WHOLE)), limits, model_input, Preprocessing()) == PIXELS).all()
    for name in ("half of the rows", "pixels"):
        data, status, error = PNGS[name]
        with pytest.raises(BadImageError) as refused:
            load_array(icon(data), limits, model_input, Preprocessing())
        assert refused.value.args == (status, error)


# ---- JPEG ----

END = b"\xff\xd9"
JPEGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "without subsampling": {"subsampling": 0},
    "restarts": {"restart_marker_rows": 1},
    "progressive": {"progressive": True},
    "grey": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
}


def jpeg(picture: Image.Image, mode: str = "RGB", **options: Any) -> bytes:
    return pillow_encoded(picture.convert(mode), "JPEG", quality=90, **options)


def taller(data: bytes) -> bytes:
    """The JPEG with twice the height in its header."""
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    return data[: frame + 5] + struct.pack(">H", 2 * HEIGHT) + data[frame + 7 :]


JPEG_DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) * 3 // 4],
    "cut, with an end": lambda data: data[: len(data) * 2 // 3] + END,
    "cut, then zeros": lambda data: data[: len(data) * 3 // 4] + bytes(10_000),
    "taller": taller,
}


@pytest.mark.parametrize("damage", JPEG_DAMAGES)
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_without_all_of_its_pixels_is_refused(kind: str, damage: str) -> None:
    assert refusal(JPEG_DAMAGES[damage](jpeg(SMOOTH, **JPEGS[kind])))[0] == "truncated"


def test_a_progressive_jpeg_needs_all_of_its_scans() -> None:
    data = jpeg(SMOOTH, progressive=True)
    last = data.rindex(b"\xff\xda")

    assert refusal(data[:last] + END) == ("truncated", "scans of it are missing")


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("from_row", [0, 40])
def test_a_jpeg_that_ends_in_grey_is_whole(kind: str, from_row: int) -> None:
    pixels = np.asarray(SMOOTH).copy()
    pixels[from_row:] = 128

    assert np.abs(loaded(jpeg(Image.fromarray(pixels), **JPEGS[kind]))[from_row + 16 :] - 128).max() <= 1


def test_a_lossless_jpeg_without_all_of_its_pixels_is_refused() -> None:
    data = bytes(imagecodecs.ljpeg_encode(PIXELS[..., 0], bitspersample=8))

    assert refusal(data[:2000])[0] == "truncated"
    assert refusal(data[:2000] + END)[0] == "truncated"


# ---- TIFF ----


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, metadata=None, photometric="rgb", **options)
    return buffer.getvalue()


def with_tag(data: bytes, code: int, *values: int) -> bytes:
    """The TIFF with the last of a tag's numbers changed."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tag = file.pages[0].tags[code]  # type: ignore[union-attr]
        size = {3: 2, 4: 4, 16: 8}[tag.dtype]
        start = tag.valueoffset + size * (tag.count - len(values))
    return (
        data[:start] + b"".join(value.to_bytes(size, "little") for value in values) + data[start + size * len(values) :]
    )


OFFSETS, TILE_OFFSETS, LENGTH, ROWS, BYTES, TILE_BYTES = 273, 324, 257, 278, 279, 325
ONE, STRIPS, TILES = tiff(PIXELS), tiff(PIXELS, rowsperstrip=16), tiff(PIXELS, tile=(16, 16), compression="lzw")
IN_JPEG, BIG = tiff(np.asarray(SMOOTH), compression="jpeg"), tiff(PIXELS, bigtiff=True)
DIRECTORY = "strip {} of its pixels (from byte {}) overlaps the file's directory or header"


TIFFS: Refused = {
    "no strip": (with_tag(ONE, OFFSETS, 0), "truncated", "strip 1 of its pixels is not in the file"),
    "no last strip": (with_tag(STRIPS, OFFSETS, 0), "truncated", "strip 4 of its pixels is not in the file"),
    "no last tile": (with_tag(TILES, TILE_OFFSETS, 0), "truncated", "tile 12 of its pixels is not in the file"),
    "pixels in the header": (with_tag(ONE, OFFSETS, 4), "decode_error", DIRECTORY.format(1, 4)),
    "pixels in the directory": (with_tag(STRIPS, OFFSETS, 20), "decode_error", DIRECTORY.format(4, 20)),
    "pixels in a big directory": (with_tag(BIG, OFFSETS, 40), "decode_error", DIRECTORY.format(1, 40)),
    "pixels behind the end": (with_tag(STRIPS, OFFSETS, len(STRIPS) - 9), "truncated", "the file ends before strip 4 "
    "of its pixels does"),
    "more strips": (with_tag(STRIPS, LENGTH, 2 * HEIGHT), "truncated", "its directory has 4 of 8 strips"),
    "a longer strip": (
        with_tag(with_tag(ONE, LENGTH, 2 * HEIGHT), ROWS, 2 * HEIGHT), "truncated", "the file ends before strip 1 of "
        "its pixels does",
    ),
    "more tiles": (with_tag(TILES, LENGTH, 2 * HEIGHT), "truncated", "its directory has 12 of 24 tiles"),
    "a tile's end": (with_tag(TILES, TILE_BYTES, 20), "decode_error", None),
    "cut": (BIG[:-100], "truncated", "the file ends before strip 1 of its pixels does"),
    "cut JPEG": (with_tag(IN_JPEG, BYTES, 900), "truncated", "strip 1 of its pixels, a JPEG: its pixels have no end "
    "(EOI)"),
    "small JPEG": (
        with_tag(with_tag(IN_JPEG, LENGTH, 65), ROWS, 65), "truncated", "strip 1 of its pixels is a JPEG of 48 x 64 "
        "instead of 48 x 65",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TIFFS)
def test_a_tiff_without_all_of_its_pixels_is_refused(name: str) -> None:
    check_refusal(*TIFFS[name])


def test_a_tiff_whose_counts_of_bytes_do_not_matter_is_decoded() -> None:
    for data in (
        with_tag(ONE, BYTES, 9),
        with_tag(ONE, BYTES, 0),
        with_tag(STRIPS, ROWS, 16),
        with_tag(ONE, ROWS, 2**16 - 1),
    ):
        assert (loaded(data) == PIXELS).all()


# ---- BMP, GIF, JPEG 2000, AVIF ----

BMP, GIF = pillow_encoded(PICTURE, "BMP"), pillow_encoded(PALETTE, "GIF", interlace=0)
J2K = pillow_encoded(PICTURE, "JPEG2000", no_jp2=True, tile_size=(16, 16))
AVIF, AVIF_FILM = (
    pillow_encoded(PICTURE, "AVIF", **more) for more in ({}, {"save_all": True, "append_images": [SMOOTH]})
)


def run_length_encoded(pixels: bytes) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 8, 1, len(pixels), 0, 0, 256, 0)
    return (
        b"BM"
        + struct.pack("<IHHI", 1078 + len(pixels), 0, 0, 1078)
        + header
        + bytes(range(1, 255)) * 4
        + bytes(8)
        + pixels
    )


OTHERS: Refused = {
    "BMP's start": (BMP[:10] + struct.pack("<I", 20) + BMP[14:], "decode_error", "its pixels are said to begin within "
    "its header"),
    "BMP": (BMP[:22] + struct.pack("<i", 2 * HEIGHT) + BMP[26:], "truncated", None),
    "RLE": (run_length_encoded(bytes([WIDTH, 9, 0, 0]) * 20 + b"\0\1"), "truncated", "not enough image data"),
    "GIF's colours": (
        GIF[:10] + b"\x81" + GIF[11 : 13 + 4 * 3] + GIF[13 + 64 * 3 :], "decode_error",
        "it has pixels of colour 4, but its palette has 4 (from 0)",
    ),
    "GIF's palette": (GIF[:10] + b"\1" + GIF[11:13] + GIF[13 + 64 * 3 :], "decode_error", "it has no palette"),
    "JPEG 2000's last tile": (J2K[: J2K.rindex(b"\xff\x90")] + END, "truncated", "tiles are missing (1 of 12)"),
    "JPEG 2000": (J2K[:12] + struct.pack(">I", 80) + J2K[16:], "truncated", "tiles are missing (3 of 15)"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_other_images_without_all_of_their_pixels_are_refused(name: str) -> None:
    check_refusal(*OTHERS[name])


def with_size(data: bytes, width: int, height: int, box: bytes = b"ispe") -> bytes:
    """An AVIF that states another size than its picture has: decoders stretch the picture to it."""
    name, scale = data.index(box), 1 if box == b"ispe" else 2**16
    end = name - 4 + int.from_bytes(data[name - 4 : name], "big")  # of the box, whose last numbers they are
    return data[: end - 8] + struct.pack(">II", width * scale, height * scale) + data[end:]


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT - 1), (2 * WIDTH, 2 * HEIGHT), (HEIGHT, WIDTH), (1, 1)])
def test_an_avif_that_states_another_size_than_its_picture_has_is_refused(size: tuple[int, int]) -> None:
    error = f"it says that it has {size[0]} x {size[1]} pixels, but its picture has {WIDTH} x {HEIGHT}"

    check_refusal(with_size(AVIF, *size), "decode_error", error)
    if size > (WIDTH, HEIGHT):  # frames of a film may be smaller
        check_refusal(with_size(AVIF_FILM, *size, b"tkhd"), "decode_error", error)


def test_an_avif_of_tiles_is_as_large_as_its_tiles_together() -> None:
    """A grid of one tile, made of a single picture: what its payload says has to be what its ispe says."""
    assert avif.wrong_size(grid(WIDTH, HEIGHT)) is None
    assert (
        avif.wrong_size(grid(WIDTH, HEIGHT + 1))
        == f"it says that it has {WIDTH} x {HEIGHT} pixels, but its picture has 48 x 65"
    )


@pytest.mark.parametrize("cut", range(0, 400, 7))
def test_an_avif_whose_boxes_end_early_tells_nothing_of_sizes(cut: int) -> None:
    assert avif.wrong_size(AVIF[:cut]) is None
    assert avif.wrong_size(AVIF_FILM[:cut]) is None


def grid(width: int, height: int) -> bytes:
    data = AVIF.replace(b"av01", b"grid", 1)
    start = data.index(b"mdat") + 4
    return data[:start] + struct.pack(">BBBBHH", 0, 0, 0, 0, width, height) + data[start + 8 :]


def test_what_a_gif_leaves_free_of_its_canvas_is_background() -> None:
    data = GIF[:6] + struct.pack("<H", 2 * WIDTH) + GIF[8:]

    found = load_array(
        data, LIMITS, ModelInput(height=HEIGHT, width=2 * WIDTH, layout="NHWC"), Preprocessing(background=(1, 2, 3))
    )

    assert (found[:, :WIDTH] == SHOWN).all()
    assert (found[:, WIDTH:] == (1, 2, 3)).all()
