"""Files are called what they are by their first bytes, whatever decoders there are for them."""

import gzip
import struct
import zlib

import imagecodecs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mxspark.decode import avif, jpeg, jpeg2000, png
from mxspark.decode.file_kind import FileKind, boxes_are_cut, file_kind
from mxspark.decode.preprocess import BadImageError, ImageLimits, load_array
from mxspark.settings.job import FORMATS
from mxspark.settings.model_spec import ModelInput, Preprocessing
from tests.unit.pictures import heic_encoded, noise, opencv_encoded, pillow_encoded, png_chunk

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL.*")  # pytest undoes what preprocess.py says of them
LIMITS = ImageLimits(max_pixels=100_000, max_frames=100, formats=FORMATS)
PICTURE = Image.fromarray(noise(16, 16))


def refusal(data: bytes) -> tuple[str, str]:
    with pytest.raises(BadImageError) as refused:
        load_array(data, LIMITS, ModelInput(height=8, width=8), Preprocessing())
    return refused.value.status, refused.value.problem


@pytest.mark.parametrize("image_format", [*FORMATS, "ICO", "PPM", "TGA"])
def test_what_can_be_decoded_is_known_by_pillows_name(image_format: str) -> None:
    data = heic_encoded(PICTURE) if image_format == "HEIF" else pillow_encoded(PICTURE, image_format)

    found = file_kind(data)

    assert found is not None
    assert found.format == image_format


PNG = opencv_encoded(noise(16, 16), ".png")
OTHERS = {
    "JPEG XL": bytes(imagecodecs.jpegxl_encode(noise(16, 16))),
    "JPEG XL, in boxes": b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ",
    "JPEG XR": bytes(imagecodecs.jpegxr_encode(noise(16, 16))),
    "PNG as Xcode packs it (CgBI)": PNG[:8] + png_chunk(b"CgBI", bytes(4)) + PNG[8:],
    "PSD (Photoshop)": b"8BPS\0\1" + bytes(100),
    "PDF": pillow_encoded(PICTURE, "PDF"),
    "PostScript": pillow_encoded(PICTURE, "EPS"),
    "SVG": b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "SVG, bare": b'\xef\xbb\xbf  <svg width="9"/>',
    "SVG, in UTF-16": '\ufeff<?xml version="1.0"?><svg/>'.encode("utf-16-be"),
    "SVG compressed with gzip": gzip.compress(b'<svg width="9"/>' * 9),
    "PDF, behind a blank line": b"\r\n%PDF-1.4\n",
    "Windows DIB without file header": pillow_encoded(PICTURE, "DIB"),
    "Windows DIB without file header, of OS/2": struct.pack("<IHHHH", 12, 2, 2, 1, 24) + bytes(16),
    "XBM": pillow_encoded(PICTURE.convert("1"), "XBM"),
    "XBM, with a comment": b"/* drawn */\n#define a_width 8\n#define a_height 1\nstatic char a_bits[] = {0};\n",
    "XPM": b'/* XPM */\nstatic char *a[] = {"1 1 1 1", "a c red", "a"};\n',
    "PFM in colour": b"PF\n1 1\n-1.0\n" + bytes(12),
    "ILBM (Amiga)": b"FORM\0\0\0\x64ILBMBMHD" + bytes(20),
    "IM (IFUNC)": pillow_encoded(PICTURE, "IM"),
    "IM (IFUNC), of floats": pillow_encoded(PICTURE.convert("F"), "IM"),
    "SPIDER": pillow_encoded(PICTURE.convert("F"), "SPIDER"),
    "SPIDER, with the high bytes first": struct.pack(
        ">27f", 1, 1, 0, 0, 1, *([0] * 6), 1, 27, *([0] * 8), 108, 4, *([0] * 4)
    )
    + bytes(4),
    "MSP (Microsoft Paint)": pillow_encoded(PICTURE.convert("1"), "MSP"),
    "bitmap of Palm OS": pillow_encoded(PICTURE.convert("1"), "PALM"),
    "bitmap of Palm OS, in colours": pillow_encoded(PICTURE.quantize(16), "PALM"),
    "FLI (an animation)": struct.pack("<IHHHHHH", 200, 0xAF12, 1, 8, 8, 8, 3) + bytes(200),
    "OpenRaster": b"PK\3\4" + bytes(26) + b"mimetypeimage/openraster",
    "BLP": pillow_encoded(PICTURE.quantize(16), "BLP"),
    "DDS": pillow_encoded(PICTURE, "DDS"),
    "PCX": pillow_encoded(PICTURE, "PCX"),
    "SGI": pillow_encoded(PICTURE, "SGI"),
    "QOI": pillow_encoded(PICTURE, "QOI"),
    "PAM": b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n\0",
    "ICNS": pillow_encoded(PICTURE, "ICNS"),
    "OpenEXR": b"v/1\1\2\0\0\0" + bytes(100),
    "Radiance HDR": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n",
    "DICOM": bytes(128) + b"DICM" + bytes(100),
    "FITS": b"SIMPLE  =                    T",
    "CR2 (Canon raw)": b"II*\0\x10\0\0\0CR\2\0" + bytes(100),
    "CR3 (Canon raw)": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
    "RAF (Fujifilm raw)": b"FUJIFILMCCD-RAW 0201",
    "ORF (Olympus raw)": b"IIRO\x08\0\0\0" + bytes(100),
    "RW2 (Panasonic raw)": b"IIU\0\x18\0\0\0" + bytes(100),
    "CUR (a cursor)": b"\0\0\2\0\1\0" + bytes(100),
    "big-endian BigTIFF": b"MM\0+\0\x08\0\0" + bytes(100),
}


@pytest.mark.parametrize("name", OTHERS)
def test_an_image_that_cannot_be_decoded_is_called_by_its_name(name: str) -> None:
    kind = name.partition(", ")[0]

    assert file_kind(OTHERS[name]) == FileKind(kind)
    assert refusal(OTHERS[name]) == ("unsupported_format", f"{kind}, which can't be decoded")


@pytest.mark.parametrize(
    "data",
    [
        b"<html><body><svg/></body></html>",
        b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>',
        b"Dear Sir or Madam,\n",
        b"PK\3\4" + bytes(50),
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        bytes(5000),
        b"<!--" * 10_000,
        b"P5 is a model of a car",
        b"#define WIDTH 8\n#define DEPTH 8\n",
        gzip.compress(b"a log\n" * 99),
        b"From: me\r\nTo: you\r\n" * 50,
        struct.pack("<40f", *range(1, 41)),
        bytes(range(1, 101)) * 9,
    ],
    ids=[
        "page",
        "error",
        "text",
        "archive",
        "film",
        "zeros",
        "comments",
        "car",
        "program",
        "log",
        "letter",
        "floats",
        "bytes",
    ],
)
def test_what_is_no_image_is_not_called_one(data: bytes) -> None:
    assert file_kind(data) is None
    assert refusal(data) == ("not_an_image", f"not an image of the formats {', '.join(FORMATS)}")


@pytest.mark.parametrize("image_format", ["BMP", "GIF", "JPEG", "PNG", "TIFF"])
def test_a_signature_alone_is_no_image(image_format: str) -> None:
    status, error = refusal(pillow_encoded(PICTURE, image_format)[:8] + b"and so on and so forth" * 9)

    assert status in ("not_an_image", "truncated", "decode_error")
    assert status != "not_an_image" or error == f"begins as {image_format} does, but holds no image"


@given(st.binary(max_size=200))
def test_no_bytes_are_too_odd_to_be_looked_at(data: bytes) -> None:
    for look in (
        file_kind,
        jpeg.variant,
        jpeg.gap,
        boxes_are_cut,
        jpeg2000.stored,
        jpeg2000.profile,
        jpeg2000.missing_tiles,
        png.damage,
        avif.wrong_size,
    ):
        look(data)
    assert png.without_texts(data) == data or len(png.without_texts(data)) < len(data)


# ---- variants ----


def jpeg_with_frame(marker: int, bits: int, components: int) -> bytes:
    data = opencv_encoded(noise(16, 16), ".jpg")
    frame = data.index(b"\xff\xc0")
    changed = bytearray(data)
    changed[frame + 1], changed[frame + 4], changed[frame + 9] = marker, bits, components
    return bytes(changed)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (jpeg_with_frame(0xC1, 12, 3), "JPEG with 12-bit samples"),
        (jpeg_with_frame(0xC0, 8, 2), "JPEG with 2 colour components"),
        (jpeg_with_frame(0xC5, 8, 3), "hierarchical JPEG"),
        (bytes(imagecodecs.jpegls_encode(noise(16, 16))), "JPEG-LS"),
    ],
    ids=["12 bits", "2 components", "hierarchical", "LS"],
)
def test_a_variant_of_jpeg_that_cannot_be_decoded_is_named(data: bytes, name: str) -> None:
    assert jpeg.variant(data) == name
    assert refusal(data) == ("unsupported_format", f"{name}, which can't be decoded")


def test_a_lossless_jpeg_is_decoded() -> None:
    pixels = noise(16, 16)[..., 0]
    data = bytes(imagecodecs.ljpeg_encode(pixels, bitspersample=8))

    assert jpeg.variant(data) == "lossless JPEG"
    found = load_array(data, LIMITS, ModelInput(height=16, width=16), Preprocessing())
    assert (found == pixels).all()


def test_a_bmp_of_a_compression_that_is_not_there_is_named() -> None:
    data = bytearray(pillow_encoded(PICTURE, "BMP"))
    struct.pack_into("<I", data, 30, 4)  # a JPEG in a BMP

    assert refusal(bytes(data)) == (
        "unsupported_format",
        "BMP (Unsupported BMP compression (4)), which can't be decoded",
    )


def test_of_a_png_only_the_texts_are_left_out() -> None:
    data = opencv_encoded(noise(4, 4), ".png")
    texts = (
        png_chunk(b"tEXt", b"a\0b")
        + png_chunk(b"zTXt", b"a\0\0" + zlib.compress(b"b"))
        + png_chunk(b"iTXt", b"a\0\0\0\0\0b")
    )
    profile = png_chunk(b"iCCP", b"a\0\0" + zlib.compress(b"b"))

    assert png.without_texts(data) == data
    assert png.without_texts(data[:33] + texts + profile + data[33:] + texts) == data[:33] + profile + data[33:]
    assert png.without_texts(data[:33] + texts + profile + data[33:], b"iCCP") == data
    assert png.without_texts(data[:-5]) == data[:-5]
