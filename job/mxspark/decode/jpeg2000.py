"""The codestream of a JPEG 2000: its samples, its colours, its tiles."""

import struct
from dataclasses import dataclass

_CODESTREAM = b"\xff\x4f\xff\x51"  # its start and its first segment (SIZ)
_TILE_PART = b"\xff\x90"


@dataclass(frozen=True)
class Stored:
    """What a JPEG 2000 codestream says of its samples (its SIZ segment)."""

    components: int
    bits: int  # of the deepest component
    signed: bool  # whether any is


def stored(data: bytes) -> Stored | None:
    """How the samples are stored; None where there is no codestream."""
    start = data.find(_CODESTREAM)
    if start < 0 or len(data) < start + 42:
        return None
    components = int.from_bytes(data[start + 40 : start + 42], "big")
    depths = data[start + 42 : start + 42 + 3 * components : 3]
    return Stored(
        components, max(((depth & 127) + 1 for depth in depths), default=0), any(depth & 128 for depth in depths)
    )


def profile(data: bytes) -> bytes | None:
    """The ICC profile of a JPEG 2000 file (the `colr` box of method 2), which Pillow leaves out, if there is one."""
    name = data.find(b"colr", 0, data.find(_CODESTREAM))
    if name < 4 or data[name + 4 : name + 5] != b"\2":
        return None
    return data[name + 7 : name - 4 + int.from_bytes(data[name - 4 : name], "big")]


def missing_tiles(data: bytes) -> tuple[int, int]:
    """(how many tiles are missing, of how many): decoders leave them black."""
    start = data.find(_CODESTREAM)
    if start < 0 or len(data) < start + 40:
        return 0, 0
    width, height, _, _, tile_width, tile_height, left, top = struct.unpack_from(">8I", data, start + 8)
    tiles = -(-(width - left) // max(tile_width, 1)) * -(-(height - top) // max(tile_height, 1))
    found = set()
    position = start + 2
    while position + 12 <= len(data):
        marker, length = data[position : position + 2], int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == _TILE_PART:
            tile, length = struct.unpack_from(">HI", data, position + 4)
            found.add(tile)
            if length < 12:  # 0: up to the end
                break
            position += length
        elif found:
            break
        else:
            position += 2 + length
    return tiles - len(found), tiles
