"""Pictures for the tests: pixels, the same as files in many formats, and broken ones; and another library's idea of
them (OpenCV).
"""

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]  # pixels, (height, width, 3) in RGB, (height, width) in grey


def noise(height: int, width: int, seed: int = 0) -> Bytes:
    """Pixels of which no two are alike, so that any that is moved or mixed is noticed."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(height: int, width: int) -> Bytes:
    """Soft colours, which JPEG keeps nearly as they are; no two corners are alike."""
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [rows * 200 / height, columns * 200 / width, 255 - (rows + columns) * 100 / (height + width)]
    return np.asarray(np.stack(planes, axis=2), np.uint8)


def opencv_encoded(pixels: NDArray[Any], suffix: str) -> bytes:
    """RGB or grey pixels of 8 or 16 bits as a file that OpenCV writes; WebP without loss."""
    options = {".webp": [cv2.IMWRITE_WEBP_QUALITY, 101], ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95]}
    _, data = cv2.imencode(suffix, pixels[..., ::-1] if pixels.ndim == 3 else pixels, options.get(suffix, []))
    return bytes(data)


def opencv_decoded(data: bytes, flags: int = cv2.IMREAD_COLOR) -> Bytes:
    """The file's pixels in RGB, as OpenCV sees them; it turns them as their EXIF orientation says."""
    return np.ascontiguousarray(cv2.imdecode(np.frombuffer(data, np.uint8), flags)[..., ::-1], np.uint8)


def opencv_layers(data: bytes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(RGB, opacity from 0 to 1 of shape (height, width, 1)) of a file with transparency, as OpenCV sees it."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).astype(np.float64)
    return pixels[..., 2::-1], pixels[..., 3:] / 255


def pillow_encoded(image: Image.Image, image_format: str, **options: Any) -> bytes:
    """The image as a file that Pillow writes."""
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def heic_encoded(image: Image.Image, **options: Any) -> bytes:
    """The image as an iPhone has it."""
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, **options)
    return buffer.getvalue()


def exif(*entries: tuple[int, int, int, bytes]) -> bytes:
    """EXIF data with entries (tag, type, count, value), where a value of more than four bytes stands behind the
    directory.
    """
    start = 8 + 2 + 12 * len(entries) + 4
    directory, behind = struct.pack("<H", len(entries)), b""
    for tag, kind, count, value in entries:
        place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", start + len(behind))
        behind += value if len(value) > 4 else b""
        directory += struct.pack("<HHI", tag, kind, count) + place
    return b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + directory + b"\0\0\0\0" + behind


def turned(orientation: int) -> tuple[int, int, int, bytes]:
    """The EXIF entry of an orientation."""
    return 0x0112, 3, 1, struct.pack("<H", orientation)


def jpeg_with(exif_data: bytes, pixels: Bytes) -> bytes:
    """A JPEG file that carries EXIF data as it is."""
    data = opencv_encoded(pixels, ".jpg")
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif_data) + 2) + exif_data + data[2:]


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of 60 bytes whose header claims any size; there are no pixels in it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(b""))
        + png_chunk(b"IEND", b"")
    )


def gif_that_claims(canvas: int, frame: int) -> bytes:
    """A GIF of `canvas` x `canvas` pixels with a frame of `frame` x `frame`, and hardly a pixel in it."""
    header = b"GIF89a" + struct.pack("<HHBBB", canvas, canvas, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return header + b"," + struct.pack("<HHHHB", 0, 0, frame, frame, 0) + b"\x02\x02\x44\x01\x00;"
