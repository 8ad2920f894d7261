"""Small files that unpack to gigabytes, that never end, or that carry a load of metadata."""

import struct
import zlib

from PIL import Image
from tests.faults import containers
from tests.faults.containers import ASCII, BYTE, LONG, SHORT, SIGNATURE, grey_tiff, jpeg_segment, tiff, with_chunks
from tests.faults.good_images import flat_jpeg, frames
from tests.faults.lying_images import webp_animation
from tests.faults.specimens import (
    MANY_FRAMES,
    OK,
    SIDE,
    TOO_MANY_PIXELS,
    UNUSABLE,
    Files,
    Specimen,
    Specimens,
    each,
    saved,
)
from tests.unit.pictures import exif, jpeg_with, noise, pillow_encoded, png_chunk, smooth, turned


def bombs() -> Specimens:
    """Small files that really hold far more pixels than are allowed."""
    packed = containers.zeros_deflated(SIDE * SIDE)
    line = containers.zeros_in_lzw(SIDE * SIDE)
    files = {
        "grey.png": containers.png_of_zeros(SIDE, SIDE),
        "just above.png": containers.png_of_zeros(1001, 1000),
        "deflate.tiff": tiff(grey_tiff(SIDE, SIDE, len(packed), compression=8), data=packed),
        "group 4.tiff": pillow_encoded(Image.new("1", (5000, 5000)), "TIFF", compression="group4"),
        "lzw.tiff": pillow_encoded(Image.new("L", (3000, 3000)), "TIFF", compression="tiff_lzw"),
        "second page.tiff": pillow_encoded(
            Image.new("L", (2000, 2000)), "TIFF", compression="tiff_lzw", save_all=True, append_images=frames(1)
        ),
        "frame.gif": containers.gif((SIDE, SIDE), containers.gif_frame(0, 0, SIDE, SIDE, line)),
        "frame larger than its canvas.gif": containers.gif((8, 8), containers.gif_frame(0, 0, SIDE, SIDE, line)),
        "frame far away.gif": containers.gif(
            (8, 8), containers.gif_frame(65_535, 65_535, 8, 8, containers.zeros_in_lzw(64))
        ),
        "canvas.gif": containers.gif((SIDE, SIDE), containers.gif_frame(0, 0, 8, 8, containers.zeros_in_lzw(64))),
        "plain.webp": pillow_encoded(Image.new("RGB", (1500, 1500)), "WEBP", method=0),
        "lossless.webp": pillow_encoded(Image.new("RGB", (1500, 1500)), "WEBP", lossless=True, method=0),
        "plain.jpg": pillow_encoded(Image.new("L", (3000, 3000)), "JPEG"),
        "progressive.jpg": pillow_encoded(Image.new("L", (3000, 3000)), "JPEG", progressive=True),
        "runs.bmp": containers.bmp(SIDE, SIDE, 8, 1, b"\xff\0" * 20_000),
    }
    yield from each("bombs", files, TOO_MANY_PIXELS, bomb=True)
    frame = containers.webp_frame(saved("WEBP"), 0, 0, 64, 48)
    canvases = {f"canvas of {width}.webp": webp_animation(width, width - 1, frame) for width in (8000, 16_383, 65_536)}
    yield from each("bombs", canvases, TOO_MANY_PIXELS, bomb=True)
    hidden = containers.gif((8, 8), _gif_dot(), containers.gif_frame(0, 0, SIDE, SIDE, line))
    yield Specimen("bombs/second frame.gif", hidden, MANY_FRAMES, bomb=True)
    pages = tiff(grey_tiff(8, 8, 64), grey_tiff(SIDE, SIDE, len(packed), compression=8), data=packed)
    yield Specimen("bombs/last page.tiff", pages, MANY_FRAMES, bomb=True)


def _gif_dot() -> bytes:
    return containers.gif_frame(0, 0, 8, 8, containers.zeros_in_lzw(64))


def swollen() -> Specimens:
    """Large, but within the limit: these have to be decoded."""
    length = 1000
    packed = containers.zeros_deflated(length * length)
    files = {
        "just within.png": containers.png_of_zeros(length, length),
        "just within.tiff": tiff(grey_tiff(length, length, len(packed), compression=8), data=packed),
        "just within.gif": containers.gif(
            (length, length), containers.gif_frame(0, 0, length, length, containers.zeros_in_lzw(length**2))
        ),
        "just within.jpg": pillow_encoded(Image.new("L", (length, length)), "JPEG"),
        "just within.webp": pillow_encoded(Image.new("RGB", (length, length)), "WEBP", method=0),
        "just within.bmp": containers.bmp(length, length, 1, 0, bytes(length * 128)),
    }
    yield from each("swollen", files, OK)
    more = {
        "data goes on for gigabytes.png": SIGNATURE
        + containers.ihdr(64, 48)
        + png_chunk(b"IDAT", containers.zeros_deflated(2**30))
        + containers.END,
        "strip goes on for gigabytes.tiff": _endless_tiff(),
        "frame goes on for gigabytes.gif": containers.gif(
            (64, 48), containers.gif_frame(0, 0, 64, 48, containers.zeros_in_lzw(2**31))
        ),
        "two thousand scans.jpg": containers.jpeg_of_many_scans(flat_jpeg(200), 2000),
        "a thousand frames of nothing.webp": webp_animation(
            64, 48, *[containers.webp_frame(saved("WEBP"), 0, 0, 64, 48)] * 1000
        ),
    }
    yield from each("swollen", more, UNUSABLE | OK)


def _endless_tiff() -> bytes:
    packed = containers.zeros_deflated(2**30)
    return tiff(grey_tiff(64, 48, len(packed), compression=8), data=packed)


def metadata() -> Specimens:
    """Good pixels under a load of texts and profiles: harmless, or told."""
    for what, chunk in _png_chunks().items():
        for place, before in (("", b"IDAT"), (" behind the pixels", b"IEND")):
            yield Specimen(f"metadata/{what}{place}.png", with_chunks(saved("PNG"), chunk, before), OK | UNUSABLE)
    jpeg, webp = saved("JPEG"), saved("WEBP")
    for what, segment in _jpeg_segments().items():
        yield Specimen(f"metadata/{what}.jpg", containers.after_start(jpeg, segment), OK | UNUSABLE)
    canvas, frame = containers.webp_canvas(64, 48, 0x2C), (webp[12:16], webp[20:])
    parts = {
        "profile": (b"ICCP", bytes(500_000)),
        "exif": (b"EXIF", b"II*\0\xff\xff\xff\xff"),
        "xmp": (b"XMP ", b"<a>" * 9000),
    }
    yield from each(
        "metadata", {f"{what}.webp": containers.riff(canvas, part, frame) for what, part in parts.items()}, OK
    )
    entries, pixels = grey_tiff(64, 48, 64 * 48), bytes(64 * 48)
    tags = {
        "text": (270, ASCII, [65] * 200_000),
        "profile": (34675, BYTE, [0] * 200_000),
        "xmp": (700, BYTE, [60] * 9000),
    }
    yield from each("metadata", {f"{what}.tiff": tiff([*entries, tag], data=pixels) for what, tag in tags.items()}, OK)


def _png_chunks() -> Files:
    """Texts and profiles, some of which unpack to hundreds of megabytes."""
    packed, megabyte = containers.zeros_deflated(2**28), containers.zeros_deflated(2**20 - 1)
    exif_block = exif(turned(6))[6:]
    return {
        "packed text": png_chunk(b"zTXt", b"k\0\0" + packed),
        "packed international text": png_chunk(b"iTXt", b"k\0\1\0\0\0" + packed),
        "packed profile": png_chunk(b"iCCP", b"k\0\0" + packed),
        "a hundred packed texts": b"".join(png_chunk(b"zTXt", b"%d\0\0" % number + megabyte) for number in range(100)),
        "a hundred packed profiles": png_chunk(b"iCCP", b"k\0\0" + megabyte) * 100,
        "much text": png_chunk(b"tEXt", b"k\0" + b"a" * 500_000),
        "texts without end": png_chunk(b"tEXt", b"k\0a") * 20_000,
        "text that is none": png_chunk(b"zTXt", b"k\0\0nothing packed"),
        "text packed by nobody": png_chunk(b"zTXt", b"k\0\x09" + zlib.compress(b"text")),
        "profile that is none": png_chunk(b"iCCP", b"k\0\0nothing packed"),
        "short transparency": png_chunk(b"tRNS", b"\0"),
        "no resolution": png_chunk(b"pHYs", b""),
        "short gamma": png_chunk(b"gAMA", b"\0"),
        "short chromaticities": png_chunk(b"cHRM", b"\0\0\0"),
        "exif": png_chunk(b"eXIf", exif_block),
        "long exif": png_chunk(b"eXIf", exif_block + noise(500, 500).tobytes()),
        "chunks without end": png_chunk(b"prVt", b"") * 20_000,
    }


def _jpeg_segments() -> Files:
    """Profiles, pictures in pictures and notes, whole and broken."""
    return {
        "profile in 255 parts": b"".join(
            jpeg_segment(0xE2, b"ICC_PROFILE\0" + bytes([part, 255]) + bytes(2000)) for part in range(1, 256)
        ),
        "last part of a profile": jpeg_segment(0xE2, b"ICC_PROFILE\0\xff\xff" + bytes(100)),
        "broken xmp": jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta" + b"<a>" * 5000),
        "photoshop": jpeg_segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x03\xed\0\0\0\0\0\x10" + bytes(3)),
        "adobe of one byte": jpeg_segment(0xEE, b"Adobe"),
        "jfif of one byte": jpeg_segment(0xE0, b"JFIF\0"),
        "many pictures that are none": jpeg_segment(0xE2, b"MPF\0" + exif((0xB001, LONG, 1, b"\xff\xff\xff\xff"))[6:]),
        "pictures far away": jpeg_segment(
            0xE2, b"MPF\0" + exif((0xB001, LONG, 1, b"\2\0\0\0"), (0xB002, 7, 32, b"\xff" * 32))[6:]
        ),
        "broken pictures": jpeg_segment(0xE2, b"MPF\0" + b"II*\0\xff\xff\xff\xff"),
        "a thousand segments": jpeg_segment(0xE5, b"") * 1000,
    }


def broken_exif() -> Specimens:
    """Orientations that are none, and EXIF that is no EXIF: the picture is as good as before."""
    good = exif(turned(6))
    blocks = {
        "empty": b"Exif\0\0",
        "no directory": good[:14],
        "cut": good[:20],
        "directory far away": good[:10] + b"\xff\xff\xff\xff" + good[14:],
        "directory is itself": good[:10] + struct.pack("<I", 0) + good[14:],
        "65535 entries": good[:14] + b"\xff\xff" + good[16:],
        "next is itself": good[:-4] + struct.pack("<I", 8),
        "below is itself": exif(
            turned(6), (0x8769, LONG, 1, struct.pack("<I", 8)), (0x8825, LONG, 1, struct.pack("<I", 8))
        ),
        "orientation 0": exif(turned(0)),
        "orientation 9": exif(turned(9)),
        "orientation 65535": exif(turned(65_535)),
        "orientation as text": exif((0x0112, 2, 4, b"six\0")),
        "orientation as fraction": exif((0x0112, 5, 1, struct.pack("<II", 6, 0))),
        "two orientations": exif((0x0112, SHORT, 2, struct.pack("<HH", 6, 8))),
        "four billion orientations": exif((0x0112, SHORT, 2**32 - 1, b"\0\0\0\0")),
        "unknown type": exif((0x0112, 77, 1, b"\6\0\0\0")),
        "unknown order of bytes": good[:6] + b"XX" + good[8:],
        "noise": b"Exif\0\0II*\0" + noise(20, 20).tobytes(),
        "resolution over nothing": exif(
            turned(6), (0x011A, 5, 1, struct.pack("<II", 72, 0)), (0x0128, SHORT, 1, b"\2\0\0\0")
        ),
    }
    for what, block in blocks.items():
        yield Specimen(f"broken exif/{what}.jpg", jpeg_with(block, smooth(48, 64)), OK)
        yield Specimen(f"broken exif/{what}.png", with_chunks(saved("PNG"), png_chunk(b"eXIf", block[6:])), OK)
        yield Specimen(f"broken exif/{what}.webp", saved("WEBP", exif=block), OK)
