"""Content-Encoding: what uploaders pack objects in, unpacked piece by piece. Objects that don't hold what it says are
taken as they are: it is set by hand, and wrong often enough."""

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain

from mxspark.storage.store import StorageError, check_size

PIECE = 2**20  # unpacked at a time [bytes]
MOST_LAYERS = 4  # of an object that was packed again and again; each takes some of Python's stack
GZIP, ZLIB = b"\x1f\x8b", b"\x78"  # how they begin
UNKNOWN = ("br", "compress", "zstd")  # whose bytes nothing here can read


def unpacked(place: str, pieces: Iterable[bytes], encoding: str | None, limit: int | None = None) -> Iterator[bytes]:
    """The bytes of an object of this Content-Encoding. Raises StorageError where they are broken, TooLargeError
    beyond `limit` bytes.
    """
    names = (encoding or "").lower().replace(" ", "").split(",")
    if len(names) > MOST_LAYERS:
        raise StorageError(f"has more than {MOST_LAYERS} Content-Encodings", "Upload it again.", place=place)
    for name in reversed(names):
        if name in ("gzip", "x-gzip"):
            pieces = _inflated(place, pieces, GZIP, zlib.MAX_WBITS | 16)
        elif name == "deflate":
            pieces = _inflated(place, pieces, ZLIB, zlib.MAX_WBITS)
        elif name in UNKNOWN:
            raise StorageError(
                f"its Content-Encoding {name} can't be decoded", "Upload it without, or as gzip.", place=place
            )
    size = 0
    for piece in pieces:
        size += len(piece)
        check_size(size, limit)
        yield piece


def _inflated(place: str, pieces: Iterable[bytes], magic: bytes, window: int) -> Iterator[bytes]:
    """Without `magic` at its start, the object as it is; else what is packed in it, a piece of `PIECE` bytes at most
    at a time.
    """
    remaining = iter(pieces)
    start = b""
    while len(start) < len(magic) and (more := next(remaining, None)) is not None:
        start += more
    whole = chain([start], remaining)
    if not start.startswith(magic):
        yield from whole
        return
    inflater = zlib.decompressobj(window)
    try:
        for piece in whole:
            left = piece
            while left.strip(b"\0") or (left and not inflater.eof):
                if inflater.eof:  # one after the other, as gzip files may be; zeros are padding
                    inflater = zlib.decompressobj(window)
                yield inflater.decompress(left, PIECE)
                left = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
        while not inflater.eof:
            rest = inflater.decompress(b"", PIECE)
            if not rest:
                raise StorageError("its Content-Encoding ends too soon", "Upload it again.", place=place)
            yield rest
    except zlib.error as error:
        raise StorageError(f"its Content-Encoding is broken: {error}", "Upload it again.", place=place) from None
