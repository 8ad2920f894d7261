"""Images that are passed, predicted as a shard's are: the same pipeline, and the same rows."""

import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

from mxspark.dataset.predictions import Row
from mxspark.dataset.source import Source
from mxspark.decode import in_memory
from mxspark.errors import UsageError
from mxspark.inference import bundle
from mxspark.inference.bundle import BundleSource
from mxspark.inference.network import Network
from mxspark.settings.job import Settings, resolved
from mxspark.storage import Access
from mxspark.worker import pipeline
from mxspark.worker.pipeline import Floats, Timings
from mxspark.worker.sandbox import Child
from mxspark.worker.stages import decode_task, stages

# Bytes of a file, its place (a path, s3://, http(s)://), a PIL image or an array; None is an image that is not there.
Image: TypeAlias = Any


@dataclass(frozen=True, eq=False)
class PredictorTask:
    """What a process must know to predict images; the same task has the same `id`, so that it is set up once."""

    id: str
    settings: Settings
    source: BundleSource
    access: Access
    cache_dir: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PredictorTask) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)


class ImagePredictor:
    """A network, and what it says of images."""

    def __init__(self, task: PredictorTask, device: int = 0) -> None:
        """Fetches, loads and binds the network; takes seconds. Raises UsageError where the model isn't one."""
        settings = task.settings
        with ExitStack() as undone:
            children = [
                Child() for _ in range(settings.pipeline.decode_threads if settings.input.sandbox == "always" else 0)
            ]
            for child in children:
                undone.callback(child.end)
            model = bundle.fetch(task.source, Path(task.cache_dir), task.access)
            network = Network(model, settings.batch_size, settings.context, device)
            found = stages(settings, model, network, decode_task(settings.input, network), self._fetch, children)
            self._undone = undone.pop_all()
        self._settings = settings
        self._source = Source(settings.input, task.access)
        self._stages = replace(found, predict=self._predict)
        self._network, self._lock = network, Lock()
        self._waiting: dict[str, Image] = {}
        self._numbers = itertools.count()

    def rows(self, images: Iterable[Image]) -> Iterator[Row]:
        """The row of every image, in order, while later ones are read and decoded. Its key is the image's place, or its
        number from 0 where it has none.

        Raises UsageError for what is no image at all.
        """
        names: deque[str] = deque()  # of the images under way: rows come in the order of the keys

        def keys() -> Iterator[str]:
            for number, image in enumerate(images):
                place = in_memory.place_of(image)
                names.append(str(number) if place is None else place)
                key = str(next(self._numbers))  # of all that are under way, whichever thread asks
                self._waiting[key] = image if place is None else _whole(place)
                yield key

        for row in pipeline.run(keys(), self._stages, self._settings.pipeline, Timings()):
            yield replace(row, key=names.popleft())

    def close(self) -> None:
        """Ends the processes that decode, if there are some."""
        self._undone.close()

    def _fetch(self, key: str) -> bytes:
        image = self._waiting.pop(key)
        return self._source.read(image) if isinstance(image, str) else in_memory.as_file(image)

    def _predict(self, images: Floats) -> Floats:
        with self._lock:  # a Module shared by two threads returns wrong batches
            return self._network.predict_all(images)


def _whole(place: str) -> str:
    """A place as a source of several has it. Spark's binaryFile has file: and s3a://."""
    if place.startswith("file:"):
        return "/" + place.removeprefix("file:").lstrip("/")
    return resolved(place.replace("s3a://", "s3://", 1) if place.startswith("s3a://") else os.fspath(place))


def refuse_single(images: object) -> None:
    """Raises UsageError for one image where several are expected: of a text or of bytes each piece would be one."""
    if isinstance(images, str | bytes | bytearray | os.PathLike) or in_memory.is_image(images):
        raise UsageError("mxspark.Predictor: one image is passed, where a list of them is expected", "Write [image].")


@lru_cache(maxsize=2)
def of_process(task: PredictorTask, device: int) -> ImagePredictor:
    """The predictor of a task, once in this process."""
    return ImagePredictor(task, device)
