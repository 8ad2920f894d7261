"""The boxes of an AVIF: whether the sizes that it states are those of its pictures. Decoders stretch a picture to the
size stated.

Boxes: ISO/IEC 14496-12 and 23008-12. Sequence headers:
https://aomediacodec.github.io/av1-spec/#sequence-header-obu-syntax.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

Size = tuple[int, int]  # width, height

_SEQUENCE_HEADER = 1  # type of an OBU
_META_HEAD = 4  # version and flags
_HEAD_BYTES = 4096  # of a picture's data: its sequence header comes first
_SIZE_IN_TRACK = 8  # tkhd ends with it, in 1/65,536 pixels
_HIGH_LEVEL = 7  # above it a tier follows


class _Box(NamedTuple):
    name: bytes
    content: bytes


class _Items(NamedTuple):
    """What a meta box says, by item."""

    sizes: dict[int, Size]
    types: dict[int, bytes]
    heads: dict[int, bytes]  # the first bytes of each


class _Picture(NamedTuple):
    stated: Size
    stored: Size
    is_exact: bool  # whether none can be smaller than `stored`


def wrong_size(data: bytes) -> str | None:
    """Which size is stated falsely; None where none is, or nothing can be told."""
    try:
        for stated, stored, is_exact in _pictures(data):
            if stated != stored if is_exact else stated[0] > stored[0] or stated[1] > stored[1]:
                return (
                    f"it says that it has {stated[0]} x {stated[1]} pixels, but its picture has {stored[0]} x "
                    f"{stored[1]}"
                )
    except IndexError:  # boxes that end early: the decoder says more
        return None
    return None


def _pictures(data: bytes) -> Iterator[_Picture]:
    """The pictures, their tiles and layers, and the first frame of each track."""
    for box in _boxes(data):
        if box.name == b"meta":
            items = _items(box.content[_META_HEAD:], data)
            for item, size in items.sizes.items():
                head = items.heads.get(item, b"")
                if items.types.get(item) == b"av01" and (stored := _stored_size(head)):
                    yield _Picture(size, *stored)
                elif items.types.get(item) == b"grid":
                    bits = 32 if head[1:2] == b"\1" else 16
                    reader = _Bits(head[4:])
                    yield _Picture(size, (reader.read(bits), reader.read(bits)), is_exact=True)
        elif box.name == b"moov":
            for track in _boxes(box.content):
                yield from _frames(track.content, data) if track.name == b"trak" else ()


def _frames(track: bytes, data: bytes) -> Iterator[_Picture]:
    inner = dict(_boxes(track))
    table: dict[bytes, bytes] = inner
    for name in (b"mdia", b"minf", b"stbl"):
        table = dict(_boxes(table.get(name, b"")))
    places, wide = (table[b"co64"], 8) if b"co64" in table else (table.get(b"stco", b""), 4)
    head = inner.get(b"tkhd", b"")[-_SIZE_IN_TRACK:]
    if b"av01" in table.get(b"stsd", b"") and len(places) >= 8 + wide and len(head) == _SIZE_IN_TRACK:
        start = _number(places[8 : 8 + wide])
        if stored := _stored_size(data[start : start + _HEAD_BYTES]):
            yield _Picture((_number(head[:4]) >> 16, _number(head[4:]) >> 16), *stored)


def _items(meta: bytes, data: bytes) -> _Items:
    boxes = dict(_boxes(meta))
    properties = dict(_boxes(boxes.get(b"iprp", b"")))
    listed = list(_boxes(properties.get(b"ipco", b"")))
    sizes = {}
    for item, numbers in _associations(properties.get(b"ipma", b"")).items():
        for box in (listed[number - 1] for number in numbers if 0 < number <= len(listed)):
            if box.name == b"ispe":
                sizes[item] = _number(box.content[4:8]), _number(box.content[8:12])
    return _Items(
        sizes, _types(boxes.get(b"iinf", b"")), _heads(boxes.get(b"iloc", b""), (data, boxes.get(b"idat", b"")))
    )


def _types(content: bytes) -> dict[int, bytes]:
    found = {}
    for box in _boxes(content[6 if content[:1] == b"\0" else 8 :]):
        wide = 4 if box.content[:1] == b"\3" else 2
        found[_number(box.content[4 : 4 + wide])] = box.content[6 + wide : 10 + wide]
    return found


def _associations(content: bytes) -> dict[int, list[int]]:
    reader = _Bits(content)
    version, flags, entries = reader.read(8), reader.read(24), reader.read(32)
    found = defaultdict(list)
    for _ in range(min(entries, len(content))):
        item = reader.read(32 if version else 16)
        for _ in range(reader.read(8)):
            reader.read(1)  # whether it is essential
            found[item].append(reader.read(15 if flags & 1 else 7))
    return found


def _heads(content: bytes, sources: tuple[bytes, bytes]) -> dict[int, bytes]:
    """The first bytes of each item, from the file or from the box that holds small ones."""
    reader = _Bits(content)
    version = reader.read(8)
    reader.read(24)
    offset_bits, length_bits, base_bits, index_bits = (8 * reader.read(4) for _ in range(4))
    found = {}
    for _ in range(reader.read(32 if version == 2 else 16)):
        item = reader.read(32 if version == 2 else 16)
        source = reader.read(16) & 15 if version else 0
        reader.read(16)
        base, extents = reader.read(base_bits), reader.read(16)
        for number in range(extents):
            reader.read(index_bits if version else 0)
            offset = reader.read(offset_bits)
            reader.read(length_bits)
            if number == 0 and source < len(sources):
                found[item] = sources[source][base + offset : base + offset + _HEAD_BYTES]
    return found


def _stored_size(data: bytes) -> tuple[Size, bool] | None:
    """The size of the largest frame in AV1 data, and whether every frame has it; None where it is unknown."""
    position = 0
    while position + 2 < len(data):
        kind, has_extension, has_length = data[position] >> 3 & 15, data[position] & 4, data[position] & 2
        position += 2 if has_extension else 1
        length = len(data) - position
        if has_length:
            length, position = _leb128(data, position)
        if kind == _SEQUENCE_HEADER:
            return _of_sequence(_Bits(data[position : position + length]))
        position += length
    return None


def _of_sequence(bits: "_Bits") -> tuple[Size, bool] | None:
    bits.read(4)
    is_still = bits.read(1) == 1
    if is_still:
        bits.read(5)
    else:
        if bits.read(1):  # times
            return None
        has_delay = bits.read(1)
        for _ in range(bits.read(5) + 1):
            bits.read(12)
            if bits.read(5) > _HIGH_LEVEL:
                bits.read(1)
            if has_delay and bits.read(1):
                bits.read(4)
    wide, high = bits.read(4) + 1, bits.read(4) + 1
    return (bits.read(wide) + 1, bits.read(high) + 1), is_still


def _leb128(data: bytes, position: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = 0
    for count in range(8):
        byte = data[position + count]
        value |= (byte & 127) << (7 * count)
        if byte < 128:
            return value, position + count + 1
    raise IndexError


def _boxes(data: bytes) -> Iterator[_Box]:
    position = 0
    while position + 8 <= len(data):
        length, head = _number(data[position : position + 4]), 8
        if length == 1:  # the true one stands behind the name
            length, head = _number(data[position + 8 : position + 16]), 16
        elif length == 0:  # up to the end
            length = len(data) - position
        if length < head:
            return
        yield _Box(data[position + 4 : position + 8], data[position + head : position + length])
        position += length


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


class _Bits:
    """Numbers of any width, one after another. Raises IndexError at the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def read(self, width: int) -> int:
        start, self._position = self._position, self._position + width
        if self._position > 8 * len(self._data):
            raise IndexError
        end = -(-self._position // 8)
        return _number(self._data[start // 8 : end]) >> (8 * end - self._position) & ((1 << width) - 1)
