"""The chunks of a PNG: which of them can be left out, and what is wrong with those that its pixels depend on."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from mxspark.text.words import printable

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FRAME_BYTES = 12  # a chunk's length, name and checksum
_KNOWN = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
# Adam7's passes: the first column and row of each, and how far apart they are.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_INFLATED_AT_ONCE = 2**20


class _Chunk(NamedTuple):
    name: bytes
    start: int
    end: int  # behind its checksum


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """Those that are whole."""
    start = len(SIGNATURE)
    while start + _FRAME_BYTES <= len(data):
        end = start + _FRAME_BYTES + int.from_bytes(data[start : start + 4], "big")
        if end > len(data):
            return
        yield _Chunk(data[start + 4 : start + 8], start, end)
        start = end


def _is_intact(data: bytes, chunk: _Chunk) -> bool:
    return zlib.crc32(memoryview(data)[chunk.start + 4 : chunk.end - 4]) == int.from_bytes(
        data[chunk.end - 4 : chunk.end], "big"
    )


def _counts(chunk: _Chunk) -> bool:
    """Whether pixels depend on it: a critical one (a capital first letter), or that of what is transparent."""
    return chunk.name[:1].isupper() or chunk.name == b"tRNS"


def without_texts(data: bytes, *more: bytes) -> bytes:
    """A PNG without its text chunks, those whose names are in `more`, and damaged ones on which no pixel depends (of a
    profile that can't be known); what isn't a whole chunk stays as it is."""
    kept, position = [data[: len(SIGNATURE)]], len(SIGNATURE)
    for chunk in _chunks(data):
        if chunk.name not in (*_TEXTS, *more) and (_counts(chunk) or chunk.name == b"iCCP" or _is_intact(data, chunk)):
            kept.append(data[chunk.start : chunk.end])
        position = chunk.end
    return b"".join((*kept, data[position:]))


def damage(data: bytes) -> str | None:
    """What is wrong with a chunk that pixels depend on, if anything: decoders don't read all checksums."""
    for chunk in _chunks(data):
        if chunk.name == b"IEND":
            return None
        if not _counts(chunk):
            continue
        name = printable(chunk.name.decode("ascii", "backslashreplace"))
        if not _is_intact(data, chunk):
            return f"the checksum of its chunk {name} is wrong"
        if chunk.name not in _KNOWN:
            return f"it has a chunk {name}, which is unknown, and without which it can't be understood"
        if chunk.name == b"PLTE" and chunk.end - chunk.start - _FRAME_BYTES not in range(3, 3 * 256 + 1, 3):
            return "its palette (PLTE) has no whole number of colours from 1 to 256"
    return None


def is_cut(data: bytes) -> bool:
    """Whether the file ends within its pixels, or before their checksum."""
    end = max((chunk.end for chunk in _chunks(data)), default=len(SIGNATURE))
    return data[end + 4 : end + 8] == b"IDAT"


def missing_rows(data: bytes) -> str | None:
    """How far the pixels go where they end early, else None. Takes as long as half of decoding them."""
    width, height, bits, colour, interlaced = struct.unpack(">IIBBxxB", data[16:29])
    bits *= _CHANNELS.get(colour, 1)
    sizes = _PASSES if interlaced else ((0, 0, 1, 1),)
    wanted = 0
    for left, top, right, down in sizes:
        columns, rows = -(-(width - left) // right), -(-(height - top) // down)
        wanted += rows * (1 + (columns * bits + 7) // 8) if columns > 0 else 0  # a byte says how the row is filtered
    found = _inflated_size(data, wanted)
    if found >= wanted:
        return None
    return f"its pixels end after {100 * found // wanted} % of what its header says ({width:,} x {height:,})"


def _inflated_size(data: bytes, enough: int) -> int:
    """How many bytes the pixels come to, filters included; stops where there are enough."""
    inflate, found = zlib.decompressobj(), 0
    for chunk in _chunks(data):
        packed = data[chunk.start + 8 : chunk.end - 4] if chunk.name == b"IDAT" else b""
        while packed and found < enough:
            try:
                found += len(inflate.decompress(packed, _INFLATED_AT_ONCE))
            except zlib.error:
                return found
            packed = inflate.unconsumed_tail
    return found if found >= enough else found + len(inflate.flush())
