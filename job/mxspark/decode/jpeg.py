"""The markers of a JPEG: what kind of one it is, and whether all of its scans are there."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

_SCAN, _END = 0xDA, b"\xff\xd9"
_SCAN_OR_END = re.compile(rb"\xff[\xd9\xda]")  # which the pixels themselves never contain
_WITHOUT_CONTENT = {0x01, *range(0xD0, 0xD8)}
# Start-of-frame markers: 0xC4, 0xC8 and 0xCC are none, 0xF7 is JPEG-LS's.
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_RARE = {
    0xC3: "lossless JPEG",
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical JPEG"),
    0xF7: "JPEG-LS",
}
_PROGRESSIVE = (0xC2, 0xCA)
_COEFFICIENTS = 64
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # other than one that restarts a scan
# Any bytes but markers, and between them all restarts, one of which a decoder waits for.
_NOISE = b"".join(
    bytes(byte for byte in Random(number).randbytes(200) if byte != 0xFF) + bytes([0xFF, 0xD0 + number % 8])  # noqa: S311
    for number in range(16)
)


@dataclass(frozen=True)
class _Header:
    """What stands before the pixels."""

    marker: int  # of the frame
    frame: bytes  # its content: bits, height, width, the components
    scan: bytes  # the content of the first scan's header
    end: int  # where the pixels begin


def _segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """(marker, content, end) of the segments up to the first scan's header, which is the last."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF or marker in _WITHOUT_CONTENT:  # before a marker there may be any number of fill bytes
            position += 1 if marker == 0xFF else 2
            continue
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        yield marker, data[position + 4 : end], end
        if marker == _SCAN:
            return
        position = max(end, position + 2)


def variant(data: bytes) -> str | None:
    """Why a JPEG may not be decodable by its header ("JPEG with 12-bit samples"); None where nothing is unusual."""
    marker, content = _frame(data)
    if not content:
        return None
    bits, components = content[0], content[5]
    if bits != 8:
        return f"JPEG with {bits}-bit samples"
    return _RARE.get(marker) if components in (1, 3, 4) else f"JPEG with {components} colour components"


def size(data: bytes) -> tuple[int, int] | None:
    """(height, width) as the header has them; None where there is no header."""
    _, content = _frame(data)
    return (int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")) if content else None


def _frame(data: bytes) -> tuple[int, bytes]:
    """The marker and the content of the frame's header, which is empty where there is none."""
    frames = ((marker, content) for marker, content, _ in _segments(data) if marker in _FRAMES and len(content) >= 6)
    return next(frames, (0, b""))


def gap(data: bytes) -> str | None:
    """What is missing behind the header; None where all markers are there. Decoders make up the rest."""
    header = _header(data)
    if header is None:
        return None
    components = header.frame[6::3]
    if header.marker not in _PROGRESSIVE and header.scan[0] == len(components):  # all in one scan, as nearly always
        return None if data.rfind(_END, header.end) >= 0 else "its pixels have no end (EOI)"
    # How many bits of each coefficient are still to come, by component; other than progressive ones come at once.
    missing = {component: bytearray(b"\xff" * _COEFFICIENTS) for component in components}
    _note(header.scan, missing, header.marker)
    for match in _SCAN_OR_END.finditer(data, header.end):
        if match[0] == _END:
            return "scans of it are missing" if any(any(bits) for bits in missing.values()) else None
        start = match.end() + 2
        _note(data[start : start - 2 + int.from_bytes(data[match.end() : start], "big")], missing, header.marker)
    return "its pixels have no end (EOI)"


def _header(data: bytes) -> _Header | None:
    frame: tuple[int, bytes] | None = None
    for marker, content, end in _segments(data):
        if marker in _FRAMES:
            frame = marker, content
        elif marker == _SCAN and frame and content:
            return _Header(*frame, content, end)
    return None


def _note(scan: bytes, missing: dict[int, bytearray], marker: int) -> None:
    """Notes what a scan has: of its components the coefficients from one to another, down to a bit."""
    if not scan or len(scan) != 4 + 2 * scan[0]:
        return
    first, last, bits = scan[-3:] if marker in _PROGRESSIVE else (0, _COEFFICIENTS - 1, 0)
    for component in scan[1:-3:2]:
        if component in missing and last < _COEFFICIENTS:
            missing[component][first : last + 1] = bytes([bits & 15]) * (last + 1 - first)


def with_noise(data: bytes) -> bytes:
    """The file with bytes behind its first scan that don't matter to a decoder that has found all of the scan."""
    header = _header(data)
    end = _MARKER.search(data, header.end) if header else None
    return data[: end.start()] + _NOISE + data[end.start() :] if end else data
