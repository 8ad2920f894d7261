"""Small pictures of some images of the input, as data: URLs.

They are decoded as a worker may do it: in a child process with limits on time and memory and without credentials.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

from mxspark.dataset.source import Source
from mxspark.decode import thumbnail
from mxspark.decode.preprocess import BadImageError, ImageLimits
from mxspark.errors import MxsparkError
from mxspark.settings import document
from mxspark.settings.job import InputSettings, memory_bytes
from mxspark.settings.model_spec import ModelInput, Preprocessing
from mxspark.storage import Access
from mxspark.worker.pipeline import ordered_map
from mxspark.worker.sandbox import DecodeTask, Sandbox

SIDE = 112  # pixels
READERS = 4  # images that are read, and held, at a time
MAX_BYTES = 2**19  # of all together
MAX_IMAGE_BYTES = 32 * 2**20  # larger ones get no picture


def make(keys: Sequence[str], broken: Sequence[str], settings: Mapping[str, Any], access: Access) -> dict[str, str]:
    """A JPEG as a data: URL for each key whose image can be read and decoded, of `broken` ones as far as that goes;
    `settings` are the plan's of the input.

    Raises MxsparkError where these are none.
    """
    if not (keys or broken):
        return {}
    wanted = document.parse(InputSettings, dict(settings), "the plan's input")
    limited = wanted.model_copy(update={"max_bytes": min(wanted.max_bytes, MAX_IMAGE_BYTES)})
    source = Source(limited, access)
    limits = ImageLimits(wanted.max_pixels, wanted.max_frames, wanted.formats)
    steps = Preprocessing(resize="shorter_and_crop", shorter_side=SIDE, exif_orientation=True, filter="bilinear")
    model_input = ModelInput(height=SIDE, width=SIDE)
    task = DecodeTask(limits, model_input, steps, 10.0, memory_bytes(wanted.max_decode_memory), is_exact=False)
    made: dict[str, str] = {}
    room = MAX_BYTES
    with (
        Sandbox(task) as decoder,
        Sandbox(replace(task, may_have_gaps=True)) as patient,
        ThreadPoolExecutor(READERS) as pool,
        closing(
            ordered_map(pool, lambda key: (key, _read(source, key)), dict.fromkeys([*broken, *keys]), READERS)
        ) as read,
    ):
        for key, data in read:
            picture = _picture(patient if key in broken else decoder, data) if data else None
            if picture and len(picture) <= room:
                room -= len(picture)
                made[key] = f"data:image/jpeg;base64,{picture}"
    return made


def _read(source: Source, key: str) -> bytes | None:
    try:
        return source.read(key)
    except MxsparkError:  # it may be gone since
        return None


def _picture(decoder: Sandbox, data: bytes) -> str | None:
    try:
        return b64encode(thumbnail.encode(decoder.decode(data))).decode()
    except BadImageError:
        return None
