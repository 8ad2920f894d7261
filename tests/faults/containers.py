"""Image files put together by hand, byte by byte, so that their headers can say what no library would write."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tests.unit.pictures import png_chunk

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = png_chunk(b"IEND", b"")
BLOCK = 2**20  # bytes of zeros that are compressed once and repeated

# TIFF 6.0, section 2: types of a directory's entries and their sizes.
BYTE, ASCII, SHORT, LONG = 1, 2, 3, 4
SIZES = {BYTE: "B", ASCII: "B", SHORT: "H", LONG: "I"}
Entry = tuple[int, int, Sequence[int]]  # tag, type, values


def zeros_deflated(length: int) -> bytes:
    """`length` zeros as zlib's compress would pack them, at any length within milliseconds."""
    packer = zlib.compressobj(9)
    head = packer.compress(bytes(BLOCK)) + packer.flush(zlib.Z_FULL_FLUSH)
    # after a full flush a block stands for itself
    again = packer.compress(bytes(BLOCK)) + packer.flush(zlib.Z_FULL_FLUSH)
    blocks, rest = divmod(length, BLOCK)
    last = zlib.compressobj(9, wbits=-15)
    tail = last.compress(bytes(rest)) + last.flush()
    return (head + again * (blocks - 1) if blocks else b"\x78\xda") + tail + struct.pack(">I", length % 65521 << 16 | 1)


def ihdr(width: int, height: int, depth: int = 8, colour: int = 0, interlaced: bool = False) -> bytes:
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


def png_of_zeros(width: int, height: int, claimed: tuple[int, int] | None = None) -> bytes:
    """A black grey PNG of that many pixels, whose header may claim another size."""
    pixels = png_chunk(b"IDAT", zeros_deflated((width + 1) * height))
    return SIGNATURE + ihdr(*(claimed or (width, height))) + pixels + END


def with_chunks(png: bytes, chunks: bytes, before: bytes = b"IDAT") -> bytes:
    """The PNG with more chunks before its first one of that kind."""
    place = png.index(before) - 4
    return png[:place] + chunks + png[place:]


def with_header(png: bytes, width: int, height: int, depth: int | None = None, colour: int | None = None) -> bytes:
    """The PNG with another header, whose checksum is right."""
    head = ihdr(width, height, png[24] if depth is None else depth, png[25] if colour is None else colour)
    return png[:8] + head + png[8 + len(head) :]


def after_start(jpeg: bytes, segment: bytes) -> bytes:
    """The JPEG with something between its start and the rest."""
    return jpeg[:2] + segment + jpeg[2:]


def jpeg_segment(marker: int, content: bytes, length: int | None = None) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2 if length is None else length) + content


def _frame_header(jpeg: bytes) -> int:
    """Where the JPEG's frame header (baseline or progressive) starts."""
    return next(place for kind in (b"\xff\xc0\x00", b"\xff\xc2\x00") if (place := jpeg.find(kind)) >= 0)


def jpeg_of_size(jpeg: bytes, width: int, height: int) -> bytes:
    """The JPEG with another size in its frame header."""
    place = _frame_header(jpeg) + 5
    return jpeg[:place] + struct.pack(">HH", height, width) + jpeg[place + 4 :]


def jpeg_of_many_scans(progressive: bytes, scans: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again, each time a pass over all pixels for a dozen bytes of a
    flat image.

    100,000 scans of 1000 x 1000 pixels are 1.2 MB and take more than a minute.
    """
    last = progressive[progressive.rindex(b"\xff\xda") : -2]
    return progressive[:-2] + last * scans + progressive[-2:]


def tiff(*directories: Sequence[Entry], data: bytes = b"", next_directory: int = 0) -> bytes:
    """A little-endian TIFF with `data` from byte 8 on, then the directories, of which the last names
    `next_directory` as its next.
    """
    file = bytearray(b"II*\0\0\0\0\0" + data)
    pointer = 4  # where the place of the next directory is to be written
    for entries in directories:
        directory = struct.pack("<H", len(entries)) + b"".join(_entry(file, *entry) for entry in sorted(entries))
        struct.pack_into("<I", file, pointer, len(file))
        file += directory + struct.pack("<I", next_directory)
        pointer = len(file) - 4
    return bytes(file)


def _entry(file: bytearray, tag: int, kind: int, values: Sequence[int]) -> bytes:
    """An entry of a directory; what doesn't fit into it is appended to the file."""
    value = struct.pack(f"<{len(values)}{SIZES[kind]}", *values)
    if len(value) > 4:
        file += value
        value = struct.pack("<I", len(file) - len(value))
    return struct.pack("<HHI", tag, kind, len(values)) + value.ljust(4, b"\0")


def grey_tiff(width: int, height: int, length: int, compression: int = 1) -> list[Entry]:
    """The entries of a grey image in one strip of `length` bytes at byte 8."""
    values = {256: width, 257: height, 258: 8, 259: compression, 262: 1, 273: 8, 277: 1, 278: height, 279: length}
    return [(tag, LONG, [value]) for tag, value in values.items()]


def changed(entries: Sequence[Entry], *others: Entry) -> list[Entry]:
    """The entries, of which those with the tags of `others` are replaced."""
    tags = {tag for tag, _, _ in others}
    return [entry for entry in entries if entry[0] not in tags] + list(others)


def gif(canvas: tuple[int, int], *blocks: bytes) -> bytes:
    """A GIF with a palette of black and white; its blocks are frames and extensions."""
    return b"GIF89a" + struct.pack("<HHBBB", *canvas, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + b"".join(blocks) + b";"


def gif_frame(left: int, top: int, width: int, height: int, codes: bytes) -> bytes:
    """A frame whose LZW codes (from 3 bits on) are `codes`."""
    blocks = b"".join(bytes([len(codes[at : at + 255])]) + codes[at : at + 255] for at in range(0, len(codes), 255))
    return b"," + struct.pack("<HHHHB", left, top, width, height, 0) + b"\x02" + blocks + b"\0"


def zeros_in_lzw(length: int) -> bytes:
    """At least `length` zeros in GIF's LZW: each code stands for one zero more than the one before, the last for
    4,090, again and again.
    """
    codes, bits, place, done = 4, 3, 3, 1  # a clear code and one zero
    value, following = codes, 6
    value |= 0 << place
    place += bits
    while done < length and following < 4096:
        if following == 1 << bits and bits < 12:
            bits += 1
        value |= following << place
        place += bits
        done += following - 4
        following += 1
    head = value.to_bytes(-(-place // 8) + 1, "little")
    repeats = max(0, -(-(length - done) // 4090))
    # code 4095 twice: all bits set, so where it starts doesn't matter
    pairs = (0xFFF << 12 | 0xFFF).to_bytes(3, "little")
    return head[: place // 8] + bytes([head[place // 8] | 0xFF << place % 8 & 0xFF]) + pairs * (repeats // 2 + 1)


def bmp(width: int, height: int, bits: int, compression: int, pixels: bytes) -> bytes:
    """A BMP with Windows' header of 40 bytes and, up to 8 bits, a grey palette."""
    colours = 1 << bits if bits <= 8 else 0
    palette = b"".join(bytes([level % 256] * 3 + [0]) for level in range(colours))
    start = 14 + 40 + len(palette)
    head = b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start)
    return (
        head
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(pixels), 0, 0, colours, 0)
        + palette
        + pixels
    )


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP container of chunks."""
    body = b"".join(
        kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2) for kind, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def webp_canvas(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    """WebP's extended header: what size the whole has, beside the sizes that its frames have."""
    return b"VP8X", struct.pack("<B3x", flags) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def webp_of_size(webp: bytes, width: int, height: int) -> bytes:
    """A WebP without extended header, lossy (VP8) or not (VP8L), with another size in its frame's header."""
    if webp[12:16] == b"VP8L":
        bits = struct.unpack_from("<I", webp, 21)[0] & ~0xFFFFFFF | (height - 1) << 14 | (width - 1)
        return webp[:21] + struct.pack("<I", bits) + webp[25:]
    return webp[:26] + struct.pack("<HH", width, height) + webp[30:]


# PNG (third edition), section 8.1: where each pass of Adam7 starts and how far it steps.
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def png_interlaced(pixels: NDArray[np.uint8]) -> bytes:
    """RGB pixels (height, width, 3) as an interlaced PNG, which neither Pillow nor OpenCV writes."""
    height, width, _ = pixels.shape
    passes = (pixels[top::down, left::right] for top, left, down, right in ADAM7)
    rows = b"".join(b"\0" + row.tobytes() for each in passes if each.size for row in each)
    return SIGNATURE + ihdr(width, height, 8, 2, interlaced=True) + png_chunk(b"IDAT", zlib.compress(rows)) + END


def webp_frame(webp: bytes, left: int, top: int, width: int, height: int) -> tuple[bytes, bytes]:
    """An animation's frame that says it is of that size; what is in it is a WebP without extended header."""
    place = b"".join(number.to_bytes(3, "little") for number in (left // 2, top // 2, width - 1, height - 1))
    return b"ANMF", place + (100).to_bytes(3, "little") + b"\0" + webp[12:]


def ycck(cmyk_jpeg: bytes) -> bytes:
    """The CMYK JPEG with an Adobe segment that says YCCK, after whatever segments it has."""
    adobe = jpeg_segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, 2))
    place = cmyk_jpeg.find(b"Adobe")
    if place >= 0:
        return cmyk_jpeg[: place + 11] + b"\2" + cmyk_jpeg[place + 12 :]
    return after_start(cmyk_jpeg, adobe)
