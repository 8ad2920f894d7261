"""What the corpus consists of: a file, what may become of it, and how plain ones are made."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image
from tests.unit.pictures import pillow_encoded, smooth

MAX_PIXELS = 1_000_000  # what the corpus is made for: bombs are above, all else is below
SIDE = 50_000  # of bombs, in pixels

OK = frozenset({"ok"})
EMPTY = frozenset({"empty"})
NO_IMAGE = frozenset({"not_an_image"})
UNSUPPORTED = frozenset({"unsupported_format"})
TOO_MANY_PIXELS = frozenset({"too_many_pixels"})
CUT = frozenset({"truncated"})
BROKEN = frozenset({"truncated", "decode_error"})
UNUSABLE = BROKEN | NO_IMAGE | UNSUPPORTED | {"unsupported_pixels"}
MANY_FRAMES = OK | {"too_many_frames"}
ANY = UNUSABLE | OK | TOO_MANY_PIXELS | {"too_many_frames"}  # what a decoder makes of it is its own affair


@dataclass(frozen=True)
class Specimen:
    """A file, the statuses that it may come to, and whether it must be refused without being unpacked."""

    name: str
    data: bytes
    statuses: frozenset[str]
    bomb: bool = False


Specimens = Iterator[Specimen]
Files = dict[str, bytes]

# The formats that the corpus is made in, with their suffixes.
FORMATS = {"BMP": "bmp", "GIF": "gif", "JPEG": "jpg", "PNG": "png", "TIFF": "tiff", "WEBP": "webp"}


def each(group: str, files: Files, statuses: frozenset[str], bomb: bool = False) -> Specimens:
    for name, data in files.items():
        yield Specimen(f"{group}/{name}", data, statuses, bomb)


def picture(height: int = 48, width: int = 64) -> Image.Image:
    return Image.fromarray(smooth(height, width))


def saved(image_format: str, mode: str = "RGB", **options: Any) -> bytes:
    """A picture in a mode, as Pillow saves it."""
    return pillow_encoded(picture().convert(mode), image_format, **options)
