"""What the network runs on, which the check of the model finds out."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass

from mxspark import __version__
from mxspark.inference import bundle, cuda, model_check
from mxspark.inference.bundle import Bundle
from mxspark.inference.model_check import Ask
from mxspark.private_folder import private_folder
from mxspark.settings.job import Settings
from mxspark.storage import FolderStore, StorageError

MAX_MARK_BYTES = 2**20


@dataclass(frozen=True)
class ChosenContext:
    """What a network runs on, and with context auto, how that was chosen."""

    name: str
    chosen: str = ""
    notes: tuple[str, ...] = ()  # what the check of the model found that somebody should know

    def __str__(self) -> str:
        return f"{self.name} ({self.chosen})" if self.chosen else self.name


def required_gpu(model: Bundle, settings: Settings) -> ChosenContext | None:
    """The GPU that this machine has to have, None where it needs none. Raises UsageError where there is none."""
    return check_model(model, settings) if settings.context == "gpu" and settings.spark.is_local else None


def check_once(model: Bundle, settings: Settings, ask: Ask | None = None) -> ChosenContext:
    """`check_model`, or what it found before: loading MXNet takes seconds."""
    if settings.context != "cpu":
        return check_model(model, settings, ask)
    mark = f"checked/{hashlib.sha256(f'{__version__} {model.digest}'.encode()).hexdigest()}"
    store: FolderStore | None = None
    with suppress(OSError, StorageError, ValueError, TypeError, KeyError, RecursionError):  # only a convenience
        store = FolderStore(private_folder(bundle.cache_dir(settings.cache_dir)), follow_links=False)
        name, notes = json.loads(store.read(mark, MAX_MARK_BYTES))
        return ChosenContext(name, notes=tuple(notes))
    context = check_model(model, settings, ask)
    with suppress(StorageError):
        if store is not None:
            store.write(mark, json.dumps([context.name, context.notes]).encode())
    return context


def check_model(model: Bundle, settings: Settings, ask: Ask | None = None) -> ChosenContext:
    """Checks, in a process of its own or that which `ask` asks, that the model's files fit each other and that the
    network computes; returns its context.

    Raises UsageError, MxsparkError. The driver itself never imports MXNet (inference/mxnet.py says why), and a file
    that crashes MXNet is an error like any other.
    """
    local = settings.spark.is_local
    chosen = "each executor takes a GPU if it has one that MXNet can use" if settings.context == "auto" else ""
    try:
        # On a cluster the executors have the GPUs, and each finds out for itself: what only a GPU computes can't be
        # tried here.
        context = settings.context if local or settings.context == "cpu" else None
        check = model_check.check_model(model, context, ask=ask) if ask else model_check.check_model(model, context)
    except cuda.NoDriverError:
        if local or settings.context == "cpu":
            raise
        # As in a driver's pod of the GPU image: the GPUs and their libraries are the executors', who check the files as
        # well.
        return ChosenContext(
            settings.context,
            f"{chosen}{'; ' if chosen else ''}the executors check the model, for MXNet can't be loaded here",
        )
    if local:
        chosen = f"context auto chose it{f': {check.why}' if check.why else ''}" if settings.context == "auto" else ""
    return ChosenContext(check.context if local else settings.context, chosen, check.inspection.notes)
