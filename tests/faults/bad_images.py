"""Good images cut and damaged, and files that are no images at all."""

import io
import random
import zipfile
import zlib
from functools import cache

from tests.faults.containers import SIGNATURE
from tests.faults.good_images import animations, jpegs, newer, others, pngs, tiffs
from tests.faults.specimens import (
    ANY,
    CUT,
    EMPTY,
    FORMATS,
    NO_IMAGE,
    OK,
    UNSUPPORTED,
    UNUSABLE,
    Files,
    Specimen,
    Specimens,
    saved,
)
from tests.unit.pictures import noise


@cache
def _victims() -> Files:
    """The files that are cut and damaged: of every format and way of packing."""
    chosen = {**jpegs(), **pngs(), **tiffs(), **others(), **newer()}
    names = (
        "plain.jpg", "cmyk.jpg", "progressive.jpg", "restarts.jpg", "mpo.jpg", "plain.png",
        "palette with transparency.png", "16 bits.png", "interlaced.png", "plain.tiff", "tiff_lzw.tiff",
        "tiff_deflate.tiff", "packbits.tiff", "jpeg.tiff", "group 4.tif", "16 bits.tiff", "by hand.tiff", "plain.gif",
        "straight.gif", "plain.webp", "lossless.webp", "alpha.webp", "extended.webp", "plain.bmp", "palette.bmp",
        "run lengths.bmp", "avif.webp", "avif with alpha.webp", "heic.webp", "jpeg 2000.tif",
    )  # fmt: skip
    animated = {
        specimen.name.removeprefix("animations/"): specimen.data for specimen in animations() if "five" in specimen.name
    }
    return {name: chosen[name] for name in names} | animated


OF_MANY_FRAMES = ("five", "mpo")  # cut behind their first frame they are as good as before


def cut() -> Specimens:
    for name, data in _victims().items():
        for percent in (10, 30, 50, 70, 90):
            statuses = ANY if name.startswith(OF_MANY_FRAMES) else _of_cut(name, percent)
            yield Specimen(f"cut/{percent} percent of {name}", data[: len(data) * percent // 100], statuses)
        yield Specimen(f"cut/first bytes of {name}", data[:6], UNUSABLE)
        yield Specimen(f"cut/all but a byte of {name}", data[:-1], UNUSABLE | OK)


def _of_cut(name: str, percent: int) -> frozenset[str]:
    """What a file that lacks pixels may come to: never an image."""
    if name.endswith((".jpg", ".png")) and percent >= 50:
        return CUT
    # Of a TIFF whose directory is at its end nothing is left; WebP's decoder only says that it can't.
    return UNUSABLE


def flipped() -> Specimens:
    """One bit of the head, a bit anywhere, many bits, a run of zeros: each with a seed of its own, so that no file
    depends on others.
    """
    for name, data in _victims().items():
        for number in range(3):
            chance = random.Random(f"{name} {number}")
            yield Specimen(
                f"flipped/{number} in the head of {name}",
                _with_flips(data, [chance.randrange(min(400, len(data) * 8))]),
                ANY,
            )
            yield Specimen(
                f"flipped/{number} anywhere in {name}", _with_flips(data, [chance.randrange(len(data) * 8)]), ANY
            )
        chance = random.Random(name)
        places = [chance.randrange(len(data) * 8) for _ in range(50)]
        yield Specimen(f"flipped/fifty in {name}", _with_flips(data, places), ANY)
        middle = len(data) // 2
        yield Specimen(f"flipped/zeros in {name}", data[:middle] + bytes(64) + data[middle + 64 :], ANY)


def _with_flips(data: bytes, places: list[int]) -> bytes:
    flipped = bytearray(data)
    for place in places:
        flipped[place // 8] ^= 1 << place % 8
    return bytes(flipped)


# ---- no images ----


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("photo.jpg"), saved("JPEG"))
    return buffer.getvalue()


@cache
def _no_images() -> Files:
    html = b"<!DOCTYPE html><html><head><title>404 Not Found</title></head><body>NoSuchKey</body></html>"
    return {
        "page": html,
        "page with spaces": b"\r\n" * 50 + html,
        "error": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><RequestId>1</RequestId></Error>',
        "text": b"Dear Sir or Madam,\n",
        "one byte": b"\n",
        "json": b'{"Records": []}',
        "drawing": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>',
        "archive": _zip(),
        "packed jpeg": zlib.compress(saved("JPEG")),
        "pdf": b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n",
        "film": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(500),
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500),
        "program": b"\x7fELF\2\1\1" + bytes(500),
        "zeros": bytes(5000),
        "ones": b"\xff" * 5000,
        "noise": noise(40, 40).tobytes(),
        "sound": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0" + bytes(500),
        "byte order mark": b"\xef\xbb\xbf" + saved("PNG"),
        "page before a jpeg": html + saved("JPEG"),
    }


OTHERS = {"drawing": UNSUPPORTED, "pdf": UNSUPPORTED}


def strangers() -> Specimens:
    for suffix in FORMATS.values():
        yield Specimen(f"strangers/nothing.{suffix}", b"", EMPTY)
    for number, (name, data) in enumerate(_no_images().items()):
        suffixes = list(FORMATS.values())
        for suffix in (suffixes[number % 6], suffixes[(number + 3) % 6]):
            yield Specimen(f"strangers/{name}.{suffix}", data, OTHERS.get(name, NO_IMAGE))
    for image_format in ("PPM", "PCX", "TGA", "ICO", "EPS", "PDF", "SGI", "DDS"):  # Pillow could, but isn't to
        yield Specimen(f"strangers/{image_format.lower()}.jpg", saved(image_format), UNSUPPORTED)


def beginnings() -> Specimens:
    """Files that begin as an image does and go on as nothing: their first bytes are all that some programs look at."""
    beginnings = {
        "jpg": b"\xff\xd8\xff",
        "png": SIGNATURE,
        "gif": b"GIF89a",
        "webp": b"RIFF\xff\xff\xff\xffWEBPVP8 ",
        "bmp": b"BM",
        "tiff": b"II*\0",
        "tif": b"MM\0*",
    }
    for suffix, start in beginnings.items():
        yield from (
            Specimen(f"beginnings/{what}.{suffix}", start + data, UNUSABLE)
            for what, data in {
                "nothing": b"",
                "zeros": bytes(2000),
                "ones": b"\xff" * 2000,
                "text": b"and so on and so forth " * 100,
                "noise": noise(30, 30).tobytes(),
            }.items()
        )


def misnamed() -> Specimens:
    """Good images under the name of another format: what counts is the content."""
    for image_format, right in FORMATS.items():
        for suffix in FORMATS.values():
            if suffix != right:
                yield Specimen(f"misnamed/{right}.{suffix}", saved(image_format), OK)
